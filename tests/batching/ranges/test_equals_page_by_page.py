"""The range way gives exactly the rows that are made page by page: names, types, and every bit that is not exempt."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.batching.ranges.both_ways import case
from warehouse.batching.ranges import segments

COLUMNS = {
    "city": "VARCHAR",
    "Code": "INTEGER",
    "delay": "INTEGER",
    "big": "BIGINT",
    "small": "SMALLINT",
    "price": "DECIMAL(9,2)",
    "fee": "DECIMAL(4,1)",
    "weight": "DECIMAL(18,4)",
    "flag": "BOOLEAN",
    "day": "DATE",
    "at": "TIMESTAMP",
    "heat": "DOUBLE",
}
# 18:00 in New York: the clocks go forward on 2013-03-10, so the page of that day comes an hour early in UTC.
GRID = [datetime(2013, 3, 7, 23) + timedelta(days=n) - timedelta(hours=n > 2) for n in range(7)]
STEPS = [timedelta(0), timedelta(microseconds=1), -timedelta(microseconds=1), timedelta(minutes=15)]

instants = st.builds(
    lambda page, days, hours, step: page - timedelta(days=days, hours=hours) + step,
    st.sampled_from(GRID),
    st.integers(0, 4),
    st.sampled_from([0, 0, 1, 6, 13]),
    st.sampled_from(STEPS),
)


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


facts = st.lists(
    st.tuples(
        nullable(st.sampled_from(["a", "b", "A", "", "é"])),
        nullable(st.integers(-1, 2)),
        nullable(st.one_of(st.integers(-3, 3), st.integers(-(2**31), 2**31 - 1))),
        nullable(st.one_of(st.integers(-3, 3), st.integers(-(2**62), 2**62))),
        nullable(st.integers(-(2**15), 2**15 - 1)),
        nullable(st.decimals("-99999.99", "99999.99", places=2)),
        nullable(st.decimals("-99.9", "99.9", places=1)),
        nullable(st.decimals("-9999999999", "9999999999", places=4)),
        nullable(st.booleans()),
        nullable(st.dates(date(2013, 3, 1), date(2013, 3, 3))),
        nullable(st.sampled_from(GRID)),
        nullable(st.floats(-100, 100)),
        nullable(instants),
    ),
    max_size=40,
)
pages = st.lists(st.one_of(st.sampled_from(GRID), instants), min_size=1, max_size=7)

LOCAL_MIDNIGHT = (
    "timezone('America/New_York', date_trunc('day', timezone('America/New_York', timezone('UTC', $as_of))))"
)
edges = st.one_of(
    st.builds("$as_of - INTERVAL ({}) {}".format, st.integers(-1, 50), st.sampled_from(["DAY", "HOUR", "MINUTE"])),
    st.sampled_from(
        [
            "$as_of",
            "date_trunc('day', $as_of)",
            "$as_of::DATE",
            LOCAL_MIDNIGHT,
            f"{LOCAL_MIDNIGHT} - INTERVAL 1 DAY",
            "CASE WHEN dayofweek($as_of) IN (0, 3) THEN NULL ELSE $as_of - INTERVAL 2 DAY END",
            "TIMESTAMP '2013-03-10 22:00:00' - ($as_of - TIMESTAMP '2013-03-10 22:00:00')",
        ]
    ),
)
bounds = st.one_of(
    st.builds("{} {} {}".format, st.just("known_at"), st.sampled_from([">=", ">", ">=", "<", "<="]), edges),
    st.builds("{} {} landings.KNOWN_AT".format, edges, st.sampled_from(["<=", "<", ">"])),
    st.builds("known_at BETWEEN {} AND {}".format, edges, edges),
)
free_conditions = st.sampled_from(
    [
        "delay > 0",
        "flag",
        "(city IN ('a', 'b') OR code IS NULL)",
        "NOT flag",
        "city LIKE 'a%'",
        "known_at < TIMESTAMP '2013-03-09 12:00:00'",
        "hour(known_at) % 2 = 0",
        "price BETWEEN -50 AND 1000",
    ]
)
conditions = st.lists(st.one_of(bounds, bounds, free_conditions), min_size=1, max_size=3).map(" AND ".join)
values = st.sampled_from(
    ["delay", "code", "small", "big", "price", "fee", "weight", "delay % 7", "CASE WHEN flag THEN code END"]
)
plain_calls = st.one_of(
    st.just("count(*)"),
    st.builds("{}({})".format, st.sampled_from(["count", "sum", "avg", "min", "max", "mean"]), values),
    st.builds(
        "{}({})".format,
        st.sampled_from(["count", "min", "max", "count(DISTINCT city), max"]),
        st.sampled_from(["city", "day", '"at"', "flag", "heat"]),
    ),
    st.builds("count(DISTINCT {})".format, st.sampled_from(["city", "delay", "day", "price"])),
    st.builds(
        "{}({})".format,
        st.sampled_from(["count_if", "bool_or", "bool_and", "sum"]),
        st.sampled_from(["flag", "delay > 1"]),
    ),
    st.builds(
        "{}({}, {})".format,
        st.sampled_from(["quantile_disc", "quantile_cont"]),
        st.sampled_from(["delay", "price", "heat"]),
        st.sampled_from(["0.9", "0.5", "[0.1, 0.75]"]),
    ),
    st.builds("median({})".format, st.sampled_from(["delay", "small", "heat"])),
    st.builds(
        "{}({})".format,
        st.sampled_from(["stddev", "stddev_pop", "var_samp", "variance", "var_pop"]),
        st.sampled_from(["code", "small"]),
    ),
)


@st.composite
def aggregates(draw: st.DrawFn) -> str:
    call = draw(plain_calls)
    if "), max" in call:
        call = call.split("), ")[0] + ")"
    if draw(st.booleans()):
        call += f" FILTER (WHERE {draw(conditions)})"
    shape = draw(st.sampled_from(["{}"] * 5 + ["coalesce({}, NULL)", "{} IS NULL", "CASE WHEN {} > {} THEN 1 END"]))
    return shape.replace("{}", call)


GROUPS = {
    "": [],
    "GROUP BY city": ["city"],
    "GROUP BY ALL": ["CITY AS town", "landings.code"],
    "GROUP BY place, 2": ["upper(city) AS place", "code"],
    "GROUP BY flag, day, city": ["day"],
    "GROUP BY code % 2, date_trunc('day', known_at)": [
        "date_trunc('day', known_at) AS d",
        "code % 2 + 1 AS half",
    ],
}


@st.composite
def queries(draw: st.DrawFn) -> str:
    group, keys = draw(st.sampled_from(sorted(GROUPS.items())))
    items = [f"{text} AS f{n}" for n, text in enumerate(draw(st.lists(aggregates(), min_size=1, max_size=6)))]
    if draw(st.booleans()):
        items.append("epoch_us($as_of) // 1000 + count(*) AS stamp")
        items.append("f0 IS NULL AS lateral_alias")
    where = f" WHERE {draw(conditions)}" if draw(st.integers(0, 4)) else ""
    having = " HAVING count(*) > 1 AND min(delay) IS NOT NULL" if draw(st.integers(0, 5)) == 0 else ""
    return f"SELECT {', '.join([*keys, *items])} FROM landings{where} {group}{having}"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    facts,
    pages,
    queries(),
    st.sampled_from([timedelta(0), timedelta(minutes=15), timedelta(hours=30)]),
    st.sampled_from([0, 3, segments.LISTED_FACTS]),
)
def test_a_random_query_over_random_facts_gives_the_rows_made_page_by_page(
    rows: list[tuple[Any, ...]], as_ofs: list[datetime], query: str, arrives_within: timedelta, listed_facts: int
) -> None:
    with patch.object(segments, "LISTED_FACTS", listed_facts):
        case(COLUMNS, rows, as_ofs, arrives_within).check(query)


@pytest.mark.parametrize("listed_facts", [0, segments.LISTED_FACTS])
@pytest.mark.parametrize(
    "window",
    [
        "known_at >= $as_of - INTERVAL 2 DAY AND known_at < $as_of - INTERVAL 1 DAY",
        "known_at >= $as_of - INTERVAL 1 HOUR AND known_at < $as_of - INTERVAL 2 DAY",
        "known_at >= $as_of + INTERVAL 1 HOUR",
    ],
)
def test_a_window_outside_of_that_of_where_holds_nothing(window: str, listed_facts: int) -> None:
    nothing = [None] * (len(COLUMNS) - 3)
    rows = [("ab"[n % 2], 1, n, *nothing, GRID[3] - timedelta(hours=3 * n)) for n in range(40)]
    aggregates = ["max(delay)", "count(DISTINCT delay)", "median(delay)", "count(delay)", "sum(delay)"]
    items = ", ".join(f"{text} FILTER ({window}) AS a{n}" for n, text in enumerate(aggregates))
    within = "FROM landings WHERE known_at >= $as_of - INTERVAL 12 HOUR"
    with patch.object(segments, "LISTED_FACTS", listed_facts):
        case(COLUMNS, rows, GRID).check(f"SELECT city, {items} {within} GROUP BY city")
        case(COLUMNS, rows, GRID).check(f"SELECT {items} {within}")


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT"])
def test_equal_floats_are_one_value_however_they_are_written(kind: str) -> None:
    values = [0.0, -0.0, math.nan, -math.nan, math.nan, math.inf, math.inf, -math.inf, 0.1, 0.1, None]
    rows = [(value, GRID[0] + timedelta(hours=n)) for n, value in enumerate(values)]
    case({"heat": kind}, rows, GRID).check("SELECT count(DISTINCT heat) AS n, median(heat) AS m FROM landings")
