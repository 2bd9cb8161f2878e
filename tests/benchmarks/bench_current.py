"""What it costs to look up what is current, beside the table itself, and what that adds to a commit.

    python -m tests.benchmarks.bench_current [--pages 1 1000 10000] [--rows 200]

Hourly pages are staged by hand and published through `warehouse.pages.publishing`, as a backfill does. Each prediction
is valid for a day: what is current lies on the newest 24 pages. Then one connection asks, in turn: the table for one
entity and for all of the newest page, by a literal as_of; the same of `_current` and `_page`; and of a view as
`_current` was before it named its pages (`ledger`). CPU time, with one thread, as an application would ask.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from tests.benchmarks.timing import Contestant, machine, measure, table, versions
from tests.pages.test_current import BY_THE_LEDGER
from warehouse.ledger.records import PageRecord
from warehouse.pages.publishing import StagedRows, publish

PRODUCT = "late_order"
FIRST, NOW = datetime(2024, 1, 1), datetime(2026, 4, 10)
PER_COMMIT = 500
COLUMNS = {
    "order_id": "VARCHAR",
    "as_of": "TIMESTAMP",
    "valid_until": "TIMESTAMP",
    "probability": "DOUBLE",
    "model_version": "VARCHAR",
}
STAGE = (
    "COPY (SELECT 'order ' || row AS order_id, as_of, as_of + INTERVAL 1 DAY AS valid_until,"
    " hash(row, as_of)::DOUBLE / 2::DOUBLE ** 64 AS probability, 'v1' AS model_version"
    " FROM unnest($1::TIMESTAMP[]) AS pages (as_of), range({rows}) AS rows (row) ORDER BY as_of)"
    " TO '{file}' (FORMAT parquet)"
)


def publish_pages(suite: Suite, pages: list[datetime], n_rows: int) -> float:
    """Publish pages in one commit; gives the seconds of CPU that the commit took."""
    product = suite.definitions.product(PRODUCT)
    with suite.staging("bench") as directory:
        file = directory / "predictions.parquet"
        with duckdb.connect() as connection:
            connection.execute(STAGE.format(rows=n_rows, file=file), [pages])
        records = [
            PageRecord(
                product=PRODUCT,
                kind="predictions",
                as_of=page,
                state="published",
                run_id="bench",
                definitions="",
                ingest_id=1,
                recorded_at=NOW,
                snapshot_id=0,
                n_rows=n_rows,
                model_version="v1",
                valid_until=page + timedelta(days=1),
            )
            for page in pages
        ]
        began = time.process_time()
        with suite.lake.commit(f"{len(pages)} pages") as commit:
            publish(commit, product, [StagedRows("predictions", file, COLUMNS, records)])
        return time.process_time() - began


def cpu_of(connection: duckdb.DuckDBPyConnection, query: str) -> float:
    began = time.process_time()
    connection.execute(query).fetchall()
    return time.process_time() - began


def lake_of(root: Path, n_pages: int, n_rows: int) -> tuple[Suite, datetime]:
    """Make a lake of pages; gives its suite and its newest page."""
    make_starter(root)
    suite = open_suite(root, lambda: NOW)
    suite.lake.create(NOW, "bench")
    pages = [FIRST + timedelta(hours=hour) for hour in range(n_pages)]
    for start in range(0, n_pages, PER_COMMIT):
        publish_pages(suite, pages[start : start + PER_COMMIT], n_rows)
    return suite, pages[-1]


def asked(suite: Suite, newest: datetime, n_rows: int, rounds: int) -> list[list[str]]:
    """Ask in turn; gives a row of figures for one entity and one for all."""
    with suite.lake.commit("the view of before") as commit:
        commit.execute(f"CREATE OR REPLACE VIEW predictions.by_the_ledger AS {BY_THE_LEDGER}")
    connection = suite.lake.connect()
    of_table = f"FROM predictions.late_order WHERE as_of = TIMESTAMP '{newest}'"
    relations = {
        "table": of_table,
        "_current": "FROM predictions.late_order_current WHERE true",
        "_page": "FROM predictions.late_order_page WHERE true",
        "by the ledger": "FROM predictions.by_the_ledger WHERE true",
    }
    lines = []
    for what, condition in (("one entity", " AND order_id = 'order 7'"), ("all", "")):
        queries = {name: text + condition for name, text in relations.items()}
        contestants = [
            Contestant(name, n_rows, functools.partial(cpu_of, connection, query)) for name, query in queries.items()
        ]
        measure(contestants, rounds)
        found = {name: connection.execute(f"SELECT * {text} ORDER BY ALL").fetchall() for name, text in queries.items()}
        assert found["_current"] == found["by the ledger"]
        spent = {each.name: statistics.median(each.seconds) * 1000 for each in contestants}
        ratio = spent["_current"] / spent["table"]
        lines.append([what, *(f"{spent[name]:.1f}" for name in relations), f"{ratio:.2f}"])
    connection.close()
    return lines


def commits(suite: Suite, newest: datetime, n_rows: int, rounds: int) -> list[str]:
    """Publish a page that changes what the views name, and one that does not, in turn; gives milliseconds of each."""
    spent: dict[str, list[float]] = {"the newest": [], "an old one": []}
    for hour in range(1, rounds + 1):
        spent["the newest"].append(publish_pages(suite, [newest + timedelta(hours=hour)], n_rows))
        spent["an old one"].append(publish_pages(suite, [FIRST - timedelta(days=30, hours=hour)], n_rows))
    return [f"{statistics.median(seconds) * 1000:.0f}" for seconds in spent.values()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, nargs="+", default=[1, 1000, 10_000])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(f"{machine()}; {versions('duckdb')}; pages of {options.rows} rows; CPU ms, median of {options.rounds}")
    lines: list[list[str]] = []
    writing: list[list[str]] = []
    for n_pages in options.pages:
        with tempfile.TemporaryDirectory() as directory:
            suite, newest = lake_of(Path(directory) / "shop", n_pages, options.rows)
            lines += [[f"{n_pages:,}", *line] for line in asked(suite, newest, options.rows, options.rounds)]
            writing.append([f"{n_pages:,}", *commits(suite, newest, options.rows, options.rounds)])
    print(table(["pages", "asked", "table", "_current", "_page", "by the ledger", "_current / table"], lines))
    print(table(["pages", "commit of the newest page", "of an old one"], writing))


if __name__ == "__main__":
    main()
