"""Small questions that tests ask of a lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.suite import Suite
from warehouse.lake.lake import Lake
from warehouse.pages.views import ensure_views


def rows(suite: Suite, query: str, parameters: list[Any] | None = None, snapshot_id: int | None = None) -> list[Any]:
    with suite.lake.reading(snapshot_id) as connection:
        return connection.execute(query, parameters or []).fetchall()


def rows_by_the_ledger(suite: Suite, product: str, query: str) -> list[Any]:
    """Answer a query while a product's views look up in the ledger which pages they show, as in a long backfill."""
    for more_follow in (True, False):
        with suite.lake.commit("how views know their pages") as commit:
            ensure_views(commit, suite.definitions.product(product), more_follow=more_follow)
        if more_follow:
            found = rows(suite, query)
    return found


def compared_columns(schema: str) -> str:
    """Give the columns of a product's table without what differs from run to run."""
    return "* EXCLUDE (run_id, published_at)" if schema == "predictions" else "*"


def page_rows(suite: Suite, product: str, schema: str = "predictions") -> list[Any]:
    """Give all rows of a product's table, sorted, without what differs from run to run."""
    return rows(suite, f"SELECT {compared_columns(schema)} FROM {schema}.{product} ORDER BY ALL")


def files_of(lake: Lake) -> list[Path]:
    """List what lies in a lake's directory, but for the log that SQLite has beside a catalogue while it is open."""
    return sorted(path for path in lake.root.rglob("*") if not path.name.endswith(("-wal", "-shm")))
