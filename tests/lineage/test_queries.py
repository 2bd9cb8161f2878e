"""Queries traced column by column: golden cases, and what DuckDB itself says of each.

Every case is held against two oracles besides the answer by hand. DuckDB's binder: a column without which the query
does not bind must be among those traced. And data: a column that is not traced into an output column can be filled
with other values, and that output column stays as it was.
"""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from warehouse.lineage.selects import trace_query
from warehouse.lineage.uses import ROLES, ROWS, Relation, Uses, table

#: Two tables of facts and one with nested values, each with a few rows that differ where a query may look.
TABLES = {
    "t": "SELECT i AS id, i % 3 AS g, i % 2 AS k, 10 * i AS a, (i * 7) % 5 AS b, 20 - i AS ts FROM range(1, 9) r(i)",
    "u": "SELECT i AS id, i % 4 AS k, i * 3 AS x, i % 2 AS y, i AS ts FROM range(1, 7) r(i)",
    "n": "SELECT i AS id, {'p': i, 'q': {'r': -i}} AS s, [i, i + 1, 9 - i] AS l FROM range(1, 5) r(i)",
}
#: What a column is filled with instead: other values of the same type, in another order.
OTHER = {"s": "{'p': 3 * id, 'q': {'r': id * id}}", "l": "[id * 5, 2]", "id": "(id * 5) % 9 + 100"}

CASES: dict[str, tuple[str, dict[str, str]]] = {
    "a column, an alias and a constant": (
        "SELECT a, b + 1 AS c, 5 AS five FROM t",
        {"a": "value t.a", "c": "value t.b", "five": "", ROWS: "rows t"},
    ),
    "where only filters": ("SELECT a FROM t WHERE g = 1", {"a": "value t.a", ROWS: "filter t.g, rows t"}),
    "count reads no column": (
        "SELECT g, count(*) AS n FROM t GROUP BY g",
        {"g": "value t.g", "n": "", ROWS: "group t.g, rows t"},
    ),
    "filter of an aggregate": (
        "SELECT sum(a) FILTER (WHERE b > 1) AS s FROM t GROUP BY g HAVING max(ts) > 2",
        {"s": "filter t.b, value t.a", ROWS: "filter t.ts, group t.g, rows t"},
    ),
    "a CTE is followed": (
        "WITH c AS (SELECT k, sum(x) AS sx FROM u WHERE y = 1 GROUP BY k) SELECT a, sx FROM t JOIN c USING (k)",
        {"a": "value t.a", "sx": "value u.x", ROWS: "filter u.y, group u.k, join t.k, join u.k, rows t, rows u"},
    ),
    "a CTE over a CTE, its columns renamed": (
        "WITH c(p, q) AS (SELECT a, b FROM t), d AS (SELECT p + 1 AS r FROM c WHERE q > 0) SELECT r FROM d",
        {"r": "value t.a", ROWS: "filter t.b, rows t"},
    ),
    "a window": (
        "SELECT a, lag(b) OVER (PARTITION BY g ORDER BY ts) AS before FROM t",
        {"a": "value t.a", "before": "group t.g, order t.ts, value t.b", ROWS: "rows t"},
    ),
    "a named window": (
        "SELECT sum(a) OVER w AS s FROM t WINDOW w AS (PARTITION BY k ORDER BY ts, id)",
        {"s": "group t.k, order t.id, order t.ts, value t.a", ROWS: "rows t"},
    ),
    "qualify": (
        "SELECT a, row_number() OVER (PARTITION BY g ORDER BY ts) AS nth FROM t QUALIFY nth = 1",
        {"a": "value t.a", "nth": "group t.g, order t.ts", ROWS: "filter t.g, filter t.ts, rows t"},
    ),
    "union all goes by place": (
        "SELECT a, b FROM t UNION ALL SELECT x, y FROM u",
        {"a": "value t.a, value u.x", "b": "value t.b, value u.y", ROWS: "rows t, rows u"},
    ),
    "union compares whole rows": (
        "SELECT k FROM t UNION SELECT k FROM u",
        {"k": "value t.k, value u.k", ROWS: "group t.k, group u.k, rows t, rows u"},
    ),
    "union by name": (
        "SELECT a, k FROM t UNION ALL BY NAME SELECT k, x FROM u",
        {"a": "value t.a", "k": "value t.k, value u.k", "x": "value u.x", ROWS: "rows t, rows u"},
    ),
    "except shows its left side": (
        "SELECT k FROM t EXCEPT SELECT k FROM u WHERE y = 0",
        {"k": "value t.k", ROWS: "filter u.y, group t.k, group u.k, rows t, rows u"},
    ),
    "a semi join": (
        "SELECT * FROM t SEMI JOIN u ON t.k = u.k AND u.x > 3",
        {name: f"value t.{name}" for name in ("id", "g", "k", "a", "b", "ts")}
        | {ROWS: "join t.k, join u.k, join u.x, rows t, rows u"},
    ),
    "an anti join": (
        "SELECT a FROM t ANTI JOIN u USING (id)",
        {"a": "value t.a", ROWS: "join t.id, join u.id, rows t, rows u"},
    ),
    "a left join using": (
        "SELECT k, a, x FROM t LEFT JOIN u USING (k)",
        {"k": "value t.k", "a": "value t.a", "x": "value u.x", ROWS: "join t.k, join u.k, rows t, rows u"},
    ),
    "a full join using takes the key from both": (
        "SELECT k FROM t FULL JOIN u USING (k)",
        {"k": "value t.k, value u.k", ROWS: "join t.k, join u.k, rows t, rows u"},
    ),
    "a natural join": (
        "SELECT x FROM (SELECT id, a FROM t) NATURAL JOIN (SELECT id, x FROM u)",
        {"x": "value u.x", ROWS: "join t.id, join u.id, rows t, rows u"},
    ),
    "an asof join": (
        "SELECT a, x FROM t ASOF JOIN u ON t.k = u.k AND t.ts >= u.ts",
        {"a": "value t.a", "x": "value u.x", ROWS: "join t.k, join t.ts, join u.k, join u.ts, rows t, rows u"},
    ),
    "a cross join with where": (
        "SELECT a FROM t, u WHERE t.id = u.id",
        {"a": "value t.a", ROWS: "filter t.id, filter u.id, rows t, rows u"},
    ),
    "a correlated subquery": (
        "SELECT id, (SELECT max(x) FROM u WHERE u.k = t.k) AS m FROM t",
        {"id": "value t.id", "m": "filter t.k, filter u.k, rows u, value u.x", ROWS: "rows t"},
    ),
    "exists": (
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id AND y = 1)",
        {"a": "value t.a", ROWS: "filter t.id, filter u, filter u.id, filter u.y, rows t"},
    ),
    "in a subquery": (
        "SELECT a FROM t WHERE k IN (SELECT k FROM u WHERE x > 5)",
        {"a": "value t.a", ROWS: "filter t.k, filter u, filter u.k, filter u.x, rows t"},
    ),
    "case": (
        "SELECT CASE WHEN b > 2 THEN a WHEN g = 1 THEN ts ELSE 0 END AS c FROM t",
        {"c": "value t.a, value t.b, value t.g, value t.ts", ROWS: "rows t"},
    ),
    "a lateral alias": (
        "SELECT a + b AS s, s * 2 AS d FROM t",
        {"s": "value t.a, value t.b", "d": "value t.a, value t.b", ROWS: "rows t"},
    ),
    "a column goes before an alias": (
        "SELECT a AS b, b AS c FROM t WHERE b > 1",
        {"b": "value t.a", "c": "value t.b", ROWS: "filter t.b, rows t"},
    ),
    "an alias in where": ("SELECT a + 1 AS c FROM t WHERE c > 30", {"c": "value t.a", ROWS: "filter t.a, rows t"}),
    "a struct's field": (
        "SELECT s.p AS p, n.s.q.r AS r FROM n",
        {"p": "value n.s", "r": "value n.s", ROWS: "rows n"},
    ),
    "a lambda's parameter is no column": (
        "SELECT list_transform(l, lambda x: x + id) AS m FROM n",
        {"m": "value n.id, value n.l", ROWS: "rows n"},
    ),
    "unnest makes rows": (
        "SELECT id, unnest(l) AS e FROM n",
        {"id": "value n.id", "e": "value n.l", ROWS: "join n.l, rows n"},
    ),
    "unnest in from": (
        "SELECT id, e FROM n, unnest(l) AS x(e)",
        {"id": "value n.id", "e": "value n.l", ROWS: "join n.l, rows n"},
    ),
    "a star": ("SELECT * FROM u", {name: f"value u.{name}" for name in ("id", "k", "x", "y", "ts")} | {ROWS: "rows u"}),
    "a star with exclude and replace": (
        "SELECT * EXCLUDE (id, ts) REPLACE (x + y AS x) FROM u",
        {"k": "value u.k", "x": "value u.x, value u.y", "y": "value u.y", ROWS: "rows u"},
    ),
    "a star with rename": (
        "SELECT * EXCLUDE (id, ts, y) RENAME (x AS z) FROM u",
        {"k": "value u.k", "z": "value u.x", ROWS: "rows u"},
    ),
    "the star of one table": (
        "SELECT u.*, a FROM t JOIN u USING (id)",
        {name: f"value u.{name}" for name in ("id", "k", "x", "y", "ts")}
        | {"a": "value t.a", ROWS: "join t.id, join u.id, rows t, rows u"},
    ),
    "from first": ("FROM u SELECT x", {"x": "value u.x", ROWS: "rows u"}),
    "group by all": (
        "SELECT g, k + 1 AS kk, sum(a) AS s FROM t GROUP BY ALL",
        {"g": "value t.g", "kk": "value t.k", "s": "value t.a", ROWS: "group t.g, group t.k, rows t"},
    ),
    "group by place": (
        "SELECT g AS h, avg(a) AS m FROM t GROUP BY 1 ORDER BY 2 LIMIT 2",
        {"h": "value t.g", "m": "value t.a", ROWS: "group t.g, order t.a, rows t"},
    ),
    "grouping sets": (
        "SELECT g, k, count(*) AS c FROM t GROUP BY GROUPING SETS ((g), (k))",
        {"g": "value t.g", "k": "value t.k", "c": "", ROWS: "group t.g, group t.k, rows t"},
    ),
    "distinct": ("SELECT DISTINCT g FROM t", {"g": "value t.g", ROWS: "group t.g, rows t"}),
    "distinct on": (
        "SELECT DISTINCT ON (g) a FROM t ORDER BY g, ts",
        {"a": "value t.a", ROWS: "group t.g, order t.g, order t.ts, rows t"},
    ),
    "order inside an aggregate": (
        "SELECT arg_max(a, ts ORDER BY id) AS newest, list(b ORDER BY ts) AS bs FROM t",
        {"newest": "order t.id, value t.a, value t.ts", "bs": "order t.ts, value t.b", ROWS: "rows t"},
    ),
    "values and ranges": (
        "SELECT v.p, r.i, a FROM t JOIN (VALUES (0, 'even'), (1, 'odd')) v(k, p) USING (k) CROSS JOIN range(2) r(i)",
        {"p": "", "i": "", "a": "value t.a", ROWS: "join t.k, rows t"},
    ),
    "joins in brackets": (
        "SELECT a, x FROM (t JOIN u USING (id)) WHERE y = 1",
        {"a": "value t.a", "x": "value u.x", ROWS: "filter u.y, join t.id, join u.id, rows t, rows u"},
    ),
    "a lateral join": (
        "SELECT a, m FROM t, LATERAL (SELECT max(x) AS m FROM u WHERE u.k = t.k) j",
        {"a": "value t.a", "m": "value u.x", ROWS: "filter t.k, filter u.k, rows t, rows u"},
    ),
    "a whole row as a value": (
        "SELECT count(u) AS c FROM u",
        {"c": ", ".join(f"value u.{name}" for name in ("id", "k", "ts", "x", "y")), ROWS: "rows u"},
    ),
    "a CTE hides a table": (
        "WITH u AS (SELECT id, a AS x FROM t) SELECT x FROM u",
        {"x": "value t.a", ROWS: "rows t"},
    ),
}
#: Columns that a query names and does not use: without them it does not bind, and still nothing depends on them.
NAMED_ONLY = {
    "a natural join": {"t.a"},
    "a star with exclude and replace": {"u.id", "u.ts"},
    "a star with rename": {"u.id", "u.ts", "u.y"},
    "a CTE hides a table": {"t.id"},
}
NOT_TRACED = {
    "columns by a pattern": "SELECT COLUMNS('a|b') FROM t",
    "the fields of a struct": "SELECT s.* FROM n",
    "a struct unnested": "SELECT unnest(s) FROM n",
}


@pytest.fixture(scope="module")
def database() -> Any:
    with duckdb.connect(":memory:") as connection:
        for name, query in TABLES.items():
            connection.execute(f"CREATE TABLE {name} AS {query}")
        yield connection


def relations(connection: duckdb.DuckDBPyConnection) -> dict[str, Relation]:
    return {name: table(name, columns_of(connection, name)) for name in TABLES}


def columns_of(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    return [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()]


def traced(connection: duckdb.DuckDBPyConnection, query: str) -> Relation:
    names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM ({query})").fetchall()]
    return trace_query(query, relations(connection), names=names)


def written(uses: Uses) -> str:
    """Write uses as the cases above do."""
    shown = {(use.role, use.relation if use.column == ROWS else f"{use.relation}.{use.column}") for use in uses}
    assert all(role in ROLES for role, _ in shown)
    return ", ".join(sorted(f"{role} {name}" for role, name in shown))


@pytest.mark.parametrize("case", CASES)
def test_each_column_is_traced_to_what_it_is_made_of(case: str, database: duckdb.DuckDBPyConnection) -> None:
    query, expected = CASES[case]
    found = traced(database, query)
    assert not any(use.doubt for use in found.all_uses() | found.rows)
    assert {name: written(uses) for name, uses in found.columns} | {ROWS: written(found.rows)} == expected


@pytest.mark.parametrize("case", CASES)
def test_a_column_that_the_query_cannot_do_without_is_traced(case: str, database: duckdb.DuckDBPyConnection) -> None:
    query, _ = CASES[case]
    found = traced(database, query)
    used = {f"{use.relation}.{use.column}" for use in found.all_uses() | found.rows} | NAMED_ONLY.get(case, set())
    for name in TABLES:
        for column in columns_of(database, name):
            with database.cursor() as cursor:
                cursor.execute(f"CREATE TEMP TABLE {name} AS SELECT * EXCLUDE ({column}) FROM memory.main.{name}")
                try:
                    cursor.execute(f"DESCRIBE {query}")
                except duckdb.BinderException:
                    assert f"{name}.{column}" in used, f"without {name}.{column} it does not bind"
                finally:
                    cursor.execute(f"DROP TABLE temp.{name}")


@pytest.mark.parametrize("case", CASES)
def test_other_values_in_a_column_change_no_column_that_it_is_not_traced_into(
    case: str, database: duckdb.DuckDBPyConnection
) -> None:
    query, _ = CASES[case]
    found = traced(database, query)
    before = database.execute(query).fetchall()
    for name in TABLES:
        for column in columns_of(database, name):
            other = OTHER.get(column, f"({column} * 3 + 2) % 11")
            with database.cursor() as cursor:
                text = f"SELECT * REPLACE ({other} AS {column}) FROM memory.main.{name}"
                cursor.execute(f"CREATE TEMP TABLE {name} AS {text}")
                after = cursor.execute(query).fetchall()
                cursor.execute(f"DROP TABLE temp.{name}")
            for place, (shown, uses) in enumerate(found.columns):
                if (name, column) not in {(use.relation, use.column) for use in uses | found.rows}:
                    pair = [sorted(str(row[place]) for row in rows) for rows in (before, after)]
                    assert pair[0] == pair[1], f"{name}.{column} changes {shown}"


@pytest.mark.parametrize("case", NOT_TRACED)
def test_what_is_not_understood_depends_on_all_that_is_read_and_says_so(
    case: str, database: duckdb.DuckDBPyConnection
) -> None:
    query = NOT_TRACED[case]
    found = traced(database, query)
    name = query.rpartition(" ")[2]
    for _, uses in found.columns:
        assert {use.column for use in uses} == {*columns_of(database, name), ROWS}
        assert all(use.doubt for use in uses)
    assert {use.column for use in found.rows} == {*columns_of(database, name), ROWS}


def test_names_that_differ_from_duckdb_s_are_not_believed(database: duckdb.DuckDBPyConnection) -> None:
    found = trace_query("SELECT a, b FROM t", relations(database), names=["a"])
    assert found.names == ["a"]
    assert all("DuckDB sees 1 columns" in use.doubt for use in found.rows)


def test_a_file_s_columns_are_those_that_the_reader_declares_and_those_that_are_read() -> None:
    query = "SELECT a + c AS s FROM read_csv($files[2], header = true, types = {'a': 'INTEGER'}) WHERE b > 0"
    found = trace_query(query, {})
    assert written(found.columns[0][1]) == "value $files[2].a, value $files[2].c"
    assert written(found.rows) == "filter $files[2].b, rows $files[2]"


def test_a_star_over_a_file_that_is_not_wholly_declared_stays_open() -> None:
    query = "SELECT * FROM read_csv($files, types = {'a': 'INTEGER'})"
    assert trace_query(query, {}).open_name == "$files"
    assert trace_query(query, {}, observed={"$files": ["a", "b"]}).names == ["a", "b"]
    assert trace_query(query.replace("types", "columns"), {}).open_name is None
