"""Pages at the rate of the kernel: one page of very many entities, and a backfill of many pages, through the CLI.

    python -m tests.benchmarks.bench_pages_at_rate [--entities N] [--pages N] [--page-entities N]

A synthetic suite of one source is made in a temporary directory: each of a thousand devices stands for so many
entities, with 20 features each, and a model of 200 trees scores them. Every step is an `almanac` command in a process
of its own, and what it took is what the ledger's `runs` say. Each job is done twice: feature pages first, then the
predictions from them, which is the path whose rate and memory count; and both in one go.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.suite import open_suite
from tests.benchmarks.timing import machine, table, versions

PRODUCT = "wear"
DEVICES = 1000
N_FEATURES = 20
NAMES = [f"f{place}" for place in range(N_FEATURES)]
FIRST_PAGE = datetime(2025, 1, 2)
TRAINING_PAGES = 10
TRAINED_AS_OF = FIRST_PAGE + timedelta(days=TRAINING_PAGES)

SOURCE = """/*
description: What each device measured once.
key: [device]
files: data/readings.parquet
known_at: read_at
*/
SELECT device, {names}, read_at FROM read_parquet($files)
"""
OUTCOMES = """/*
description: Which devices failed on which day.
key: [device, day]
files: data/failures.parquet
known_at: day
*/
SELECT device, day, failed FROM read_parquet($files)
"""
ENTITIES = """/*
description: Every part of every device; its features differ a little from part to part and from day to day.
*/
SELECT device * {parts} + part AS part_id, {features}
FROM readings, range({parts}) AS parts (part)
"""
LABEL = """/*
description: Whether the device failed on the day after.
*/
SELECT device AS part_id, failed AS label FROM failures WHERE day = $as_of + INTERVAL 1 DAY
"""
PRODUCT_YAML = """
description: Whether a part fails tomorrow.
keys: [part_id]
label: {kind: binary, matures_within: 1 day}
model:
  estimator: hist_gradient_boosting_classifier
  parameters: {max_iter: %d, max_leaf_nodes: 31, early_stopping: false}
pages: {cron: "0 0 * * *", since: 2025-01-02}
valid_for: 24 hours
"""


@dataclass(frozen=True)
class Job:
    """What the ledger says of one or several runs: how many rows, how long, and the most memory."""

    n_rows: int
    wall_s: float
    peak_mib: float

    @property
    def million_rows_per_s(self) -> float:
        return self.n_rows / self.wall_s / 1e6


def write_suite(root: Path, n_trees: int) -> None:
    """Write the definitions and the files of facts."""
    product = root / "sql/products" / PRODUCT
    for directory in (root / "sql/sources", root / "sql/features", product / "checks", root / "data"):
        directory.mkdir(parents=True)
    (root / "sql/sources/readings.sql").write_text(SOURCE.format(names=", ".join(NAMES)))
    (root / "sql/sources/failures.sql").write_text(OUTCOMES)
    (product / "label.sql").write_text(LABEL)
    (product / "product.yaml").write_text(PRODUCT_YAML % n_trees)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(DEVICES, N_FEATURES))
    values[rng.random(values.shape) < 0.05] = np.nan
    devices = pa.array(np.arange(DEVICES))
    read_at = pa.array([datetime(2025, 1, 1)] * DEVICES)
    columns = {name: pa.array(values[:, place], from_pandas=True) for place, name in enumerate(NAMES)}
    pq.write_table(pa.table({"device": devices, **columns, "read_at": read_at}), root / "data/readings.parquet")
    days = [FIRST_PAGE + timedelta(days=day) for day in range(TRAINING_PAGES + 1)]
    failed = np.nan_to_num(values[:, :4]).sum(axis=1) + rng.normal(size=(len(days), DEVICES)) > 0
    outcomes = {
        "device": pa.array(np.tile(np.arange(DEVICES), len(days))),
        "day": pa.array(np.repeat(np.array(days, "datetime64[us]"), DEVICES)),
        "failed": pa.array(failed.ravel().astype(np.int8)),
    }
    pq.write_table(pa.table(outcomes), root / "data/failures.parquet")


def write_entities(root: Path, parts: int) -> None:
    """Let each device stand for so many entities. Only the sizes of the pages change, not what the model reads."""
    features = ", ".join(f"{name} * (1 + sin(part + epoch($as_of) / 86400 + {place}) / 9) AS {name}"
                         for place, name in enumerate(NAMES))  # fmt: skip
    (root / "sql/products" / PRODUCT / "entities.sql").write_text(ENTITIES.format(parts=parts, features=features))


def almanac(root: Path, *words: str) -> None:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "jobs", "--suite", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr}")


def new_runs(root: Path, known: set[str]) -> Job:
    """Give what the runs cost that are in the ledger and not yet known, and add them to those known."""
    suite = open_suite(root, lambda: datetime(2026, 1, 1))
    with suite.lake.reading() as connection:
        runs = connection.execute("SELECT run_id, n_rows, wall_s, peak_memory_bytes FROM ledger.runs").fetchall()
    fresh = [run for run in runs if run[0] not in known]
    known |= {run[0] for run in runs}
    return Job(sum(run[1] for run in fresh), sum(run[2] for run in fresh), max(run[3] for run in fresh) / 2**20)


def measure(root: Path, entities: int, pages: int, page_entities: int) -> list[tuple[str, Job]]:
    """Do the jobs, each on days of its own; a size of 0 leaves its jobs out."""
    known: set[str] = set()
    new_runs(root, known)
    day = iter(range(TRAINING_PAGES + 1, 10_000))
    found = []

    def dates(n_pages: int) -> tuple[str, ...]:
        first = FIRST_PAGE + timedelta(days=next(day))
        last = first
        for _ in range(n_pages - 1):
            last = FIRST_PAGE + timedelta(days=next(day))
        return "--from", first.isoformat(), "--to", (last + timedelta(hours=1)).isoformat()

    for name, parts, n_pages in (
        (f"one page of {entities:,} entities", entities // DEVICES, 1),
        (f"{pages} pages of {page_entities:,} entities", page_entities // DEVICES, pages),
    ):
        if not parts * n_pages:
            continue
        write_entities(root, parts)
        span = dates(n_pages)
        almanac(root, "backfill", PRODUCT, *span, "--features-only")
        found.append((f"{name}: features", new_runs(root, known)))
        almanac(root, "backfill", PRODUCT, *span)
        found.append((f"{name}: predictions from them", new_runs(root, known)))
        almanac(root, "backfill", PRODUCT, *dates(n_pages))
        found.append((f"{name}: both in one go", new_runs(root, known)))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=10_000_000, help="of the one large page; 0: none")
    parser.add_argument("--pages", type=int, default=300, help="of the backfill; 0: none")
    parser.add_argument("--page-entities", type=int, default=30_000, help="of each page of the backfill")
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--directory", help="where the suite is made (default: a temporary directory)")
    chosen = parser.parse_args(arguments)
    print(machine())
    print(versions("duckdb", "duckdb-extension-ducklake", "pyarrow", "scikit-learn", "numba"))
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        root = Path(directory) / "suite"
        write_suite(root, chosen.trees)
        write_entities(root, 1)
        almanac(root, "ingest")
        almanac(root, "train", PRODUCT, "--as-of", TRAINED_AS_OF.isoformat())
        found = measure(root, chosen.entities, chosen.pages, chosen.page_entities)
    rows: list[list[Any]] = [
        [name, f"{job.n_rows:,}", f"{job.wall_s:.1f}", f"{job.million_rows_per_s:.3f}", f"{job.peak_mib:,.0f}"]
        for name, job in found
    ]
    print("\n" + table(["", "rows", "seconds", "million rows/s", "peak MiB"], rows))


if __name__ == "__main__":
    main()
