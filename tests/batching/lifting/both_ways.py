"""Run a query page by page against what was known, and lifted; hold the rows side by side."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from warehouse.batching.lifting import AS_OF_COLUMN, PAGE, PAGES, LiftedForm, TableShape, lift
from warehouse.system_sql import system_sql

#: A fact of `trips`: trip, driver, minutes, known_at, withdrawn. Versions of a trip follow one another.
Trip = tuple[str, str | None, int | None, datetime, bool]
LATE = timedelta(minutes=15)
TRIPS = TableShape(
    (("trip", "VARCHAR"), ("driver", "VARCHAR"), ("minutes", "INTEGER"), ("known_at", "TIMESTAMP")), LATE, True, True
)
DRIVERS = TableShape((("driver", "VARCHAR"), ("depot", "VARCHAR"), ("known_at", "TIMESTAMP")), is_small=True)
SOURCES = {"trips": TRIPS, "drivers": DRIVERS}
TRIP_COLUMNS = {"trip": "TEXT", "driver": "TEXT", "minutes": "INT", "known_at": "TIMESTAMP", "withdrawn": "BOOL"}
DRIVER_COLUMNS = {"driver": "TEXT", "depot": "TEXT", "known_at": "TIMESTAMP"}
_SUPERSEDED_AT = "lead(known_at) OVER (PARTITION BY trip ORDER BY known_at, place)"
_lift = functools.cache(lambda query: lift(query, SOURCES))


def _rows(columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> str:
    """Write a SELECT of rows, numbered from 0 in the column `place`."""
    given = [[str(place), *row] for place, row in enumerate(rows)]
    texts = [", ".join("NULL" if value is None else f"'{value}'" for value in row) for row in given]
    typed = ", ".join(f"{name}::{kind} AS {name}" for name, kind in {"place": "INT", **columns}.items())
    nothing = ", ".join(["NULL"] * (len(columns) + 1))
    values = ", ".join(f"({text})" for text in texts) or f"({nothing})"
    return f"SELECT {typed} FROM (VALUES {values}) AS given (place, {', '.join(columns)}) WHERE place IS NOT NULL"


@dataclass
class World:
    """Facts of two sources, trips with versions and drivers without, and pages to look at them."""

    pages: Sequence[datetime]
    connection: duckdb.DuckDBPyConnection

    @classmethod
    def of(
        cls, trips: Sequence[Trip], drivers: Sequence[tuple[str, str, datetime]], pages: Sequence[datetime]
    ) -> World:
        """Fill the tables."""
        connection = duckdb.connect(":memory:")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TABLE all_trips AS {_rows(TRIP_COLUMNS, trips)}")
        connection.execute(f"CREATE TABLE all_drivers AS {_rows(DRIVER_COLUMNS, drivers)}")
        return cls(sorted(set(pages)), connection)

    def plain(self, query: str) -> Counter[tuple[Any, ...]]:
        """Give the rows of one query a page, the page last."""
        rows: Counter[tuple[Any, ...]] = Counter()
        for page in self.pages:
            newest = f"SELECT *, {_SUPERSEDED_AT} AS next FROM all_trips WHERE known_at < TIMESTAMP '{page - LATE}'"
            self._view(
                "trips", f"SELECT trip, driver, minutes, known_at FROM ({newest}) WHERE next IS NULL AND NOT withdrawn"
            )
            self._view("drivers", f"SELECT * EXCLUDE (place) FROM all_drivers WHERE known_at < TIMESTAMP '{page}'")
            found = self.connection.execute(query, {"as_of": page} if "$as_of" in query else None).fetchall()
            rows.update((*row, page) for row in found)
        return rows

    def lifted(self, form: LiftedForm) -> Counter[tuple[Any, ...]]:
        """Give the rows of the one query for all pages, the page last."""
        listed = ", ".join(f"(TIMESTAMP '{page}')" for page in self.pages)
        self.connection.execute(f'CREATE OR REPLACE TEMP TABLE "{PAGES}" AS FROM (VALUES {listed}) AS pages ("{PAGE}")')
        self._view("ingested_trips", "SELECT *, place AS ingest_id FROM all_trips")
        self._view("ingested_drivers", "SELECT *, place AS ingest_id FROM all_drivers")
        last = max(self.pages)
        self._source("lifting/versioned_source", "trips", "trip, driver, minutes, known_at", last - LATE, key="trip")
        self._source("lifting/source", "drivers", "driver, depot, known_at", last)
        found = self.connection.execute(form.text)
        assert found.description is not None
        assert found.description[-1][0] == AS_OF_COLUMN
        return Counter(tuple(row) for row in found.fetchall())

    def check(self, query: str) -> LiftedForm:
        """Lift a query that has to be understood, and hold both ways' rows to be equal."""
        form = _lift(query)
        assert isinstance(form, LiftedForm), f"{form}\n{query}"
        plain, lifted = self.plain(query), self.lifted(form)
        if form.may_lack_pages:
            made = {row[-1] for row in lifted}
            plain = Counter({row: count for row, count in plain.items() if row[-1] in made})
        assert lifted == plain, f"{form.text}\nonly lifted: {lifted - plain}\nonly plain: {plain - lifted}"
        return form

    def _source(self, statement: str, name: str, columns: str, horizon: datetime, **more: str) -> None:
        """Show a source as the statement does that shows it to a lifted query of ours."""
        self.connection.execute(f"DROP VIEW IF EXISTS {name}")
        fragments = {"source": f"ingested_{name}", "horizon": f"TIMESTAMP '{horizon}'", "ingest_id": "1000"}
        self.connection.execute(system_sql(statement, view=name, columns=columns, **fragments, **more))

    def _view(self, name: str, query: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
