"""An author's query may read bare names of sources, feature groups and its own CTEs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse.errors import QueryRefused
from warehouse.private_cache import Stamps
from warehouse.queries import checked_query, second_parser
from warehouse.queries.checked_query import check_query

TABLES = {"landings", "weather"}

ALLOWED = [
    "SELECT * FROM landings WHERE known_at >= $as_of - INTERVAL 7 DAY",
    "WITH landings AS (SELECT * FROM landings) SELECT * FROM landings",
    "WITH a AS (SELECT * FROM landings), b AS (SELECT * FROM a) SELECT * FROM b",
    "FROM landings",
    "TABLE landings",
    'SELECT * FROM "Landings"',
    "SELECT * FROM LANDINGS l SEMI JOIN weather w USING (k)",
    "SELECT * FROM landings ANTI JOIN weather USING (k)",
    "SELECT * FROM (SELECT 1 AS a UNION ALL SELECT b FROM weather)",
    "SELECT first(a ORDER BY b) FROM landings",
    "SELECT x::DATE, row_number() OVER (ORDER BY x), count(*) FILTER (WHERE y) FROM landings GROUP BY ALL",
    "SELECT list_transform([1], lambda q: q + 1)",
    "SELECT (SELECT max(x) FROM weather w WHERE w.a = l.a) FROM landings l",
    "SELECT * FROM landings ASOF JOIN weather ON landings.a >= weather.a",
    "SELECT a FROM landings GROUP BY CUBE (a, b) HAVING count(*) > 1 QUALIFY rank() OVER (ORDER BY a) = 1",
    "SELECT l.* EXCLUDE (a) REPLACE (b AS c) FROM landings l",
    "SELECT COLUMNS('a.*') FROM landings",
    "SELECT quantile_disc(x, 0.9), x[1], s.a, {'a': 1} FROM landings",
    "SELECT * FROM landings, range(3), unnest([1])",
    "SELECT a FROM landings ORDER BY a LIMIT 3",
    "SELECT $as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York' FROM landings",
    "SELECT DISTINCT ON (a) b FROM landings ORDER BY a, b",
    "SELECT sum(a) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM landings",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY a, b) FROM landings",
    "SELECT k, row_number() OVER (ORDER BY count(*)) FROM landings GROUP BY k ORDER BY count(*) LIMIT 3",
    "SELECT lag(a) OVER (ORDER BY (SELECT max(w.a) FROM weather w WHERE w.k = l.k)) FROM landings l",
    "SELECT k, 1 AS one FROM landings ORDER BY ALL LIMIT 3",
    "SELECT list(a ORDER BY a), list(b ORDER BY a, b) FROM landings GROUP BY (k), (c)",
    "SELECT k FROM landings UNION ALL SELECT a FROM weather ORDER BY 1 LIMIT 3",
    "WITH t(a, b) AS (SELECT 1, 2), u AS (SELECT * FROM t) SELECT v.x FROM u AS v(x, y)",
    "SELECT extract(year FROM a), substring(b FROM 1 FOR 2), trim(BOTH 'x' FROM b), position('a' IN b) FROM landings",
    "SELECT CAST(a AS DECIMAL(10, 2)), a::VARCHAR(3), x IN (1, 2), count(*), (1, 2), a::STRUCT(b INT) FROM landings",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), b GLOB ('x*'), upper(lower(b)) FROM landings GROUP BY b",
    "SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY c), coalesce(a, 1), nullif(a, 1), if(a, 1, 2) FROM landings",
]

REFUSED = {
    # Qualified names, however they are written.
    "SELECT * FROM lake.sources.landings": "qualified",
    "SELECT * FROM sources.landings": "qualified",
    'SELECT * FROM "lake"."sources"."landings"': "qualified",
    "SELECT * FROM LAKE.Sources.landings": "qualified",
    "SELECT * FROM landings WHERE EXISTS (SELECT 1 FROM lake.ledger.runs)": "qualified",
    "SELECT * FROM landings UNION ALL SELECT * FROM lake.x": "qualified",
    "SELECT * FROM landings ANTI JOIN lake.x USING (a)": "qualified",
    "SELECT * FROM landings SEMI JOIN lake.x USING (a)": "qualified",
    "WITH a AS (SELECT * FROM lake.x) SELECT * FROM a": "qualified",
    "SELECT (SELECT max(a) FROM lake.x) FROM landings": "qualified",
    "SELECT * FROM landings, LATERAL (SELECT * FROM lake.x WHERE x.a = landings.a)": "qualified",
    "SELECT * FROM information_schema.tables": "qualified",
    # Names that are not the suite's.
    "SELECT * FROM ladings": "Did you mean `landings`",
    "SELECT * FROM snapshots": "there is no table",
    "WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a": "there is no table `b`",
    # Files, functions that read them, and functions that run text.
    "SELECT * FROM 'x.csv'": "there is no table",
    'SELECT * FROM "x.parquet"': "there is no table",
    "SELECT * FROM read_csv('x')": "read_csv",
    "SELECT * FROM read_parquet('lake/data/**/*.parquet')": "read_parquet",
    "SELECT * FROM read_text('x')": "read_text",
    "FROM glob('*')": "glob",
    "SELECT * FROM sqlite_scan('x', 'y')": "sqlite_scan",
    "SELECT * FROM query('SELECT 1')": "query",
    "SELECT * FROM query_table('landings')": "query_table",
    "SELECT json_execute_serialized_sql('x')": "json_execute_serialized_sql",
    # What the database knows of itself, its session and its settings.
    "SELECT * FROM duckdb_tables()": "duckdb_tables",
    "SELECT * FROM pragma_table_info('a')": "pragma_table_info",
    "SELECT getvariable('a')": "getvariable",
    "SELECT getenv('HOME')": "getenv",
    "SELECT current_setting('threads')": "current_setting",
    "SELECT nextval('x')": "nextval",
    "SELECT user FROM landings": "session",
    # The clock and chance.
    "SELECT now()": "now",
    "SELECT current_date": "clock",
    "SELECT current_timestamp FROM landings": "clock",
    "SELECT today()": "today",
    "SELECT age(x) FROM landings": "age",
    "SELECT random()": "random",
    "SELECT sum(random()) OVER () FROM landings": "random",
    "SELECT uuid()": "uuid",
    "SELECT pg_catalog.now()": "qualified",
    "SELECT * FROM landings USING SAMPLE 3": "sample",
    "SELECT * FROM landings TABLESAMPLE 10%": "sample",
    # The order in which rows happen to come.
    "SELECT * FROM landings LIMIT 3": "ORDER BY",
    "SELECT first(a) FROM landings": "order",
    "SELECT arg_max(a, b) FROM landings": "order",
    "SELECT array(SELECT a FROM landings)": "order",
    "SELECT row_number() OVER () FROM landings": "order",
    "SELECT DISTINCT ON (a) b FROM landings": "ORDER BY",
    "SELECT * FROM landings POSITIONAL JOIN weather": "POSITIONAL",
    "SELECT sum(x) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM landings": "ROWS without an order",
    "SELECT row_number() OVER (ORDER BY 1) FROM landings": "tells no rows apart",
    "SELECT row_number() OVER (ORDER BY $as_of) FROM landings": "tells no rows apart",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY a) FROM landings": "tells no rows apart",
    "SELECT row_number() OVER (PARTITION BY l.a ORDER BY upper(a), 'x') FROM landings l": "tells no rows apart",
    "SELECT lag(a) OVER (ORDER BY (SELECT max(a) FROM weather)) FROM landings": "tells no rows apart",
    "SELECT a FROM landings ORDER BY count(*) OVER () LIMIT 1": "tells no rows apart",
    "SELECT 1 AS k, lag(a) OVER (ORDER BY k) FROM landings": "tells no rows apart",
    "SELECT lag(a) OVER (ORDER BY k) FROM (SELECT a, 1 AS k FROM landings)": "tells no rows apart",
    "WITH t AS (SELECT a, 1 AS k FROM landings), u AS (FROM t) SELECT first(a ORDER BY t.k) FROM t": "tells no rows",
    "SELECT first(a ORDER BY true) FROM landings": "tells no rows of a group apart",
    "SELECT k, first(a ORDER BY k) FROM landings GROUP BY k": "tells no rows of a group apart",
    "SELECT k, first(a ORDER BY k) FROM landings GROUP BY ALL": "tells no rows of a group apart",
    "SELECT k AS q, first(a ORDER BY k) FROM landings GROUP BY 1": "tells no rows of a group apart",
    "SELECT a FROM landings ORDER BY list_transform([1], lambda q: q) LIMIT 1": "tells no rows apart",
    "SELECT a FROM landings ORDER BY (SELECT 1) LIMIT 3": "tells no rows apart",
    "SELECT a, 1 AS k FROM landings ORDER BY k LIMIT 3": "tells no rows apart",
    "SELECT a, 1 FROM landings ORDER BY 2 LIMIT 3": "tells no rows apart",
    "SELECT DISTINCT ON (a) b FROM landings ORDER BY a": "ORDER BY of nothing else",
    # Wrong answers of DuckDB's.
    "SELECT mode(a) OVER (ORDER BY b ROWS 3 PRECEDING) FROM landings": "break a tie",
    # Names of the suite's own.
    'SELECT a AS "almanac: page" FROM landings': "the suite's own",
    'SELECT * FROM landings AS l(a, "Almanac: superseded at")': "the suite's own",
    'WITH "almanac: pages" AS (SELECT 1) SELECT * FROM "almanac: pages"': "the suite's own",
    'SELECT * RENAME (a AS "almanac: known at") FROM landings': "the suite's own",
    # Statements that are no plain SELECT.
    "SELECT 1; SELECT 2": "2 statements",
    "ATTACH 'x'": "SELECT",
    "COPY landings TO 'x'": "SELECT",
    "INSERT INTO landings VALUES (1)": "SELECT",
    "CREATE TABLE a AS SELECT 1": "SELECT",
    "SET threads = 1": "SELECT",
    "CALL foo()": "SELECT",
    "EXPLAIN SELECT 1": "SELECT",
    "PIVOT landings ON a USING sum(b)": "SELECT",
    "SELECT * FROM (PIVOT landings ON a USING sum(b))": "SELECT",
    "SUMMARIZE landings": "show ref",
    "DESCRIBE landings": "show ref",
    "SELECT * FROM (DESCRIBE landings)": "show ref",
    "SHOW TABLES": "show ref",
    "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 2 FROM a) SELECT * FROM a": "recursive",
    "": "0 statements",
    # Other states of a table, and parameters that nobody binds.
    "SELECT * FROM landings AT (VERSION => 1)": "another version",
    "SELECT $foo": "$foo",
    "SELECT ?": "not bound",
    # What does not parse is shown with its line.
    "SELECT a,\n  b FRM landings\nWHERE": "q.sql:2: ",
    "SELECT 1 +": "q.sql:1: ",
}


@pytest.mark.parametrize("query", ALLOWED)
def test_a_query_over_known_names_is_allowed(query: str) -> None:
    checked = check_query(query, "q.sql", tables=TABLES, parameters={"as_of"})
    assert checked.tables <= TABLES


@pytest.mark.parametrize("query", REFUSED, ids=[f"{i}" for i in range(len(REFUSED))])
def test_a_query_that_reaches_for_more_is_refused_with_a_reason(query: str) -> None:
    with pytest.raises(QueryRefused) as caught:
        check_query(query, "q.sql", tables=TABLES, parameters={"as_of"})
    assert REFUSED[query].lower() in str(caught.value).lower()
    assert "q.sql" in str(caught.value)


def test_every_reason_is_given_at_once() -> None:
    with pytest.raises(QueryRefused) as caught:
        check_query("SELECT now(), random() FROM nowhere", "q.sql", tables=TABLES, parameters=())
    assert len(caught.value.problems) == 3


def test_a_fingerprint_changes_with_the_meaning_and_not_with_the_layout() -> None:
    def fingerprint(text: str) -> str:
        return check_query(text, "q.sql", tables=TABLES, parameters={"as_of"}).fingerprint

    plain = fingerprint("SELECT a FROM landings WHERE b > 1")
    assert plain == fingerprint("-- why\nselect a\nfrom landings\nwhere b > 1")
    assert plain != fingerprint("SELECT a FROM landings WHERE b > 2")
    assert plain != fingerprint("SELECT a AS c FROM landings WHERE b > 1")


def test_the_second_parser_is_asked_once_for_each_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(text: str, *_: object) -> list[str]:
        asked.append(text)
        return ["no"] if "weather" in text else []

    def check(text: str) -> None:
        # As a process does that has not checked it yet.
        checked_query._checked.cache_clear()
        check_query(text, "q.sql", tables=TABLES, parameters={"as_of"})

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(second_parser, "_compare", ask)
    for _ in range(2):
        monkeypatch.setattr(second_parser, "_agreed", Stamps("queries"))
        check("SELECT a FROM landings")
        with pytest.raises(QueryRefused):
            check("SELECT a FROM weather")
    check("SELECT b FROM landings")
    assert asked == [f"SELECT {what}" for what in ("a FROM landings", *["a FROM weather"] * 2, "b FROM landings")]
    monkeypatch.setattr(second_parser, "_sqlglot", lambda: "a newer version")
    check("SELECT a FROM landings")
    assert len(asked) == 5
