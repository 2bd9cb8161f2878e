"""The quotient of a sum and a count is DuckDB's own avg, to the last bit, for counts of any size."""

from __future__ import annotations

import duckdb
import pytest

from warehouse.batching.ranges import averages
from warehouse.batching.syntax.parsing import Workbench


@pytest.fixture
def groups() -> duckdb.DuckDBPyConnection:
    """Many groups of many rows: n counts, s sums, a DuckDB's average."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE groups AS WITH wanted AS ("
        " SELECT i AS g, 2000 + hash(i) % 3000 AS n,"
        " (hash(7 * i + 1) % 1000000)::BIGINT * (1 - 2 * (i % 2)) AS s FROM range(6000) AS numbers(i)),"
        " values AS (SELECT g, unnest(list_resize([s::INTEGER], n::BIGINT, 0)) AS x FROM wanted)"
        " SELECT g, sum(x) AS s, count(x) AS n, avg(x) AS a FROM values GROUP BY g"
    )
    connection.execute(
        "INSERT INTO groups WITH values AS ("
        " SELECT g, (hash(31 * i + g) >> (2 + g % 60))::BIGINT * (1 - 2 * (g % 2)) AS x"
        " FROM range(40000) AS numbers(g), range(1 + g % 9) AS members(i))"
        " SELECT g, sum(x) AS s, count(x) AS n, avg(x) AS a FROM values GROUP BY g"
        " HAVING abs(s) < (1::HUGEINT << 63)"
    )
    return connection


def differing(groups: duckdb.DuckDBPyConnection, quotient: str) -> int:
    row = groups.execute(f"SELECT count(*) FROM groups WHERE a IS DISTINCT FROM {quotient}").fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("sure_below", [averages.SURE_BELOW, 0])
def test_the_quotient_is_duckdbs_average(
    groups: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, sure_below: int
) -> None:
    with Workbench() as bench:
        if not averages.rounds_twice(bench):
            pytest.skip("long double is not 64 bits wide here, and avg is spread instead")
    monkeypatch.setattr(averages, "SURE_BELOW", sure_below)
    assert differing(groups, averages.quotient("s", "n")) == 0
    # The plain division would not do.
    assert differing(groups, "s::DOUBLE / n::DOUBLE") > 0


def test_no_values_have_no_average() -> None:
    quotient = averages.quotient("s", "n")
    row = duckdb.execute(f"SELECT {quotient} FROM (SELECT 0::HUGEINT AS s, 0::BIGINT AS n)").fetchone()
    assert row == (None,)


def test_a_sum_beyond_63_bits_is_an_error_and_no_wrong_answer() -> None:
    quotient = averages.quotient("s", "n")
    with pytest.raises(duckdb.Error, match="out of range"):
        duckdb.execute(f"SELECT {quotient} FROM (SELECT (1::HUGEINT << 70) AS s, 3::BIGINT AS n)").fetchone()
