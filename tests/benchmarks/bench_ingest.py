"""Ingestion beside DuckDB's own CREATE TABLE AS: CPU and memory of a first delivery, of one row more, of daily files.

    python -m tests.benchmarks.bench_ingest [--rows 2000000] [--days 365]

Each measurement is a process of its own, so that CPU and the highest memory are what that process took; what a process
that does nothing takes is measured too, and taken off the CPU of the others.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import duckdb

from tests.benchmarks.timing import machine

HEADER = "/*\ndescription: Trips.\nkey: [trip]\nfiles: {files}\nknown_at: ended\nrules:\n  is paid: fare >= 0\n*/\n"
SELECT = (
    "SELECT trip, zone, fare, ended FROM read_csv($files, header = true, types = {'trip': 'BIGINT', 'zone':"
    " 'INTEGER', 'fare': 'DECIMAL(8, 2)', 'ended': 'TIMESTAMP'})"
)
ROWS = (
    "SELECT range AS trip, range % 265 AS zone, (range % 9000) / 100 AS fare,"
    " TIMESTAMP '2025-01-01' + to_seconds(range % 31536000) AS ended FROM range({first}, {last})"
)
INGEST = (
    "from datetime import datetime; from pathlib import Path; from jobs.facts.ingest import ingest;"
    " from jobs.suite import open_suite; ingest(open_suite(Path({root!r}), lambda: datetime(2026, 4, 1)))"
)
CREATE = (
    "import duckdb; duckdb.connect({file!r}).execute('CREATE TABLE trips AS ' + {select!r}, {{'files': {files!r}}})"
)
NOTHING = "import jobs.facts.ingest, jobs.suite"


def cost(script: str) -> tuple[float, float]:
    """Run a script in a process of its own; give its CPU seconds and its highest memory in GiB."""
    told = (
        f"{script}\nimport resource\nused = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('COST', used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    _, cpu_s, memory = done.stdout.splitlines()[-1].split()
    return float(cpu_s), float(memory)


def write(file: Path, first: int, last: int) -> None:
    duckdb.execute(f"COPY ({ROWS.format(first=first, last=last)}) TO '{file}' (HEADER)")


def make_suite(root: Path, files: str) -> None:
    for folder in ("sql/sources", "data"):
        (root / folder).mkdir(parents=True)
    (root / "sql/sources/trips.sql").write_text(HEADER.format(files=files) + SELECT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=365)
    options = parser.parse_args()
    print(f"{options.rows:,} rows; {machine()}; {datetime.now():%Y-%m-%d %H:%M}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        root, daily = Path(place) / "one", Path(place) / "daily"
        make_suite(root, "data/*.csv")
        make_suite(daily, "data/*.csv")
        write(root / "data/trips.csv", 0, options.rows)
        step = options.rows // options.days
        for day in range(options.days):
            write(daily / f"data/{day:03}.csv", day * step, (day + 1) * step)
        start, memory = cost(NOTHING)
        print(f"a process that does nothing: {start:.2f} s of CPU, {memory:.2f} GiB", flush=True)
        files = [str(root / "data/trips.csv")]
        beside = CREATE.format(file=str(Path(place) / "beside.duckdb"), select=SELECT, files=files)
        scripts = {
            "CREATE TABLE AS": beside,
            "a first delivery in one file": INGEST.format(root=str(root)),
            f"the same in {options.days} files": INGEST.format(root=str(daily)),
        }
        base = 0.0
        for name, script in scripts.items():
            cpu_s, memory = cost(script)
            base = base or cpu_s - start
            print(
                f"{name}: {cpu_s - start:.2f} s of CPU ({(cpu_s - start) / base:.1f} times), {memory:.2f} GiB",
                flush=True,
            )
        write(root / "data/more.csv", options.rows, options.rows + 1)
        cpu_s, memory = cost(INGEST.format(root=str(root)))
        print(f"one row more: {cpu_s - start:.2f} s of CPU, {memory:.2f} GiB", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
