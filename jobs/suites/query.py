"""Query: one SELECT over the lake, read-only, now or as of a snapshot, in the form that is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from jobs.suite import Suite
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import Lake
from warehouse.system_sql import literal

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = {"csv": "FORMAT csv, HEADER true", "json": "FORMAT json, ARRAY true", "parquet": "FORMAT parquet"}
_RESULT_IS_ROWS = "one SELECT (or DESCRIBE, SHOW, SUMMARIZE) is allowed; the lake is written by jobs only"


def query_table(suite: Suite, sql: str, *, at_snapshot: int | None = None, limit: int | None = None) -> pa.Table:
    """Run a SELECT and give its rows, at most `limit` of them.

    Raises
    ------
    UsageError
        If it is no single SELECT, or DuckDB refuses it; the message is DuckDB's own.
    """
    with suite.lake.reading(at_snapshot, all_cores=True) as connection:
        relation = _run(connection, sql, suite.lake)
        return (relation if limit is None else relation.limit(limit)).to_arrow_table()


def query_to_file(suite: Suite, sql: str, form: str, target: Path, *, at_snapshot: int | None = None) -> None:
    """Run a SELECT and write its rows to a file as csv, json or parquet, streaming."""
    with suite.lake.reading(at_snapshot, all_cores=True) as connection:
        _run(connection, sql, suite.lake)
        text = sql.strip().rstrip(";")
        try:
            connection.execute(f"COPY ({text}\n) TO {literal(str(target))} ({FORMATS[form]})")
        except duckdb.Error as error:
            raise UsageError(f"the rows cannot be written to {target}: {error}") from error


def _run(connection: duckdb.DuckDBPyConnection, sql: str, lake: Lake) -> duckdb.DuckDBPyRelation:
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type not in (
            duckdb.StatementType.SELECT,
            duckdb.StatementType.EXPLAIN,
        ):
            raise UsageError(f"{len(statements)} statements, or one that does not only read: {_RESULT_IS_ROWS}.")
        return connection.sql(sql)
    except duckdb.CatalogException as error:
        known = [row[0] for row in connection.execute("SELECT schema || '.' || name FROM (SHOW ALL TABLES)").fetchall()]
        raise NotFoundError(f"{error}\nThe lake {lake.root} holds: {', '.join(sorted(known))}.") from error
    except duckdb.Error as error:
        raise UsageError(str(error)) from error
