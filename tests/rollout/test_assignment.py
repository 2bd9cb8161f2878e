"""Who is served by whom: the same in DuckDB and in Python, and nobody changes side as shares grow."""

from __future__ import annotations

import csv
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from jobs.models.arms.assignment import (
    EXPLORE,
    Assignment,
    bucket_of,
    bucket_sql,
    by_list,
    by_region,
    by_share,
    in_shadow,
)
from tests.effort import times
from warehouse.errors import UsageError

VECTORS = list(csv.DictReader((Path(__file__).parent / "statistics.csv").read_text().splitlines()))
UNIT = ("day", "carrier", "price", "seat")
# Dates, text beyond ASCII, decimals and integers, each sometimes NULL, some text empty or with the separator in it.
KEYS = """
    SELECT CASE WHEN n % 11 <> 0 THEN DATE '2013-01-01' + CAST(n % 3650 AS INTEGER) END AS day,
           CASE n % 7 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'é' || n WHEN 3 THEN chr(31) || n ELSE 'AA' || n END
               AS carrier,
           CASE WHEN n % 13 <> 0 THEN CAST(n AS DECIMAL(18, 2)) / 4 END::DECIMAL(18, 2) AS price,
           CASE WHEN n % 5 <> 0 THEN n * n END AS seat
    FROM range(NUMBER) AS t(n)
"""


def buckets(n_keys: int) -> tuple[list[int], list[int]]:
    with duckdb.connect() as connection:
        texts = ", ".join(f"CAST({name} AS VARCHAR)" for name in UNIT)
        query = f"SELECT {bucket_sql('canary1', UNIT)}, {texts} FROM ({KEYS.replace('NUMBER', str(n_keys))})"
        found = connection.execute(query).fetchall()
    return [row[0] for row in found], [bucket_of("canary1", row[1:]) for row in found]


def test_units_that_no_model_chooses_for_are_the_same_whatever_arms_and_shares_do() -> None:
    units = [[str(n)] for n in range(20_000)]
    shadow = replace(in_shadow("salt", ["id"], "v1", ["v2"]), explore=20_000)
    canary, wider = (
        replace(by_share("salt", ["id"], "v1", ["v2"], Decimal(share)), explore=20_000) for share in ("0.1", "0.5")
    )
    explored = [{unit[0] for unit in units if given.arm_of(unit) == EXPLORE} for given in (shadow, canary, wider)]
    assert explored[0] == explored[1] == explored[2]
    assert len(explored[0]) / len(units) == pytest.approx(0.02, abs=0.003)
    assert wider.shares() == pytest.approx({"v1": 0.49, "v2": 0.49, EXPLORE: 0.02})
    own = [{unit[0] for unit in units if given.arm_of(unit) == "v2"} for given in (canary, wider)]
    assert own[0] < own[1]
    with duckdb.connect() as connection:
        query = f"SELECT {wider.arm_sql()} FROM (SELECT range::VARCHAR AS id FROM range(20000)) ORDER BY id::INTEGER"
        assert [row[0] for row in connection.execute(query).fetchall()] == [wider.arm_of(unit) for unit in units]
    assert Assignment.from_json(wider.to_json()) == wider


def test_duckdb_and_python_agree_on_keys_of_several_columns_with_nulls_dates_and_decimals() -> None:
    in_sql, in_python = buckets(times(20_000))
    assert in_sql == in_python
    assert 0.9 < len(set(in_sql)) / (1e6 * (1 - (1 - 1e-6) ** len(in_sql))) < 1.1


def test_buckets_are_those_of_the_vectors() -> None:
    known = [row for row in VECTORS if row["case"] == "hash_bucket"]
    assert len(known) == 4
    for row in known:
        salt, value = row["input"].removeprefix("md5 of ").replace("'", "").split("||chr(31)||")
        assert bucket_of(salt, [value]) == int(row["value"])


def served(assignment: Assignment, region: str | None = None, n_keys: int = 3_000) -> dict[tuple[str | None, ...], str]:
    with duckdb.connect() as connection:
        query = f"SELECT CAST(n AS VARCHAR), {assignment.arm_sql(region)} FROM range({n_keys}) AS t(n)"
        return {(row[0],): row[1] for row in connection.execute(query).fetchall()}


@pytest.mark.parametrize("challengers", [("v2",), ("v2", "v3"), ("v2", "v3", "v4")])
def test_whoever_is_in_stays_in_as_shares_grow_and_nobody_changes_challenger(challengers: tuple[str, ...]) -> None:
    before = served(in_shadow("s", ["n"], "v1", challengers))
    assert set(before.values()) == {"v1"}
    for share in ("0.01", "0.2", "0.333333"):
        assignment = by_share("s", ["n"], "v1", challengers, Decimal(share))
        now = served(assignment)
        assert all(now[unit] == arm for unit, arm in before.items() if arm != "v1")
        for version in challengers:
            assert sum(arm == version for arm in now.values()) / len(now) == pytest.approx(float(share), abs=0.03)
        assert all(assignment.arm_of(unit) == arm for unit, arm in list(now.items())[:100])
        out = served(assignment.without(challengers[0]))
        assert all(out[unit] == ("v1" if arm == challengers[0] else arm) for unit, arm in now.items())
        assert Assignment.from_json(assignment.to_json()) == assignment
        before = now


def test_a_region_and_a_list_limit_who_is_given_to_challengers() -> None:
    region = by_region("s", ["n"], "v1", ["v2", "v3"])
    found = served(region, "CASE WHEN n = 7 THEN NULL ELSE n < 1000 END")
    assert {arm for (n,), arm in found.items() if int(n) >= 1000 or n == "7"} == {"v1"}
    assert {arm for (n,), arm in found.items() if int(n) < 1000 and n != "7"} == {"v2", "v3"}
    assert region.arm_of(["3"], inside=False) == "v1" != region.arm_of(["3"])
    with pytest.raises(UsageError, match="region's condition"):
        region.arm_sql()
    listed = by_list("s", ["n"], "v1", ["v2"], [["5"], ["it's"], [None]])
    assert [n for (n,), arm in served(listed).items() if arm == "v2"] == ["5"]
    assert [listed.arm_of([text]) for text in ("5", "6", "it's", None)] == ["v2", "v1", "v2", "v2"]


def test_challengers_get_no_more_than_there_is() -> None:
    with pytest.raises(UsageError, match="more than there is"):
        by_share("s", ["n"], "v1", ["v2", "v3"], Decimal("0.6"))
    assert by_share("s", ["n"], "v1", ["v2", "v3"], Decimal("0.5")).shares() == {"v1": 0.0, "v2": 0.5, "v3": 0.5}
