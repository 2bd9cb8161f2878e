"""Run a query page by page against a sandbox, and the range way; hold them side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from warehouse.batching.ranges.recognition import RangeForm, recognise
from warehouse.batching.syntax.shapes import Reason, SourceShape


@dataclass
class Case:
    """Facts of one source, with the pages to be made from them."""

    connection: duckdb.DuckDBPyConnection
    source: str
    shape: SourceShape
    pages: Sequence[datetime]

    def plain(self, query: str) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Return the columns and the rows, each with its as_of before it, of one query per page."""
        late = self.shape.arrives_within // timedelta(microseconds=1)
        rows: list[tuple[Any, ...]] = []
        columns: list[tuple[str, str]] = []
        for as_of in sorted(set(self.pages)):
            self.connection.execute(
                f'CREATE OR REPLACE TEMP VIEW "{self.source}" AS SELECT * FROM facts'
                f" WHERE known_at + to_microseconds({late}) < TIMESTAMP '{as_of}'"
            )
            values = {"as_of": as_of} if "$as_of" in query else None
            described = self.connection.execute(f"DESCRIBE {query}", values).fetchall()
            columns = [(name, kind) for name, kind, *_ in described]
            found = self.connection.execute(query, values).fetchall()
            rows += [(as_of, *row) for row in found]
        return [("as_of", "TIMESTAMP"), *columns], rows

    def ranged(self, form: RangeForm, wanted: str | None = None) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
        """Return the columns and the rows of the one query for all pages, or for the keys that are wanted on each."""
        self.connection.execute("CREATE OR REPLACE TEMP TABLE some_pages (as_of TIMESTAMP)")
        if self.pages:
            self.connection.executemany("INSERT INTO some_pages VALUES (?)", [[as_of] for as_of in self.pages])
        sql = form.sql("some_pages", "facts", wanted)
        described = self.connection.execute(f"DESCRIBE {sql}").fetchall()
        return [(name, kind) for name, kind, *_ in described], self.connection.execute(sql).fetchall()

    def check(self, query: str) -> RangeForm:
        """Recognise a query that has to be understood, and hold both ways' columns and rows to be equal."""
        form = recognise(query, {self.source: self.shape})
        assert not isinstance(form, Reason), f"{form}\n{query}"
        plain_columns, plain_rows = self.plain(query)
        range_columns, range_rows = self.ranged(form)
        if self.pages:
            assert range_columns == plain_columns
        approximate = [0, *(column.is_approximate for column in form.columns)]
        assert_equal_rows(range_rows, plain_rows, approximate)
        if form.keys and self.pages:
            self._check_wanted(form, [name for name, _ in plain_columns], plain_rows, approximate)
        return form

    def _check_wanted(
        self, form: RangeForm, names: list[str], rows: list[tuple[Any, ...]], approximate: Sequence[bool | int]
    ) -> None:
        """Want the keys of every other row, some of them twice: just these rows are made."""
        places = [names.index(name) for name in ("as_of", *form.keys)]
        kinds = dict(zip(names, (kind for _, kind in self.ranged(form)[0]), strict=True))
        keys = [tuple(row[place] for place in places) for row in rows[::2]]
        columns = ", ".join(f'"{names[place]}" {kinds[names[place]]}' for place in places)
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE some_keys ({columns})")
        if keys:
            marks = ", ".join("?" for _ in places)
            self.connection.executemany(f"INSERT INTO some_keys VALUES ({marks})", [*keys, *keys[:2]])
        chosen = {key for key in keys if None not in key}
        expected = [row for row in rows if tuple(row[place] for place in places) in chosen]
        assert_equal_rows(self.ranged(form, "some_keys")[1], expected, approximate)


def assert_equal_rows(
    found: Iterable[tuple[Any, ...]], wanted: Iterable[tuple[Any, ...]], is_approximate: Sequence[bool | int]
) -> None:
    """Hold two bags of rows to be equal: to the last bit, but within 1e-9 where a column is approximate."""

    def parted(row: tuple[Any, ...]) -> tuple[str, list[float | None]]:
        exact = [repr(v) for v, loose in zip(row, is_approximate, strict=True) if not loose]
        return "|".join(exact), [v for v, loose in zip(row, is_approximate, strict=True) if loose]

    def order(pair: tuple[str, list[float | None]]) -> tuple[str, list[float]]:
        return pair[0], [-1.0 if value is None else round(value, 6) for value in pair[1]]

    left, right = (sorted(map(parted, rows), key=order) for rows in (found, wanted))
    assert [exact for exact, _ in left] == [exact for exact, _ in right]
    for (_, ours), (_, theirs) in zip(left, right, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            if one is None or other is None:
                assert one is other
            else:
                assert math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def case(
    columns: dict[str, str],
    rows: Sequence[Sequence[Any]],
    pages: Sequence[datetime],
    arrives_within: timedelta = timedelta(0),
    source: str = "landings",
) -> Case:
    """Make a case; each row holds the columns' values and then its known_at."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    inside = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    connection.execute(f"CREATE TABLE facts ({inside}, known_at TIMESTAMP)")
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        connection.execute(
            f"INSERT INTO facts VALUES {', '.join(f'({marks})' for _ in rows)}",
            [value for row in rows for value in row],
        )
    return Case(connection, source, SourceShape(columns, arrives_within), pages)
