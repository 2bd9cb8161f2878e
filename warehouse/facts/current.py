"""`sources.NAME_current`: of each fact of a source its newest version, unless it is withdrawn.

The table `sources.NAME` holds every version, so that a plain sum over it counts a restated fact twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from warehouse.definitions import Source
from warehouse.lake.lake import Commit, Lake, table_columns
from warehouse.lake.tables import ensure_each_view
from warehouse.system_sql import quote, quote_all, system_sql


def ensure_current(commit: Commit, source: Source) -> None:
    """Make the view what it should be after this commit. Call it in every commit that may change the columns."""
    columns = table_columns(commit.connection, "sources", source.name)
    if not all(key in columns for key in source.key):
        return
    query = system_sql(
        "ingest/current",
        columns=quote_all(name for name in columns if name != "withdrawn"),
        key=quote_all(source.key),
        source=quote(source.name),
    )
    ensure_each_view(commit, "sources", {current_name(source.name): query})


def ensure_all_current(lake: Lake, sources: Iterable[Source]) -> None:
    """Make the views that an earlier version of Almanac did not make yet."""
    with lake.reading() as connection:
        present = {name for (name,) in connection.execute(system_sql("reading/current_views")).fetchall()}
        lacking = [
            source
            for source in sources
            if current_name(source.name) not in present and table_columns(connection, "sources", source.name)
        ]
    if lacking:
        with lake.commit("make the views of what is current of sources") as commit:
            for source in lacking:
                ensure_current(commit, source)


def current_name(source: str) -> str:
    """Name the view on what is current of a source."""
    return f"{source}_current"
