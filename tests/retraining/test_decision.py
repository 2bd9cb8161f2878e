"""Whether a product is trained again: each hazard as a story of days, with the answers that it has to get."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.retraining.decision import ANSWERS, Answer, Attempt, Became, Figures, Fired, decide, refused_in_turn
from jobs.schedule.files.retraining import Retraining
from tests.effort import times

DAY = timedelta(days=1)
BEGIN = datetime(2026, 1, 1)
USUAL: dict[str, Any] = {
    "when": {"any": [{"age": "30 days"}, {"performance": "alarm"}, {"drift": "alarm"}]},
    "cooldown": "7 days",
    "budget": "6 per 30 days",
    "learn_after": 5,
}


def day(number: int) -> datetime:
    return BEGIN + number * DAY


@dataclass
class MadeLedger:
    """A ledger of daily pages of 100 rows whose labels come after `matures` days; a version is trained at day 0."""

    matures: int = 1
    live_cutoff: datetime | None = BEGIN
    newest_cutoff: datetime = BEGIN
    alarms: dict[str, tuple[str, int, int, int]] = field(default_factory=dict)  # kind, opened, closed, since: days
    faults: list[tuple[int, int]] = field(default_factory=list)  # first day, day on which it is over
    rollouts: list[tuple[int, int]] = field(default_factory=list)
    few_pages: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)

    def figures(self, number: int) -> Figures:
        now = day(number)
        pages = [day(n) for n in range(number + 1) if not any(a <= n < b for a, b in self.faults)]
        matured = [page for page in pages if page + self.matures * DAY <= now]
        new = [page for page in matured if page > self.newest_cutoff - self.matures * DAY]
        alarms = tuple(
            Fired(name, kind, day(since), sum(page >= day(since) for page in matured), name in self.few_pages)
            for name, (kind, opened, closed, since) in self.alarms.items()
            if opened <= number < closed
        )
        going = any(a <= number < b for a, b in self.rollouts)
        return Figures(
            at=now,
            live_cutoff=self.live_cutoff,
            learnt_rows=3000,
            new_rows=100 * len(new),
            new_pages=len(new),
            alarms=alarms,
            bad_data=tuple(f"fault since {day(a)}" for a, b in self.faults if a <= number < b),
            busy="v2 is being tried in a rollout" if going else "",
            attempts=tuple(self.attempts),
        )

    def train(self, number: int, answer: Answer, became: Became) -> None:
        self.attempts.append(Attempt(day(number), became, answer.alarms))
        self.newest_cutoff = day(number)
        if became == "live":
            self.live_cutoff = day(number)


def lived(
    ledger: MadeLedger, days: Iterable[int], rules: dict[str, Any], becomes: Callable[[int], Became] = lambda _: "live"
) -> list[tuple[int, str, int]]:
    """Ask each day; gives stretches of equal answers: their first day, the answer, and how many days it was given."""
    asked = Retraining.model_validate(rules)
    answers = []
    for number in days:
        figures = ledger.figures(number)
        answer = decide(asked, figures)
        assert decide(asked, figures) == answer
        answers.append((number, answer.answer))
        assert (answer.answer == "train") == (not answer.needs)
        if answer.answer == "train":
            ledger.train(number, answer, becomes(number))
    return [
        (next(iter(part))[0], said, 1 + sum(1 for _ in part)) for said, part in groupby(answers, lambda one: one[1])
    ]


def test_by_age_alone_it_trains_once_a_month() -> None:
    assert lived(MadeLedger(), range(1, 65), USUAL) == [
        (1, "quiet", 29),
        (30, "train", 1),
        (31, "quiet", 29),
        (60, "train", 1),
        (61, "quiet", 4),
    ]


def test_it_does_not_train_on_the_very_fault_that_raised_the_alarm() -> None:
    # From day 10 to 16 a source is broken: an acute alarm at once, and one on performance three days later.
    ledger = MadeLedger(faults=[(10, 16)], alarms={"p": ("performance", 13, 40, 10)})
    # Of the faulty pages none counts as learnt: five good ones of the new world have to come first.
    assert lived(ledger, range(8, 26), USUAL) == [
        (8, "quiet", 5),
        (13, "bad data", 3),
        (16, "nothing to learn yet", 5),
        (21, "train", 1),
        (22, "quiet", 4),
    ]


def test_an_alarm_starts_at_most_one_training_however_long_it_stays_open() -> None:
    ledger = MadeLedger(alarms={"p": ("performance", 12, 90, 5)})
    assert lived(ledger, range(10, 41), USUAL) == [
        (10, "quiet", 2),
        (12, "train", 1),
        (13, "quiet", 28),
    ]


def test_a_second_alarm_after_the_training_waits_for_the_cooldown_and_for_pages_of_its_own() -> None:
    ledger = MadeLedger(alarms={"p": ("performance", 12, 14, 5), "q": ("performance", 15, 90, 14)})
    assert lived(ledger, range(12, 24), USUAL) == [
        (12, "train", 1),
        (13, "quiet", 2),
        (15, "cooling", 4),
        (19, "train", 1),
        (20, "quiet", 4),
    ]


def test_an_alarm_before_labels_of_the_new_world_exist_waits_for_them() -> None:
    # Drift shows at once; labels take 10 days, and five pages of the new world have to have theirs.
    ledger = MadeLedger(matures=10, alarms={"d": ("drift", 14, 90, 12)})
    assert lived(ledger, range(12, 30), USUAL) == [
        (12, "quiet", 2),
        (14, "nothing to learn yet", 12),
        (26, "train", 1),
        (27, "quiet", 3),
    ]
    patient = {**USUAL, "give_up_waiting": "10 days"}
    assert lived(MadeLedger(matures=10, alarms={"d": ("drift", 14, 90, 12)}), range(12, 24), patient) == [
        (12, "quiet", 2),
        (14, "nothing to learn yet", 8),
        (22, "train", 1),
        (23, "quiet", 1),
    ]


def test_waiting_for_an_alarm_keeps_no_other_condition_from_training() -> None:
    ledger = MadeLedger(matures=20, alarms={"d": ("drift", 14, 90, 29)})
    assert lived(ledger, range(28, 32), USUAL) == [
        (28, "nothing to learn yet", 2),
        (30, "train", 1),
        (31, "cooling", 1),
    ]
    # The alarm was not ripe, so it has its own training still to come.
    assert ledger.attempts[0].alarms == ()


def test_one_source_that_breaks_under_thirty_products_starts_no_training() -> None:
    answers = set()
    for product in range(30):
        ledger = MadeLedger(faults=[(20, 26)], alarms={f"p{product}": ("performance", 20, 90, 20)})
        found = [decide(Retraining.model_validate(USUAL), ledger.figures(n)).answer for n in range(20, 26)]
        answers |= set(found)
    assert answers == {"bad data"}


def test_a_reference_that_moves_with_each_training_leads_to_no_other() -> None:
    # Every training raises another alarm on drift two days later, as where it is measured from the training's pages.
    ledger = MadeLedger(alarms={"d0": ("drift", 10, 12, 5)})
    rules = Retraining.model_validate({**USUAL, "budget": "2 per 30 days"})
    trained = []
    for number in range(10, 70):
        answer = decide(rules, ledger.figures(number))
        if answer.answer == "train":
            trained.append(number)
            ledger.train(number, answer, "live")
            ledger.alarms[f"d{number}"] = ("drift", number + 2, number + 60, number)
    # The cooldown and the budget bound what that can do: 2 in 30 days.
    assert trained == [10, 17, 40, 47]


def test_after_each_refusal_the_rest_is_twice_as_long_up_to_eight_times() -> None:
    ledger = MadeLedger()
    found = lived(ledger, range(30, 200), USUAL, lambda _: "refused")
    assert [start for start, answer, _ in found if answer == "train"] == [30, 44, 72, 128, 184]
    assert {answer for _, answer, _ in found} == {"train", "cooling"}
    assert refused_in_turn(ledger.attempts) == 5


def test_one_that_goes_live_ends_the_doubling() -> None:
    ledger = MadeLedger()
    found = lived(ledger, range(30, 110), USUAL, lambda n: "refused" if n < 60 else "live")
    assert [start for start, answer, _ in found if answer == "train"] == [30, 44, 72, 102]


def test_a_slow_decline_leads_to_one_training_when_it_has_become_evidence() -> None:
    # A creep that began on day 8 is evidence on day 40; there is no age in the rules.
    rules = {"when": {"performance": "alarm"}, "cooldown": "7 days", "learn_after": 14}
    ledger = MadeLedger(alarms={"p": ("performance", 40, 68, 8), "q": ("performance", 80, 108, 70)})
    assert lived(ledger, range(30, 100), rules) == [
        (30, "quiet", 10),
        (40, "train", 1),
        (41, "quiet", 39),
        (80, "nothing to learn yet", 4),
        (84, "train", 1),
        (85, "quiet", 15),
    ]


def test_while_a_rollout_goes_on_it_is_busy_and_the_work_of_few_pages_is_no_reason() -> None:
    ledger = MadeLedger(alarms={"p": ("performance", 10, 90, 5)}, rollouts=[(8, 20)])
    assert lived(ledger, range(9, 22), USUAL) == [(9, "quiet", 1), (10, "busy", 10), (20, "train", 1), (21, "quiet", 1)]
    storm = MadeLedger(alarms={"p": ("performance", 10, 29, 5)}, few_pages={"p"})
    assert lived(storm, range(9, 30), USUAL) == [(9, "quiet", 21)]


def test_all_of_several_conditions_and_a_volume() -> None:
    rules = {"when": {"all": [{"age": "10 days"}, {"volume": {"new_labels": "50%"}}]}}
    assert lived(MadeLedger(), range(1, 32), rules) == [
        (1, "quiet", 14),
        (15, "train", 1),
        (16, "quiet", 14),
        (30, "train", 1),
        (31, "quiet", 1),
    ]
    needs = decide(Retraining.model_validate(rules), MadeLedger().figures(4)).needs
    assert needs == (
        "age: the live version is 10 days old at 2026-01-11 00:00:00",
        "volume: 400 of 1,500 labels have come since the newest version",
    )


def test_what_it_would_take_names_everything_that_stands_in_the_way() -> None:
    ledger = MadeLedger(faults=[(40, 50)], attempts=[Attempt(day(38), "refused")], rollouts=[(39, 60)])
    rules = Retraining.model_validate({**USUAL, "budget": "1 per 30 days"})
    answer = decide(rules, ledger.figures(42))
    assert (answer.answer, answer.reason) == ("bad data", "fault since 2026-02-10 00:00:00")
    assert answer.needs == (
        "fault since 2026-02-10 00:00:00",
        "v2 is being tried in a rollout",
        "the cooldown after the training of 2026-02-08 00:00:00 ends at 2026-02-22 00:00:00",
        "the budget of 1 per 30 days is spent until 2026-03-10 00:00:00",
    )


def a_history(seed: int) -> tuple[Retraining, MadeLedger, random.Random]:
    r = random.Random(seed)
    leaves: list[Any] = [
        {"age": f"{r.choice([1, 3, 20])} days"},
        {"volume": {"new_labels": r.choice([100, "10%"])}},
        {"performance": "alarm"},
        {"drift": "alarm"},
    ]
    chosen = r.sample(leaves, r.randint(1, 4))
    when = chosen[0] if len(chosen) == 1 else {r.choice(["any", "all"]): chosen}
    rules: dict[str, Any] = {"when": when, "cooldown": f"{r.randint(1, 9)} days"}
    rules["budget"] = f"{r.randint(1, 5)} per {r.choice([10, 30])} days"
    rules |= {"learn_after": r.randint(1, 8)} if r.random() < 0.5 else {}
    rules |= {"give_up_waiting": f"{r.randint(1, 9)} days"} if r.random() < 0.3 else {}
    ledger = MadeLedger(matures=r.choice([0, 1, 7]))
    for n in range(r.randint(0, 8)):
        opened = r.randrange(100)
        kind = r.choice(["performance", "drift"])
        ledger.alarms[f"a{n}"] = (kind, opened, opened + r.randint(1, 60), max(0, opened - r.randint(0, 20)))
        if r.random() < 0.2:
            ledger.few_pages.add(f"a{n}")
    ledger.faults = [(a, a + r.randint(1, 9)) for a in r.sample(range(100), r.randint(0, 3))]
    ledger.rollouts = [(a, a + r.randint(1, 20)) for a in r.sample(range(100), r.randint(0, 2))]
    return Retraining.model_validate(rules), ledger, r


@settings(max_examples=times(25), deadline=None)
@given(st.integers(0, 2**32))
def test_over_random_ledgers_no_bound_is_broken_and_the_answers_are_the_same_again(seed: int) -> None:
    rules, ledger, r = a_history(seed)
    assert rules.cooldown
    assert rules.budget
    asked: list[tuple[Figures, Answer]] = []
    for number in range(100):
        figures = ledger.figures(number)
        answer = decide(rules, figures)
        asked.append((figures, answer))
        assert answer.answer in ANSWERS
        if figures.bad_data or figures.busy or not figures.new_pages:
            assert answer.answer != "train"
        if answer.answer == "train":
            ledger.train(number, answer, r.choice(["live", "refused", "failed", "waiting", "in rollout"]))
    assert [decide(rules, figures) for figures, _ in asked] == [answer for _, answer in asked]
    starts = [attempt.at for attempt in ledger.attempts]
    for (before, after), n in zip(pairwise(starts), range(1, len(starts)), strict=True):
        longer = min(8, 2 ** refused_in_turn(ledger.attempts[:n]))
        assert after - before >= longer * rules.cooldown
    for first in starts:
        assert sum(first <= at < first + rules.budget.per for at in starts) <= rules.budget.trainings
    led = [alarm for attempt in ledger.attempts for alarm in attempt.alarms]
    assert len(led) == len(set(led))
    assert not set(led) & ledger.few_pages


@pytest.mark.parametrize("wrong", ["2 in 30 days", "0 per 3 days", "3 per 2 fortnights"])
def test_a_budget_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="budget"):
        Retraining.model_validate({"budget": wrong})


def on_day_60(rules: dict[str, Any], **others: Any) -> Answer:
    """Decide where a version is live since day 0, and one page has had its labels since."""
    usual = Figures(at=day(60), live_cutoff=day(0), learnt_rows=3000, new_rows=100, new_pages=1)
    return decide(Retraining.model_validate(rules), replace(usual, **others))


def test_labels_of_no_whole_page_are_nothing_to_learn_from_and_half_of_nothing_is_no_volume() -> None:
    assert on_day_60({"when": {"age": "30 days"}}, new_rows=40, new_pages=0).answer == "nothing to learn yet"
    half = {"when": {"volume": {"new_labels": "50%"}}}
    assert on_day_60(half, learnt_rows=0, new_rows=0).answer == "quiet"
    assert on_day_60(half, learnt_rows=0, new_rows=1).answer == "train"


def test_trainings_that_failed_are_in_vain_as_those_are_that_were_refused() -> None:
    kinds: tuple[Became, ...] = ("refused", "live", "failed", "refused", "failed")
    assert refused_in_turn([Attempt(day(n), became) for n, became in enumerate(kinds)]) == 3


def test_a_budget_that_was_overdrawn_is_spent_until_enough_trainings_are_past() -> None:
    attempts = tuple(Attempt(day(n), "live") for n in (35, 50, 55, 58))
    answer = on_day_60({"when": {"age": "1 day"}, "budget": "2 per 30 days"}, attempts=attempts)
    assert (answer.answer, answer.reason[-19:]) == ("budget", str(day(85)))


def test_of_several_alarms_the_one_that_is_nearest_says_what_is_lacking() -> None:
    alarms = (Fired("a", "drift", day(50), 3), Fired("b", "drift", day(55), 1))
    rules = {"when": {"drift": "alarm"}, "learn_after": 5, "give_up_waiting": "20 days"}
    answer = on_day_60(rules, alarms=alarms)
    assert answer.answer == "nothing to learn yet"
    assert answer.needs == (f"drift: 3 of 5 pages since the alarm's start have all labels, or it is {day(70)}",)


def test_a_training_is_for_the_alarms_that_its_job_asks_for() -> None:
    alarms = (Fired("d", "drift", day(40), 20), Fired("p", "performance", day(40), 20))
    assert on_day_60({"when": {"age": "30 days"}}, alarms=alarms).alarms == ()
    assert on_day_60({"when": {"performance": "alarm"}}, alarms=alarms).alarms == ("p",)
