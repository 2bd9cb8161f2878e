"""The staged rows of many pages as checks read them: features and scores side by side, out of files.

That is a join of files, which costs much for one page and hardly more for many. So the columns that checks name
are held in memory, for as many pages at a time as a bound allows; what is too large for it is read where it lies.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from warehouse.queries.checked_query import CheckedQuery
from warehouse.sandbox import HOLD_FROM_PAGES, timestamp_literal
from warehouse.system_sql import quote_all, system_sql

#: So many values (rows times columns) of pages are held at a time: some 200 MB.
HELD_VALUES = 10_000_000


class PageRows:
    """The staged rows of a batch's pages.

    Attributes
    ----------
    whole
        SQL of the relation of all rows, with all columns.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        table: str,
        rows: str,
        n_rows: Mapping[datetime, int],
        queries: Iterable[CheckedQuery],
    ) -> None:
        """Take the rows; they are not looked at for one page, which is read where it lies.

        Parameters
        ----------
        cursor
            Where `rows` can be read.
        table
            The full name of a table to hold rows in; it is this object's to make and replace.
        rows
            SQL of the relation of all rows.
        n_rows
            Its pages, with the number of rows of each.
        queries
            What will read them.
        """
        self._cursor, self._table, self.whole = cursor, table, rows
        self._n_rows, self._queries = n_rows, list(queries)
        self._held: Sequence[datetime] | None = None
        self._is_too_large = False

    @functools.cached_property
    def types(self) -> dict[str, str]:
        """The columns of `page` with their DuckDB types."""
        described = self._cursor.execute(f"DESCRIBE FROM {self.whole}").fetchall()
        return {str(row[0]): str(row[1]) for row in described}

    @functools.cached_property
    def _columns(self) -> list[str]:
        named = columns_named(self._queries)
        return [name for name in self.types if named is None or name.lower() in {*named, "as_of"}]

    @functools.cached_property
    def parts(self) -> list[list[datetime]]:
        """The pages in order, cut so that the rows of each part can be held."""
        if len(self._n_rows) == 1:
            return [list(self._n_rows)]
        return list(_parts(self._n_rows, max(1, HELD_VALUES // len(self._columns))))

    def of(self, part: Sequence[datetime]) -> str:
        """Give SQL of a relation that has the rows of one of the parts, until the next one is asked for."""
        if len(part) < HOLD_FROM_PAGES or self._is_too_large:
            return self.whole
        if part == self._held:
            return self._table
        try:
            self._hold(part)
        except duckdb.OutOfMemoryException:
            self._is_too_large = True
            return self.whole
        return self._table

    def _hold(self, part: Sequence[datetime]) -> None:
        self._held = None
        first, last = timestamp_literal(part[0]), timestamp_literal(part[-1])
        listed = quote_all(self._columns)
        held = system_sql("audit/hold", table=self._table, columns=listed, rows=self.whole, first=first, last=last)
        # The part before goes first, so that there are never two.
        self._cursor.execute(f"DROP TABLE IF EXISTS {self._table}")
        self._cursor.execute(held)
        self._held = part

    def part_of(self, page: datetime) -> Sequence[datetime]:
        """Give the part that a page belongs to."""
        return next(part for part in self.parts if page in part)


def _parts(n_rows: Mapping[datetime, int], most: int) -> Iterator[list[datetime]]:
    """Cut pages, in order, so that no part of several has more than `most` rows."""
    part: list[datetime] = []
    for page in sorted(n_rows):
        if part and sum(n_rows[each] for each in part) + n_rows[page] > most:
            yield part
            part = []
        part.append(page)
    if part:
        yield part


def columns_named(queries: Iterable[CheckedQuery]) -> frozenset[str] | None:
    """Give every name by which some queries may mean a column, lower-cased; None where that may be any column."""
    names: set[str] = set()
    for query in queries:
        found = _Names()
        found.look(json.loads(query.tree))
        if found.any_column or found.alone & found.relations:  # A relation's name alone means its whole row.
            return None
        names |= found.columns
    return frozenset(names)


class _Names:
    """The names in a query's syntax tree: of columns, of those that stand alone, and of relations."""

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self.alone: set[str] = set()
        self.relations: set[str] = set()
        self.any_column = False

    def look(self, node: Any) -> None:
        """Visit a node and all below it."""
        if isinstance(node, list):
            for item in node:
                self.look(item)
        if not isinstance(node, dict):
            return
        kind = node.get("class")
        if kind == "COLUMN_REF":
            parts = [str(part).lower() for part in node["column_names"]]
            self.columns |= {*parts}
            self.alone |= {parts[0]} if len(parts) == 1 else set()
        elif kind is None:
            self.relations |= {str(node[key]).lower() for key in ("alias", "table_name") if node.get(key)}
            self.columns |= {str(name).lower() for name in node.get("using_columns", [])}
        by_place = kind in ("STAR", "POSITIONAL_REFERENCE") or bool(node.get("column_name_alias"))
        self.any_column |= by_place or node.get("ref_type") == "NATURAL"
        for value in node.values():
            self.look(value)
