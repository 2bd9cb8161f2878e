"""One lake whose facts change, with generated queries as its feature groups, and an oracle in plain DuckDB.

Facts come in two deliveries: what was known by `DELIVERED`, and everything else, with corrections and withdrawals
of what was there. The oracle knows all facts, keeps a table of those of each page, and runs with its optimizer off.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from tests.conftest import clock_at

FIRST = datetime(2024, 3, 1, 18)
#: The first page has no fact, and the fourth is the last that is made before the second delivery.
PAGES = [FIRST + timedelta(hours=hours) for hours in (0, 24, 48, 72, 78, 97, 120, 168)]
DELIVERED = PAGES[3]
LATE = timedelta(minutes=10)
NOW = datetime(2024, 6, 1)
PRODUCT = "generated"

_SOURCES = {
    "orders": (
        "key: [order_id]\nfiles: data/orders*.csv\nknown_at: seen_at\nrestated_at: corrected_at\nwithdrawn: gone\n"
        "arrives_within: 10 minutes",
        "order_id, depot, courier, parcels, cents, ordered_at, seen_at, corrected_at, gone",
        "'order_id': 'INTEGER', 'depot': 'VARCHAR', 'courier': 'VARCHAR', 'parcels': 'INTEGER', 'cents': 'BIGINT',"
        " 'ordered_at': 'TIMESTAMP', 'seen_at': 'TIMESTAMP', 'corrected_at': 'TIMESTAMP', 'gone': 'BOOLEAN'",
    ),
    "couriers": (
        "key: [courier]\nfiles: data/couriers*.csv\nknown_at: seen_at",
        "courier, zone, capacity, hired_at, seen_at",
        "'courier': 'VARCHAR', 'zone': 'VARCHAR', 'capacity': 'INTEGER', 'hired_at': 'TIMESTAMP',"
        " 'seen_at': 'TIMESTAMP'",
    ),
}
_PRODUCT = """
description: Generated queries.
keys: [one]
features: [{groups}]
label: {{kind: binary, matures_within: 1 day}}
model: {{estimator: hist_gradient_boosting_classifier}}
pages: {{cron: "0 18 * * *", since: 2024-02-01}}
valid_for: 1 day
"""
#: What a page sees of each source.
_KNOWN = {
    "orders": "SELECT * EXCLUDE (n, next) FROM (SELECT *, lead(known_at) OVER (PARTITION BY order_id ORDER BY"
    " known_at, n) AS next FROM all_orders WHERE known_at < {horizon}) WHERE next IS NULL AND NOT gone",
    "couriers": "SELECT * FROM all_couriers WHERE known_at < {at}",
}


class World:
    """The suite, and its facts as the oracle sees them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        for name, (header, columns, types) in _SOURCES.items():
            text = f"/*\ndescription: {name}.\n{header}\n*/\nSELECT {columns}\n"
            self._write(f"sql/sources/{name}.sql", f"{text}FROM read_csv($files, header = true, types = {{{types}}})\n")
        self._write(f"sql/products/{PRODUCT}/entities.sql", "/*\ndescription: One.\n*/\nSELECT 1 AS one\n")
        self._write(f"sql/products/{PRODUCT}/label.sql", "/*\ndescription: None.\n*/\nSELECT 1 AS one, 1 AS label\n")
        self._facts()
        self.oracle = duckdb.connect(":memory:")
        self.oracle.execute("SET TimeZone = 'UTC'")
        self.oracle.execute("PRAGMA disable_optimizer")
        # There are sixty rows.
        self.oracle.execute("SET threads = 1")
        self._fill_oracle()
        self.suite = self.with_queries([])
        self.suite.lake.create(NOW, "a test")

    def _write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def _instant(self, first: datetime, last: datetime) -> datetime:
        """Choose an instant, more often than not one at which a page begins or ends to see something."""
        edges = [page + step for page in PAGES for step in (-LATE, timedelta(0), timedelta(microseconds=-1))]
        inside = [edge for edge in edges if first <= edge < last]
        if inside and self.rng.random() < 0.4:
            return self.rng.choice(inside)
        return first + timedelta(seconds=self.rng.randrange(int((last - first).total_seconds())))

    def _facts(self) -> None:
        rng = self.rng
        self.orders: list[list[Any]] = []
        self.couriers: list[list[Any]] = []
        seen: dict[int, datetime] = {}
        for order_id in range(45):
            seen[order_id] = self._instant(PAGES[0], PAGES[-1] + timedelta(days=1))
            self.orders.append([order_id, *self._order(), seen[order_id], None, False])
        for order_id in rng.sample(range(45), 18):
            first = max(seen[order_id] + timedelta(hours=1), DELIVERED)
            corrected = self._instant(first, max(first, PAGES[-1]) + timedelta(days=1))
            self.orders.append([order_id, *self._order(), seen[order_id], corrected, rng.random() < 0.3])
        for courier in ("ann", "bob", "cy"):
            known = self._instant(PAGES[0], PAGES[5])
            self.couriers.append([courier, rng.choice(["east", "west"]), rng.randrange(9), known - LATE, known])

    def _order(self) -> list[Any]:
        rng = self.rng
        depot, courier = rng.choice(["north", "south", None]), rng.choice(["ann", "bob", "cy", "dee", None])
        return [depot, courier, rng.choice([None, *range(6)]), rng.randrange(500), self._instant(FIRST, PAGES[-1])]

    def _fill_oracle(self) -> None:
        self.oracle.execute(
            "CREATE TABLE all_orders (order_id INTEGER, depot VARCHAR, courier VARCHAR, parcels INTEGER, cents BIGINT,"
            " ordered_at TIMESTAMP, seen_at TIMESTAMP, corrected_at TIMESTAMP, gone BOOLEAN, known_at TIMESTAMP,"
            " n INTEGER)"
        )
        self.oracle.execute(
            "CREATE TABLE all_couriers (courier VARCHAR, zone VARCHAR, capacity INTEGER, hired_at TIMESTAMP,"
            " seen_at TIMESTAMP, known_at TIMESTAMP)"
        )
        orders = [[*row, row[-2] or row[-3], number] for number, row in enumerate(self.orders)]
        self.oracle.executemany(f"INSERT INTO all_orders VALUES ({', '.join('?' * 11)})", orders)
        couriers = [[*row, row[-1]] for row in self.couriers]
        self.oracle.executemany("INSERT INTO all_couriers VALUES (?, ?, ?, ?, ?, ?)", couriers)
        for number, page in enumerate(PAGES):
            self.oracle.execute(f"CREATE SCHEMA page_{number}")
            for name, text in _KNOWN.items():
                text = text.format(horizon=f"TIMESTAMP '{page - LATE}'", at=f"TIMESTAMP '{page}'")
                self.oracle.execute(f"CREATE TABLE page_{number}.{name} AS {text}")

    def deliver(self, *, everything: bool) -> None:
        """Take in what was known by `DELIVERED`, or all that was not delivered yet."""
        name = "late" if everything else "early"
        parts = {"orders": (self.orders, -3), "couriers": (self.couriers, -1)}
        for source, (rows, at) in parts.items():
            known = [row for row in rows if (row[at] if at == -1 else row[-2] or row[at]) < DELIVERED]
            chosen = [row for row in rows if row not in known] if everything else known
            with (self.root / f"data/{source}_{name}.csv").open("w", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerow(_SOURCES[source][1].split(", "))
                writer.writerows(["" if value is None else value for value in row] for row in chosen)
        ingest(self.suite)

    def with_queries(self, queries: Sequence[str]) -> Suite:
        """Read the suite with some queries as its feature groups g0, g1, ..."""
        (self.root / "data").mkdir(exist_ok=True)
        for old in (self.root / "sql/features").glob("*.sql"):
            old.unlink()
        for number, query in enumerate(queries):
            self._write(f"sql/features/g{number}.sql", f"/*\ndescription: Generated.\nkey: [x0]\n*/\n{query}\n")
        groups = ", ".join(f"g{number}" for number in range(len(queries)))
        self._write(f"sql/products/{PRODUCT}/product.yaml", _PRODUCT.format(groups=groups))
        self.suite = open_suite(self.root, clock_at(NOW))
        return self.suite

    def binds(self, query: str) -> bool:
        """Tell whether a query binds."""
        self.oracle.execute("SET search_path = 'page_0'")
        try:
            self.oracle.execute(f"EXPLAIN {_at(query, PAGES[0])}")
        except duckdb.BinderException:
            return False
        return True

    def expected(self, queries: Sequence[str]) -> list[dict[datetime, Counter[str]]]:
        """Give the rows of each query for each page, by the oracle; each may read those before it as g0, g1, ..."""
        found: list[dict[datetime, Counter[str]]] = [{} for _ in queries]
        for page_number, page in enumerate(PAGES):
            self.oracle.execute(f"SET search_path = 'page_{page_number}'")
            for number, query in enumerate(queries):
                text = _at(query, page)
                found[number][page] = Counter(map(written, self.oracle.execute(text).fetchall()))
                if number + 1 < len(queries) and f" g{number}" in queries[number + 1]:
                    self.oracle.execute(f"CREATE OR REPLACE TEMP VIEW g{number} AS {text}")
        return found


def _at(query: str, page: datetime) -> str:
    return query.replace("$as_of", f"TIMESTAMP '{page}'")


def written(row: Sequence[Any]) -> str:
    """Write a row so that equal rows are written alike, averages to ten digits."""
    return repr([f"{value:.10g}" if isinstance(value, float) else value for value in row])
