"""Forbidden expressions at every place of valid queries: none may pass, whatever the place.

The places are found without the grammar of `warehouse.queries.syntax_tree`: a forbidden expression is put in the place
of everything in the tree of a valid query, leaf or not, and DuckDB is asked whether it takes the tree back. Where it
does, and the expression is still in the text that it prints, an expression can stand there, and the check has to refuse
it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tests.sandbox.query_generator import queries
from tests.sandbox.test_sandbox_queries import ALLOWED
from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import check_query
from warehouse.queries.second_parser import Seen, disagreements

TABLES = {"landings", "weather", "orders", "couriers"}
#: What no query may do, each with a pattern by which it is told in a printed query.
FORBIDDEN = {
    "random()": r"\brandom\(",
    "now()": r"\bnow\(",
    "getenv('HOME')": r"\bgetenv\(",
    "nextval('s')": r"\bnextval\(",
    "(SELECT max(known_at) FROM query('FROM lake.sources.deliveries'))": r"\bquery\(",
    "(SELECT count(*) FROM lake.sources.orders)": r"\blake\.",
    "(SELECT content FROM read_text('secret'))": r"\bread_text\(",
    "current_setting('threads')": r"\bcurrent_setting\(",
    "list(a)": r"\blist\(a\)",
    "(SELECT a FROM landings LIMIT 1)": r"LIMIT 1\)",
}
#: Valid queries that have the places which the others lack.
MORE = [
    "SELECT * REPLACE (a + 1 AS a), * EXCLUDE (b) RENAME (c AS d) FROM landings",
    "SELECT COLUMNS(c -> c LIKE 'a%'), COLUMNS(['a', 'b']), COLUMNS(* EXCLUDE (a)) FROM landings",
    "SELECT CASE a WHEN 1 THEN 2 ELSE 3 END, a BETWEEN 1 AND 2, a::DECIMAL(4, 2), TRY_CAST(b AS INT[]) FROM landings",
    "SELECT a IN (1, 2), a = ANY (SELECT b FROM weather), EXISTS (SELECT 1), NOT a, b COLLATE NOCASE FROM landings",
    "SELECT sum(a) FILTER (WHERE b), count(DISTINCT a), list(a ORDER BY b DESC) FROM landings GROUP BY c"
    " HAVING sum(a) > 1",
    "SELECT nth_value(a, 2) OVER w, lag(a, 1, 0) OVER w, sum(a) FILTER (WHERE b) OVER (ORDER BY c) FROM landings"
    " WINDOW w AS (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING)",
    "SELECT [a + 1 FOR a IN x IF a > 2], list_transform(x, lambda q, i: q + i), x[1:2], {'a': b} FROM landings",
    "SELECT * FROM landings JOIN weather ON landings.a = weather.a, (VALUES (1, 2), (3, 4)) AS v(x, y),"
    " range(3) AS r(i)",
    "SELECT a FROM landings WHERE b ORDER BY a LIMIT 3 OFFSET 2",
    "WITH t AS MATERIALIZED (SELECT a FROM landings) SELECT DISTINCT ON (a) a FROM t"
    " QUALIFY rank() OVER (ORDER BY a) = 1 ORDER BY a, b",
    "SELECT first_value(a ORDER BY b) OVER (ORDER BY c) FROM landings UNION ALL SELECT b FROM weather",
]


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


def tree_of(duck: duckdb.DuckDBPyConnection, text: str) -> Any:
    row = duck.execute("SELECT json_serialize_sql($1)", [text]).fetchone()
    assert row
    return json.loads(row[0])


def printed(duck: duckdb.DuckDBPyConnection, tree: Any) -> str | None:
    """Give the text of a tree, or None if DuckDB does not take it back."""
    try:
        row = duck.execute("SELECT json_deserialize_sql($1::JSON)", [json.dumps(tree)]).fetchone()
    except duckdb.Error:
        return None
    return str(row[0]) if row else None


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of everything below a node, and one more place in each list."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            yield from places(value, (*path, key))
    elif isinstance(node, list):
        yield (*path, len(node))
        for index, value in enumerate(node):
            yield (*path, index)
            yield from places(value, (*path, index))


def kind_of_place(tree: Any, path: tuple[Any, ...]) -> str:
    """Name a place by the kinds of the nodes on the way to it, so that each is tried a few times and not a thousand."""
    found, node = [], tree
    for key in path:
        if isinstance(node, dict):
            found.append(str(node.get("class") or node.get("type"))[:40])
        found.append(str(key) if isinstance(key, str) else "[]")
        node = node[key] if not isinstance(node, list) or key < len(node) else None
    return "/".join(found[-4:])


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Copy a tree with a value at a path."""
    if not path:
        return value
    if isinstance(tree, list):
        if path[0] == len(tree):
            return [*tree, value]
        return [replaced(item, path[1:], value) if index == path[0] else item for index, item in enumerate(tree)]
    return {key: replaced(item, path[1:], value) if key == path[0] else item for key, item in tree.items()}


def planted(duck: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
    """Give queries with something forbidden in them, each with what that is."""
    expressions = {
        text: tree_of(duck, f"SELECT {text}")["statements"][0]["node"]["select_list"][0] for text in FORBIDDEN
    }
    seen: dict[str, int] = {}
    for number, text in enumerate([*MORE, *ALLOWED, *queries(seed=7, count=200)]):
        tree = tree_of(duck, text)
        assert not tree["error"], text
        for place, path in enumerate(places(tree)):
            kind = kind_of_place(tree, path)
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] > 2:
                continue
            # One of them tells whether an expression can stand there; where it can, and is seen first, try them all.
            first = (number + place) % len(expressions)
            for which in (first, *(set(range(len(expressions))) - {first} if seen[kind] == 1 else ())):
                forbidden = list(expressions)[which]
                found = printed(duck, replaced(tree, path, expressions[forbidden]))
                if not found or not re.search(FORBIDDEN[forbidden], found):
                    break
                yield found, forbidden


def test_nothing_forbidden_passes_wherever_an_expression_can_stand(duck: duckdb.DuckDBPyConnection) -> None:
    tried = 0
    passed = []
    for text, forbidden in planted(duck):
        tried += 1
        try:
            check_query(text, "q.sql", tables=TABLES, parameters={"as_of"})
        except QueryRefused:
            continue
        passed.append((forbidden, text))
    assert not passed, f"{len(passed)} of {tried} passed, first: {passed[:5]}"
    assert tried > 500


def test_the_second_parser_sees_forbidden_functions_by_itself(duck: duckdb.DuckDBPyConnection) -> None:
    """A second line: had the walk over DuckDB's tree not seen them at all, sqlglot would."""
    calling = [text for text in FORBIDDEN if "(" in text and not text.startswith("(SELECT a")]
    for text in (f"SELECT * REPLACE ({forbidden} AS a) FROM landings" for forbidden in calling):
        assert disagreements(text, "q.sql", Seen(tables={"landings"})), text
