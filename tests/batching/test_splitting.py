"""Queries that split have the same rows shard by shard; of the others the clause is named that stands in the way."""

from __future__ import annotations

import duckdb
import pytest

from warehouse.batching.splitting.forms import Split, SplitSource, split
from warehouse.batching.syntax.shapes import Reason
from warehouse.system_sql import quote_all

COLUMNS = {"k": "VARCHAR", "g": "VARCHAR", "x": "INTEGER", "t": "INTEGER", "big": "BIGINT", "known_at": "TIMESTAMP"}
SOURCES = {
    "a": SplitSource(COLUMNS, 3_000_000),
    "b": SplitSource(COLUMNS, 2_000_000),
    "small": SplitSource(COLUMNS, 100),
}
GROUPS = {"by_k": "SELECT k, sum(x) AS total FROM a GROUP BY k", "by_t": "SELECT t, count(*) AS n FROM a GROUP BY t"}

SPLIT = [
    "SELECT k, count(*), sum(x) FROM a GROUP BY k",
    "SELECT k, g, sum(x) FROM a GROUP BY ALL",
    "SELECT k AS kk, sum(x) FROM a GROUP BY kk HAVING count(*) > 2",
    "SELECT sum(x), k FROM a GROUP BY 2",
    "SELECT DISTINCT k, x FROM a",
    "SELECT DISTINCT ON (k, g) k, g, x FROM a ORDER BY k, g, x, t",
    "SELECT k, x FROM a WHERE x > 3",
    "SELECT k, x, sum(x) OVER (PARTITION BY k, g ORDER BY t, x) FROM a",
    "SELECT k, x, lag(x) OVER w FROM a WINDOW w AS (PARTITION BY k ORDER BY t, x)",
    "SELECT k, x FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY t, x) <= 2",
    # What shards are made by need not be shown.
    "WITH legs AS (SELECT x, row_number() OVER (PARTITION BY g ORDER BY t, x, k) AS n FROM a) SELECT x, n FROM legs",
    "SELECT a.k, sum(small.x) FROM a LEFT JOIN small USING (t) GROUP BY a.k",
    "SELECT k, sum(x) FROM (SELECT k, x FROM a UNION ALL SELECT k, t FROM b) GROUP BY k",
    "SELECT k, x FROM a UNION SELECT k, x FROM b",
    "SELECT k, x FROM a EXCEPT SELECT k, x FROM b",
    "SELECT a.k, count(*), sum(b.x) FROM a JOIN b USING (k) GROUP BY a.k",
    "SELECT a.k, count(b.x) FROM a LEFT JOIN b ON a.k = b.k AND b.t < a.t GROUP BY a.k",
    "SELECT k, count(*) FROM a SEMI JOIN b USING (k, t) GROUP BY k",
    "SELECT k, count(*) FROM a ANTI JOIN b USING (k) GROUP BY k",
    "SELECT a.k, a.x, b.x FROM a ASOF LEFT JOIN (SELECT DISTINCT ON (k, t) * FROM b ORDER BY k, t, x, g, big) AS b"
    " ON a.k = b.k AND a.t >= b.t",
    "SELECT a.k, sum(b.x) FROM a, b WHERE a.k = b.k GROUP BY a.k",
    "SELECT one.k, sum(two.x) FROM a AS one JOIN a AS two ON one.k = two.k GROUP BY one.k",
    "SELECT k, count(*) FROM a WHERE t IN (SELECT t FROM small) GROUP BY k",
    "SELECT k, (SELECT max(x) FROM small) AS top, sum(x) FROM a GROUP BY k",
    "SELECT k, sum(n) FROM (SELECT k AS kk, count(*) AS n FROM a GROUP BY 1) AS c(k, n) GROUP BY k",
    "WITH c AS (SELECT * EXCLUDE (g) FROM a) SELECT k, count(*), max(t) FROM c GROUP BY k",
    "SELECT k, total FROM by_k WHERE total > 10",
    "SELECT a.k, any_value(total ORDER BY total), count(*) FROM a JOIN by_k USING (k) GROUP BY a.k",
    "SELECT small.k, a.x FROM small JOIN a ON small.t = a.t",
    "SELECT k, x FROM a UNION ALL SELECT k, x FROM small",
    "SELECT k, unnest(range(x % 3)) FROM a",
]
REFUSED = {
    "SELECT sum(x) FROM a": "it aggregates all rows, with no GROUP BY",
    "SELECT t + 1 AS later, sum(x) FROM a GROUP BY ALL": "its GROUP BY does not hold",
    "SELECT upper(k) AS k, sum(x) FROM a GROUP BY 1": "its GROUP BY does not hold `k`",
    "SELECT k, count(*) OVER (PARTITION BY k) AS n,\n count(*) OVER (PARTITION BY t % 2) AS m FROM a": (
        r"its window does not hold `k` \(line 2: PARTITION BY .*t.* % 2"
    ),
    "SELECT k, count(*) OVER () FROM a": "its window does not hold",
    "SELECT k, x FROM a ORDER BY x, k, t LIMIT 3": "its LIMIT counts rows of all shards",
    "SELECT DISTINCT x + t AS s FROM a": "its DISTINCT does not hold",
    "SELECT k, sum(x) FROM a WHERE x > (SELECT avg(x) FROM a) GROUP BY k": "its subquery reads a",
    "SELECT k, sum(x) FROM a GROUP BY ROLLUP (k)": "it groups by several sets of columns",
    "SELECT small.k, a.x FROM small LEFT JOIN a ON small.x + a.x = 3": "its LEFT JOIN does not compare the columns",
    "SELECT v.t, a.x FROM (VALUES (1)) AS v(t) LEFT JOIN a ON v.t = a.x": "its LEFT JOIN keeps rows of a left side",
    "SELECT a.k, v.t FROM a RIGHT JOIN (VALUES (1)) AS v(t) ON v.t = a.x": "its RIGHT JOIN keeps rows of a right side",
    "SELECT v.t FROM (VALUES (1)) AS v(t) SEMI JOIN a ON v.t = a.x": "its SEMI JOIN keeps rows of a left side",
    "SELECT m.k, sum(o.x) FROM a AS m JOIN a AS o ON m.k = o.g GROUP BY m.k": "its INNER JOIN does not compare",
    "SELECT k, x FROM a UNION ALL SELECT 'k', 3": "one side of its UNION is read whole by every shard",
    "SELECT a.k, b.x FROM a JOIN b ON a.x + b.x = 3 WHERE a.g > b.g": (
        "its INNER JOIN does not compare the columns that shards are made by.*every shard would read b whole"
    ),
    "SELECT g, sum(total) FROM by_k JOIN small USING (k) GROUP BY g": "its GROUP BY does not hold `k`",
    "SELECT k, sum(x) FROM (SELECT k, x FROM a UNION ALL SELECT g, x FROM a) GROUP BY k": "its GROUP BY does not hold",
    "SELECT 'k' AS k, t FROM (VALUES (1)) AS v(t) WHERE t NOT IN (SELECT x FROM a)": "its subquery reads a",
    "SELECT a.k, b.x FROM a ASOF JOIN b ON a.t >= b.t WHERE a.k = b.k": "its ASOF INNER JOIN does not compare",
    "SELECT 1 AS k FROM a ORDER BY count(*)": "it aggregates all rows, with no GROUP BY",
    "SELECT DATE '2026-01-01' AS k": "it reads no source",
}


def split_of(text: str) -> Split | Reason:
    read = {name: source for name, source in SOURCES.items() if f" {name}" in text or (name == "a" and " by_" in text)}
    groups = {name: query for name, query in GROUPS.items() if name in text}
    return split(text, ["k"], read, groups)


@pytest.fixture(scope="module")
def facts() -> duckdb.DuckDBPyConnection:
    """Some rows of each source, NULLs among their keys."""
    connection = duckdb.connect()
    for seed, name in enumerate(SOURCES):
        value = f"hash(i * 7 + {seed})"
        connection.execute(
            f"CREATE TABLE facts_{name} AS SELECT CASE WHEN i % 17 = 0 THEN NULL ELSE 'k' || {value} % 9 END AS k,"
            f" 'k' || ({value} // 9) % 7 AS g, (({value} // 63) % 10)::INTEGER AS x, (i % 13)::INTEGER AS t,"
            f" i AS big, TIMESTAMP '2026-01-01' AS known_at FROM range(150) AS r(i)"
        )
    return connection


def asked(facts: duckdb.DuckDBPyConnection, text: str, shown: dict[str, str]) -> list[str]:
    for name in SOURCES:
        facts.execute(f"CREATE OR REPLACE VIEW {name} AS FROM facts_{name} WHERE {shown.get(name, 'TRUE')}")
    for name, query in GROUPS.items():
        facts.execute(f"CREATE OR REPLACE VIEW {name} AS {query}")
    return [repr(row) for row in facts.execute(text).fetchall()]


@pytest.mark.parametrize("text", SPLIT)
def test_a_query_that_splits_has_the_same_rows_in_shards(facts: duckdb.DuckDBPyConnection, text: str) -> None:
    found = split_of(text)
    assert isinstance(found, Split), str(found)
    for n in (2, 7):
        parts = [
            {name: f"hash({quote_all(columns)}) % {n} = {i}" for name, columns in found.columns.items()}
            for i in range(n)
        ]
        rows = [row for shown in parts for row in asked(facts, text, shown)]
        assert sorted(rows) == sorted(asked(facts, text, {}))


@pytest.mark.parametrize(("text", "reason"), REFUSED.items())
def test_of_a_query_that_does_not_the_clause_is_named(text: str, reason: str) -> None:
    found = split_of(text)
    assert isinstance(found, Reason)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(str(found))


def test_the_columns_of_the_key_are_taken_together() -> None:
    found = split("SELECT k, g, x FROM a WHERE t > 3", ["k", "g"], {"a": SOURCES["a"]}, {})
    assert isinstance(found, Split)
    assert found.columns == {"a": ("k", "g")}


def test_columns_of_two_types_are_not_taken_for_one() -> None:
    """The same number has another hash as INTEGER than as BIGINT."""
    text = "SELECT a.big, count(*) FROM a JOIN b ON a.big = b.x GROUP BY a.big"
    sources = {name: SplitSource({"big": "BIGINT", "x": "INTEGER"}, 2_000_000) for name in "ab"}
    assert isinstance(split(text, ["big"], sources, {}), Reason)
