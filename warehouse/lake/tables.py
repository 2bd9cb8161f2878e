"""Tables and views of the lake.

Tables are made when they are first written to, and grown as their definitions do. Views are made anew only where what
they select has changed: each replacement makes readers read the catalogue again, and keeps the old text with the
snapshots before.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from warehouse.errors import UsageError
from warehouse.lake.lake import Commit, table_columns
from warehouse.system_sql import quote, system_sql

#: Types that are widened in place, from the narrowest on. Not FLOAT to DOUBLE, which DuckLake 1.0 does too: it keeps
#: the least and the greatest value of a file as the text of a FLOAT, `0.1`, and a filter on the DOUBLE that this value
#: became, 0.10000000149, then passes by its rows (ducklake#1307).
_WIDENING = (("TINYINT", "SMALLINT", "INTEGER", "BIGINT"),)


def _is_wider(kind: str, than: str) -> bool:
    return any(kind in row and than in row and row.index(kind) > row.index(than) for row in _WIDENING)


def _fields_to_add(there: str, kind: str) -> dict[str, str] | None:
    """Give the fields that a STRUCT lacks of another; None if one is no STRUCT, or a field has another type."""
    present, wanted = (_fields(text) for text in (there, kind))
    if present is None or wanted is None or any(present.get(name, of) != of for name, of in wanted.items()):
        return None
    return {name: of for name, of in wanted.items() if name not in present}


def _fields(kind: str) -> dict[str, str] | None:
    """Read a STRUCT's fields off its type's text."""
    if not kind.startswith("STRUCT(") or not kind.endswith(")"):
        return None
    of_type = duckdb.dtype(kind)
    return {str(name): str(of) for name, of in of_type.children}


def is_related(kind: str, other: str) -> bool:
    """Tell whether two types are one, or one is the other widened."""
    return kind == other or _is_wider(kind, other) or _is_wider(other, kind)


def drop_if_of_another_type(commit: Commit, schema: str, table: str, column: str, kind: str) -> None:
    """Drop a table, inside a commit, whose column has another type than this; what it held is to be made again."""
    there = table_columns(commit.connection, schema, table).get(column)
    if there is not None and there != kind:
        commit.execute(f"DROP TABLE {quote(schema)}.{quote(table)}")


def ensure_table(
    commit: Commit, schema: str, table: str, columns: dict[str, str], *, fields_come: bool = False
) -> bool:
    """Make a table, add the columns that it lacks, and widen those that have become wider.

    With `fields_come` a STRUCT also gets the fields that it lacks; those not given any more stay NULL.

    Returns
    -------
    Whether the table now has just these columns and types, so that a file of them can be added as it is.

    Raises
    ------
    UsageError
        If a column is there already with a type that cannot hold the new one.
    """
    present = table_columns(commit.connection, schema, table)
    target = f"{quote(schema)}.{quote(table)}"
    if not present:
        declared = ", ".join(f"{quote(name)} {kind}" for name, kind in columns.items())
        commit.execute(f"CREATE TABLE {target} ({declared})")
        return True
    return widen_table(commit.connection, target, present, columns, f"{schema}.{table}", fields_come=fields_come)


def widen_table(
    connection: duckdb.DuckDBPyConnection,
    target: str,
    present: Mapping[str, str],
    columns: Mapping[str, str],
    named: str,
    *,
    fields_come: bool = False,
) -> bool:
    """Add to a table the columns that it lacks, and widen those that have become wider; see `ensure_table`.

    Parameters
    ----------
    target, present
        The table, quoted, and its columns.
    columns
        Those that it is to have.
    named
        The table as people know it.
    """
    # A column that the definition no longer has stays in the table, and a file to be added has to bear it.
    same = present.keys() <= columns.keys()
    for name, kind in columns.items():
        there = present.get(name)
        if there is None:
            connection.execute(f"ALTER TABLE {target} ADD COLUMN {quote(name)} {kind}")
        elif _is_wider(kind, there):
            connection.execute(f"ALTER TABLE {target} ALTER COLUMN {quote(name)} SET DATA TYPE {kind}")
        elif _is_wider(there, kind):
            same = False
        elif there != kind and fields_come and (missing := _fields_to_add(there, kind)) is not None:
            for field, its_kind in missing.items():
                connection.execute(f"ALTER TABLE {target} ADD COLUMN {quote(name)}.{quote(field)} {its_kind}")
            same = False
        elif there != kind:
            raise UsageError(
                f"{named}: the column {name} is {there} in the lake and {kind} in the definition; columns"
                f" keep their type, or widen. Cast it to {there}, or give the new one another name."
            )
    return same


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
