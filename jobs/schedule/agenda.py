"""The agenda: every tick that would fire, with its page, and what an edit that nobody has seen yet will change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from jobs.schedule.files.redaction import redacted
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.files.triggers import Interval, Trigger, read_back
from jobs.schedule.tick_store import PageOf, TickStore


@dataclass(frozen=True)
class Entry:
    """One tick to come. `local` is in the job's zone, with its offset; `note` says what will keep it from running."""

    job: str
    at: datetime
    local: str
    zone: str
    page: datetime | None
    work: str
    owner: str | None
    tags: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Change:
    """What is in the file and not in force yet. It counts from the moment that a scheduler next looks."""

    job: str
    what: str


def agenda(tick_store: TickStore, schedule: Schedule, page_of: PageOf, start: datetime, end: datetime) -> list[Entry]:
    """List the ticks from `start` (included) to `end` (excluded), by the file as it is now, in order of time."""
    paused = tick_store.paused()
    entries = []
    for name, job in schedule.jobs.items():
        zone = "UTC" if isinstance(job.trigger, Interval) else job.trigger.zone
        for at in job.trigger.between(start, end):
            local = at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
            shown = local.isoformat(sep=" ", timespec="minutes")
            page, note = page_of(job, at), paused.get(name, "")
            entries.append(Entry(name, at, shown, zone, page, redacted(str(job.work)), job.owner, job.tags, note))
    return sorted(entries, key=lambda entry: (entry.at, entry.job))


def pending_changes(tick_store: TickStore, schedule: Schedule) -> list[Change]:
    """List what the file says otherwise than the tick store, which has the rules in force."""
    in_force = tick_store.triggers()
    return [*_changes(in_force, schedule), *_removals(in_force, schedule)]


def _changes(in_force: dict[str, str], schedule: Schedule) -> Iterable[Change]:
    for name, job in schedule.jobs.items():
        old = name if name in in_force else next((was for was in job.was if was in in_force), None)
        if old is None:
            yield Change(name, f"is new: due by {say(job.trigger)}, counted from when a scheduler next looks")
            continue
        if old != name:
            yield Change(name, f"is what {old} will be called; its history stays with it")
        before = read_back(in_force[old])
        if before != job.trigger:
            until = "that counts until a scheduler next looks"
            yield Change(name, f"will be due by {say(job.trigger)} instead of {say(before)}; {until}")


def _removals(in_force: dict[str, str], schedule: Schedule) -> Iterable[Change]:
    renamed = {was for job in schedule.jobs.values() for was in job.was}
    for name in in_force.keys() - schedule.jobs.keys() - renamed:
        yield Change(name, "is no longer in the file: what of it waits by then is skipped")


def say(trigger: Trigger) -> str:
    """Put a trigger in words."""
    if isinstance(trigger, Interval):
        return f"every {trigger.every}"
    return f"'{trigger.cron}' in {trigger.zone}"
