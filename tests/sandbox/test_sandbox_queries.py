"""An author's query may read bare names of sources, feature groups and its own CTEs, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse.errors import QueryRefused
from warehouse.private_cache import Stamps
from warehouse.queries import checked_query as query_module
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
    "SELECT a,\n  b FRM landings\nWHERE": "line 2",
    "SELECT 1 +": "line 1",
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
        check_query(text, "q.sql", tables=TABLES, parameters={"as_of"})

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(query_module, "_compare_with_sqlglot", ask)
    for _ in range(2):
        monkeypatch.setattr(query_module, "_agreed", Stamps("queries"))
        check("SELECT a FROM landings")
        with pytest.raises(QueryRefused):
            check("SELECT a FROM weather")
    check("SELECT b FROM landings")
    assert asked == [f"SELECT {what}" for what in ("a FROM landings", *["a FROM weather"] * 2, "b FROM landings")]
    monkeypatch.setattr(query_module, "_sqlglot", lambda: "a newer version")
    check("SELECT a FROM landings")
    assert len(asked) == 5
