"""Alarms as the ledger keeps them: opened once, told once, closed by the world or by a person.

An alarm has one row for each thing that became of it; the newest says how it stands. Whoever has looked for alarms
writes down what is news beside those that stand there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.errors import NotFoundError
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger

OPEN, CLOSED, ACCEPTED, WITHDRAWN = "open", "closed", "accepted", "withdrawn"
DRIFT, ACUTE, PERFORMANCE = "drift", "acute", "performance"


@dataclass(frozen=True)
class Alarm:
    """How an alarm stands, or stood. docs/ledger.md says what each column is.

    Attributes
    ----------
    kind
        drift, acute or performance.
    state
        open, closed (by the world, or by a person, who is then named), accepted, or withdrawn (pages that were made
        since took its reason away).
    first_page, last_page
        The page on which it was opened, and the last one that it is about.
    since
        The page from which on things have been different, as far as that can be told.
    expected
        The day of the calendar that explains it, if one does; such an alarm is shown and not told.
    effect
        By how much the predictions have moved, in what would be their standard deviation.
    known_by
        When this was written: the instant up to which facts could bear on it.
    """

    TABLE: ClassVar[str] = "alarms"
    alarm_id: str
    product: str
    kind: str
    state: str
    first_page: datetime
    last_page: datetime
    since: datetime | None = None
    expected: str | None = None
    columns: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    evidence: float | None = None
    bound: float | None = None
    effect: float | None = None
    message: str = ""
    known_by: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None
    run_id: str | None = None
    snapshot_id: int = 0


def alarm_id(product: str, kind: str, first_page: datetime) -> str:
    """Name an alarm: one of a kind, product and first page has the same name whoever finds it, and when."""
    text = f"{product}\x1f{kind}\x1f{first_page.isoformat()}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:8]


def alarms_of(
    connection: duckdb.DuckDBPyConnection, product: str | None = None, known_at: datetime | None = None
) -> list[Alarm]:
    """Read how each alarm of a product, or of all, stands, or stood at an instant; the oldest first."""
    return ledger.records_of(connection, Alarm, "monitoring/alarms", [product, known_at])


def decide_alarm(
    commit: Commit, alarm_id: str, state: str, decided_by: str, reason: str, run_id: str, now: datetime
) -> Alarm:
    """Write down that a person accepts an alarm, or closes it.

    Raises
    ------
    NotFoundError
        If there is no such alarm.
    """
    found = [one for one in alarms_of(commit.connection) if one.alarm_id == alarm_id]
    if not found:
        raise NotFoundError(f"there is no alarm {alarm_id}. `almanac alarms --all` lists them.")
    decided = replace(found[0], state=state, decided_by=decided_by, reason=reason)
    if _content(found[0]) != _content(decided):
        write_alarms(commit, [decided], run_id, now)
    return decided


def _content(alarm: Alarm) -> Alarm:
    return replace(alarm, known_by=None, run_id=None, snapshot_id=0)


def settle_alarms(
    commit: Commit, product: str, kinds: Collection[str], found: Collection[Alarm], run_id: str, now: datetime
) -> list[Alarm]:
    """Write down what has changed of a product's alarms of some kinds, where all that are there have been found again.

    One that the ledger has and nobody finds any more is withdrawn. Gives those that were written.
    """
    news = news_of([one for one in alarms_of(commit.connection, product) if one.kind in kinds], found)
    return write_alarms(commit, news, run_id, now)


def write_alarms(commit: Commit, news: Collection[Alarm], run_id: str, now: datetime) -> list[Alarm]:
    """Append how alarms stand from this commit on; give the rows."""
    written = [replace(one, known_by=now, run_id=run_id, snapshot_id=commit.snapshot_id) for one in news]
    ledger.append(commit, written)
    return written


def news_of(standing: Collection[Alarm], found: Collection[Alarm]) -> list[Alarm]:
    """Give what is to be written where these alarms stand in the ledger and those have been found, which are all."""
    before = {one.alarm_id: one for one in standing}
    names = {one.alarm_id for one in found}
    gone = [replace(one, state=WITHDRAWN) for one in standing if one.alarm_id not in names]
    return [one for one in (*found, *gone) if is_news(before.get(one.alarm_id), one)]


def is_news(before: Alarm | None, alarm: Alarm) -> bool:
    """Tell whether an alarm stands otherwise than it did; what a person has decided stays."""
    return before is None or (before.decided_by is None and _content(before) != _content(alarm))


def open_alarms(alarms: Collection[Alarm]) -> list[Alarm]:
    """Choose those that are open."""
    return [alarm for alarm in alarms if alarm.state == OPEN]
