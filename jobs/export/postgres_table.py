"""Targets that are a table in PostgreSQL: filled, and put down as filled, in one transaction of the server.

With `swap` the rows go into a new table, which takes the place of the one before; with `upsert` into one that stays,
row by row; with `replace_page` the rows of a page go into one that stays, in place of those of the same page. The
server's table `almanac.exports` says what each table holds. Rows and that are committed together, so that it is the
truth whatever became of the connection.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from jobs.export.content import Content, require_rows
from jobs.export.target import CURRENT, Held, Owner
from warehouse.definitions.export import WriteMode
from warehouse.errors import AlmanacError, RunFailed, UsageError
from warehouse.lake.extensions import open_instance
from warehouse.lake.lake import one_transaction
from warehouse.lake.postgresql import attach_postgres, short_error
from warehouse.system_sql import literal, quote, quote_all, system_sql

_WRITTEN = "Nothing was written."
_NO_PAGE = "-infinity"
#: How often the old table is asked for before it is told that readers keep it: for about a minute.
_ATTEMPTS = 120
#: DuckDB's types as PostgreSQL writes those that hold their values.
_TYPES = {
    "VARCHAR": "text",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "TINYINT": "smallint",
    "UTINYINT": "smallint",
    "SMALLINT": "smallint",
    "USMALLINT": "integer",
    "INTEGER": "integer",
    "UINTEGER": "bigint",
    "BIGINT": "bigint",
    "UBIGINT": "numeric(20,0)",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIME": "time without time zone",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "UUID": "uuid",
    "BLOB": "bytea",
    "JSON": "jsonb",
}


@dataclass(frozen=True)
class PostgresTable:
    """One table. `where` is the line of product.yaml that names the variable which says where the server is."""

    variable: str
    schema: str
    table: str
    mode: WriteMode
    owner: Owner
    where: str

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.variable}: {self.schema}.{self.table}"

    @property
    def _name(self) -> str:
        return f"{quote(self.schema)}.{quote(self.table)}"

    def held(self) -> Mapping[datetime, Held]:
        """Give the commits whose publications the table holds, as the server says it."""
        with self._errors(), contextlib.closing(open_instance()) as connection, self._server(connection) as server:
            return self._held(server)

    def _held(self, server: _Server) -> dict[datetime, Held]:
        """Read what the table holds; nothing if there is none.

        Raises
        ------
        UsageError
            If it is not one that exports of this product of this suite made in this way.
        """
        table = server.rows("table", schema=literal(self.schema), table=literal(self.table))
        own = []
        if server.rows("has_own") == [(True,)]:
            own = server.rows("own_rows", schema=literal(self.schema), table=literal(self.table))
        if not table:
            return {}
        ((oid, kind, is_bound),) = table
        why = ""
        if not own:
            why = "was not made by an export"
        elif (own[0][0], own[0][1]) != (self.owner.suite_id, self.owner.product):
            whose = "this suite" if own[0][0] == self.owner.suite_id else f"another suite ({own[0][0]})"
            why = f"holds an export of the product {own[0][1]} of {whose}"
        elif own[0][2] != self.mode:
            why = f"was written by `write: {own[0][2]}`, and holds something else than `write: {self.mode}` is to hold"
        elif own[0][7] != oid:
            why = "was made anew by somebody else since the last export"
        elif kind != "r" or is_bound:
            why = "has row level security, or is no plain table any more"
        if why:
            raise UsageError(
                f"{self.where}: in {self.variable} the table {self._name} {why}. Name another `table`, or drop"
                f" or rename that one; {_WRITTEN.lower()}"
            )
        return {
            CURRENT if row[3] == _NO_PAGE else datetime.fromisoformat(row[3]): Held(
                row[4], datetime.fromisoformat(row[5]), row[6]
            )
            for row in own
        }

    def send(self, connection: duckdb.DuckDBPyConnection, content: Content) -> int:
        """Fill the table, and put down what it holds, in one transaction."""
        kinds = {name: self._kind(name, kind) for name, kind in content.columns.items()}
        with self._errors(), self._server(connection) as server, one_transaction(connection):
            if server.rows("has_own") == [(False,)]:
                server.run("create_own")
            server.run("begin", place=literal(f"almanac {self._name}"))
            key = content.as_of if self.mode == "replace_page" else CURRENT
            there = self._held(server).get(key)
            if there is not None and there.has(content.snapshot_id, content.published_at):
                return there.n_rows  # another process was quicker
            table = server.rows("table", schema=literal(self.schema), table=literal(self.table))
            if table:
                self._require_fitting(server, table[0][0], kinds)
            n_rows = self._fill(server, content, kinds, is_there=bool(table), is_held=there is not None)
            require_rows(content, n_rows, self.place)
            self._note(server, content)
        return n_rows

    def _fill(
        self, server: _Server, content: Content, kinds: Mapping[str, str], *, is_there: bool, is_held: bool
    ) -> int:
        """Write the rows; give their number. `is_there`: the table; `is_held`: what it holds is to be replaced."""
        keys = [*content.keys]
        if self.mode == "replace_page":
            keys = ["as_of", *_without(keys, "as_of")]
            if not is_there:
                self._create(server, self._name, kinds)
                n_rows = server.copy(self.schema, self.table, content, kinds)
                server.run("finish", place=self._name, keys=quote_all(keys))
                return n_rows
            if not is_held:
                # What nobody noted there is no page of ours, such as one whose row of `almanac.exports` was removed.
                server.run("delete_page", place=self._name, as_of=literal(str(content.as_of)))
                return server.copy(self.schema, self.table, content, kinds)
        staged = f"almanac_{content.run_id}"
        fresh = f"{quote(self.schema)}.{quote(staged)}"
        merges = self.mode == "replace_page" or (self.mode == "upsert" and is_there)
        self._create(server, fresh, kinds, unlogged=merges)
        n_rows = server.copy(self.schema, staged, content, kinds)
        if merges:
            self._merge(server, fresh, content, keys, n_rows)
            return n_rows
        server.run("finish", place=fresh, keys=quote_all(keys))
        if is_there:
            own = {"old": literal(self._name), "schema": quote(self.schema), "attempts": str(_ATTEMPTS)}
            server.run("swap", new=literal(fresh), **own)
        else:
            own = {"new": literal(self._name), "wanted": literal(self.table)}
            server.run("rename", place=fresh, table=quote(self.table), **own)
        return n_rows

    def _create(self, server: _Server, place: str, kinds: Mapping[str, str], *, unlogged: bool = False) -> None:
        listed = ", ".join(f"{quote(name)} {kind}" for name, kind in kinds.items())
        server.run("create_table", unlogged="UNLOGGED" if unlogged else "", place=place, columns=listed)

    def _merge(self, server: _Server, staged: str, content: Content, keys: Sequence[str], n_rows: int) -> None:
        others = [name for name in content.columns if name not in keys] or [*keys]
        of_page = f".as_of = {literal(str(content.as_of))}"
        in_place = [f"{name}{of_page}" if self.mode == "replace_page" else "TRUE" for name in ("there", "held")]
        server.run(
            "merge",
            place=self._name,
            staged=staged,
            changed=f"{quote(self.schema)}.{quote(f'almanac_{content.run_id}_changed')}",
            columns=quote_all(content.columns),
            keys=quote_all(keys),
            settings=", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in others),
            staged_columns=quote_all(content.columns, "staged."),
            there=quote_all(others, "there."),
            staged_others=quote_all(others, "staged."),
            n_rows=str(n_rows),
            one_key=quote(keys[0]),
            page_there=in_place[0],
            page_held=in_place[1],
            same_key=_same("staged", "held", keys),
            same_key_there=_same("staged", "there", keys),
        )

    def _require_fitting(self, server: _Server, oid: int, kinds: Mapping[str, str]) -> None:
        """Refuse a table whose columns are not those that are to be written, and one that something depends on."""
        there = {name: (kind, may_lack) for name, kind, may_lack in server.rows("columns", oid=str(oid))}
        odd = [
            f"`{name}` is {there[name][0]} there and {kind} here"
            for name, kind in kinds.items()
            if name in there and there[name][0] != kind
        ]
        if self.mode == "swap":
            odd += [f"`{name}` is there and not here, and would be lost" for name in there if name not in kinds]
        else:
            odd += [
                f"`{name}` is here and not there: ALTER TABLE {self._name} ADD COLUMN {quote(name)} {kind}"
                for name, kind in kinds.items()
                if name not in there
            ]
            odd += [
                f"`{name}` is there and not here, and may not be NULL"
                for name, (_, may_lack) in there.items()
                if name not in kinds and not may_lack
            ]
        if odd:
            raise UsageError(
                f"{self.place}: the columns do not fit: {'; '.join(odd)}. Change the table or `columns`, or drop the"
                f" table; {_WRITTEN.lower()}"
            )
        hang_on = [row[0] for row in server.rows("dependents", oid=str(oid))] if self.mode == "swap" else []
        if hang_on:
            raise UsageError(
                f"{self.place}: a swap would drop the table, and on it depend: {', '.join(hang_on)}. Drop them, or take"
                f" `write: upsert`, which keeps the table, under another `table`; {_WRITTEN.lower()}"
            )

    def _kind(self, name: str, kind: str) -> str:
        if kind.endswith("]") or kind.startswith(("STRUCT(", "MAP(", "UNION(")):
            return "jsonb"
        if found := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind):
            return f"numeric({found[1]},{found[2]})"
        if kind.startswith("ENUM("):
            return "text"
        if kind not in _TYPES:
            raise UsageError(
                f"{self.place}: PostgreSQL has no type for `{name}`, which is {kind}. Leave it out by `columns`;"
                f" {_WRITTEN.lower()}"
            )
        return _TYPES[kind]

    def _note(self, server: _Server, content: Content) -> None:
        at = {"published_at": content.published_at, "exported_at": content.now}
        whose = {"suite": content.suite_id, "product": content.product, "run_id": content.run_id, "write": self.mode}
        where = {"schema": self.schema, "table": self.table, "place": self._name}
        key = str(content.as_of) if self.mode == "replace_page" else _NO_PAGE
        texts = {**whose, **where, "as_of": key, **{name: str(value) for name, value in at.items()}}
        values = {name: literal(text) for name, text in texts.items()}
        page = f"WHERE as_of = {literal(str(content.as_of))}" if self.mode == "replace_page" else ""
        server.run("note", snapshot_id=str(content.snapshot_id), counted=f"{self._name} {page}", **values)

    @contextlib.contextmanager
    def _server(self, connection: duckdb.DuckDBPyConnection) -> Iterator[_Server]:
        with attach_postgres(connection, self.variable, self.where, "target", read_only=False):
            yield _Server(connection)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except AlmanacError:
            raise
        except duckdb.Error as error:
            raise RunFailed(
                f"{self.place}: {short_error(error)}. What the table held before is still there, whole, unless the"
                " connection broke at the very commit; the next export asks the server which it is."
            ) from error


@dataclass(frozen=True)
class _Server:
    """A server that is attached as `target`."""

    connection: duckdb.DuckDBPyConnection

    def rows(self, name: str, **fragments: str) -> list[tuple[Any, ...]]:
        """Ask it; `name` is a file in sql/system/export/postgres/."""
        query = system_sql(f"export/postgres/{name}", **fragments)
        return self.connection.execute(f"FROM postgres_query('target', {literal(query)})").fetchall()

    def run(self, name: str, **fragments: str) -> None:
        """Have it do something; `name` is a file in sql/system/export/postgres/."""
        statements = system_sql(f"export/postgres/{name}", **fragments)
        self.connection.execute(f"CALL postgres_execute('target', {literal(statements)})")

    def copy(self, schema: str, table: str, content: Content, columns: Mapping[str, str]) -> int:
        """Stream the rows into a table by PostgreSQL's binary COPY; give their number."""
        # DuckDB keeps what it knows of the server's tables, and this one is new.
        self.connection.execute("CALL pg_clear_cache()")
        place = f"target.{quote(schema)}.{quote(table)}"
        query = content.select(lists_as_text=True)
        statement = system_sql("export/postgres/copy", place=place, columns=quote_all(columns), rows=query)
        row = self.connection.execute(statement).fetchone()
        return int(row[0]) if row else 0


def _same(one: str, other: str, keys: Sequence[str]) -> str:
    return " AND ".join(f"{one}.{quote(key)} = {other}.{quote(key)}" for key in keys)


def _without(names: Sequence[str], name: str) -> list[str]:
    return [each for each in names if each != name]
