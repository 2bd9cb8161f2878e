"""Each aggregate by itself, over a table on which no two of them agree.

Random tables let a fault through: `bool_and` computed as `bool_or` gives the same on most of them. So this table is
first shown to tell every aggregate from every other one, key by key, and then each is held to pages made one by one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations
from unittest.mock import patch

import pytest

from tests.batching.ranges.both_ways import Case, case
from warehouse.batching.ranges import aggregates, segments

AS_OF = datetime(2013, 3, 9, 23)
PAGES = [AS_OF + timedelta(days=n) for n in range(4)]
COLUMNS = {"city": "VARCHAR", "delay": "INTEGER", "wide": "BIGINT", "price": "DECIMAL(9,2)", "flag": "BOOLEAN"}
# In city a, TRUE and FALSE meet; in b all are TRUE, in c all FALSE, in d none is known. Values are uneven, repeat, are
# negative, and one is unknown, so that sums, means, extremes, counts and quantiles all differ.
DELAYS = [7, -3, 7, 22, None, 13, 4, -3, 90]
FLAGS = {
    "a": [True, False, None, True, False, False, True, None, False],
    "b": [True] * 9,
    "c": [False] * 9,
    "d": [None] * 9,
}
ROWS = [
    (
        city,
        delay,
        None if delay is None else delay * 10**12 + place,
        None if delay is None else delay + place / 4,
        flag,
        AS_OF - timedelta(hours=5 * place + 1),
    )
    for city, flags in FLAGS.items()
    for place, (delay, flag) in enumerate(zip(DELAYS, flags, strict=True))
]
NUMBERS = [
    *("sum", "avg", "min", "max", "count", "median", "stddev_samp", "stddev_pop", "var_samp", "var_pop"),
    *("bit_and", "bit_or", "bit_xor"),
]
CALLS = {
    "delay": [
        "count(*)",
        "count(DISTINCT delay)",
        *(f"{name}(delay)" for name in NUMBERS),
        *(f"{name}(delay, {share})" for name in ("quantile_disc", "quantile_cont") for share in (0.3, 0.7)),
    ],
    "wide": [f"{name}(wide)" for name in ("sum", "avg", "min", "max", "count", "median")],
    "price": [f"{name}(price)" for name in ("sum", "avg", "min", "max", "count", "median")],
    "flag": ["bool_and(flag)", "bool_or(flag)", "count(flag)", "count_if(flag)", "sum(flag)", "min(flag)", "max(flag)"],
}
#: What is the same by what it means: equal on every table.
SAME = {
    frozenset(pair)
    for pair in (
        ("count_if(flag)", "sum(flag)"),
        ("bool_and(flag)", "min(flag)"),
        ("bool_or(flag)", "max(flag)"),
    )
}
WINDOW = "known_at >= $as_of - INTERVAL 2 DAY"


@pytest.fixture
def table() -> Case:
    return case(COLUMNS, ROWS, PAGES)


@pytest.mark.parametrize("column", CALLS)
def test_no_two_aggregates_agree_on_the_table(table: Case, column: str) -> None:
    calls = CALLS[column]
    items = ", ".join(f"{call} AS c{n}" for n, call in enumerate(calls))
    _, rows = table.plain(f"SELECT city, {items} FROM landings WHERE {WINDOW} GROUP BY city")
    for one, other in combinations(range(len(calls)), 2):
        if frozenset((calls[one], calls[other])) not in SAME:
            assert any(row[2 + one] != row[2 + other] for row in rows), f"{calls[one]} and {calls[other]} agree"


@pytest.mark.parametrize("listed_facts", [0, segments.LISTED_FACTS])
@pytest.mark.parametrize("condition", ["", " FILTER (delay > 4)", " FILTER (known_at < $as_of - INTERVAL 6 HOUR)"])
@pytest.mark.parametrize("keys", ["city", ""])
def test_aggregates_give_what_single_pages_give(table: Case, keys: str, condition: str, listed_facts: int) -> None:
    calls = [call for calls in CALLS.values() for call in calls]
    items = ", ".join([*filter(None, [keys]), *(f"{call}{condition} AS c{n}" for n, call in enumerate(calls))])
    with patch.object(segments, "LISTED_FACTS", listed_facts):
        table.check(f"SELECT {items} FROM landings WHERE {WINDOW}" + (f" GROUP BY {keys}" if keys else ""))


def test_every_aggregate_that_has_a_recipe_stands_in_the_table() -> None:
    written = {call.split("(")[0] for calls in CALLS.values() for call in calls}
    known = {"count", "count_if", "bool_and", "bool_or", "sum", "avg"}
    known |= set(aggregates.DEVIATIONS) | aggregates.SPREAD_OVER_FACTS | aggregates.SPREAD_OVER_PARTS
    assert known <= written
