"""Staged files, looked at before they become part of a table or of something that is handed over."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb

from warehouse.errors import PublishFailed
from warehouse.system_sql import exact_path, quote


def require_columns(connection: duckdb.DuckDBPyConnection, schema: str, table: str, staged: Path) -> None:
    """Refuse a file that does not have just the columns of a lake's table.

    Of a column that a file lacks DuckLake 1.0 would record that it has no NULLs: `count(c)`, `c IS NULL` and
    `coalesce(c, 0)` were wrong from then on, for all rows of the table.

    Raises
    ------
    PublishFailed
        If its columns or their types are not the table's.
    """
    found = _described(connection, "read_parquet($1)", [exact_path(staged)])
    wanted = _described(connection, f"lake.{quote(schema)}.{quote(table)}", [])
    if found != wanted:
        odd = ", ".join(sorted({f"{name} {kind}" for name, kind in found.items() ^ wanted.items()}))
        raise PublishFailed(
            f"the staged rows of {schema}.{table} do not have just its columns; only one side has {odd}. Nothing was"
            " changed. If another version of the suite writes to this lake, see that both are of one version."
        )


def sha256_of(staged: Path) -> str:
    """Give the SHA-256 of a file that nobody is writing, in hexadecimal digits."""
    with staged.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _described(connection: duckdb.DuckDBPyConnection, relation: str, parameters: list[str]) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE FROM {relation}", parameters).fetchall()
    return {str(row[0]): str(row[1]) for row in rows}
