"""Queries that are understood, one for each thing that could go wrong, against the rows made page by page."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.batching.ranges.both_ways import case

COLUMNS = {
    "city": "VARCHAR",
    "Code": "INTEGER",
    "delay": "INTEGER",
    "price": "DECIMAL(9,2)",
    "flag": "BOOLEAN",
    "key_0": "INTEGER",
    "edge": "TIMESTAMP",
    "at": "TIMESTAMP",
}
NOON = datetime(2013, 3, 10, 12)
PAGES = [NOON + timedelta(days=n) for n in (0, 1, 2, 9, 3, 1)]


def rows() -> list[tuple[Any, ...]]:
    made = []
    for n in range(120):
        known_at = NOON + timedelta(hours=7 * n - 200, microseconds=(n % 3) - 1)
        if n % 10 == 0:
            known_at = PAGES[n % 6] - timedelta(days=n % 3, minutes=15 * (n % 2))
        made.append(
            (
                [None, "a", "B", "b"][n % 4] if n > 30 else "early",
                n % 3 if n % 5 else None,
                (n * 37) % 50 - 20 if n % 7 else None,
                Decimal(n * 31 % 1000) / 100,
                [True, False, None][n % 3],
                n % 2,
                NOON,
                known_at - timedelta(hours=1),
                known_at if n % 13 else None,
            )
        )
    return made


WINDOW = "known_at >= $as_of - INTERVAL 2 DAY"
RECENT = f"FROM landings WHERE {WINDOW}"

UNDERSTOOD = [
    # One row per page without GROUP BY, even for a page that reads nothing.
    "SELECT count(*), sum(delay), max(city), median(delay), count(DISTINCT city), bool_and(flag)"
    " FROM landings WHERE known_at >= $as_of - INTERVAL 1 MINUTE",
    "SELECT count(*) FROM landings WHERE known_at >= $as_of + INTERVAL 1 DAY",
    "SELECT count(*) FROM landings GROUP BY ALL",
    "SELECT count(*) FROM landings GROUP BY ()",
    "SELECT count_if(flag), sum(flag), count(*) FILTER (WHERE flag) FROM landings WHERE known_at > $as_of",
    "SELECT 1 AS one, 'x' AS letter, $as_of AS page, count(*) FROM landings",
    "SELECT 1 AS one FROM landings HAVING count(*) > 3",
    # No $as_of at all: everything known.
    "SELECT city, count(*) AS n, max(known_at) AS newest FROM landings GROUP BY city",
    # Only keys: which there are.
    f"SELECT city {RECENT} GROUP BY city",
    f"SELECT upper(city) AS town {RECENT} GROUP BY 1",
    # Names: case, quotes, qualification, aliases that are columns too, keywords, our own names.
    'SELECT L."CITY", COUNT(*) AS "Sum ""all""" FROM LANDINGS AS l WHERE l.Known_At >= $as_of GROUP BY City',
    'SELECT "city", sum("code") AS code FROM "landings" WHERE "known_at" < $as_of GROUP BY "city"',
    "SELECT delay % 2 AS delay, count(*) AS n, sum(delay) AS total FROM landings GROUP BY delay",
    "SELECT upper(city) AS city, count(*) AS n FROM landings GROUP BY city",
    "SELECT upper(city) AS town, count(*) AS n FROM landings GROUP BY town",
    'SELECT max("at") AS "select", count(*) AS value_0, key_0 FROM landings GROUP BY key_0',
    "SELECT key_0 + 1 AS key_0, min(edge) AS edge, max(key_0) AS page FROM landings GROUP BY ALL",
    "SELECT city, count(*) AS n, sum(delay) AS total, total / nullif(n, 0) AS m FROM landings GROUP BY city",
    "SELECT city AS c, c || '!' AS d, count(*) FROM landings GROUP BY city, c",
    # A condition of NULLs, a NOT that DuckDB turns round, a window that is empty or upside down.
    "SELECT city, count(*) FROM landings WHERE NOT known_at < $as_of - INTERVAL 2 DAY GROUP BY city",
    "SELECT city, count(*) FROM landings WHERE known_at BETWEEN $as_of AND $as_of - INTERVAL 1 DAY GROUP BY city",
    f"SELECT city, max(delay) FILTER (WHERE known_at < $as_of - INTERVAL 5 DAY) {RECENT} GROUP BY ALL",
    "SELECT count(*) FILTER (WHERE known_at > '-infinity'::TIMESTAMP + ($as_of - $as_of)) FROM landings",
    # Types of the results.
    f"SELECT city, sum(price), avg(price), sum(price) / count(*), max(price) - min(price), round(avg(delay)),"
    f" sum(delay)::INTEGER, quantile_cont(price, 0.25), quantile_disc(city, 0.5) {RECENT}"
    " GROUP BY city",
    f"SELECT city, CASE WHEN count(*) > 2 THEN 'many' WHEN bool_or(flag) THEN 'some' END AS word,"
    f" coalesce(sum(delay) FILTER (WHERE flag), 0) AS total {RECENT} GROUP BY city",
    f"SELECT city, date_diff('hour', max(known_at), $as_of) AS hours, $as_of::DATE AS day {RECENT} GROUP BY city",
    f"SELECT city, bit_xor(code), bit_and(code), bit_or(delay) {RECENT} GROUP BY city",
    f"SELECT city, min(city || code) AS least, '{{x}} {{0}} %' AS braces {RECENT} GROUP BY city",
    # Conditions: regular expressions and LIKE mean what DuckDB makes of them.
    f"SELECT city ~ '[a-z]', city LIKE 'e%', count(*) {RECENT} AND city ~ '.*' GROUP BY ALL",
    f"SELECT city, log2(max(code) + 1), max(delay) // 7, max(delay) ^ 2 {RECENT} GROUP BY city",
    f"SELECT city, count(*) AS n {RECENT} GROUP BY city HAVING count(*) > 1 AND $as_of IS NOT NULL",
    f"SELECT hour(known_at) AS h, count(*) AS n {RECENT} GROUP BY hour(known_at)",
    f"SELECT city IS NULL AS none, code IS DISTINCT FROM 1 AS other, count(*) {RECENT} GROUP BY ALL",
]


@pytest.mark.parametrize("query", UNDERSTOOD)
@pytest.mark.parametrize("minutes", [0, 15])
def test_an_understood_query_gives_the_rows_made_page_by_page(query: str, minutes: int) -> None:
    case(COLUMNS, rows(), PAGES, timedelta(minutes=minutes)).check(query)


@pytest.mark.parametrize("query", UNDERSTOOD[:8])
def test_without_facts_or_without_pages_both_ways_agree(query: str) -> None:
    case(COLUMNS, [], PAGES).check(query)
    case(COLUMNS, rows(), []).check(query)


def test_facts_of_both_edges_of_between_are_within_it() -> None:
    made = case(COLUMNS, [("a", 1, 1, 1, True, 1, NOON, NOON, NOON - timedelta(days=1))], PAGES)
    for moved in ("'2 days'", "'1 day 1 microsecond'", "'2 days 1 microsecond'"):
        instant = f"TIMESTAMP '{NOON}' - INTERVAL {moved} AS known_at"
        made.connection.execute(f"INSERT INTO facts SELECT * REPLACE ({instant}) FROM facts LIMIT 1")
    made.check(
        "SELECT city, count(*) FROM landings WHERE known_at BETWEEN $as_of - INTERVAL 2 DAY AND $as_of - INTERVAL 1 DAY"
        " GROUP BY city"
    )


def test_infinite_instants_are_seen_as_they_are_page_by_page() -> None:
    facts = [("a", 1, 1, 1, True, 1, NOON, NOON, NOON)]
    made = case(COLUMNS, facts, PAGES)
    made.connection.execute("INSERT INTO facts SELECT * REPLACE ('-infinity' AS known_at) FROM facts")
    made.connection.execute("INSERT INTO facts SELECT * REPLACE ('infinity' AS known_at) FROM facts")
    for bound in ("known_at > '-infinity'::TIMESTAMP + ($as_of - $as_of)", "known_at < $as_of", WINDOW):
        made.check(f"SELECT city, count(*), max(known_at) FROM landings WHERE {bound} GROUP BY city")


def test_a_deviation_is_marked_as_equal_only_to_1e9() -> None:
    form = case(COLUMNS, rows(), PAGES).check(
        f"SELECT city, stddev(delay) AS s, round(var_pop(code), 3) AS v, avg(delay) AS a FROM landings"
        f" WHERE {WINDOW} GROUP BY city"
    )
    assert [column.name for column in form.columns if column.is_approximate] == ["s", "v"]


def test_explain_says_which_way_each_aggregate_goes() -> None:
    form = case(COLUMNS, rows(), PAGES).check(
        f"SELECT city, count(*) AS n, avg(delay) AS a, max(delay) AS m {RECENT} GROUP BY city"
    )
    assert form.explain() == [
        ("count_star()", "running"),
        ('avg("delay")', "running"),
        ('max("delay")', "spread"),
    ]
