"""Small questions that tests ask of a lake."""

from __future__ import annotations

from typing import Any

from jobs.suite import Suite


def rows(suite: Suite, query: str, parameters: list[Any] | None = None, snapshot_id: int | None = None) -> list[Any]:
    with suite.lake.reading(snapshot_id) as connection:
        return connection.execute(query, parameters or []).fetchall()


def compared_columns(schema: str) -> str:
    """Give the columns of a product's table without what differs from run to run."""
    return "* EXCLUDE (run_id, published_at)" if schema == "predictions" else "*"


def page_rows(suite: Suite, product: str, schema: str = "predictions") -> list[Any]:
    """Give all rows of a product's table, sorted, without what differs from run to run."""
    return rows(suite, f"SELECT {compared_columns(schema)} FROM {schema}.{product} ORDER BY ALL")
