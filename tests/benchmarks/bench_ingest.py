"""Ingestion beside DuckDB's own CREATE TABLE AS: CPU and memory of a first delivery, of one row more, of daily files.

    python -m tests.benchmarks.bench_ingest [--rows 2000000] [--days 365] [--shuffled] [--skip-days]

Each measurement is a process of its own, so that CPU and the highest memory are what that process took. What a process
takes that imports the same and ingests a delivery of one row into a lake of its own is measured too, and taken off.
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
    "from warehouse.without_pandas import keep_pandas_out; keep_pandas_out();"  # as the command does
    " from datetime import datetime; from pathlib import Path; from jobs.facts.ingest import ingest;"
    " from jobs.suite import open_suite; ingest(open_suite(Path({root!r}), lambda: datetime(2026, 4, 1)))"
)
CREATE = (
    "import duckdb; duckdb.connect({file!r}).execute('CREATE TABLE trips AS ' + {select!r}, {{'files': {files!r}}})"
)
NOTHING = "import duckdb; duckdb.execute('SELECT 1')"


def cost(script: str) -> tuple[float, float]:
    """Run a script in a process of its own; give its CPU seconds and its highest memory in GiB."""
    # Not ru_maxrss, which begins with that of whoever starts a process.
    told = (
        f"{script}\nimport resource\nused = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]\n"
        "print('COST', used.ru_utime + used.ru_stime, int(peak) / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    _, cpu_s, memory = done.stdout.splitlines()[-1].split()
    return float(cpu_s), float(memory)


def write(file: Path, first: int, last: int, order: str = "") -> None:
    duckdb.execute(f"COPY ({ROWS.format(first=first, last=last)} {order}) TO '{file}' (HEADER)")


def make_suite(root: Path, files: str) -> None:
    for folder in ("sql/sources", "data"):
        (root / folder).mkdir(parents=True)
    (root / "sql/sources/trips.sql").write_text(HEADER.format(files=files) + SELECT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--shuffled", action="store_true", help="keys in no order, instead of rising ones")
    parser.add_argument("--skip-days", action="store_true")
    options = parser.parse_args()
    print(f"{options.rows:,} rows; {machine()}; {datetime.now():%Y-%m-%d %H:%M}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), options)


def measure(place: Path, options: argparse.Namespace) -> None:
    """Make the deliveries, take them in, and print what that took."""
    root, daily, tiny = place / "one", place / "daily", place / "tiny"
    order = "ORDER BY hash(trip)" if options.shuffled else ""
    for suite in (root, daily, tiny):
        make_suite(suite, "data/*.csv")
    write(tiny / "data/trips.csv", 0, 1)
    write(root / "data/trips.csv", 0, options.rows, order)
    nothing, _ = cost(NOTHING)
    start, memory = cost(INGEST.format(root=str(tiny)))
    print(f"a first delivery of one row: {start:.2f} s of CPU, {memory:.2f} GiB", flush=True)
    files = [str(root / "data/trips.csv")]
    beside, memory = cost(CREATE.format(file=str(place / "beside.duckdb"), select=SELECT, files=files))
    base = beside - nothing
    print(f"CREATE TABLE AS: {base:.2f} s of CPU, {memory:.2f} GiB", flush=True)
    (place / "beside.duckdb").unlink()

    def tell(name: str, suite: Path) -> None:
        cpu_s, memory = cost(INGEST.format(root=str(suite)))
        times = f"{(cpu_s - start) / base:.1f} times"
        more = f"{cpu_s - start:.2f} beyond that of one row ({times})"
        print(f"{name}: {cpu_s:.2f} s of CPU, {more}, {memory:.2f} GiB", flush=True)

    tell("a first delivery in one file", root)
    (root / "data/trips.csv").unlink()
    write(root / "data/more.csv", options.rows, options.rows + 1)
    tell("one row more", root)
    changed = "SELECT trip, zone, fare + 1 AS fare, ended FROM ({rows})"
    rows = changed.format(rows=ROWS.format(first=options.rows // 2, last=options.rows // 2 + 1))
    duckdb.execute(f"COPY ({rows}) TO '{root / 'data/changed.csv'}' (HEADER)")
    tell("one row restated", root)
    if not options.skip_days:
        step = options.rows // options.days
        for day in range(options.days):
            write(daily / f"data/{day:03}.csv", day * step, (day + 1) * step)
        tell(f"the same in {options.days} files", daily)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
