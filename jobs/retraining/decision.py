"""The decision whether a product is trained again: a function of figures as of an instant, and of what a job says.

Nothing here reads a clock, a file or a table. `jobs.retraining.figures` reads the figures from the ledger. The answers
stand in the order in which they are asked for; the first that applies is the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final, Literal

from jobs.schedule.files.retraining import Condition, Retraining
from warehouse.definitions.durations import duration_text
from warehouse.ledger.alarms import DRIFT, PERFORMANCE

QUIET, BAD_DATA, BUSY, COOLING = "quiet", "bad data", "busy", "cooling"
NOTHING_TO_LEARN, BUDGET, TRAIN = "nothing to learn yet", "budget", "train"
#: In the order in which they are asked for.
ANSWERS = (QUIET, BAD_DATA, BUSY, COOLING, NOTHING_TO_LEARN, BUDGET, TRAIN)
#: The longest rest between two trainings is so many times the cooldown.
LONGEST_REST = 8

#: What became of a training that a trigger began. A person decides on `waiting`; `refused` and `failed` are in vain.
Became = Literal["under way", "live", "in rollout", "waiting", "refused", "failed"]
UNDER_WAY: Final = "under way"
LIVE: Final = "live"
IN_ROLLOUT: Final = "in rollout"
WAITING: Final = "waiting"
REFUSED: Final = "refused"
FAILED: Final = "failed"


@dataclass(frozen=True)
class Attempt:
    """A training that a trigger began: when, which alarms it was for, and what became of it as far as was known."""

    at: datetime
    became: Became
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fired:
    """An alarm on performance or slow drift that is open.

    Attributes
    ----------
    since
        The page from which on things have been different.
    matured_pages
        How many pages from then on have all their labels, faulty ones left out.
    is_of_few_pages
        Whether there would be no alarm without its three largest pages.
    """

    alarm_id: str
    kind: str
    since: datetime
    matured_pages: int
    is_of_few_pages: bool = False


@dataclass(frozen=True)
class Figures:
    """What was known at an instant, naive UTC.

    Attributes
    ----------
    live_cutoff
        The label cut-off of the live version; None where none is live.
    learnt_rows
        How many labels the newest version has learnt from; 0 where there is none.
    new_rows, new_pages
        Labels, and pages, all of whose labels have come since the newest version's cut-off; faulty pages left out.
    alarms
        On performance and slow drift, open.
    bad_data
        A sentence for each fault of the data that is going on.
    busy
        A sentence on a rollout or a training that is under way; empty where none is.
    attempts
        The trainings that triggers began, the oldest first.
    """

    at: datetime
    live_cutoff: datetime | None
    learnt_rows: int
    new_rows: int
    new_pages: int
    alarms: tuple[Fired, ...] = ()
    bad_data: tuple[str, ...] = ()
    busy: str = ""
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What was decided.

    Attributes
    ----------
    answer
        One of `ANSWERS`.
    reason
        A sentence.
    fired
        The conditions that were met, in words.
    alarms
        The alarms that a training is for; none of another answer.
    needs
        What would have to happen for the next training, each a sentence; none where it is `train`.
    """

    answer: str
    reason: str
    fired: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


class Met(IntEnum):
    """Whether a condition is met: no; yes, but there is not enough to learn from yet; yes."""

    NO = 0
    TOO_EARLY = 1
    YES = 2


@dataclass(frozen=True)
class Looked:
    """What was found of one condition, in words: how it stands, and what it would take where it is not met."""

    met: Met
    words: str
    needs: str = ""


def decide(rules: Retraining, figures: Figures) -> Answer:
    """Decide as of an instant; the same arguments give the same answer."""
    looks = {leaf: _look(leaf, rules, figures) for leaf in (rules.when.leaves if rules.when else ())}
    met = _met(rules.when, looks) if rules.when else Met.YES
    fired = tuple(look.words for look in looks.values() if look.met)
    blocks = dict(_blocks(rules, figures, looks, met))
    needs = tuple(sentence for each in blocks.values() for sentence in each)
    for answer in ANSWERS:
        if answer in blocks:
            return Answer(answer, "; ".join(blocks[answer]), fired, (), needs)
    ripe = tuple(alarm.alarm_id for alarm in _open(rules, figures) if _is_ripe(alarm, rules, figures.at))
    return Answer(TRAIN, "; ".join(fired) or "it is due", fired, ripe)


def _blocks(
    rules: Retraining, figures: Figures, looks: dict[Condition, Looked], met: Met
) -> Iterator[tuple[str, list[str]]]:
    """Give everything that stands in the way, by the answer that it makes, each with sentences."""
    if met is Met.NO:
        yield QUIET, [look.needs for look in looks.values() if look.needs]
    if figures.bad_data:
        yield BAD_DATA, list(figures.bad_data)
    if figures.busy:
        yield BUSY, [figures.busy]
    elif any(attempt.became == UNDER_WAY for attempt in figures.attempts):
        yield BUSY, ["a training that a trigger began is under way"]
    if (until := _cool_at(rules, figures.attempts)) is not None and figures.at < until:
        yield COOLING, [f"the cooldown after the training of {figures.attempts[-1].at} ends at {until}"]
    if figures.new_pages == 0:
        yield NOTHING_TO_LEARN, ["no page has got all its labels since the newest version's cut-off"]
    elif met is Met.TOO_EARLY:
        early = [look.needs for look in looks.values() if look.met is Met.TOO_EARLY]
        yield NOTHING_TO_LEARN, early
    if (until := _affordable_at(rules, figures)) is not None:
        yield BUDGET, [f"the budget of {rules.budget} is spent until {until}"]


def _met(condition: Condition, looks: dict[Condition, Looked]) -> Met:
    if not condition.parts:
        return looks[condition].met
    found = [_met(part, looks) for part in condition.parts]
    return max(found) if condition.any else min(found)


def _look(leaf: Condition, rules: Retraining, figures: Figures) -> Looked:
    if leaf.age is not None:
        return _age(leaf.age, figures)
    if leaf.volume is not None:
        return _volume(leaf.volume.wanted(figures.learnt_rows), figures)
    kind = PERFORMANCE if leaf.performance is not None else DRIFT
    return _alarm(kind, rules, figures)


def _age(age: timedelta, figures: Figures) -> Looked:
    if figures.live_cutoff is None:
        return Looked(Met.YES, "no version is live")
    reached = figures.live_cutoff + age
    if figures.at >= reached:
        return Looked(Met.YES, f"the live version's cut-off, {figures.live_cutoff}, was {duration_text(age)} ago")
    return Looked(Met.NO, "", f"age: the live version is {duration_text(age)} old at {reached}")


def _volume(wanted: int, figures: Figures) -> Looked:
    words = f"{figures.new_rows:,} of {wanted:,} labels have come since the newest version"
    if figures.new_rows >= wanted and figures.new_rows:
        return Looked(Met.YES, words)
    return Looked(Met.NO, "", f"volume: {words}")


def _alarm(kind: str, rules: Retraining, figures: Figures) -> Looked:
    found = [alarm for alarm in figures.alarms if alarm.kind == kind]
    going = [alarm for alarm in _open(rules, figures) if alarm.kind == kind]
    on = "performance" if kind == PERFORMANCE else "slow drift"
    if not going:
        few = [alarm for alarm in found if alarm.is_of_few_pages]
        why = "the one that is open is the work of few pages" if few else "those that are open have led to a training"
        return Looked(Met.NO, "", f"{kind}: a new alarm on {on}" + (f"; {why}" if found else ""))
    words = f"an alarm on {on} is open since {going[0].since}"
    if any(_is_ripe(alarm, rules, figures.at) for alarm in going):
        return Looked(Met.YES, words)
    most = max(alarm.matured_pages for alarm in going)
    wanted = rules.learn_after or 1
    until = min(alarm.since for alarm in going) + rules.give_up_waiting if rules.give_up_waiting else None
    end = f", or it is {until}" if until else ""
    return Looked(
        Met.TOO_EARLY, words, f"{kind}: {most} of {wanted} pages since the alarm's start have all labels{end}"
    )


def _open(rules: Retraining, figures: Figures) -> list[Fired]:
    """Give the open alarms that the job asks for, that few pages do not make, and that no training was for yet."""
    leaves = rules.when.leaves if rules.when else ()
    asked = {PERFORMANCE for leaf in leaves if leaf.performance} | {DRIFT for leaf in leaves if leaf.drift}
    done = {alarm for attempt in figures.attempts for alarm in attempt.alarms}
    return [
        alarm
        for alarm in figures.alarms
        if alarm.kind in asked and alarm.alarm_id not in done and not alarm.is_of_few_pages
    ]


def _is_ripe(alarm: Fired, rules: Retraining, at: datetime) -> bool:
    """Tell whether enough pages of the new world have their labels, or the waiting is over."""
    if alarm.matured_pages >= (rules.learn_after or 1):
        return True
    return rules.give_up_waiting is not None and at >= alarm.since + rules.give_up_waiting


def refused_in_turn(attempts: Sequence[Attempt]) -> int:
    """Count the newest trainings that came to nothing, up to the last that did not."""
    count = 0
    for attempt in reversed(attempts):
        if attempt.became not in (REFUSED, FAILED):
            break
        count += 1
    return count


def _cool_at(rules: Retraining, attempts: Sequence[Attempt]) -> datetime | None:
    """Tell until when there is a rest after the last training; None where there was none, or there is no rest."""
    if rules.cooldown is None or not attempts:
        return None
    times = min(LONGEST_REST, 1 << refused_in_turn(attempts))
    return attempts[-1].at + rules.cooldown * times


def _affordable_at(rules: Retraining, figures: Figures) -> datetime | None:
    """Tell when a spent budget allows a training again; None where it does now."""
    if rules.budget is None:
        return None
    since = figures.at - rules.budget.per
    counted = [attempt.at for attempt in figures.attempts if attempt.at > since]
    if len(counted) < rules.budget.trainings:
        return None
    return counted[-rules.budget.trainings] + rules.budget.per
