"""Views of the lake, made anew only where what they select has changed.

Each replacement makes readers read the catalogue again, and keeps the old text with the snapshots before.
"""

from __future__ import annotations

from warehouse.lake.lake import Commit
from warehouse.system_sql import quote, system_sql


def ensure_view(commit: Commit, schema: str, view: str, query: str) -> None:
    """Make a view what it should be after this commit, if it is not."""
    row = commit.execute(system_sql("reading/view_text"), [schema, view]).fetchone()
    if row is None or row[0] != _as_stored(commit, query):
        commit.execute(f"CREATE OR REPLACE VIEW {quote(schema)}.{quote(view)} AS {query}")


def _as_stored(commit: Commit, query: str) -> str:
    """Write a query as DuckDB writes the queries of views: parsed, and put into words again."""
    row = commit.execute("SELECT json_deserialize_sql(json_serialize_sql($1))", [query]).fetchone()
    assert row is not None
    return str(row[0])
