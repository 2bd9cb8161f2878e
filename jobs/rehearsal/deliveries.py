"""What had been delivered at an instant: ingestions are shown one after the other, as they really came.

Where the lake had facts of each source that the product reads before the rehearsal begins, every ingestion counts from
the instant at which it was recorded. Otherwise the facts were delivered in bulk later, and all of them count as if each
had come in its time, as for watermarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.lake.lake import Commit, Lake
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import exact_path, literal, system_sql

_FILE = "ingestions.parquet"
#: Feature pages that all policies share, by the table of the ledger; profiles first: records say what is there.
_SHARED = {name: f"{name}.parquet" for name in ("profiles", "segment_profiles", "pages")}


def came_in_its_time(connection: duckdb.DuckDBPyConnection, suite: Suite, product: Product, begin: datetime) -> bool:
    """Tell whether each source that a product reads had been ingested before an instant (naive UTC)."""
    read = [*suite.definitions.sources_of(product), *suite.definitions.sources_read([product.label])]
    found = connection.execute("SELECT DISTINCT source FROM ledger.ingestions WHERE ingested_at < $1", [begin])
    return {source.name for source in read} <= {name for (name,) in found.fetchall()}


def hide_later(commit: Commit, directory: Path, begin: datetime) -> None:
    """Take the ingestions from an instant on out of the ledger, and keep them in a file beside it."""
    file = literal(str(directory / _FILE))
    commit.connection.execute(system_sql("rehearsal/keep_ingestions", begin=timestamp_literal(begin), file=file))
    commit.connection.execute("DELETE FROM ledger.ingestions WHERE ingested_at >= $1", [begin])


def hide_pages(commit: Commit, product: Product, directory: Path, begin: datetime) -> None:
    """Take the records of feature pages from an instant on out of the ledger; their rows stay for whoever needs them.

    A monitor, or a training, would else know of pages that nobody had made.
    """
    at, name = timestamp_literal(begin), literal(product.name)
    for table, file in _SHARED.items():
        path = literal(str(directory / file))
        commit.connection.execute(system_sql("rehearsal/keep_pages", table=table, product=name, begin=at, file=path))
        gone = f"DELETE FROM ledger.{table} WHERE product = $1 AND kind = 'features' AND as_of >= $2"
        commit.connection.execute(gone, [product.name, begin])


@dataclass(frozen=True)
class Deliveries:
    """The ingestions that are kept beside a lake until they are due."""

    lake: Lake
    directory: Path

    def show(self, until: datetime) -> int:
        """Show what was recorded before an instant (naive UTC) and is not there yet; give how many those are."""
        file = self.directory / _FILE
        if not file.exists():
            return 0
        with self.lake.reading() as connection:
            query = system_sql("rehearsal/count_due_ingestions")
            row = connection.execute(query, [exact_path(file), until]).fetchone()
        if not row or not row[0]:
            return 0
        with self.lake.commit("facts that were delivered") as commit:
            commit.connection.execute(system_sql("rehearsal/show_ingestions"), [exact_path(file), until])
        return int(row[0])

    def show_pages(self, until: datetime) -> None:
        """Show the shared feature pages before an instant (naive UTC), where a policy has made no page of its own."""
        with self.lake.reading() as connection:
            query = system_sql("rehearsal/count_due_pages")
            row = connection.execute(query, [exact_path(self.directory / _SHARED["pages"]), until]).fetchone()
        if row and row[0]:
            with self.lake.commit("feature pages that are shared") as commit:
                for table, file in _SHARED.items():
                    query = system_sql("rehearsal/show_pages", table=table)
                    commit.connection.execute(query, [exact_path(self.directory / file), until])
