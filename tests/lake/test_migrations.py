"""Lakes of earlier versions: each format is opened, gets what it lacks in one commit, and works as a new one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PRODUCT, clock_at
from tests.effort import times
from tests.lakes import rows
from warehouse.errors import LakeFormatError, PublishFailed
from warehouse.lake import migrations
from warehouse.lake.lake import Lake
from warehouse.lake.migrations import MIGRATIONS, Migration, newest_format
from warehouse.ledger import records as ledger
from warehouse.ledger.decisions import decisions
from warehouse.operations import state

LEDGER = (
    "SELECT table_name, column_name, data_type FROM duckdb_columns()"
    " WHERE database_name = 'lake' AND schema_name = 'ledger' ORDER BY ALL"
)
#: Formats with what their lakes say. Earlier versions took the later steps when they needed them, and still said 1.
FORMATS = [
    *((steps, steps) for steps in range(1, newest_format() + 1)),
    # Those of which earlier versions could say so, and with ALMANAC_EFFORT=3 all of them.
    *((n, 1) for n in range(2, newest_format() + 1) if n <= times(9)),
]


@pytest.fixture
def lake_of_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Lake]:
    """Make a lake with the first steps only, as the version of that day made it."""

    def make(n_steps: int, says: int) -> Lake:
        lake = Lake(tmp_path / f"made with {n_steps} of {says}" / "lake")
        with monkeypatch.context() as then:
            then.setattr(migrations, "MIGRATIONS", MIGRATIONS[:n_steps])
            lake.create(NOW, "an earlier version")
        with lake.writer_lock() as fence, contextlib.closing(lake.connect(read_only=False, fence=fence)) as connection:
            connection.execute("UPDATE ledger.format SET version = $1", [says])
        return lake

    return make


@pytest.fixture(scope="module")
def of_a_new_lake(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The ledger's columns in a lake that this version made."""
    lake = Lake(tmp_path_factory.mktemp("new") / "lake")
    lake.create(NOW, "this version")
    with lake.reading() as connection:
        return connection.execute(LEDGER).fetchall()


@pytest.mark.parametrize(("n_steps", "says"), FORMATS)
def test_a_lake_of_each_earlier_format_is_brought_up_to_date_when_it_is_opened(
    lake_of_format: Callable[[int, int], Lake], of_a_new_lake: list[Any], n_steps: int, says: int
) -> None:
    lake = lake_of_format(n_steps, says)
    with lake.reading() as connection:
        assert connection.execute(LEDGER).fetchall() == of_a_new_lake
        assert connection.execute("SELECT version FROM ledger.format").fetchall() == [(newest_format(),)]
        assert ledger.published_pages(connection, PRODUCT, "predictions") == {}
        assert ledger.rollbacks(connection, PRODUCT) == {}
        assert decisions(connection, PRODUCT) == []


def test_the_next_commit_brings_a_lake_up_to_date_with_what_it_is_for_and_not_without_it(
    lake_of_format: Callable[[int, int], Lake],
) -> None:
    lake = lake_of_format(1, 1)
    with contextlib.closing(lake.connect()) as connection:
        before = ledger.newest_snapshot(connection)
    refused = "INSERT INTO ledger.rollbacks (product) VALUES ('there is such a table'); FROM nothing"
    with pytest.raises(PublishFailed), lake.commit("refused") as commit:
        commit.execute(refused)
    with contextlib.closing(lake.connect()) as connection:
        assert ledger.newest_snapshot(connection) == before
        assert connection.execute("SELECT version FROM ledger.format").fetchall() == [(1,)]
    with lake.commit("taken") as commit:
        commit.execute("INSERT INTO ledger.rollbacks (product) VALUES ('there is such a table')")
    with contextlib.closing(lake.connect()) as connection:
        assert ledger.newest_snapshot(connection) == before + 1
        assert connection.execute("SELECT version FROM ledger.format").fetchall() == [(newest_format(),)]


def test_a_step_that_fails_leaves_the_lake_as_it_was(
    lake_of_format: Callable[[int, int], Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_of_format(2, 2)
    # Schemas that are there already cannot be made again.
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, Migration("ledger/create", "nothing: it fails")))
    with pytest.raises(PublishFailed, match="did not take place"), lake.commit("with a broken step"):
        pass
    with contextlib.closing(lake.connect()) as connection:
        assert connection.execute("SELECT version FROM ledger.format").fetchall() == [(2,)]
        tables = {row[0] for row in connection.execute(LEDGER).fetchall()}
    assert "rollbacks" not in tables


def test_what_a_lake_of_the_first_format_holds_is_kept(ingested: Suite, tmp_path: Path) -> None:
    facts = rows(ingested, "SELECT * FROM ledger.ingestions ORDER BY ALL")
    shutil.copytree(ingested.root, tmp_path / "old")
    old = open_suite(tmp_path / "old", clock_at(NOW))
    with (
        old.lake.writer_lock() as fence,
        contextlib.closing(old.lake.connect(read_only=False, fence=fence)) as connection,
    ):
        for name in ("published_pages", "costs"):
            connection.execute(f"DROP VIEW ledger.{name}")
        for name in ("rollbacks", "decisions", "gates"):
            connection.execute(f"DROP TABLE ledger.{name}")
        connection.execute("ALTER TABLE ledger.promotions DROP COLUMN action")
        connection.execute("UPDATE ledger.format SET version = 1")
    shutil.copytree(old.root, tmp_path / "older")  # this process may hold the other one open as it was
    suite = open_suite(tmp_path / "older", clock_at(NOW))
    assert rows(suite, "SELECT * FROM ledger.ingestions ORDER BY ALL") == facts
    assert rows(suite, LEDGER) == rows(ingested, LEDGER)


def test_operations_of_each_earlier_format_are_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_steps in range(len(state.OPERATIONS_MIGRATIONS)):
        lake = tmp_path / f"made with {n_steps}"
        with monkeypatch.context() as then:
            then.setattr(state, "OPERATIONS_MIGRATIONS", state.OPERATIONS_MIGRATIONS[:n_steps])
            state.open_operations(lake).close()
        with contextlib.closing(state.open_operations(lake)) as db:
            assert state.format_of(db) == len(state.OPERATIONS_MIGRATIONS)
            assert db.execute("SELECT count(*) FROM claims").fetchone()[0] == 0


def test_a_step_of_operations_that_fails_leaves_them_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.open_operations(tmp_path).close()
    monkeypatch.setattr(
        state, "OPERATIONS_MIGRATIONS", (*state.OPERATIONS_MIGRATIONS, "operations/forget_alerts", "operations/create")
    )
    with contextlib.closing(sqlite3.connect(state.operations_file(tmp_path))) as db:
        with pytest.raises(sqlite3.Error):
            state.set_up(db)
        assert state.format_of(db) == 1
    monkeypatch.undo()
    with contextlib.closing(sqlite3.connect(state.operations_file(tmp_path))) as db:
        db.execute("PRAGMA user_version = 99")
        with pytest.raises(LakeFormatError, match="format 99"):
            state.set_up(db)


def test_a_new_lake_has_the_newest_format(ingested: Suite) -> None:
    assert rows(ingested, "SELECT version FROM ledger.format") == [(newest_format(),)]
