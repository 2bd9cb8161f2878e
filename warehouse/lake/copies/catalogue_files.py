"""A copy of a lake's catalogue, as of one instant, in a SQLite file: backups and scratch lakes are made of it.

Of a catalogue in PostgreSQL all tables are read in one transaction of the server, which sees one state of them; nobody
waits for it. DuckLake makes the file, so that its tables are those that DuckLake expects. Rows that a catalogue holds
itself are in tables that differ by the kind of catalogue: in PostgreSQL a text is kept as bytes, and numbers and
instants have types, where SQLite's have text.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb

from warehouse.errors import RunFailed
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.extensions import open_instance
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.servers import connection_text
from warehouse.lake.postgres.sessions import libpq_settings
from warehouse.lake.storage.storage import Storage
from warehouse.system_sql import attach_statement, literal, quote, quote_all, system_sql

#: A table of inlined rows that another process has put into files meanwhile is gone: then all is copied again.
_TRIES = 3
#: The types of PostgreSQL's columns, as DuckDB names them, that SQLite's catalogues keep as a whole number.
_WHOLE = ("BOOLEAN", "SMALLINT", "INTEGER", "BIGINT")
#: What tables of inlined rows are called.
_INLINED = "ducklake_inlined_"


def copy_catalogue(lake: Lake, file: Path) -> None:
    """Copy a lake's catalogue, as of one instant, to a SQLite file that is one; writers need not wait.

    Raises
    ------
    RunFailed
        If it cannot be read, or the copy not be written.
    """
    catalogue = lake.catalogue
    if isinstance(catalogue, SqliteCatalogue):
        catalogue.copy_to(file)
        return
    assert isinstance(catalogue, PostgresCatalogue)
    for tries_left in reversed(range(_TRIES)):
        try:
            _copy_from_server(catalogue, lake.storage, file)
            return
        except duckdb.Error as error:
            file.unlink(missing_ok=True)
            if not tries_left:
                raise RunFailed(
                    f"the catalogue {catalogue.server} could not be copied: {error}. See that the server answers and"
                    " that the disk has room, and run this again. Nothing was changed."
                ) from error


def _copy_from_server(catalogue: PostgresCatalogue, storage: Storage, file: Path) -> None:
    extensions = (*SqliteCatalogue.EXTENSIONS, *catalogue.extensions, *storage.extensions)
    with contextlib.closing(open_instance(extensions)) as connection:
        storage.make_ready(connection)
        place = f"ducklake:sqlite:{file.resolve()}"
        wal = ("META_JOURNAL_MODE 'WAL'",)  # as who attaches it to read wants it, and cannot set it
        connection.execute(
            attach_statement(place, "made", storage.data, read_only=False, snapshot_id=None, options=wal)
        )
        connection.execute("DETACH made")
        # One connection to the server: what it reads is then of one transaction.
        connection.execute("SET threads = 1")
        connection.execute("SET pg_use_ctid_scan = false")
        connection.execute(f"ATTACH {literal(str(file.resolve()))} AS copy (TYPE sqlite)")
        settings = libpq_settings(catalogue.server, "default_transaction_read_only=on")
        options = "TYPE postgres, READ_ONLY, SCHEMA 'public', ISOLATION_LEVEL 'REPEATABLE READ'"
        connection.execute(f"ATTACH {literal(connection_text(settings))} AS server ({options})")
        connection.execute("BEGIN")
        blobs = {tuple(row) for row in connection.execute(system_sql("catalogue/inlined_blobs")).fetchall()}
        for name in _tables(connection, "server"):
            _copy_table(connection, name, {column for table, column in blobs if table == name})
        connection.execute("COMMIT")


def _tables(connection: duckdb.DuckDBPyConnection, database: str) -> list[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $1 ORDER BY table_name"
    names = [str(name) for (name,) in connection.execute(query, [database]).fetchall()]
    return [name for name in names if name.startswith("ducklake_")]


def _copy_table(connection: duckdb.DuckDBPyConnection, name: str, blobs: set[str]) -> None:
    """Copy one table; those of inlined rows are made first. `blobs` are its columns that hold bytes, and not text."""
    source, target = f"server.public.{quote(name)}", f"copy.{quote(name)}"
    columns = [(str(row[0]), str(row[1])) for row in connection.execute(f"DESCRIBE {source}").fetchall()]
    if name.startswith(_INLINED):
        declared = ", ".join(f"{quote(column)} {_type_here(kind, column in blobs)}" for column, kind in columns)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {target} ({declared})")
    connection.execute(f"DELETE FROM {target}")
    values = ", ".join(_value_here(column, kind, column in blobs) for column, kind in columns)
    named = quote_all(column for column, _ in columns)
    connection.execute(f"INSERT INTO {target} ({named}) SELECT {values} FROM {source}")


def _type_here(kind: str, is_blob: bool) -> str:
    return "BIGINT" if kind in _WHOLE else "BLOB" if is_blob else "VARCHAR"


def _value_here(column: str, kind: str, is_blob: bool) -> str:
    """Give SQL of a value as SQLite's catalogues hold it."""
    named = quote(column)
    if kind == "BLOB":
        return named if is_blob else f"decode({named})"
    return f"CAST({named} AS {_type_here(kind, is_blob)})"
