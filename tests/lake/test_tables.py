"""Tables of the lake grow as their definitions do: columns are added and widened, never narrowed."""

from __future__ import annotations

import pytest

from jobs.suite import Suite
from tests.lakes import rows
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.lake.tables import ensure_table


def grown(suite: Suite, columns: dict[str, str]) -> tuple[bool, dict[str, str]]:
    """Ask for a table of such columns; tells whether it has just these, and what it has."""
    with suite.lake.commit("a table that grows") as commit:
        is_just_so = ensure_table(commit, "features", "grown", columns)
        return is_just_so, dict(table_columns(commit.connection, "features", "grown"))


def test_a_column_is_widened_kept_wide_and_never_turned_into_another_type(ingested: Suite) -> None:
    assert grown(ingested, {"a": "INTEGER"}) == (True, {"a": "INTEGER"})
    assert grown(ingested, {"a": "BIGINT", "b": "VARCHAR"}) == (True, {"a": "BIGINT", "b": "VARCHAR"})
    assert grown(ingested, {"a": "SMALLINT", "b": "VARCHAR"}) == (False, {"a": "BIGINT", "b": "VARCHAR"})
    assert grown(ingested, {"a": "BIGINT"}) == (False, {"a": "BIGINT", "b": "VARCHAR"})
    with pytest.raises(UsageError, match=r"the column a is BIGINT in the lake and DOUBLE in the definition"):
        grown(ingested, {"a": "DOUBLE", "b": "VARCHAR"})


def test_rows_of_sources_and_pages_have_no_table_in_the_catalogue(published: Suite) -> None:
    """To read a table that has one, DuckLake reads the whole catalogue as it was when the table was made."""
    query = (
        "SELECT DISTINCT schema_name FROM __ducklake_metadata_lake.ducklake_inlined_data_tables"
        " JOIN __ducklake_metadata_lake.ducklake_table USING (table_id)"
        " JOIN __ducklake_metadata_lake.ducklake_schema USING (schema_id)"
    )
    found = {name for (name,) in rows(published, query)}
    assert "ledger" in found
    assert found.isdisjoint({"sources", "features", "labels", "predictions"})
