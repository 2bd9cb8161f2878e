"""What cannot be shown to keep its meaning is not lifted, and the reason is given."""

from __future__ import annotations

import pytest

from tests.batching.lifting.both_ways import SOURCES
from warehouse.batching.lifting import LiftedForm, Reason, TableShape, lift

REASONS = {
    "SELECT * FROM trips ORDER BY minutes LIMIT 3": "LIMIT",
    "SELECT trip FROM trips WHERE minutes > (SELECT avg(minutes) FROM trips)": "a subquery within an expression",
    "SELECT trip FROM trips WHERE driver IN (SELECT driver FROM drivers)": "a subquery within an expression",
    "SELECT * FROM trips RIGHT JOIN drivers ON trips.driver = drivers.driver": "right regular join",
    "SELECT * FROM trips FULL JOIN drivers ON trips.driver = drivers.driver": "full regular join",
    "SELECT trips.trip FROM trips NATURAL JOIN drivers": "natural join",
    "SELECT trip, driver FROM trips UNION BY NAME SELECT driver, depot FROM drivers": "UNION BY NAME",
    "SELECT trips.trip FROM trips, (SELECT driver FROM drivers) AS d": "a subquery on the right of a join",
    "SELECT driver, minutes, count(*) FROM trips GROUP BY CUBE (driver, minutes)": "several grouping sets",
    "WITH n AS (SELECT count(*) AS n FROM trips) SELECT trip, n FROM trips, n": "aggregates over all rows",
    "SELECT * FROM trips JOIN drivers USING (driver)": "selects * from a join with USING",
    "SELECT trip, trips FROM trips": "trips may mean a whole row",
    "SELECT COLUMNS('t.*') FROM trips": "COLUMNS",
    "SELECT trip FROM trips AS t(trip, driver, known_at, minutes) WHERE minutes < $as_of": "names of its own",
    "SELECT a FROM (SELECT trip, driver FROM trips) AS t(a, b)": "names of its own",
    "WITH t(a, b) AS (SELECT trip, driver FROM trips) SELECT a FROM t": "names of its own",
    "WITH t AS (SELECT trip, driver FROM trips) SELECT a FROM t AS u(a, b)": "names of its own",
    "SELECT 'x' AS k FROM trips GROUP BY ALL": "neither groups nor aggregates",
    "SELECT trip FROM trips WHERE #3 > 4": "a column by its place",
    "SELECT trip FROM trips ASOF JOIN drivers ON trips.known_at >= drivers.known_at": "ASOF",
    "SELECT day FROM generate_series($as_of - INTERVAL 3 DAY, $as_of, INTERVAL 1 DAY) AS s(day)": "table function of",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n FROM r": "recursive",
}


@pytest.mark.parametrize(("query", "why"), REASONS.items())
def test_a_query_that_cannot_be_lifted_says_why(query: str, why: str) -> None:
    found = lift(query, SOURCES)
    assert isinstance(found, Reason), found
    assert why in str(found)


def test_a_large_source_is_not_read_whole_on_every_page() -> None:
    large = {"trips": TableShape(SOURCES["trips"].columns)}
    found = lift("SELECT driver, count(*) AS n FROM trips GROUP BY 1", large)
    assert str(found) == "it reads all of trips on every page"
    assert isinstance(lift("SELECT * FROM trips WHERE known_at >= $as_of - INTERVAL 1 DAY", large), LiftedForm)
    assert isinstance(lift("SELECT * FROM trips WHERE known_at >= TIMESTAMP '2024-01-01'", large), Reason)
