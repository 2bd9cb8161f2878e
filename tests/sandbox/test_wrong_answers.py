"""DuckDB's wrong answers: each is shown wrong as DuckDB is, and right, or refused, where authors' SQL runs."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import check_query
from warehouse.queries.wrong_answers import WRONG_ANSWERS, switch_off_wrong_optimizers

_LEFT_JOIN = "SELECT t2.c0, t0.c1 FROM t2 LEFT JOIN t0 ON true WHERE"
_CONDITION = "((NOT t2.c0) AND (substring(t0.c1 FROM -4294967296) <> t0.c1))"
#: By issue: tables, a query, and its rows, as they should be.
SEEN = {
    25888: (
        "",
        """
        WITH s AS (SELECT count(*) AS n FROM (VALUES (1)) AS t(a))
        SELECT * FROM s WHERE s.n > 5 QUALIFY row_number() OVER (ORDER BY s.n) = 1""",
        [],
    ),
    23675: ("CREATE TABLE e (s INTEGER, p INTEGER)", "SELECT p FROM e QUALIFY row_number() OVER (ORDER BY s) <= 1", []),
    24624: (
        "CREATE TABLE t2 (c0 BOOLEAN); CREATE TABLE t0 (c1 VARCHAR); INSERT INTO t0 VALUES ('a');"
        " INSERT INTO t2 VALUES (false)",
        f"SELECT count(*) FROM ({_LEFT_JOIN} NOT {_CONDITION} UNION ALL {_LEFT_JOIN} {_CONDITION} IS NULL)",
        [(1,)],
    ),
    24826: (
        "",
        """
        SELECT mode(x ORDER BY id) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)
        FROM (VALUES (1, 'A'), (2, 'B'), (3, 'A'), (4, 'B'), (5, 'A')) AS t(id, x) ORDER BY id""",
        [("A",), ("A",), ("A",), ("A",), ("B",)],
    ),
}


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as connection:
        yield connection


@pytest.mark.parametrize("issue", SEEN)
def test_a_wrong_answer_is_wrong_without_what_is_done_here_and_right_with_it(
    duck: duckdb.DuckDBPyConnection, issue: int
) -> None:
    tables, query, right = SEEN[issue]
    wrong = next(wrong for wrong in WRONG_ANSWERS if issue in wrong.issues)
    duck.execute(tables or "SELECT 1")
    assert duck.execute(query).fetchall() != right, f"DuckDB is right now: what is done for {issue} can go"
    switch_off_wrong_optimizers(duck)
    if wrong.optimizer is not None:
        assert duck.execute(query).fetchall() == right
    else:
        with pytest.raises(QueryRefused, match="DuckDB"):
            check_query(query, "q.sql", tables=(), parameters=())


def test_every_wrong_answer_has_an_issue_that_is_shown() -> None:
    assert all(any(issue in SEEN for issue in wrong.issues) for wrong in WRONG_ANSWERS)
