"""What `almanac retrain` does to a product in the simulated world: the real decision, over figures made of a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from jobs.retraining.decision import Answer, Attempt, Figures, Fired, decide, refused_in_turn
from jobs.schedule.files.retraining import Retraining

HOUR = timedelta(hours=1)


@dataclass
class SimulatedRetraining:
    """One product: its rules, what was answered, and how often each training that was decided on was made."""

    seed: str
    began: datetime
    asked: list[tuple[Figures, Answer]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    made: dict[int, int] = field(default_factory=dict)
    holder: int | None = None
    resumed: int = 0

    def __post_init__(self) -> None:
        self.random = r = random.Random(self.seed)
        when: Any = r.choice([{"age": "12 hours"}, {"any": [{"age": "2 days"}, {"drift": "alarm"}]}, None])
        rules: dict[str, Any] = {"cooldown": f"{r.choice([1, 6, 30])} hours", "learn_after": r.randint(1, 3)}
        rules["budget"] = f"{r.randint(1, 4)} per {r.choice([1, 3])} days"
        self.rules = Retraining.model_validate({**rules, **({"when": when} if when else {})})

    def _figures(self, now: datetime) -> Figures:
        """Pages are hourly, and labels come at once; on some days something is wrong, or an alarm is open."""
        day = (now - self.began).days
        of_day = random.Random(f"{self.seed} {day}")
        newest = max([one.at for one in self.attempts], default=self.began)
        new = max(0, (now - newest) // HOUR)
        since = datetime(now.year, now.month, now.day)
        alarm = Fired(f"d{day}", "drift", since, (now - since) // HOUR)
        is_bad = of_day.random() < 0.15
        return Figures(
            at=now,
            live_cutoff=max([one.at for one in self.attempts if one.became == "live"], default=self.began),
            learnt_rows=1000,
            new_rows=10 * new,
            new_pages=new,
            alarms=(alarm,) if of_day.random() < 0.5 else (),
            bad_data=("a source is broken",) if is_bad else (),
            attempts=tuple(self.attempts),
        )

    def begin(self, run: int, now: datetime, is_held: bool) -> None:
        """A run asks; another one that lives keeps it from doing anything."""
        if is_held:
            return
        self.holder = run
        if self.attempts and self.attempts[-1].became == "under way":
            self.resumed += 1
            return
        instants = [figures.at + timedelta(microseconds=1) for figures, _ in self.asked[-1:]]
        figures = self._figures(max([now, *instants]))
        answer = decide(self.rules, figures)
        self.asked.append((figures, answer))
        if answer.answer == "train":
            self.attempts.append(Attempt(figures.at, "under way", answer.alarms))

    def end(self, run: int) -> None:
        """A run is done; what was decided on is trained now."""
        if self.holder != run:
            return
        self.holder = None
        if self.attempts and self.attempts[-1].became == "under way":
            became = self.random.choice(["live", "live", "refused", "waiting"])
            self.attempts[-1] = replace(self.attempts[-1], became=became)
            self.made[len(self.attempts)] = self.made.get(len(self.attempts), 0) + 1

    def check(self) -> None:
        """No bound is broken, each decision made one training, and the answers are the same again."""
        assert self.rules.cooldown
        assert self.rules.budget
        done = [n for n, one in enumerate(self.attempts, start=1) if one.became != "under way"]
        assert self.made == dict.fromkeys(done, 1)
        starts = [one.at for one in self.attempts]
        for n, (before, after) in enumerate(pairwise(starts), start=1):
            assert after - before >= self.rules.cooldown * min(8, 2 ** refused_in_turn(self.attempts[:n]))
        for first in starts:
            assert sum(first <= at < first + self.rules.budget.per for at in starts) <= self.rules.budget.trainings
        # Of years of answers some are asked for again.
        again = self.asked[:: 1 + len(self.asked) // 100]
        assert [decide(self.rules, figures) for figures, _ in again] == [answer for _, answer in again]
