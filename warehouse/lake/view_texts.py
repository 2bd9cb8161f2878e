"""Views of the lake, made anew only where what they select has changed.

Each replacement makes readers read the catalogue again, and keeps the old text with the snapshots before.
"""

from __future__ import annotations

from collections.abc import Mapping

from warehouse.lake.lake import Commit
from warehouse.system_sql import quote, system_sql


def ensure_each_view(commit: Commit, schema: str, wanted: Mapping[str, str]) -> None:
    """Make views what they should be after this commit, as far as they are not.

    Parameters
    ----------
    commit, schema
        Where.
    wanted
        The query of each view, by its name.
    """
    values = [schema, list(wanted), list(wanted.values())]
    other = {row[0] for row in commit.execute(system_sql("reading/views_to_make"), values).fetchall()}
    for view, query in wanted.items():
        if view in other:
            commit.execute(f"CREATE OR REPLACE VIEW {quote(schema)}.{quote(view)} AS {query}")


def drop_view(commit: Commit, schema: str, view: str) -> None:
    """Remove a view that nobody asks for any more, if it is there."""
    found = "SELECT count(*) FROM duckdb_views() WHERE database_name = 'lake' AND schema_name = $1 AND view_name = $2"
    if commit.execute(found, [schema, view]).fetchone() != (0,):
        commit.execute(f"DROP VIEW {quote(schema)}.{quote(view)}")
