"""What every kind of database can do for a source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import duckdb

from warehouse.definitions import Source

NOTHING = "Nothing was taken in."


class Database(Protocol):
    """A database that is open for reading, in one transaction."""

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB instance through which it is read."""

    def relation(self, source: Source) -> str:
        """Give what a source reads, in the database's own SQL, for behind FROM."""

    def answer(self, select: str) -> str:
        """Give what a SELECT in the database's own SQL gives, for behind FROM in DuckDB's."""

    def require_exact(self, source: Source, columns: Mapping[str, str], condition: str) -> None:
        """Refuse values that would be read as others.

        Raises
        ------
        IngestFailed
            With what to do.
        """


def in_brackets(query: str) -> str:
    """Give a query as a relation, whatever it ends in."""
    return f"(\n{query.strip().rstrip(';')}\n)"
