"""A lifted query gives exactly the rows of the same query run page by page."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.batching.lifting.both_ways import LATE, World

FIRST = datetime(2024, 3, 8, 18)
PAGES = [FIRST + timedelta(days=n) for n in range(5)]
STEPS = [timedelta(0), timedelta(microseconds=1), -timedelta(microseconds=1), LATE, timedelta(hours=7)]

QUERIES = {
    "a window, grouped": """
        SELECT driver, count(*) AS n, sum(minutes) AS total,
            max(minutes) FILTER (WHERE known_at >= $as_of - INTERVAL 1 DAY)
        FROM trips WHERE known_at >= $as_of - INTERVAL 2 DAY GROUP BY driver""",
    "all rows": "FROM trips",
    "a star, and one of a relation": "SELECT t.*, * EXCLUDE (minutes) FROM trips AS t",
    "an instant's parts": "SELECT trip, year($as_of) - 2000 AS y, date_diff('hour', known_at, $as_of) AS h FROM trips",
    "no relation": "SELECT $as_of::DATE + 1 AS day",
    "an aggregate over everything": "SELECT count(*) AS n, max(minutes) AS longest FROM trips",
    "one whose page is a group": "SELECT $as_of::DATE AS day, count(*) AS n FROM trips GROUP BY 1",
    "one that is filtered": "SELECT driver, count(*) AS n FROM trips GROUP BY ALL HAVING count(*) > 1",
    "a constant beside an aggregate, grouped by all": "SELECT 1 AS one, count(*) AS n FROM trips GROUP BY ALL",
    "an instant beside an aggregate, grouped by all": "SELECT $as_of AS at, count(*) AS n FROM trips GROUP BY ALL",
    "windows": """
        SELECT trip, row_number() OVER (ORDER BY known_at, trip) AS nth,
            lag(minutes) OVER (PARTITION BY driver ORDER BY known_at, trip) AS before,
            count(*) OVER () AS n, sum(count(*)) OVER () AS m
        FROM trips GROUP BY trip, known_at, minutes, driver""",
    "the newest of each": """
        SELECT * FROM trips QUALIFY row_number() OVER (PARTITION BY driver ORDER BY known_at, trip) = 1""",
    "a join with a source": """
        SELECT t.trip, d.depot FROM trips AS t JOIN drivers AS d ON t.driver = d.driver AND t.minutes > 1""",
    "a left join with a source": """
        WITH late AS (SELECT trip, driver FROM trips WHERE known_at BETWEEN $as_of - INTERVAL 1 DAY AND $as_of)
        SELECT late.driver, count(*) AS n, count(depot) AS placed, avg((drivers.known_at IS NULL)::INT) AS unknown
        FROM late LEFT JOIN drivers USING (driver) GROUP BY late.driver""",
    "a column that USING merges": "SELECT driver, upper(driver) AS shout, depot FROM drivers JOIN trips USING (driver)",
    "a left join the other way": """
        SELECT driver, count(trip) AS n FROM drivers LEFT JOIN trips USING (driver) GROUP BY driver""",
    "semi": "SELECT depot, drivers.driver FROM drivers SEMI JOIN trips ON trips.driver = drivers.driver",
    "anti": "SELECT * FROM drivers ANTI JOIN trips USING (driver)",
    "a source with itself": """
        SELECT a.trip, b.trip FROM trips AS a JOIN trips AS b ON a.driver = b.driver AND a.trip < b.trip""",
    "CTEs over one another": """
        WITH seen AS (SELECT * FROM trips WHERE minutes > 0),
            mean AS (SELECT driver, avg(minutes) AS usual FROM seen GROUP BY driver)
        SELECT seen.trip, seen.minutes - mean.usual AS above
        FROM seen JOIN mean USING (driver) JOIN drivers ON drivers.driver = seen.driver""",
    "constants": """
        WITH days AS (FROM (VALUES (DATE '2024-03-09'), (DATE '2024-03-11')) AS listed(day))
        SELECT day, count(*) AS n FROM trips CROSS JOIN days WHERE known_at::DATE < day GROUP BY day""",
    "a subquery first": """
        SELECT x.driver, x.n FROM (SELECT driver, count(*) AS n FROM trips GROUP BY 1) AS x WHERE n > 0""",
    "distinct": "SELECT DISTINCT driver FROM trips",
    "distinct on": "SELECT DISTINCT ON (driver) driver, trip FROM trips ORDER BY driver, known_at, trip",
    "union": "SELECT driver FROM trips UNION ALL SELECT driver FROM drivers",
    "except": "SELECT driver FROM drivers EXCEPT SELECT driver FROM trips WHERE known_at >= $as_of - INTERVAL 1 DAY",
    "asof": """
        WITH t AS (FROM trips), d AS (FROM drivers)
        SELECT t.trip, d.depot FROM t ASOF JOIN d ON t.driver = d.driver AND t.known_at >= d.known_at""",
    "table functions": "SELECT trip, n FROM trips, range(2) AS r(n) WHERE minutes > n",
    "not, and or": "SELECT trip FROM trips WHERE NOT (minutes BETWEEN 1 AND 2) OR known_at < $as_of - INTERVAL 1 DAY",
}

instants = st.builds(
    lambda page, hours, step: page - timedelta(hours=hours) + step,
    st.sampled_from(PAGES),
    st.sampled_from([0, 0, 5, 24, 48]),
    st.sampled_from(STEPS),
)
drivers = st.sampled_from(["ann", "bob", "cy"])
trips = st.lists(
    st.tuples(
        st.sampled_from(["t1", "t2", "t3", "t4"]),
        st.one_of(st.none(), drivers),
        st.one_of(st.none(), st.integers(0, 3)),
        instants,
        st.sampled_from([False, False, False, True]),
    ),
    max_size=12,
)
placed = st.lists(st.tuples(drivers, st.sampled_from(["north", "south"]), instants), max_size=4)


@pytest.mark.parametrize("name", QUERIES)
@settings(max_examples=12, deadline=None)
@given(trips=trips, placed=placed, pages=st.lists(st.one_of(st.sampled_from(PAGES), instants), min_size=1, max_size=5))
def test_a_lifted_query_gives_the_rows_of_the_plain_one(name: str, trips: Any, placed: Any, pages: Any) -> None:
    World.of(trips, placed, pages).check(QUERIES[name])


def test_a_page_without_any_fact_is_left_to_be_made_by_itself() -> None:
    world = World.of([], [], PAGES)
    form = world.check("SELECT count(*) AS n FROM trips")
    assert form.may_lack_pages
    assert not world.lifted(form)


def test_the_pages_that_having_leaves_without_a_row_are_told_from_those_without_a_fact() -> None:
    world = World.of([], [("ann", "north", PAGES[1])], PAGES)
    form = world.check("SELECT count(*) AS n FROM drivers HAVING n > 1")
    assert not world.lifted(form)
    assert form.aggregated is not None
    seen = world.lifted(replace(form, text=form.aggregated))
    assert sorted(seen) == [(page,) for page in PAGES[2:]]
