"""How the database of a source is opened, by what its environment variable says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from jobs.facts.databases.database import NOTHING, Database, in_brackets
from jobs.facts.databases.postgres import PostgresAnswers
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import AlmanacError, IngestFailed, UsageError
from warehouse.lake.extensions import open_instance
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.servers import names_postgres
from warehouse.lake.postgresql import attach_postgres, short_error
from warehouse.system_sql import literal, quote, system_sql


@dataclass(frozen=True)
class DuckdbReads:
    """A database that DuckDB reads itself, or a file with the rows."""

    connection: duckdb.DuckDBPyConnection
    file: Path | None = None

    def relation(self, source: Source) -> str:
        """Give the table, or the query in brackets."""
        header = source.header
        if self.file is not None:
            return f"read_parquet({literal(str(self.file))})"
        if header.table is not None:
            return ".".join(quote(part) for part in header.table.split("."))
        statements = duckdb.extract_statements(header.query or "")
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise IngestFailed(f"{source.file.at('query')}: write one SELECT, without another statement. {NOTHING}")
        return in_brackets(statements[0].query)

    def answer(self, select: str) -> str:
        """Give the SELECT itself."""
        return f"({select})"

    def require_exact(self, source: Source, columns: Mapping[str, str], condition: str) -> None:
        """Refuse nothing: DuckDB has these types."""


def _in_sqlite(path: Path) -> duckdb.DuckDBPyConnection:
    return _attached("databases/attach_sqlite", path)


def _in_duckdb(path: Path) -> duckdb.DuckDBPyConnection:
    return _attached("databases/attach_duckdb", path)


def _attached(statement: str, path: Path) -> duckdb.DuckDBPyConnection:
    connection = open_instance()
    try:
        connection.execute(system_sql(statement, file=literal(str(path))))
        connection.execute("USE db")
    except duckdb.Error:
        connection.close()
        raise
    return connection


def _in_lake(path: Path) -> duckdb.DuckDBPyConnection:
    return Lake(path).connect()


#: How each kind of database in files is opened for reading, by what its place begins with.
_IN_FILES: Mapping[str, Callable[[Path], duckdb.DuckDBPyConnection]] = {
    "sqlite": _in_sqlite,
    "duckdb": _in_duckdb,
    "lake": _in_lake,
}


@contextlib.contextmanager
def open_database(
    suite: Suite, source: Source, bounded: Callable[[duckdb.DuckDBPyConnection], None]
) -> Iterator[Database]:
    """Open the database of a source for reading, in one transaction: what is counted and read is one state of it.

    Parameters
    ----------
    bounded
        Bounds the memory of an instance.

    Raises
    ------
    UsageError
        If the environment variable is not set, or names nothing that can be read.
    IngestFailed
        If the database cannot be opened, or fails while it is open.
    """
    name = source.header.database or ""
    is_postgres = names_postgres(os.environ.get(name, ""))
    opened = _postgres(source) if is_postgres else _files(suite, source, name)
    with _told_of(source), opened as database:
        bounded(database.connection)
        database.connection.execute("BEGIN")
        yield database


@contextlib.contextmanager
def _postgres(source: Source) -> Iterator[Database]:
    variable, where = source.header.database or "", source.file.at("database")
    with (
        contextlib.closing(open_instance()) as connection,
        attach_postgres(connection, variable, where, "db", read_only=True),
    ):
        try:
            yield PostgresAnswers(connection)
        finally:
            with contextlib.suppress(duckdb.Error):
                connection.execute("ROLLBACK")


@contextlib.contextmanager
def _files(suite: Suite, source: Source, name: str) -> Iterator[Database]:
    kind, _, place = os.environ.get(name, "").partition(":")
    # What it says is never shown: it may hold a password.
    if kind not in _IN_FILES or not place or place.startswith("//"):
        raise UsageError(
            f"{source.file.at('database')}: the environment variable {name} has to be set, to"
            " postgresql://USER@HOST:PORT/DATABASE, sqlite:PATH, duckdb:PATH or lake:PATH (another suite's lake"
            " directory)."
        )
    path = (suite.root / place).resolve()
    if not path.exists():
        raise IngestFailed(f"{source.file.at('database')}: what {name} names is not there. {NOTHING}")
    with contextlib.closing(_IN_FILES[kind](path)) as connection:
        yield DuckdbReads(connection)


@contextlib.contextmanager
def _told_of(source: Source) -> Iterator[None]:
    try:
        yield
    except (AlmanacError, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as error:
        raise IngestFailed(
            f"{source.file.where}: the database that {source.header.database} names cannot be read as declared:"
            f" {short_error(error)}. Nothing was taken in; the next ingestion begins where this one did."
        ) from error
