"""What DuckLake records of files' values never makes a query pass by rows, whatever columns come and go."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.facts.ingest import ingest
from jobs.pages.labelled import ensure_feature_pages
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from jobs.suites.upkeep import upkeep
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from warehouse.errors import PublishFailed, UsageError
from warehouse.lake.migrations import MIGRATIONS
from warehouse.lake.tables import ensure_table

#: The format from which on lakes have no wrong statistics.
MENDED_FROM = 1 + [step.sql for step in MIGRATIONS].index("ledger/create_mends")
#: Ways to ask how many values a column has; all must agree with looking at each of them.
WAYS = (
    "SELECT count({c}) FROM {t}",
    "SELECT count(*) FILTER ({c} IS NOT NULL) FROM {t}",
    "SELECT (SELECT count(*) FROM {t}) - (SELECT count(*) FROM {t} WHERE {c} IS NULL)",
    "SELECT count(*) FROM {t} WHERE coalesce({c}::VARCHAR, 'none') <> 'none'",
)


def counted(suite: Suite, table: str, column: str, snapshot_id: int | None = None) -> set[int]:
    seen = sum(value is not None for (value,) in rows(suite, f"SELECT {column} FROM {table}", snapshot_id=snapshot_id))
    ways = ", ".join(f"({way.format(t=table, c=column)})" for way in WAYS)
    return {seen, *map(int, rows(suite, f"SELECT {ways}", snapshot_id=snapshot_id)[0])}


def edit(suite: Suite, file: str, old: str, new: str) -> Suite:
    path = suite.root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return reopened(suite)


def test_a_column_that_a_later_file_lacks_is_null_there(ingested: Suite) -> None:
    before = counted(ingested, "sources.orders", "courier")
    (ingested.root / "data/orders2.csv").write_text(
        "order_id,depot,parcels,ordered_at,promised_at\nX1,north,2,2026-01-01,2026-01-02\n"
    )
    ingest(ingested, ["orders"])
    assert counted(ingested, "sources.orders", "courier") == before
    assert rows(ingested, "SELECT courier FROM sources.orders WHERE order_id = 'X1'") == [(None,)]


def test_a_feature_that_is_renamed_is_null_in_later_pages(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    ensure_feature_pages(trained, product, [PAGE], Silent())
    before = counted(trained, f"features.{PRODUCT}", "depot_deliveries_28d")
    suite = edit(trained, "sql/features/depot_history.sql", "depot_deliveries_28d", "depot_n_28d")
    ensure_feature_pages(suite, suite.definitions.product(PRODUCT), [PAGE.replace(day=11)], Silent())
    after = counted(suite, f"features.{PRODUCT}", "depot_deliveries_28d")
    assert after == before
    assert counted(suite, f"features.{PRODUCT}", "depot_n_28d") < {*range(10**6)}


def add(suite: Suite, table: str, columns: dict[str, str], select: str) -> None:
    """Add rows to a table as ingestions and pages do."""
    with suite.staging("test") as directory:
        file = directory / "rows.parquet"
        with suite.lake.reading() as connection:
            connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
        with suite.lake.commit("test") as commit:
            commit.add_rows("sources", table, file, as_it_is=ensure_table(commit, "sources", table, columns))


Columns = st.frozensets(st.sampled_from("abcde"), min_size=1)


@settings(max_examples=int(os.environ.get("ALMANAC_HISTORIES", "6")), deadline=None, derandomize=True)
@given(history=st.lists(st.tuples(Columns, st.booleans()), min_size=2, max_size=5), number=st.uuids())
def test_columns_come_and_go_and_each_count_is_right(lake: Suite, history: list[Any], number: UUID) -> None:
    table = f"t{number.hex}"
    for turn, (columns, some_null) in enumerate(history):
        value = f"CASE WHEN range % 2 = 0 OR {not some_null} THEN range + {turn * 100} END::INTEGER"
        named = dict.fromkeys(sorted(columns), "INTEGER")
        add(lake, table, named, "SELECT " + ", ".join(f"{value} AS {name}" for name in named) + " FROM range(20)")
    for name in sorted(set().union(*(columns for columns, _ in history))):
        assert len(counted(lake, f"sources.{table}", name)) == 1, name


@pytest.fixture(scope="module")
def lake(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    root = tmp_path_factory.mktemp("statistics") / "shop"
    shutil.copytree(_ingested, root)
    return open_suite(root, clock_at(NOW))


def test_a_file_that_lacks_a_column_is_refused(lake: Suite) -> None:
    add(lake, "whole", {"a": "INTEGER", "b": "INTEGER"}, "SELECT 1::INTEGER AS a, 2::INTEGER AS b")
    with lake.staging("test") as directory:
        file = directory / "rows.parquet"
        with lake.lake.reading() as connection:
            connection.execute(f"COPY (SELECT 1::INTEGER AS a) TO '{file}' (FORMAT parquet)")
        with pytest.raises(PublishFailed, match="b INTEGER"), lake.lake.commit("test") as commit:
            commit.add_file("sources", "whole", file)


def test_a_float_is_not_widened(lake: Suite) -> None:
    add(lake, "floats", {"a": "FLOAT"}, "SELECT 0.1::FLOAT AS a FROM range(20)")
    with pytest.raises(UsageError, match="Cast it to FLOAT"):
        add(lake, "floats", {"a": "DOUBLE"}, "SELECT 0.1::DOUBLE AS a")


def damaged(lake: Suite, table: str) -> None:
    """Make a table as the landed version left it: files that lack a column, a FLOAT that became a DOUBLE."""
    add(
        lake,
        table,
        {"a": "INTEGER", "b": "INTEGER", "f": "FLOAT"},
        "SELECT 1 AS a, 2 AS b, 0.1::FLOAT AS f FROM range(20)",
    )
    with lake.staging("test") as directory, lake.lake.commit("as the landed version did") as commit:
        file = directory / "rows.parquet"
        commit.execute(f"COPY (SELECT 1::INTEGER AS a, 0.1::FLOAT AS f FROM range(20)) TO '{file}' (FORMAT parquet)")
        target = lake.lake.data / "sources" / table / "damaged.parquet"
        file.replace(target)
        commit.execute(
            "CALL ducklake_add_data_files('lake', $1, $2, schema => 'sources', allow_missing => true)",
            [table, str(target)],
        )
        commit.execute(f"ALTER TABLE sources.{table} ALTER COLUMN f SET DATA TYPE DOUBLE")
        commit.execute("DROP TABLE ledger.mends")
        commit.execute("UPDATE ledger.format SET version = $1", [MENDED_FROM - 1])


def test_a_lake_of_the_landed_version_is_told_and_put_right(ingested: Suite) -> None:
    damaged(ingested, "worn")
    more = "SELECT count(*) FROM sources.worn WHERE f > 0.1"
    assert len(counted(ingested, "sources.worn", "b")) > 1  # or else this tests nothing
    assert rows(ingested, more) == [(0,)]
    (found,) = [each for each in doctor(ingested.root, ingested.clock) if each.subject == "lake statistics"]
    assert (found.state, "not put right yet" in found.detail) == ("warning", True)
    add(ingested, "other", {"a": "INTEGER"}, "SELECT 1::INTEGER AS a")
    assert counted(ingested, "sources.worn", "b") == {20}
    assert rows(ingested, more) == [(40,)]
    (found,) = [each for each in doctor(ingested.root, ingested.clock) if each.subject == "lake statistics"]
    assert "were put right" in found.detail
    assert "NULLs of sources.worn.b counted as values" in found.detail
    assert "filters passed by rows of sources.worn.f" in found.detail


def test_upkeep_leaves_older_snapshots_as_they_were(lake: Suite) -> None:
    add(
        lake,
        "old",
        {"a": "INTEGER", "b": "INTEGER"},
        "SELECT range::INTEGER AS a, nullif(range % 2, 0)::INTEGER AS b FROM range(200)",
    )
    before = lake.lake.newest_snapshot()
    with lake.lake.commit("delete") as commit:
        commit.execute("DELETE FROM sources.old WHERE b IS NULL OR a < 50")
    upkeep(lake)
    assert len(rows(lake, "SELECT data_file FROM ducklake_list_files('lake', 'old', schema => 'sources')")) == 1
    assert rows(lake, "SELECT delete_file FROM ducklake_list_files('lake', 'old', schema => 'sources')") == [(None,)]
    assert counted(lake, "sources.old", "b", before) == {100}
    assert rows(lake, "SELECT count(*) FROM sources.old WHERE a = 1", snapshot_id=before) == [(1,)]
    assert counted(lake, "sources.old", "b") == {75}
