"""The clock: what is to come, what became of each tick, the runs, what is paused, and the alerts that went out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobs.schedule.files.redaction import redacted
from jobs.schedule.files.schedule import Job, Schedule
from jobs.schedule.files.triggers import Interval
from jobs.schedule.suite_clock import schedule_of
from jobs.web.parts import paths
from jobs.web.parts.asked import Asked
from jobs.web.parts.cells import Cell, Table, instant
from jobs.web.parts.document import Document, Section
from jobs.web.parts.operations import ask_operations, operations_section
from jobs.web.parts.seen import UTC_ZONE, Seen, section
from warehouse.errors import AlmanacError

_HEADS = ["at", "job", "page", "runs", "owner", "note"]
_AHEAD = timedelta(days=1)
_MOST = 100


def clock(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show the clock of the suite."""
    lake = seen.suite.lake.root
    paused = ask_operations(lake, "web/pauses")
    runs, alerts = ask_operations(lake, "web/clock_runs"), ask_operations(lake, "web/alerts")
    # Of an export, runs that are listed as runs have a page; a server has one of any.
    to_runs = {"run": lambda row: paths.of_run(row["run"]) if row["run"] is not None else None}
    sections = [
        agenda_section(seen, paused, _MOST),
        operations_section(
            "What became of ticks",
            ask_operations(lake, "web/ticks"),
            UTC_ZONE,
            nothing="No tick was due yet.",
            commands=["almanac ticks"],
            links=to_runs,
        ),
        operations_section("Runs of the clock", runs, UTC_ZONE, nothing="Nothing has run yet.", links=to_runs),
        section("Runs of the ledger", seen.ask("web/newest_runs"), UTC_ZONE),
        operations_section(
            "Paused jobs", paused, UTC_ZONE, nothing="No job is paused.", commands=["almanac pause JOB --why '...'"]
        ),
        operations_section("Alerts", alerts, UTC_ZONE, nothing="No alert was raised."),
    ]
    return Document(paths.CLOCK, "Clock", sections)


def agenda_section(seen: Seen, paused: Asked | None, most: int) -> Section:
    """List the ticks of the next day, the first `most` of them, by schedules.yaml as it is."""
    command = "almanac agenda"
    resting = {row["job"]: row["why"] for row in paused.dicts()} if paused else {}
    try:
        schedule = schedule_of(seen.suite)
    except AlmanacError as error:
        return Section("To come", [f"The schedule cannot be read: {redacted(str(error))}"], commands=[command])
    rows = _rows(seen, schedule, resting, most)
    return Section(
        "To come",
        [f"The ticks of the next day, at most {most}, by schedules.yaml as it stands."],
        table=Table(_HEADS, rows),
        nothing="No tick is due within a day.",
        commands=[command],
    )


def _rows(seen: Seen, schedule: Schedule, resting: Mapping[str, str], most: int) -> list[list[Cell]]:
    ticks = [
        (at, name, job)
        for name, job in schedule.jobs.items()
        for at in itertools.islice(job.trigger.between(seen.now, seen.now + _AHEAD), most)
    ]
    return [
        _row(seen, at, name, job, resting.get(name, "")) for at, name, job in sorted(ticks, key=lambda x: x[:2])[:most]
    ]


def _row(seen: Seen, at: datetime, name: str, job: Job, note: str) -> list[Cell]:
    zone = UTC_ZONE if isinstance(job.trigger, Interval) else ZoneInfo(job.trigger.zone)
    product = seen.suite.definitions.products.get(job.work.product or "")
    page = product.page_at(at) if product else None
    shown = instant(page, seen.zone_of(product.name)) if product and page else Cell("")
    return [
        instant(at, zone),
        Cell(name),
        shown,
        Cell(redacted(str(job.work)), link=paths.of_product(product.name) if product else None),
        Cell(job.owner or ""),
        Cell(f"paused: {note}" if note else ""),
    ]
