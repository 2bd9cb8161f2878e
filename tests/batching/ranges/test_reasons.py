"""Whatever cannot be shown to come out the same is refused, with a sentence that says why."""

from __future__ import annotations

import pytest

from warehouse.batching.ranges.recognition import RangeForm, recognise
from warehouse.batching.syntax.shapes import Reason, SourceShape

SOURCES = {
    "landings": SourceShape(
        {
            "city": "VARCHAR",
            "Code": "INTEGER",
            "delay": "INTEGER",
            "big": "BIGINT",
            "price": "DECIMAL(9,2)",
            "huge": "DECIMAL(38,2)",
            "heat": "DOUBLE",
            "flag": "BOOLEAN",
            "at_local": "TIMESTAMP",
            "tags": "VARCHAR[]",
            "place": "STRUCT(city VARCHAR, landings INTEGER)",
            "span": "INTERVAL",
        }
    ),
    "restated": SourceShape({"city": "VARCHAR"}, has_versions=True),
}
BY_CITY = "FROM landings WHERE known_at >= $as_of - INTERVAL 7 DAY GROUP BY city"

REFUSED = {
    # The shape of the query.
    f"SELECT city, count(*) {BY_CITY} ORDER BY city": "ORDER",
    f"SELECT city, count(*) {BY_CITY} LIMIT 3": "LIMIT",
    f"SELECT DISTINCT city, count(*) {BY_CITY}": "DISTINCT",
    f"WITH recent AS (SELECT 1) SELECT city, count(*) {BY_CITY}": "CTE",
    f"SELECT city, count(*) {BY_CITY} UNION ALL SELECT city, 1 {BY_CITY}": "not one plain SELECT",
    f"SELECT city, count(*) {BY_CITY} QUALIFY row_number() OVER () = 1": "QUALIFY",
    f"SELECT city, count(*) {BY_CITY} USING SAMPLE 3": "sample",
    "SELECT city, count(*) FROM landings TABLESAMPLE 10% GROUP BY city": "not recognised",
    "SELECT city, count(*) FROM landings JOIN restated USING (city) GROUP BY city": "single source",
    "SELECT city, count(*) FROM landings, restated GROUP BY ALL": "single source",
    "SELECT city, count(*) FROM (SELECT * FROM landings) GROUP BY city": "single source",
    "SELECT city, count(*) FROM unheard_of GROUP BY city": "not a source",
    "SELECT city, count(*) FROM main.landings GROUP BY city": "not a source",
    "SELECT city, count(*) FROM restated GROUP BY city": "replaced or withdrawn",
    "SELECT a, count(*) FROM landings AS l(a, b) GROUP BY a": "not recognised",
    "SELECT city, Code, count(*) FROM landings GROUP BY GROUPING SETS ((city), (Code))": "grouping set",
    "SELECT city, Code, count(*) FROM landings GROUP BY ROLLUP (city, Code)": "grouping set",
    "SELECT city, delay FROM landings WHERE known_at >= $as_of - INTERVAL 7 DAY": "neither groups",
    f"SELECT city, count(*) {BY_CITY}; SELECT 1": "more than one statement",
    "DELETE FROM landings": "cannot parse",
    "SELECT count(* FROM landings": "cannot parse",
    "PIVOT landings ON flag USING count(*) GROUP BY city": "parse",
    # Bounds.
    "SELECT count(*) FROM landings WHERE at_local >= $as_of - INTERVAL 7 DAY": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at + INTERVAL 7 DAY >= $as_of": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE date_trunc('day', known_at) >= $as_of": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at >= $as_of - to_days(delay)": "not of $as_of alone",
    "SELECT count(*) FROM landings WHERE known_at >= at_local - ($as_of - at_local)": "not of $as_of alone",
    "SELECT count(*) FROM landings WHERE known_at >= $as_of - INTERVAL 7 DAY OR flag": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE NOT (known_at >= $as_of OR flag)": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at = $as_of - INTERVAL 7 DAY": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at NOT BETWEEN $as_of AND $as_of": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at IN ($as_of)": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at >= CAST($as_of AS TIMESTAMP_NS)": "TIMESTAMP_NS",
    "SELECT count(*) FROM landings WHERE known_at >= CAST($as_of AS VARCHAR)": "VARCHAR",
    "SELECT count(*) FROM landings WHERE $as_of > TIMESTAMP '2013-01-01'": "no bound on known_at",
    "SELECT count(*) FROM landings WHERE known_at < $other": "bind",
    # $as_of elsewhere.
    f"SELECT city, sum(CASE WHEN known_at > $as_of - INTERVAL 1 DAY THEN delay END) {BY_CITY}": "inside",
    f"SELECT city, count_if(known_at > $as_of - INTERVAL 1 DAY) {BY_CITY}": "inside",
    f"SELECT city, max($as_of - known_at) {BY_CITY}": "inside",
    f"SELECT city, quantile_disc(delay, hour($as_of) / 24) {BY_CITY}": "inside",
    "SELECT count(*) FROM landings GROUP BY date_diff('day', known_at, $as_of)": "alone",
    "SELECT $as_of - known_at AS age, count(*) FROM landings GROUP BY ALL": "alone",
    "SELECT $as_of AS page, count(*) FROM landings GROUP BY ALL": "alone",
    "SELECT $as_of AS page, count(*) FROM landings GROUP BY page": "alone",
    "SELECT count(*) FROM landings GROUP BY 'x'": "constant",
    # Aggregates.
    f"SELECT city, avg(heat) {BY_CITY}": "adds up DOUBLE",
    f"SELECT city, sum(heat) FILTER (WHERE flag) {BY_CITY}": "adds up DOUBLE",
    f"SELECT city, sum(delay * 0.5::DOUBLE) {BY_CITY}": "adds up DOUBLE",
    f"SELECT city, stddev(heat) {BY_CITY}": "cannot be put together",
    f"SELECT city, stddev(big) {BY_CITY}": "cannot be put together",
    f"SELECT city, list(delay) {BY_CITY}": "cannot be put together",
    f"SELECT city, first(delay) {BY_CITY}": "cannot be put together",
    f"SELECT city, any_value(delay) {BY_CITY}": "cannot be put together",
    f"SELECT city, mode(delay) {BY_CITY}": "cannot be put together",
    f"SELECT city, arg_max(delay, known_at) {BY_CITY}": "second argument",
    f"SELECT city, approx_count_distinct(delay) {BY_CITY}": "cannot be put together",
    f"SELECT city, max(delay, 3) {BY_CITY}": "cannot be put together",
    f"SELECT city, min(tags) {BY_CITY}": "cannot be put together",
    f"SELECT city, max(span) {BY_CITY}": "cannot be put together",
    f"SELECT city, count(DISTINCT place) {BY_CITY}": "DISTINCT",
    f"SELECT city, sum(DISTINCT delay) {BY_CITY}": "DISTINCT",
    f"SELECT city, string_agg(city ORDER BY delay) {BY_CITY}": "order",
    f"SELECT city, sum(delay ORDER BY big) {BY_CITY}": "order",
    f"SELECT city, percentile_cont(0.5) WITHIN GROUP (ORDER BY delay) {BY_CITY}": "order",
    f"SELECT city, sum(delay) OVER () {BY_CITY}": "",
    f"SELECT city, row_number() OVER () {BY_CITY}": "window function",
    f"SELECT city, geomean(delay) {BY_CITY}": "geomean",
    f"SELECT city, max(sum(delay)) {BY_CITY}": "bind",
    # Functions and constructions.
    f"SELECT city, count(*) * 1e3 AS n {BY_CITY}": "prints",
    f"SELECT city, count(*) + random() AS n {BY_CITY}": "always answers alike",
    f"SELECT city, now() AS made_at, count(*) {BY_CITY}": "always answers alike",
    f"SELECT city, current_timestamp AS made_at, count(*) {BY_CITY}": "not a column",
    f"SELECT city, current_localtimestamp() AS made_at, count(*) {BY_CITY}": "always answers alike",
    f"SELECT city, max(age(known_at)) AS oldest {BY_CITY}": "always answers alike",
    f"SELECT city, count(*) FILTER (WHERE random() < 0.5) AS n {BY_CITY}": "always answers alike",
    f"SELECT city, nextval('s') AS n, count(*) {BY_CITY}": "",
    f"SELECT city, unnest([1, 2]) AS n, count(*) {BY_CITY}": "unnest",
    f"SELECT city, (SELECT 1) AS n, count(*) {BY_CITY}": "subquery",
    f"SELECT city, count(*) FILTER (WHERE city IN (SELECT city FROM restated)) AS n {BY_CITY}": "",
    f"SELECT city, len(list_transform([1], lambda x: x)) AS n, count(*) {BY_CITY}": "lambda",
    f"SELECT city COLLATE nocase AS c, count(*) {BY_CITY}": "collation",
    f"SELECT COLUMNS('ci.*'), count(*) {BY_CITY}": "star",
    f"SELECT #1, city, count(*) {BY_CITY}": "",
    "SELECT city, count(*) FROM landings WHERE city = 'a\nb' GROUP BY city": "line break",
    'SELECT city, count(*) AS "a\nb" FROM landings GROUP BY city': "line break",
    # Names.
    f"SELECT city, count(*) AS n, count(*) AS N {BY_CITY}": "same name",
    f"SELECT city, count(*) AS as_of {BY_CITY}": "as_of",
    f"SELECT city, landings.city.x AS n, count(*) {BY_CITY}": "",
    f"SELECT city, place.city AS n, count(*) {BY_CITY}": "",
    "SELECT count(landings) FROM landings": "not a column",
    "SELECT upper(city) AS town, count(*) FROM landings WHERE town = 'A' GROUP BY ALL": "not a column",
    "SELECT count(*) AS n, count(*) FILTER (WHERE c > 1) AS m, delay + 1 AS c FROM landings GROUP BY ALL": "",
    "SELECT rowid, count(*) FROM landings GROUP BY rowid": "not a column",
    "SELECT city, max(delay) AS delay FROM landings GROUP BY city HAVING delay > 3": "alias",
    "SELECT city, max(delay) AS worst FROM landings GROUP BY city HAVING worst > 3": "alias",
    "SELECT city, count(*) FROM landings GROUP BY city HAVING stddev(delay) > 3": "last bits",
    "SELECT city, delay, count(*) FROM landings GROUP BY city": "bind",
    "SELECT count(*) FROM landings WHERE sum(delay) > 3": "bind",
    # Keys whose equal values can be told apart.
    "SELECT heat, count(*) FROM landings GROUP BY heat": "equal values",
    "SELECT span, count(*) FROM landings GROUP BY span": "equal values",
    "SELECT tags, count(*) FROM landings GROUP BY tags": "equal values",
}


@pytest.mark.parametrize("query", REFUSED, ids=list(REFUSED))
def test_a_query_that_is_not_understood_gets_a_reason(query: str) -> None:
    answer = recognise(query, SOURCES)
    assert isinstance(answer, Reason)
    assert REFUSED[query] in str(answer)
    assert not str(answer).endswith(".")
    assert "\n" not in str(answer)


@pytest.mark.parametrize(
    "columns",
    [
        {"city": "VARCHAR", "CITY": "VARCHAR"},
        {"Known_At": "TIMESTAMP"},
        {"known_at": "TIMESTAMP WITH TIME ZONE"},
    ],
)
def test_a_source_that_no_sandbox_would_show_is_not_understood(columns: dict[str, str]) -> None:
    assert isinstance(recognise("SELECT count(*) FROM s", {"s": SourceShape(columns)}), Reason)


def test_relation_names_of_the_query_itself_are_refused() -> None:
    form = recognise("SELECT count(*) FROM landings", SOURCES)
    assert isinstance(form, RangeForm)
    with pytest.raises(ValueError, match="range_"):
        form.sql("range_pages", "facts")
