"""What it costs to make facts anew after a source's definition has changed, beside ingesting them.

    python -m tests.benchmarks.bench_derive [N_FACTS] [N_DELIVERIES]

The facts are ingested delivery by delivery; then a rule is added, for which all deliveries are taken in again, and a
column that is computed from others, for which no file is opened. Seconds are of all cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from jobs.facts.ingest import ingest
from jobs.suite import open_suite
from warehouse.system_sql import literal

START = datetime(2025, 1, 1)
SOURCE = """/*
description: Readings of meters.
key: [id]
files: data/*.parquet
known_at: read_at
{rules}*/
SELECT id, meter, value, read_at{more}
FROM read_parquet($files)
"""


def define(root: Path, rules: str = "", more: str = "") -> None:
    """Write the source."""
    path = root / "sql/sources/readings.sql"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SOURCE.format(rules=rules, more=more))


def deliver(root: Path, number: int, n_rows: int) -> None:
    """Write one day's file."""
    (root / "data").mkdir(exist_ok=True)
    first, at = number * n_rows, START + timedelta(days=number)
    query = (
        f"SELECT {first} + range AS id, range % 997 AS meter, hash(range + {first}) % 10000 AS value,"
        f" TIMESTAMP '{at}' + to_seconds(range * 80000 // {n_rows}) AS read_at FROM range({n_rows})"
    )
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO {literal(str(root / f'data/{number:04}.parquet'))} (FORMAT parquet)")


def seconds(root: Path, now: datetime) -> float:
    """Ingest, and give the seconds of all cores that it took."""
    before = time.process_time()
    ingest(open_suite(root, lambda: now))
    return time.process_time() - before


def main(n_facts: int = 1_000_000, n_deliveries: int = 10) -> None:
    """Measure, and print a line each."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "suite"
        define(root)
        taken_in = 0.0
        for number in range(n_deliveries):
            deliver(root, number, n_facts // n_deliveries)
            taken_in += seconds(root, START + timedelta(days=number + 1))
        end = START + timedelta(days=n_deliveries + 1)
        print(f"{n_facts:,} facts in {n_deliveries} deliveries: ingested in {taken_in:.1f} s of CPU", flush=True)
        define(root, rules="rules:\n  value: value >= 0\n")
        again = seconds(root, end)
        print(f"taken in again under a new rule: {again:.1f} s ({again / taken_in:.2f} of ingesting)", flush=True)
        define(root, rules="rules:\n  value: value >= 0\n", more=", value > 5000 AS is_high")
        computed = seconds(root, end)
        print(f"from the facts, one column more: {computed:.1f} s ({computed / taken_in:.2f})", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
