"""The tick store: what was due and what became of it, in the lake's operational state (`warehouse.operations.state`).

Every change is made in a transaction that holds SQLite's write lock (`with book.writing()`), so that any number
of daemons and one-shot ticks on one host see the same ticks and each tick is taken once. What to write is
decided in `jobs.schedule.decisions.decide`; the tables stand in sql/system/operations/create.sql.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.schedule.decisions.decide import Again, Board, Hold, Running, Settle, Start, Upstream
from jobs.schedule.decisions.ticks import Cost, Run, Tick
from jobs.schedule.files.schedule import Job, Schedule
from jobs.schedule.files.triggers import read_back, write_down
from warehouse.errors import NotFoundError, UsageError
from warehouse.operations.shared_state import SharedState
from warehouse.operations.state import open_operations, set_up, writing
from warehouse.system_sql import system_sql

_MICROSECOND = timedelta(microseconds=1)
#: So many waiting ticks of one job are looked at in one go.
_LOOK_AT = 300

#: The page that a job is due for at an instant; None before its product's first.
PageOf = Callable[[Job, datetime], datetime | None]


class TickStore:
    """An open tick store. One thread uses it at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.is_shared = isinstance(connection, SharedState)
        self.db = connection if self.is_shared else set_up(connection)

    @classmethod
    def open(cls, lake: Path) -> TickStore:
        """Open the tick store of the lake in this directory, and make it if there is none."""
        return cls(open_operations(lake))

    def close(self) -> None:
        """Close the tick store; the object is of no use afterwards."""
        self.db.close()

    def writing(self) -> AbstractContextManager[None]:
        """Hold the write lock; what is done inside is kept as a whole, or not at all."""
        return writing(self.db)

    # What was due

    def enter(self, schedule: Schedule, page_of: PageOf, now: datetime) -> None:
        """Write down what was due up to `now`, by the rules in force until now; then take on `schedule`.

        A change to the schedule therefore counts from the moment that it is first seen: nothing that lies
        before it is due by a new rule, and nothing that was due by the old one is lost.
        """
        known = {row["name"]: row for row in self.db.execute("SELECT * FROM jobs WHERE removed_at IS NULL")}
        jobs = {old: job for job in schedule.jobs.values() for old in job.was} | dict(schedule.jobs)
        for name, row in known.items():
            self._enter_ticks(row, jobs.get(name), page_of, now)
        if any(_text(now) < row["seen_until"] for row in known.values()):
            self._see_open_ticks_no_later_than(now)
        self._take_on(schedule, known, now)

    def _see_open_ticks_no_later_than(self, now: datetime) -> None:
        """Count what waits from `now` on, if it was seen at a later time by a clock that has been set back since."""
        self.db.execute("UPDATE ticks SET seen_at = :now WHERE outcome IS NULL AND seen_at > :now", {"now": _text(now)})

    def _enter_ticks(self, row: sqlite3.Row, job: Job | None, page_of: PageOf, now: datetime) -> None:
        seen_until, trigger = _time(row["seen_until"]), read_back(row["trigger"])
        if now <= seen_until:
            return
        due = trigger.between(seen_until + _MICROSECOND, now + _MICROSECOND)
        grace = job.grace if job else timedelta(0)
        # One by one: a machine whose clock began in 1970 brings millions.
        rows = (
            (row["job_id"], _text(at), _text_or_none(page_of(job, at) if job else at), _text(now), now - at > grace)
            for at in due
        )
        # What ran before the tick store was set back is there already.
        insert = "INSERT INTO ticks (job_id, at, page, seen_at, missed) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self.db.executemany(insert, rows)
        self.db.execute("UPDATE jobs SET seen_until = ? WHERE job_id = ?", (_text(now), row["job_id"]))

    def _take_on(self, schedule: Schedule, known: Mapping[str, sqlite3.Row], now: datetime) -> None:
        kept = set()
        for job in schedule.jobs.values():
            names = [job.name, *(old for old in job.was if old not in schedule.jobs)]
            row = next((known[name] for name in names if name in known), None)
            text = write_down(job.trigger)
            if row is None:
                self._add(job, names, text, now)
                continue
            kept.add(row["job_id"])
            if (row["name"], row["trigger"]) != (job.name, text):
                change = "UPDATE jobs SET name = ?, trigger = ? WHERE job_id = ?"
                self.db.execute(change, (job.name, text, row["job_id"]))
        gone = [(_text(now), row["job_id"]) for row in known.values() if row["job_id"] not in kept]
        self.db.executemany("UPDATE jobs SET removed_at = ? WHERE job_id = ?", gone)

    def _add(self, job: Job, names: Sequence[str], trigger: str, now: datetime) -> None:
        """Add a job, or bring back one that was taken out; either way its ticks count from now."""
        find = "SELECT job_id, seen_until FROM jobs WHERE name = ? AND removed_at IS NOT NULL ORDER BY removed_at DESC"
        found = (self.db.execute(find, (name,)).fetchone() for name in names)
        if row := next((row for row in found if row), None):
            seen_until = max(_text(now), row["seen_until"])
            back = "UPDATE jobs SET removed_at = NULL, name = ?, trigger = ?, seen_until = ? WHERE job_id = ?"
            self.db.execute(back, (job.name, trigger, seen_until, row["job_id"]))
        else:
            add = "INSERT INTO jobs (name, trigger, first_seen, seen_until) VALUES (?, ?, ?, ?)"
            self.db.execute(add, (job.name, trigger, _text(now), _text(now)))

    # What is open

    def board(self, schedule: Schedule, ready: Mapping[tuple[str, datetime], str | None]) -> Board:
        """Show all that is open."""
        names = {
            row["job_id"]: row["name"]
            for row in self.db.execute("SELECT job_id, name FROM jobs WHERE removed_at IS NULL")
        }
        waiting = self.db.execute(system_sql("operations/jobs_with_open_ticks")).fetchall()
        ticks = {row["job_id"]: self._open_ticks(row["job_id"]) for row in waiting}
        running = [
            Running(row["job_id"], row["pool"], row["product"])
            for row in self.db.execute("SELECT job_id, pool, product FROM runs WHERE result IS NULL")
        ]
        return Board(schedule, names, ticks, self._pauses(), self.newest_at, running, ready)

    def _open_ticks(self, job_id: int) -> list[Tick]:
        """List the oldest ticks of a job, and its newest: after a long outage there may be hundreds of thousands."""
        oldest = _ticks(self.db.execute(system_sql("operations/open_ticks_of_job", first="ASC"), (job_id, _LOOK_AT)))
        if len(oldest) < _LOOK_AT:
            return oldest
        newest = _ticks(self.db.execute(system_sql("operations/open_ticks_of_job", first="DESC"), (job_id, 1)))
        return oldest if newest == oldest[-1:] else oldest + newest

    def newest_at(self, name: str, at: datetime) -> Upstream | None:
        """Give the newest tick of a job at or before an instant, or the one that does its work."""
        row = self.db.execute(system_sql("operations/newest_tick_at"), (name, _text(at))).fetchone()
        while row and row["outcome"] == "coalesced":
            follow = "SELECT job_id, at, outcome, covered_by FROM ticks WHERE job_id = ? AND at = ?"
            row = self.db.execute(follow, (row["job_id"], row["covered_by"])).fetchone()
        return Upstream(_time(row["at"]), row["outcome"]) if row else None

    def open_runs(self) -> list[tuple[int, str]]:
        """List the runs that are not over, with their leases."""
        return [
            (row["run"], row["lease"]) for row in self.db.execute("SELECT run, lease FROM runs WHERE result IS NULL")
        ]

    def started_at(self, run: int) -> datetime:
        """Tell when a run began."""
        return _time(str(self.db.execute("SELECT started_at FROM runs WHERE run = ?", (run,)).fetchone()[0]))

    def next_rest(self, after: datetime) -> datetime | None:
        """Tell when the next tick that rests later than an instant may be looked at again."""
        query = "SELECT min(not_before) FROM ticks WHERE outcome IS NULL AND run IS NULL AND not_before > ?"
        (soonest,) = self.db.execute(query, (_text(after),)).fetchone()
        return _time(soonest) if soonest else None

    def n_failed(self) -> int:
        """Count the runs that failed."""
        return int(self.db.execute("SELECT count(*) FROM runs WHERE result = 'failed'").fetchone()[0])

    def ticks_of(self, run: int) -> list[Tick]:
        """List the ticks of a run that is not over, oldest first."""
        return _ticks(self.db.execute(system_sql("operations/ticks_of_run"), (run,)))

    def job_name(self, job_id: int) -> str:
        """Give a job's current name, or the last that it had."""
        return str(self.db.execute("SELECT name FROM jobs WHERE job_id = ?", (job_id,)).fetchone()[0])

    def job_of_run(self, run: int) -> str:
        """Give the current name of the job that a run is of."""
        query = "SELECT name FROM runs JOIN jobs USING (job_id) WHERE run = ?"
        return str(self.db.execute(query, (run,)).fetchone()[0])

    # What becomes of it

    def settle(self, end: Settle, now: datetime) -> None:
        """Give a tick its outcome."""
        self._on_tick(
            "settle_tick",
            end.tick,
            outcome=end.outcome,
            reason=end.reason or None,
            into=_text_or_none(end.into),
            now=_text(now),
        )

    def hold(self, hold: Hold) -> None:
        """Write down what a tick waits for, if that is news."""
        if hold.until is not None or hold.reason != hold.tick.reason:
            self._on_tick("hold_tick", hold.tick, reason=hold.reason, until=_text_or_none(hold.until))

    def try_again(self, again: Again) -> None:
        """Put a tick back among those that wait."""
        self._on_tick(
            "try_again",
            again.tick,
            attempts=again.attempts,
            abandoned=again.abandoned,
            not_before=_text_or_none(again.not_before),
            reason=again.reason,
        )

    def claim(self, start: Start, lease: str, now: datetime) -> Run:
        """Write down that a run of these ticks begins."""
        job, job_id = start.job, start.ticks[0].job_id
        values = {
            "job_id": job_id,
            "job": job.name,
            "work": str(job.work),
            "product": job.work.product,
            "pool": job.pool,
            "owner": job.owner,
            "team": job.team,
            "lease": lease,
            "now": _text(now),
        }
        run = self.db.execute(system_sql("operations/start_run"), values).lastrowid
        assert run is not None
        for tick in start.ticks:
            self._on_tick("claim_tick", tick, run=run)
        return Run(run, job, start.ticks, lease)

    def end(self, run: int, result: str, reason: str, now: datetime, cost: Cost | None = None) -> bool:
        """Write down how a run ended; False if that stands there already."""
        values: dict[str, Any] = {"run": run, "result": result, "reason": reason or None, "now": _text(now)}
        values |= asdict(cost) if cost else {"cpu_s": None, "wall_s": None, "peak_memory_bytes": None}
        return self.db.execute(system_sql("operations/end_run"), values).rowcount == 1

    def _on_tick(self, statement: str, tick: Tick, **values: Any) -> None:
        values |= {"job_id": tick.job_id, "at": _text(tick.at)}
        self.db.execute(system_sql(f"operations/{statement}"), values)

    # Single facts, and pauses

    def fact(self, name: str) -> str | None:
        """Give a fact that was noted."""
        row = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row["value"]) if row else None

    def note_fact(self, name: str, value: str) -> None:
        """Note a fact, in place of what was noted by that name."""
        note = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        self.db.execute(note, (name, value))

    def seen_until(self) -> datetime | None:
        """Give the latest instant that any scheduler has seen."""
        (latest,) = self.db.execute("SELECT max(seen_until) FROM jobs").fetchone()
        return _time(latest) if latest else None

    def set_back(self, now: datetime) -> None:
        """Undo the damage of a clock that was wrong: what was written down as due after `now` will be due again.

        What has been run, or is running, stays as it is.
        """
        values = {"now": _text(now)}
        self.db.execute(system_sql("operations/forget_future_ticks"), values)
        self.db.execute(system_sql("operations/reopen_coalesced_ticks"), values)
        self.db.execute("UPDATE jobs SET seen_until = :now WHERE seen_until > :now", values)
        self._see_open_ticks_no_later_than(now)

    def pause(self, name: str, who: str, why: str, now: datetime) -> None:
        """Write down that a job is paused, by whom and why.

        Raises
        ------
        UsageError
            It is paused already.
        """
        job_id = self._job_id(name)
        if already := self._pauses().get(job_id):
            raise UsageError(f"{name} is {already} already; `almanac resume {name}` ends that")
        values = (job_id, _text(now), who, why)
        self.db.execute("INSERT INTO pauses (job_id, paused_at, paused_by, why) VALUES (?, ?, ?, ?)", values)

    def resume(self, name: str, who: str, why: str, now: datetime) -> None:
        """Write down that a job goes on, by whom and why.

        Raises
        ------
        UsageError
            It is not paused.
        """
        end = (
            "UPDATE pauses SET resumed_at = ?, resumed_by = ?, resumed_why = ? WHERE job_id = ? AND resumed_at IS NULL"
        )
        if not self.db.execute(end, (_text(now), who, why, self._job_id(name))).rowcount:
            raise UsageError(f"{name} is not paused")

    def _job_id(self, name: str) -> int:
        row = self.db.execute("SELECT job_id FROM jobs WHERE name = ? AND removed_at IS NULL", (name,)).fetchone()
        if row is None:
            raise NotFoundError(f"there is no job {name!r}; there is: {', '.join(sorted(self.triggers())) or 'none'}")
        return int(row[0])

    def paused(self) -> dict[str, str]:
        """Give the paused jobs by name, each with who paused it and why."""
        return {self.job_name(job_id): why for job_id, why in self._pauses().items()}

    def triggers(self) -> dict[str, str]:
        """Give the rule in force for each job by name, as `write_down` puts it."""
        rows = self.db.execute("SELECT name, trigger FROM jobs WHERE removed_at IS NULL")
        return {row["name"]: row["trigger"] for row in rows}

    def report_ticks(
        self, job: str | None, start: datetime | None, end: datetime | None, at_most: int
    ) -> list[dict[str, Any]]:
        """List ticks with what became of them, the newest first; instants are naive UTC.

        Raises
        ------
        NotFoundError
            There never was a job of that name.
        """
        if job is not None and not self.db.execute("SELECT 1 FROM jobs WHERE name = ?", (job,)).fetchone():
            raise NotFoundError(f"no scheduler has seen a job {job!r}")
        values = {"job": job, "start": _text_or_none(start), "end": _text_or_none(end), "at_most": at_most}
        rows = self.db.execute(system_sql("operations/report_ticks"), values).fetchall()
        instants = ("at", "page", "covered_by", "not_before", "settled_at", "started_at", "finished_at")
        return [
            {key: _time(row[key]) if key in instants and row[key] else row[key] for key in row.keys()}  # noqa: SIM118
            for row in rows
        ]

    def costs_outside_the_ledger(self) -> list[dict[str, Any]]:
        """List what runs cost that may not be in the ledger, or not all of them: see operations/costs.sql."""
        rows = self.db.execute(system_sql("operations/costs")).fetchall()
        return [dict(row) | {key: _time(row[key]) for key in ("started_at", "finished_at")} for row in rows]

    def _pauses(self) -> dict[int, str]:
        rows = self.db.execute("SELECT job_id, paused_by, why FROM pauses WHERE resumed_at IS NULL")
        return {row["job_id"]: f"paused by {row['paused_by']}: {row['why']}" for row in rows}


def _ticks(rows: Iterable[sqlite3.Row]) -> list[Tick]:
    return [_tick(*row) for row in rows]


@functools.lru_cache(maxsize=8192)  # most of what waits is as it was at the last look
def _tick(
    job_id: int,
    at: str,
    page: str | None,
    seen_at: str,
    missed: int,
    attempts: int,
    abandoned: int,
    not_before: str | None,
    run: int | None,
    reason: str | None,
) -> Tick:
    """Make a tick of a row of open_ticks_of_job.sql or ticks_of_run.sql."""
    instants = (_time(at), _time(page) if page else None, _time(seen_at))
    rests_until = _time(not_before) if not_before else None
    return Tick(job_id, *instants, bool(missed), attempts, abandoned, rests_until, run, reason)


_time = datetime.fromisoformat


def _text(at: datetime) -> str:
    return at.isoformat(" ")


def _text_or_none(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(" ")
