"""Statistics that earlier versions left wrong in a lake: found, put right when the lake is next opened, and told.

DuckDB answers from them: of a column of which they say that it has no NULLs it does not look for any, and rows beyond
the least or the greatest value are passed by. Two kinds of files had wrong ones: those that lacked a column of their
table, and those of a FLOAT column that was widened to DOUBLE later (ducklake#1307).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from warehouse.errors import PublishFailed
from warehouse.system_sql import quote, system_sql

#: What is mended: NULLs counted as values, and the least and greatest values of a file.
_NULLS, _BOUNDS = "nulls", "bounds"
#: DuckLake numbers the rows of a transaction from here on.
_OWN_ROWS = 10**18


@dataclass(frozen=True)
class WrongStatistics:
    """Columns of which a lake's statistics are wrong, as `schema.table.column`, and the files to be written anew."""

    nulls: list[str]
    bounds: list[str]
    tables: list[tuple[str, str]]
    files: list[tuple[str, str, str]]

    def __bool__(self) -> bool:
        return bool(self.nulls or self.bounds)


def find_wrong_statistics(connection: duckdb.DuckDBPyConnection) -> WrongStatistics:
    """Look through a lake's statistics, unless it is known that none are wrong."""
    return WrongStatistics([], [], [], []) if _is_looked_through(connection) else _look_through(connection)


def _look_through(connection: duckdb.DuckDBPyConnection) -> WrongStatistics:
    nulls = connection.execute(system_sql("upkeep/miscounted_nulls")).fetchall()
    widened = connection.execute(system_sql("upkeep/widened_floats")).fetchall()
    files = []
    for schema, table in sorted({(schema, table) for schema, table, *_ in widened}):
        before = max(snapshot for *place, _, snapshot in widened if place == [schema, table])
        found = connection.execute(system_sql("upkeep/files_before"), [table, schema, before]).fetchall()
        files += [(schema, table, file) for (file,) in found]
    return WrongStatistics(
        [".".join(row) for row in nulls],
        [".".join(row[:3]) for row in widened],
        sorted({(schema, table) for schema, table, _ in nulls}),
        files,
    )


def put_right(connection: duckdb.DuckDBPyConnection) -> None:
    """Put wrong statistics right, inside the caller's transaction, and record which were.

    Raises
    ------
    duckdb.Error
        If the catalogue refuses.
    PublishFailed
        If DuckLake does not do what it did when this was written.
    """
    wrong = _look_through(connection)
    for schema, table in wrong.tables:
        _count_nulls(connection, schema, table)
    for schema, table, file in wrong.files:
        write_anew(connection, schema, table, file)
    for kind, columns in ((_NULLS, wrong.nulls), (_BOUNDS, wrong.bounds)):
        for column in columns:
            connection.execute("INSERT INTO ledger.mends VALUES ($1, $2)", [kind, column])


def mended_statistics(connection: duckdb.DuckDBPyConnection) -> WrongStatistics:
    """Give the columns whose statistics were put right in this lake."""
    if not _is_looked_through(connection):
        return WrongStatistics([], [], [], [])
    rows = connection.execute("SELECT mend, thing FROM ledger.mends ORDER BY ALL").fetchall()
    nulls, bounds = ([thing for mend, thing in rows if mend == kind] for kind in (_NULLS, _BOUNDS))
    return WrongStatistics(nulls, bounds, [], [])


def write_anew(connection: duckdb.DuckDBPyConnection, schema: str, table: str, file: str) -> None:
    """Write a data file anew, inside a transaction: its rows come back in another one, those that were deleted do not.

    DuckLake's own `ducklake_rewrite_data_files` also makes the table's statistics anew, from what the newest snapshot
    shows. They hold for every snapshot: older ones then lost rows in filters, and counted their NULLs as values
    (ducklake#1377). By an INSERT they only widen.
    """
    target = f"{quote(schema)}.{quote(table)}"
    connection.execute(f"INSERT INTO {target} SELECT * FROM {target} WHERE filename = $1", [file])
    connection.execute(f"DELETE FROM {target} WHERE filename = $1", [file])


def _count_nulls(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> None:
    """Have a table's statistics say that each of its columns may be NULL: by a row that is gone before the commit."""
    target = f"{quote(schema)}.{quote(table)}"
    connection.execute(f"INSERT INTO {target} DEFAULT VALUES")
    row = connection.execute(f"DELETE FROM {target} WHERE rowid >= {_OWN_ROWS}").fetchone()
    if row != (1,):
        raise PublishFailed(f"the statistics of {schema}.{table} could not be put right. Nothing was changed.")


def _is_looked_through(connection: duckdb.DuckDBPyConnection) -> bool:
    """Tell whether a lake was looked through, or made, by a version that leaves no wrong statistics."""
    query = (
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'ledger' AND table_name = 'mends'"
    )
    return connection.execute(query).fetchone() is not None
