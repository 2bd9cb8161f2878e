"""Two products with the flights' 13 feature groups: made in one run, apart, and taken over from what is stored.

    python -m tests.benchmarks.bench_shared [N_PAGES]

The second product has the flights of one carrier, so that nothing but its entities differs. In turn, from the same
ingested facts: both in a run each; both in one run; then the second one with the first one's entities, whose pages are
taken over. Feature pages alone; seconds are of all cores, of this process, whose imports are done before.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, prepare_backfill, run_backfill
from jobs.pages.batches import sharing_rows
from jobs.suite import open_suite
from jobs.suites.starter import make_flights

FIRST, OTHER = "flight_delay", "flight_delay_b6"
NOW, START = datetime(2014, 1, 10), datetime(2013, 2, 1)


def add_product(root: Path, where: str) -> None:
    """Add a product like the first, for some of its flights."""
    shutil.copytree(root / "sql/products" / FIRST, root / "sql/products" / OTHER, dirs_exist_ok=True)
    entities = root / "sql/products" / OTHER / "entities.sql"
    text = (root / "sql/products" / FIRST / "entities.sql").read_text().rstrip()
    header, _, query = text.partition("*/")
    entities.write_text(f"{header}*/\nSELECT * FROM (\n{query}\n)\n{where}\n" if where else text)


def seconds(root: Path, n_pages: int, runs: Sequence[Sequence[str]]) -> float:
    """Make pages of products, run by run; give the seconds of all cores."""
    suite = open_suite(root, lambda: NOW)
    before = time.process_time()
    for names in runs:
        with sharing_rows(suite, names) as shared:
            for name in names:
                end = START + timedelta(days=n_pages)
                order = BackfillOrder(name, START, end, "all", features_only=True)
                run_backfill(suite, order, prepare_backfill(suite, order), shared=shared)
    return time.process_time() - before


def main(n_pages: int = 90) -> None:
    """Measure, and print a line each."""
    with tempfile.TemporaryDirectory() as directory:
        ingested = Path(directory) / "ingested"
        make_flights(ingested)
        ingest(open_suite(ingested, lambda: NOW))
        add_product(ingested, "WHERE carrier = 'B6'")
        warm = shutil.copytree(ingested, Path(directory) / "warm")
        seconds(warm, 4, [[FIRST, OTHER]])
        print(f"{n_pages} pages; load {os.getloadavg()[0]:.1f}", flush=True)
        ways = {
            f"{FIRST} alone": [[FIRST]],
            "both, a run each": [[FIRST], [OTHER]],
            "both in one run": [[FIRST, OTHER]],
        }
        for number, (said, runs) in enumerate(ways.items()):
            root = shutil.copytree(ingested, Path(directory) / f"way-{number}")
            print(f"{said}: {seconds(root, n_pages, runs):.1f} s of CPU", flush=True)
        add_product(root, "")
        taken = seconds(root, n_pages, [[OTHER]])
        print(f"{OTHER} with the same entities, taken over: {taken:.1f} s of CPU", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
