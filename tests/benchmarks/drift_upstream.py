"""Faults put into the sources of the flights, upstream of everything: what drift says of the pages made of them.

    python -m tests.benchmarks.drift_upstream SUITE [STARTS]      a suite as of `almanac demo`, with the pages of 2013

Each fault changes facts in a copy of the lake from an instant on. The feature pages of the 20 days behind it are then
computed from these facts as any page is, profiled, and judged behind the clean pages before them. A flag that the clean
year has too does not count.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from jobs.cli.options import now
from jobs.cli.output.console import print_table
from jobs.monitoring.series import Series, series_of
from jobs.suite import Suite, open_suite
from tests.benchmarks.bench_drift import PRODUCT, STARTS, Flights, cut
from tests.monitoring.counted import profiles_in
from warehouse.batching.batch import Batch
from warehouse.ledger import records as ledger
from warehouse.pages.profiled_pages import Profile, RowsOfPages, centres_of
from warehouse.pages.profiling.page_counts import profile_rows
from warehouse.sandbox import Sandbox
from warehouse.system_sql import parquet

N_PAGES = 20
_WEATHER = "temperature dew_point humidity wind_direction wind_speed pressure visibility".split()
_FROZEN = f"""
UPDATE sources.weather SET {", ".join(f"{name} = before.{name}" for name in _WEATHER)}
FROM (
    FROM sources.weather WHERE known_at < $1
    QUALIFY row_number() OVER (PARTITION BY origin ORDER BY known_at DESC) = 1
) AS before
WHERE weather.origin = before.origin AND weather.known_at >= $1 AND weather.known_at < $1 + INTERVAL 5 DAY
"""


@dataclass(frozen=True)
class Upstream:
    """A fault: SQL that changes facts known since the instant $1, and for how many days."""

    name: str
    sql: str
    days: int = N_PAGES


FAULTS = (
    Upstream("landings: delays in seconds", "UPDATE sources.landings SET arrival_delay = arrival_delay * 60,"
             " departure_delay = departure_delay * 60 WHERE known_at >= $1"),
    Upstream("landings: none for five days",
             "DELETE FROM sources.landings WHERE known_at >= $1 AND known_at < $1 + INTERVAL 5 DAY", 5),
    Upstream("landings: none of the carrier B6",
             "DELETE FROM sources.landings WHERE known_at >= $1 AND carrier = 'B6'"),
    Upstream("landings: cancelled flights are lacking",
             "DELETE FROM sources.landings WHERE known_at >= $1 AND outcome = 'cancelled'"),
    Upstream("schedule: none of the carrier B6 for three days", "DELETE FROM sources.schedule WHERE carrier = 'B6'"
             " AND departs_at >= $1 AND departs_at < $1 + INTERVAL 3 DAY", 3),
    Upstream("schedule: the carrier US renamed",
             "UPDATE sources.schedule SET carrier = 'AA2' WHERE carrier = 'US' AND departs_at >= $1"),
    Upstream("schedule: distance in kilometres",
             "UPDATE sources.schedule SET distance = distance * 1.609 WHERE departs_at >= $1"),
    Upstream("schedule: clocks an hour ahead", "UPDATE sources.schedule SET departs_at = departs_at + INTERVAL 1 HOUR,"
             " scheduled_arrival = scheduled_arrival + INTERVAL 1 HOUR, local_hour = (local_hour + 1) % 24"
             " WHERE departs_at >= $1"),
    Upstream("weather: temperature in Celsius",
             "UPDATE sources.weather SET temperature = (temperature - 32) / 1.8 WHERE known_at >= $1"),
    Upstream("weather: frozen for five days", _FROZEN, 5),
    Upstream("weather: none for five days",
             "DELETE FROM sources.weather WHERE known_at >= $1 AND known_at < $1 + INTERVAL 5 DAY", 5),
)  # fmt: skip


def pages_of(suite: Suite, start: int, flights: Flights) -> list[Profile]:
    """Compute the feature pages from a place on, as any run does, and profile them; nothing is published."""
    product = suite.definitions.product(PRODUCT)
    pages = flights.pages[start : start + N_PAGES]
    with (
        suite.staging("upstream") as directory,
        Sandbox(suite.lake, spill=directory / "spill") as sandbox,
        Batch(sandbox, suite.definitions, product) as batch,
    ):
        made = batch.compute(pages, directory / "features.parquet", 2, lambda _: None)
        with suite.lake.reading() as connection:
            published = ledger.published_pages(connection, PRODUCT, "features", pages)
            centres = centres_of(connection, PRODUCT)
            records = [replace(published[page], n_rows=made.n_rows[page]) for page in pages]
            rows = RowsOfPages(product, "features", parquet([made.file]), made.columns, records)
            return profiles_in(profile_rows(connection, rows, centres))


def with_pages(series: Series, profiles: list[Profile], start: int) -> Series:
    """Give a series in which the pages from a place on have other profiles; it ends with them."""
    before = cut(series, start)
    is_category = series.scale == "category"
    codes = [np.array(one.top_values if is_category else one.bins, before.codes.dtype) for one in profiles]
    there = [np.flatnonzero(row) for row in before.counts]
    lengths = [len(row) for row in there] + [len(row) for row in codes]

    def joined(name: str, values: list[Any]) -> Any:
        own = getattr(before, name)
        return np.concatenate((own, np.array(values, own.dtype)))

    counts = [row[places] for row, places in zip(before.counts, there, strict=True)]
    return series_of(
        kind=series.kind,
        column=series.column,
        scale=series.scale,
        version=None,
        pages=np.concatenate((before.pages, np.arange(start, start + len(profiles)))),
        codes=np.concatenate([before.codes[places] for places in there] + codes),
        counts=np.concatenate([*counts, *(np.array(one.counts, np.int64) for one in profiles)]).astype(np.int64),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        centre=series.centre,
        n_other=np.zeros(len(lengths), np.int64),
        run_ids=["run"] * len(lengths),
        n_rows=joined("n_rows", [one.n_rows for one in profiles]),
        n_missing=joined("n_missing", [one.n_missing for one in profiles]),
        n_distinct=joined("n_distinct", [-1 if one.n_distinct is None else one.n_distinct for one in profiles]),
        values=joined("values", [one.values_hash for one in profiles]),
    )


def first_flag(flights: Flights, start: int, profiles: list[Profile], days: int) -> tuple[int | None, str]:
    """Give on which page after the fault began the first new flag is, counted from 1, and its rule."""
    of: dict[str, list[Profile]] = {}
    for one in sorted(profiles, key=lambda one: one.as_of):
        of.setdefault(one.column_name, []).append(one)
    until = start + N_PAGES
    series = [with_pages(one, of[name], start) for name, one in flights.series.items() if name in of]
    found = flights.judge(series, until)
    clean = {one.series.column: one.flags for one in flights.clean.columns}
    for place in range(start, min(start + days + 1, until)):
        new = {
            rule
            for one in found.columns
            for rule, flags in one.flags.items()
            if flags[place] and not clean[one.series.column][rule][place]
        }
        if found.volume[place] and not flights.clean.volume[place]:
            new.add("volume")
        if new:
            return place - start + 1, ", ".join(sorted(new))
    return None, ""


def main(root: Path, n_starts: int = 7) -> None:
    flights = Flights(root)
    instants = np.array(flights.pages, "datetime64[us]")
    table = []
    for fault in (None, *FAULTS):
        found = []
        for begin in STARTS[:: max(1, len(STARTS) // n_starts)][:n_starts]:
            start = int(np.searchsorted(instants, np.datetime64(begin)))
            with tempfile.TemporaryDirectory(dir=root.parent) as directory:
                copy = Path(directory) / "suite"
                shutil.copytree(root, copy, ignore=shutil.ignore_patterns("rehearsals", "staging"))
                suite = open_suite(copy, now)
                if fault is not None:
                    with suite.lake.commit("a fault") as commit:
                        commit.execute(fault.sql, [flights.pages[start] - timedelta(hours=20)])
                days = fault.days if fault is not None else N_PAGES
                found.append(first_flag(flights, start, pages_of(suite, start, flights), days))
        pages = sorted(page for page, _ in found if page is not None)
        row = {"fault": fault.name if fault else "none: made again", "found": f"{len(pages)} of {len(found)}"}
        row |= {"page": str(pages[len(pages) // 2]) if pages else "", "on": str([page for page, _ in found])}
        table.append(row | {"by": "; ".join(sorted({rule for _, rule in found if rule}))})
        print(table[-1], flush=True)
    print_table(table, "Faults put into the sources of the flights")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7)
