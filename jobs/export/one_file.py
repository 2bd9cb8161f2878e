"""Targets that are one file: a SQLite or DuckDB database with what is current, written anew and then renamed.

A reader that has the file open goes on reading what it opened; whoever opens it next sees the new one, whole. In the
file stands beside the table which publication it holds, so that the rename makes both true at once.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from jobs.export.content import Content, require_rows, value_counts
from jobs.export.target import CURRENT, Held, Owner, clear, put_in_place
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.extensions import open_instance
from warehouse.lake.lake import one_transaction
from warehouse.system_sql import literal, quote, quote_all, system_sql

_ANOTHER = "Name another file under `to`, or move this one away; nothing was written."


@dataclass(frozen=True)
class OneFile:
    """A database in one file, of which all is ours. The kinds differ in the class variables and in `_tables`."""

    path: Path
    table: str
    owner: Owner
    #: Which SQL opens it, how the target's own row is called, and what else lies beside a file that is in use.
    ATTACH: ClassVar[str] = ""
    OWN: ClassVar[str] = ""
    BESIDE: ClassVar[tuple[str, ...]] = ()
    LISTS_AS_TEXT: ClassVar[bool] = False

    @property
    def place(self) -> str:
        """Where it is."""
        return str(self.path)

    def held(self) -> Mapping[datetime, Held]:
        """Give the commit whose publication the file holds; nothing if there is no file."""
        if not self.path.exists():
            return {}
        tables, own = self._look()
        if not own or tables - {self.OWN, self.table, own[0][2]}:
            raise UsageError(f"{self.path} holds {_listed(tables)}, and was not made by an export. {_ANOTHER}")
        suite_id, product, _, snapshot_id, published_at, n_rows = own[0]
        if (suite_id, product) != (self.owner.suite_id, self.owner.product):
            whose = f"the product {product}" if suite_id == self.owner.suite_id else f"another suite ({suite_id})"
            raise UsageError(f"{self.path} holds an export of {whose}. {_ANOTHER}")
        return {CURRENT: Held(snapshot_id, datetime.fromisoformat(published_at), n_rows)}

    def _look(self) -> tuple[set[str], list[Any]]:
        """Give the tables of the file, and its own rows."""
        raise NotImplementedError

    def send(self, connection: duckdb.DuckDBPyConnection, content: Content) -> int:
        """Write a new file, and rename it."""
        beside = [each for ending in self.BESIDE if (each := Path(f"{self.path}{ending}")).exists()]
        if beside:
            raise UsageError(
                f"{beside[0]} lies beside the target: a program writes to the file, or died while it did, and with a"
                " new file its log would spoil that. Let programs open the target for reading only, remove the log"
                " once none has it open, and export again; nothing was written."
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear(self.path.parent, f".{self.path.name}.", ".new", "")
        temporary = self.path.with_name(f".{self.path.name}.{content.run_id}.new")
        try:
            n_rows = self._fill(connection, temporary, content)
            self._finish(temporary, content)
            put_in_place(temporary, self.path)
        finally:
            clear(self.path.parent, temporary.name, "")
        return n_rows

    def _fill(self, connection: duckdb.DuckDBPyConnection, temporary: Path, content: Content) -> int:
        table, own = f"target.{quote(self.table)}", f"target.{self.OWN}"
        query = content.select(lists_as_text=self.LISTS_AS_TEXT)
        attach = system_sql(self.ATTACH, file=literal(str(temporary)))
        with _attached(connection, attach), one_transaction(connection):
            self._prepare(connection)
            connection.execute(f"CREATE TABLE {table} AS {query}")
            counts = value_counts(content.columns)
            wanted, found = (
                connection.execute(system_sql("export/counts", counts=counts, relation=relation)).fetchone() or ()
                for relation in (f"({query})", table)
            )
            _require_values(content, wanted, found, self.place)
            connection.execute(system_sql("export/create_own_row", table=own))
            as_of, published_at, now = (str(at) for at in (content.as_of, content.published_at, content.now))
            whose = [self.owner.suite_id, content.product, self.table]
            values = [*whose, as_of, content.snapshot_id, published_at, found[0], now, content.run_id]
            connection.execute(system_sql("export/insert_own_row", table=own), values)
        return int(found[0])

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make what the tables need."""

    def _finish(self, temporary: Path, content: Content) -> None:
        """Do what is left once the rows are there."""


@dataclass(frozen=True)
class SqliteFile(OneFile):
    """A SQLite database with an index on the keys. Times are text, and so are decimals, lists and structs."""

    ATTACH: ClassVar[str] = "export/attach_sqlite"
    OWN: ClassVar[str] = "almanac_exports"
    BESIDE: ClassVar[tuple[str, ...]] = ("-wal", "-journal")
    LISTS_AS_TEXT: ClassVar[bool] = True

    def _look(self) -> tuple[set[str], list[Any]]:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{_in_uri(self.path)}?mode=ro", uri=True)) as database:
                found = database.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()
                tables = {str(name) for (name,) in found}
                own = self.OWN in tables
                return tables, database.execute(system_sql("export/own_rows", table=self.OWN)).fetchall() if own else []
        except sqlite3.DatabaseError as error:
            raise UsageError(f"{self.path} is no SQLite database that can be read: {error}. {_ANOTHER}") from error

    def _finish(self, temporary: Path, content: Content) -> None:
        with contextlib.closing(sqlite3.connect(temporary)) as database:
            database.execute(f"CREATE UNIQUE INDEX almanac_by_key ON {quote(self.table)} ({quote_all(content.keys)})")
            database.commit()


@dataclass(frozen=True)
class DuckdbFile(OneFile):
    """A DuckDB database, with the types that the lake has."""

    ATTACH: ClassVar[str] = "export/attach_duckdb"
    OWN: ClassVar[str] = "almanac.exports"
    BESIDE: ClassVar[tuple[str, ...]] = (".wal",)

    def _look(self) -> tuple[set[str], list[Any]]:
        try:
            with contextlib.closing(open_instance()) as connection:
                connection.execute(f"ATTACH {literal(str(self.path))} AS target (TYPE duckdb, READ_ONLY)")
                listed = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'target'"
                names = connection.execute(listed).fetchall()
                tables = {name if schema == "main" else f"{schema}.{name}" for schema, name in names}
                query = system_sql("export/own_rows", table=f"target.{self.OWN}")
                return tables, connection.execute(query).fetchall() if self.OWN in tables else []
        except duckdb.IOException as error:
            raise RunFailed(
                f"{self.path} cannot be opened: {error}. If a program has it open for writing, let it open the file"
                " with read_only; if it is no DuckDB database, name another file. Nothing was written."
            ) from error

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE SCHEMA target.almanac")


@contextlib.contextmanager
def _attached(connection: duckdb.DuckDBPyConnection, statement: str) -> Iterator[None]:
    connection.execute(statement)
    try:
        yield
    finally:
        # What was committed is in the file itself after this, and not in a log beside it.
        connection.execute("DETACH target")


def _require_values(content: Content, wanted: tuple[Any, ...], found: tuple[Any, ...], place: str) -> None:
    """Refuse a table that lacks rows, or values that the target cannot hold (SQLite makes NULL of NaN)."""
    require_rows(content, found[0], place)
    for name, there, kept in zip(["rows", *content.columns], wanted, found, strict=True):
        if there != kept:
            raise RunFailed(
                f"{place} cannot hold all of `{name}`: {there} values were written, and {kept} are there. What it held"
                f" before is still there; leave the column out by `columns`, or correct the page."
            )


def _in_uri(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _listed(tables: set[str]) -> str:
    return f"the tables {', '.join(sorted(tables))}" if tables else "no table"
