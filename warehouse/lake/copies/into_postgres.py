"""A catalogue in a SQLite file put into PostgreSQL: all of it or nothing, as the lake of a directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from warehouse.errors import RunFailed
from warehouse.lake.copies.inlined_tables import make_inlined_tables, putting
from warehouse.lake.extensions import load_postgres, open_instance
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.servers import connection_text
from warehouse.lake.postgres.sessions import libpq_settings, session
from warehouse.system_sql import literal, quote


def put_catalogue(file: Path, new: Lake) -> None:
    """Have DuckLake make its tables in PostgreSQL, and put the rows of a SQLite catalogue in them, in one transaction.

    Only once that is committed, there is a lake. Rows that stand in the catalogue itself are put into files before.

    Raises
    ------
    RunFailed
        If some still do.
    duckdb.Error
        If the server refuses.
    """
    assert isinstance(new.catalogue, PostgresCatalogue)
    drivers = (*new.catalogue.extensions, *new.storage.extensions)
    with contextlib.closing(open_instance(drivers)) as connection:
        new.storage.make_ready(connection)
        new.catalogue.attach(connection, "lake", new.storage.data, read_only=False, snapshot_id=None)
    made = make_inlined_tables(file, new.catalogue)
    with _both(file, new.catalogue) as connection:
        query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $1 ORDER BY table_name"
        there = [str(name) for (name,) in connection.execute(query, ["old"]).fetchall()]
        inlined = [name for name in there if name.startswith("ducklake_inlined_")]
        for name in set(inlined) - {"ducklake_inlined_data_tables"}:
            if connection.execute(f"SELECT count(*) FROM old.{quote(name)}").fetchone() != (0,):
                raise RunFailed(
                    f"rows stand in the catalogue itself ({name}), and could not be put into files: another command"
                    " committed meanwhile. Run this again."
                )
        connection.execute("BEGIN")
        for name in (name for name in there if name.startswith("ducklake_") and name not in inlined):
            _put_table(connection, name)
        for statement in [*putting(made), *new.catalogue.guarding()]:
            connection.execute(f"CALL postgres_execute('new', {literal(statement)})")
        connection.execute("COMMIT")


def was_written_to(catalogue: PostgresCatalogue) -> bool:
    """Tell whether anybody has had a turn of writing since a catalogue was put into its database.

    Raises
    ------
    RunFailed
        If the server refuses.
    """
    with session(catalogue.server) as connection:
        row = connection.execute("SELECT fence FROM almanac.writer WHERE id = 1").fetchone()
    return row is not None and row[0] > 0


def drop_catalogue(catalogue: PostgresCatalogue) -> None:
    """Take a catalogue out of its database, with all that Almanac keeps beside it; the lake's files are the caller's.

    Raises
    ------
    RunFailed
        If the server refuses.
    """
    catalogue.forget_made()
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND starts_with(tablename, 'ducklake_')"
    with session(catalogue.server) as connection, connection.transaction():
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f"DROP TABLE public.{quote(name)} CASCADE")
        connection.execute("DROP SCHEMA almanac CASCADE")


@contextlib.contextmanager
def _both(file: Path, catalogue: PostgresCatalogue) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an instance that has both catalogues attached, as databases: `old` and `new`."""
    with contextlib.closing(open_instance()) as connection:
        load_postgres(connection)
        # Its columns have whatever types SQLite was given; each value is read as text, and cast to the column's type.
        connection.execute("SET sqlite_all_varchar = true")
        connection.execute(f"ATTACH {literal(str(file))} AS old (READ_ONLY)")
        place = literal(connection_text(libpq_settings(catalogue.server)))
        connection.execute(f"ATTACH {place} AS new (TYPE postgres)")
        yield connection


def _put_table(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    target = f"new.public.{quote(name)}"
    columns = connection.execute(f"DESCRIBE {target}").fetchall()
    ours = {row[0] for row in connection.execute(f"DESCRIBE old.{quote(name)}").fetchall()}
    if ours != {row[0] for row in columns}:
        raise RunFailed(f"the table {name} of the two catalogues has not the same columns; use one version of DuckDB.")
    casts = ", ".join(f"{quote(row[0])}::{row[1]} AS {quote(row[0])}" for row in columns)
    connection.execute(f"DELETE FROM {target}")
    connection.execute(f"INSERT INTO {target} BY NAME SELECT {casts} FROM old.{quote(name)}")
