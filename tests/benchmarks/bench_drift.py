"""Drift and alarms: a real year of flights with 24 kinds of faults put into its pages, and worlds of known truth.

    python -m tests.benchmarks.bench_drift flights SUITE      a suite of `almanac demo` with the feature pages of 2013
    python -m tests.benchmarks.bench_drift worlds [SEEDS]     20 seeds of 365 pages by default
    python -m tests.benchmarks.bench_drift segments [SEEDS]   the same worlds with four segments
    python -m tests.benchmarks.bench_drift judging SUITE      the newest page alone, and all pages, in turn

Flights: each fault is put into pages from 7 starts on, their profiles are made again, and the pages are judged by the
code that `almanac monitor` runs; what was flagged in the clean year does not count. Worlds: see
tests/monitoring/worlds.py.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from jobs.cli.options import now
from jobs.cli.output.console import print_table
from jobs.monitoring.judging.judgements import judge, judge_and_write, judge_what_is_new
from jobs.monitoring.references import seasons
from jobs.monitoring.series import Series, read_series, series_of
from jobs.monitoring.watch import watch
from jobs.monitoring.watched import Watch
from jobs.suite import open_suite
from tests.benchmarks.drift_faults import BESIDE, FAULTS, Fault, Page
from tests.benchmarks.drift_peer_rules import RULES, pages_called_drifted
from tests.monitoring.counted import numbers_counted, texts_counted
from tests.monitoring.worlds import FAULTS_OF_WORLDS, N_COLUMNS, SHOPS, WORLDS, shops_of, year_of
from warehouse.ledger import records as ledger
from warehouse.pages.profiling.cuts import LEAST_ROWS

PRODUCT = "flight_delay"
KEYS = ("carrier", "flight", "origin", "dest", "tailnum")
STARTS = [datetime(2013, *day) for day in ((6, 5), (6, 25), (7, 22), (8, 14), (9, 11), (10, 9), (11, 6))]
HORIZON = 20


class Flights:
    """The year's rows and series, and the clean year's flags."""

    def __init__(self, root: Path) -> None:
        suite = open_suite(root, now)
        product = suite.definitions.product(PRODUCT)
        with suite.lake.reading() as connection:
            self.pages = sorted(ledger.published_pages(connection, PRODUCT, "features"))
            model = max(ledger.models(connection, PRODUCT), key=lambda one: len(one.features))
            found = read_series(connection, PRODUCT, self.pages)
            table = connection.execute(f"FROM features.{PRODUCT} ORDER BY as_of").to_arrow_table()
        self.importance, self.features = model.importance, set(model.features)
        self.series = {one.column: one for one in found if one.kind == "features" and one.column in self.features}
        self.classes = seasons(product, self.pages)
        instants = table.column("as_of").to_numpy().astype("datetime64[us]")
        self.starts = np.searchsorted(instants, np.array([*self.pages, datetime.max], "datetime64[us]"))
        self.rows = {name: self._values(table, name) for name in {*self.series, *KEYS}}
        self.clean = self.judge(list(self.series.values()), len(self.pages))

    def _values(self, table: Any, name: str) -> Any:
        series = self.series.get(name)
        values = table.column(name)
        if series is not None and series.scale == "number":
            return values.cast("float64").to_numpy()
        return np.array(values.to_pylist(), object)

    def page(self, place: int) -> Page:
        return {name: values[self.starts[place] : self.starts[place + 1]] for name, values in self.rows.items()}

    def judge(self, series: list[Series], n_pages: int) -> Watch:
        every = np.ones(n_pages, bool)
        return watch(
            series,
            n_pages,
            self.classes[:n_pages],
            lambda one: np.full(n_pages, max(self.importance.get(one.column, 0.0), 0.0)),
            lambda one: every,
            365.25 / 2,
        )

    def faulty(self, fault: Fault, start: int, until: int) -> tuple[list[Series], int]:
        """Give the series that a fault changes, up to a page, and how many pages it is put into."""
        before, changed = self.page(start - 1), dict[str, dict[int, Any]]()
        for place in range(start, until):
            clean = self.page(place)
            page = fault(dict(clean), before, place - start)
            for name in self.series:
                old, new = clean[name], page[name]
                is_same = len(old) == len(new) and (
                    np.array_equal(old, new, equal_nan=True) if new.dtype != object else bool((old == new).all())
                )
                if not is_same:
                    changed.setdefault(name, {})[place] = new
        return [replaced(self.series[name], pages) for name, pages in changed.items()], until - start


def replaced(series: Series, pages: dict[int, Any]) -> Series:
    """Give a series in which some pages have other values."""

    is_number = series.scale == "number"
    codes, counts, lengths = [], [], []
    figures = {name: getattr(series, name).copy() for name in ("n_rows", "n_missing", "n_distinct", "values")}
    centre = CENTRES[series.column] if is_number else None
    for row, place in enumerate(series.pages):
        if place in pages:
            count = numbers_counted(pages[place], centre) if is_number else texts_counted(pages[place])
            found = count.figures()
            there, n = np.array(found["bins" if is_number else "top_values"]), np.array(found["counts"], np.int64)
            for name in ("n_rows", "n_missing"):
                figures[name][row] = found[name]
            figures["n_distinct"][row], figures["values"][row] = found["n_distinct"], found["values_hash"]
        else:
            used = np.flatnonzero(series.counts[row])
            there, n = series.codes[used], series.counts[row, used]
        codes.append(there.astype(np.int64 if is_number else object))
        counts.append(n)
        lengths.append(len(n))
    return series_of(
        kind=series.kind,
        column=series.column,
        scale=series.scale,
        version=None,
        pages=series.pages,
        codes=np.concatenate(codes),
        counts=np.concatenate(counts),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        centre=centre,
        n_other=np.zeros(len(series.pages), np.int64),
        run_ids=series.run_ids,
        **figures,
    )


CENTRES: dict[str, float | None] = {}


def cut(series: Series, until: int) -> Series:
    """Give a series as it was before the page `until`."""
    n = int((series.pages < until).sum())
    parts = {
        name: getattr(series, name)[:n] for name in ("pages", "counts", "n_rows", "n_missing", "n_distinct", "values")
    }
    return replace(series, **parts)


def first_flag(flights: Flights, fault: Fault, n_pages: int, start: int) -> tuple[int | None, str]:
    """Give on which faulty page the first new flag is, counted from 1, and its rule."""
    until = min(start + min(n_pages, HORIZON), len(flights.pages))
    series, _ = flights.faulty(fault, start, until)
    found = flights.judge([cut(one, until) for one in series], until)
    clean = {one.series.column: one.flags for one in flights.clean.columns}
    for place in range(start, until):
        for one in found.columns:
            for rule, flags in one.flags.items():
                if flags[place] and not clean[one.series.column][rule][place]:
                    return place - start + 1, rule
        if found.columns and found.volume[place] and not flights.clean.volume[place]:
            return place - start + 1, "volume"
    return None, ""


def first_alarm(flights: Flights, fault: Fault, start: int) -> int | None:
    """Give on which faulty page slow drift alarms, before the clean year does."""
    until = min(start + 40, len(flights.pages))
    changed = {one.column: one for one in flights.faulty(fault, start, until)[0]}
    series = [cut(changed.get(name, one), until) for name, one in flights.series.items()]
    clean = {one.page for one in flights.clean.evidence.alarms}
    alarms = [one.page for one in flights.judge(series, until).evidence.alarms]
    return next((page - start + 1 for page in alarms if page >= start and page not in clean), None)


def measure_flights(root: Path) -> None:
    suite = open_suite(root, now)
    with suite.lake.reading() as connection:
        query = "SELECT column_name, centre FROM ledger.profile_centres WHERE product = $1 AND kind = 'features'"
        CENTRES.update(connection.execute(query, [PRODUCT]).fetchall())
    flights = Flights(root)
    begun = time.process_time()
    flights.judge(list(flights.series.values()), len(flights.pages))
    spent = time.process_time() - begun
    print(f"{len(flights.pages)} pages x {len(flights.series)} columns judged in {spent:.2f} s of CPU")
    flagged, alarms = flights.clean.flagged, flights.clean.evidence.alarms
    print(f"clean year: {len(flagged)} pages flagged, {len(alarms)} alarms on slow drift")
    for place in flagged:
        found = {
            rule: [one.series.column for one in flights.clean.columns if one.flags[rule][place]]
            for rule in flights.clean.columns[0].flags
        }
        said = "; ".join(f"{rule}: {', '.join(names[:3])} ({len(names)})" for rule, names in found.items() if names)
        print(f"  {flights.pages[place] + timedelta(days=1):%a %m-%d}  {said or 'volume'}")
    for alarm in alarms:
        names = [flights.clean.columns[row].series.column for row in alarm.columns[:4]]
        print(f"  slow: {flights.pages[alarm.page] + timedelta(days=1):%m-%d}, {alarm.evidence:.0f}, {names}")
    instants = np.array(flights.pages, "datetime64[us]")
    places = [int(np.searchsorted(instants, np.datetime64(start))) for start in STARTS]
    table = []
    for name, (fault, n_pages) in {**FAULTS, **BESIDE}.items():
        first = [first_flag(flights, fault, n_pages, place) for place in places]
        pages = sorted(page for page, _ in first if page is not None)
        row = {"fault": name, "found": f"{len(pages)} of 7", "page": pages[len(pages) // 2] if pages else None}
        row["rules"] = ", ".join(sorted({rule for _, rule in first if rule}))
        row["on the first"] = sum(page == 1 for page in pages)
        if name in BESIDE or len(pages) < 6:
            slow = sorted(page for place in places if (page := first_alarm(flights, fault, place)) is not None)
            row["slow"] = f"{len(slow)} of 7 @ {slow[len(slow) // 2]}" if slow else "0 of 7"
        else:
            row["slow"] = None
        table.append(row)
        print(row, flush=True)
    print_table(table, "Faults put into pages of flights, from 7 starts")


def measure_worlds(n_seeds: int, n_pages: int = 365) -> None:
    """Judge years in which nothing breaks, and years with a fault on one page, world by world."""
    table = []
    for world in WORLDS:
        slow, acute, peers = [], [], list[dict[str, int]]()
        found, tried = dict.fromkeys(FAULTS_OF_WORLDS, 0), dict.fromkeys(FAULTS_OF_WORLDS, 0)
        for seed in range(n_seeds):
            year = year_of(world, seed, n_pages)
            clean = year.judged()
            slow.append(len(clean.evidence.alarms))
            acute.append(len(clean.flagged))
            peers.append(pages_called_drifted([one.series for one in clean.columns]))
            flagged = {
                one.series.column: np.flatnonzero(np.any([*one.flags.values()], axis=0)) for one in clean.columns
            }
            for name, (fault, column, least) in FAULTS_OF_WORLDS.items():
                page = n_pages - 40
                while year.rows(page).sum() < least:
                    page += 1
                fault(year, page)
                tried[name] += 1
                found[name] += page in year.judged(page + 1, column).flagged and page not in flagged[column]
        row = {"world": world.name, "slow alarms a year": np.mean(slow), "most": max(slow), "flagged": np.mean(acute)}
        row |= {name: f"{found[name]} of {tried[name]}" for name in found}
        table.append(row | {name: np.mean([one[name] for one in peers]) for name in RULES})
        print(table[-1], flush=True)
    print_table(table, f"{n_seeds} seeds x {n_pages} pages x {N_COLUMNS} columns")


def measure_segments(n_seeds: int, n_pages: int = 365) -> None:
    """Judge the same years with and without segments, and years with faults in three segments of one page."""
    table = []
    for world in WORLDS:
        slow, flagged, of_segments, found = list[list[int]](), list[list[int]](), list[int](), list[list[bool]]()
        for seed in range(n_seeds):
            year = year_of(world, seed, n_pages)
            shops = shops_of(year, seed)
            without, clean = year.judged(), year.judged(parts=shops)
            assert clean.segments is not None
            slow.append([len(each.evidence.alarms) for each in (without, clean)])
            flagged.append([len(each.flagged) for each in (without, clean)])
            of_segments.append(int(clean.segments.flags.any(axis=0).sum()))
            page = n_pages - 40
            while (year.rows(page) & (shops == len(SHOPS) - 1)).sum() < LEAST_ROWS:
                page += 1
            for shop, (fault, _, _) in enumerate(FAULTS_OF_WORLDS.values(), 1):
                fault(year, page, shops == shop)
            faulty = year.judged(page + 1, parts=shops).segments
            assert faulty is not None
            found.append([bool(faulty.flags_of(f"shop = {shop}")[page]) for shop in range(1, len(SHOPS))])
        row: dict[str, Any] = {"world": world.name}
        for name, each in (("slow alarms", slow), ("pages flagged", flagged)):
            row |= {f"{name}, without": np.mean(each, axis=0)[0], f"{name}, with": np.mean(each, axis=0)[1]}
        row |= {"most slow alarms": max(each[1] for each in slow), "for a segment": np.mean(of_segments)}
        row |= {
            f"{name} in {SHOPS[shop]:.0%}": f"{sum(each[shop - 1] for each in found)} of {n_seeds}"
            for shop, name in enumerate(FAULTS_OF_WORLDS, 1)
        }
        table.append(row)
        print(row, flush=True)
    print_table(table, f"{n_seeds} seeds x {n_pages} pages x {N_COLUMNS} columns x {len(SHOPS)} segments")


def measure_judging(root: Path, rounds: int = 5) -> None:
    """Judge the newest page from what stands in the ledger, and all pages from the first, in turn: CPU seconds of each.

    The newest page's judgements are taken out of the ledger, and written again at the end.
    """
    suite = open_suite(root, now)
    product = suite.definitions.product(PRODUCT)
    judge_and_write(suite, product)
    with suite.lake.commit("as if the newest page had not been judged") as commit:
        commit.execute("DELETE FROM ledger.drift WHERE as_of = (SELECT max(as_of) FROM ledger.drift)")
    table = []
    for _ in range(rounds):
        row: dict[str, Any] = {}
        for name, job in (("newest page", judge_what_is_new), ("all pages", judge)):
            with suite.lake.reading() as connection:
                start = time.process_time()
                found = job(connection, product)
                row[f"{name}, CPU s"] = round(time.process_time() - start, 3)
            assert found.rows is not None
            row[f"{name}, rows"] = found.rows.num_rows
        table.append(row)
    judge_and_write(suite, product)
    print_table(table, f"{len(found.pages)} pages; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["judging"]:
        measure_judging(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["flights"]:
        measure_flights(Path(sys.argv[2]))
    elif sys.argv[1:2] in (["worlds"], ["segments"]):
        measure = measure_worlds if sys.argv[1] == "worlds" else measure_segments
        measure(int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    else:
        sys.exit(__doc__)
