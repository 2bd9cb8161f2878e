"""PostgreSQL asked in its own SQL, so that it uses its indexes, and a `query` says what it says there.

What DuckDB would read from it as another value than stands there is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from jobs.facts.databases.database import NOTHING, in_brackets
from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.system_sql import literal, quote, system_sql


@dataclass(frozen=True)
class PostgresAnswers:
    """A PostgreSQL database, which answers in its own SQL."""

    connection: duckdb.DuckDBPyConnection

    def relation(self, source: Source) -> str:
        """Give the table, whose name is taken as it is written, or the query in brackets."""
        header = source.header
        if header.table is not None:
            return ".".join(quote(part) for part in header.table.split("."))
        return in_brackets(header.query or "")

    def answer(self, select: str) -> str:
        """Have PostgreSQL answer the SELECT."""
        return f"postgres_query('db', {literal(select)})"

    def require_exact(self, source: Source, columns: Mapping[str, str], condition: str) -> None:
        """Refuse decimals without a precision, and NaN, infinities and instants that DuckDB has no value for."""
        relation = self.relation(source)
        types = self._types(relation, columns)
        vague = [
            name
            for name, kind in columns.items()
            if types[name].startswith("numeric") and not kind.startswith("DECIMAL")
        ]
        if vague:
            casts = {name: f"CAST({quote(name)} AS numeric(38, 9)) AS {quote(name)}" for name in vague}
            listed = ", ".join(casts.get(name, quote(name)) for name in columns)
            raise IngestFailed(
                f"{source.file.where}: the column `{vague[0]}` is numeric without a precision, or with more than 38"
                " digits, and would lose some. Say how many it has, in place of `table` (or in your query, with CAST):"
                f" `query: SELECT {listed} FROM {relation if source.header.table else '...'}`. {NOTHING}"
            )
        tests = {name: _outside(name, types[name]) for name in columns}
        if not any(tests.values()):
            return
        counts = ", ".join(f"count(*) FILTER (WHERE {test}) AS {quote(name)}" for name, test in tests.items() if test)
        query = system_sql("databases/outside", counts=counts, relation=relation, condition=condition)
        found = self.connection.execute(f"FROM {self.answer(query)}")
        names = [column[0] for column in found.description or ()]
        for name, n_rows in zip(names, found.fetchone() or (), strict=True):
            if n_rows:
                raise IngestFailed(
                    f"{source.file.where}: `{name}` is NaN, infinite, or later than the year 294246 in {n_rows} rows,"
                    f" which cannot be kept as it is. Give NULL or another value for it by `query`, or CAST it to text."
                    f" {NOTHING}"
                )

    def _types(self, relation: str, columns: Mapping[str, str]) -> dict[str, str]:
        """Ask for PostgreSQL's own types of columns; this works without rows."""
        kinds = ", ".join(f"CAST(pg_typeof(one.{quote(name)}) AS text) AS {quote(name)}" for name in columns)
        query = system_sql("databases/types", kinds=kinds, relation=relation)
        found = self.connection.execute(f"FROM {self.answer(query)}").fetchone() or ()
        return dict(zip(columns, map(str, found), strict=True))


def _outside(name: str, kind: str) -> str:
    """Give SQL that tells whether a column of PostgreSQL's holds what DuckDB has no value for; nothing if it cannot."""
    column = quote(name)
    if kind == "numeric":
        return f"{column} IN ('NaN', 'Infinity', '-Infinity')"
    if kind == "numeric[]":
        return f"{column} && CAST(ARRAY['NaN', 'Infinity', '-Infinity'] AS numeric[])"
    if kind.startswith("timestamp"):
        latest = f"CAST('294246-12-31' AS {kind.removesuffix('[]')})"
        if kind.endswith("[]"):
            return f"{latest} < ANY ({column})"
        return f"{column} > {latest} AND {column} <> 'infinity'"
    return ""
