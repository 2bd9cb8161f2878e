"""A backfill of the flights' 13 feature groups from facts as they were ingested, and from facts made anew.

    python -m tests.benchmarks.bench_derived_backfill [N_PAGES] [REPEATS]

A rule is added to `landings`, whose deliveries are then taken in again: pages are the same, and so should be the ways
in which they are made and the seconds that they take. In turn, each on a copy of its lake; seconds are of all cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.plan import plan
from jobs.suite import open_suite
from jobs.suites.starter import make_flights

PRODUCT = "flight_delay"
NOW, START = datetime(2014, 1, 10), datetime(2013, 2, 1)


def seconds(root: Path, n_pages: int) -> float:
    """Make feature pages; give the seconds of all cores."""
    suite = open_suite(root, lambda: NOW)
    before = time.process_time()
    backfill(suite, BackfillOrder(PRODUCT, START, START + timedelta(days=n_pages), "all", features_only=True))
    return time.process_time() - before


def ways(root: Path) -> list[object]:
    """Give the way in which each feature group would be made."""
    return [vars(way) for way in plan(open_suite(root, lambda: NOW), PRODUCT, START, None, features_only=True).ways]


def main(n_pages: int = 60, repeats: int = 3) -> None:
    """Measure, and print a line each."""
    with tempfile.TemporaryDirectory() as directory:
        lakes = {"as ingested": Path(directory) / "ingested", "made anew": Path(directory) / "anew"}
        make_flights(lakes["as ingested"])
        ingest(open_suite(lakes["as ingested"], lambda: NOW))
        shutil.copytree(lakes["as ingested"], lakes["made anew"])
        source = lakes["made anew"] / "sql/sources/landings.sql"
        source.write_text(source.read_text().replace("rules:\n", "rules:\n  has an origin: origin IS NOT NULL\n", 1))
        (derived,) = [one.derived for one in ingest(open_suite(lakes["made anew"], lambda: NOW)) if one.derived]
        print(f"landings: {derived.n_facts:,} facts, {derived.way}; load {os.getloadavg()[0]:.1f}", flush=True)
        same = ways(lakes["as ingested"]) == ways(lakes["made anew"])
        print(f"the ways are {'the same' if same else 'others'}", flush=True)
        found: dict[str, list[float]] = {name: [] for name in lakes}
        for number in range(repeats + 1):
            for name, root in lakes.items():
                copy = shutil.copytree(root, Path(directory) / "copy")
                took = seconds(copy, n_pages)
                shutil.rmtree(copy)
                if number:  # the first time kernels and caches are made
                    found[name].append(took)
        for name, each in found.items():
            listed = ", ".join(f"{one:.1f}" for one in each)
            print(f"{n_pages} pages {name}: median {statistics.median(each):.1f} s of CPU ({listed})", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
