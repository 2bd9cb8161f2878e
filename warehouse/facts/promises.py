"""What sources have promised and not kept: gaps, late deliveries, unusual volumes, old facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import duckdb

from warehouse.definitions import Source
from warehouse.definitions.durations import duration_text
from warehouse.facts.watermarks import Watermarks
from warehouse.lake.lake import table_columns
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import derivation_column, source_facts
from warehouse.system_sql import quote, system_sql
from warehouse.wording import counted

#: Of fewer deliveries nobody can tell what is usual.
_FEWEST = 3


@dataclass(frozen=True)
class Broken:
    """A promise that is not kept: whose, which key of `expect`, and a sentence."""

    source: str
    key: str
    sentence: str


def broken_promises(connection: duckdb.DuckDBPyConnection, sources: Iterable[Source], now: datetime) -> list[Broken]:
    """Find what sources have promised and not kept, on a connection that has the lake in use."""
    watermarks = Watermarks(connection, ledger.newest_ingest_id(connection))
    found: list[Broken] = []
    for source in sources:
        if source.header.expect is None:
            continue
        values = [source.name, not isinstance(source.header.files, list)]
        volumes = connection.execute(
            system_sql("ingest/volumes", derivation=derivation_column(connection)), values
        ).fetchall()
        if volumes:
            found += _deliveries(source, watermarks, now)
            found += _volume(source, [float(rows) for (rows,) in volumes])
            found += _age(connection, source, now)
        else:
            found.append(Broken(source.name, "every", f"{source.name}: nothing was ever delivered"))
    return found


def _deliveries(source: Source, watermarks: Watermarks, now: datetime) -> list[Broken]:
    expect = source.header.expect
    runs = watermarks.runs(source)
    if expect is None or expect.every is None or not runs:
        return []
    every = duration_text(expect.every)
    found = [
        Broken(
            source.name,
            "every",
            f"{source.name}: a gap: nothing became known from {_shown(before)} to {_shown(after)}, and there should be"
            f" something every {every}; deliver it, or say in `expect.quiet` that there was nothing",
        )
        for (_, before), (after, _) in pairwise(runs)
    ]
    due = runs[-1][1] + expect.every + source.header.arrives_within
    if now > due:
        since = f"its newest fact is of {_shown(runs[-1][1])}, and the next was to be here by {_shown(due)}"
        found.append(Broken(source.name, "every", f"{source.name}: late: {since}"))
    return found


def _volume(source: Source, rows: list[float]) -> list[Broken]:
    expect = source.header.expect
    newest, before = rows[0], rows[1:]
    bounds = expect.rows if expect else None
    if bounds is None:
        return []
    found = []
    usual = median(before) if len(before) >= _FEWEST else None
    for key, bound in (("at_least", bounds.at_least), ("at_most", bounds.at_most)):
        if bound is None or (bound.of_usual and usual is None):
            continue
        wanted = bound.rows(usual or 0)
        if newest < wanted if key == "at_least" else newest > wanted:
            said = f"{key.replace('_', ' ')} {bound.text}"
            is_usual = f", and {usual:,.0f} are usual" if bound.of_usual else ""
            sentence = f"{source.name}: its newest delivery has {counted(newest, 'row')}, not {said}{is_usual}"
            found.append(Broken(source.name, "rows", sentence))
    return found


def _age(connection: duckdb.DuckDBPyConnection, source: Source, now: datetime) -> list[Broken]:
    expect = source.header.expect
    within = expect.newest if expect else None
    if within is None:
        return []
    held = source_facts(connection, [source]).get(source.name)
    newest = newest_fact(connection, held.table) if held is not None else None
    if newest is not None and now - newest <= within:
        return []
    said = f"of {_shown(newest)}" if newest else "not there"
    sentence = f"{source.name}: its newest fact is {said}, and should be no older than {duration_text(within)}"
    return [Broken(source.name, "newest", sentence)]


def newest_fact(connection: duckdb.DuckDBPyConnection, table: str) -> datetime | None:
    """Tell when the newest fact of a table of facts was known that is not known from its ingestion on."""
    if not table_columns(connection, "sources", table):
        return None
    row = connection.execute(system_sql("ingest/newest_fact", source=f"sources.{quote(table)}")).fetchone()
    return row[0] if row else None


def unready_watermarks(
    connection: duckdb.DuckDBPyConnection, sources: Iterable[Source], page: datetime, now: datetime
) -> str | None:
    """Say which source has not delivered all that a page at `page` may know; None if all have."""
    watermarks = Watermarks(connection, ledger.newest_ingest_id(connection))
    for source in sources:
        wanted = page - source.header.arrives_within
        if (reached := watermarks.of(source, now)) < wanted:
            since = f"up to {_shown(reached)}" if reached > datetime.min else "nothing"
            return f"{source.name} has delivered {since}, and the page needs it up to {_shown(wanted)}"
    return None


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} (UTC)" if instant - datetime.min > timedelta(1) else "never"
