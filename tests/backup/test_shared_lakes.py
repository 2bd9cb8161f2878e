"""Where the catalogue is in PostgreSQL, all works that needs a copy of it: backups, scratch lakes, rehearsals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.backup import transfer as transferring
from jobs.backup.backup import backup
from jobs.backup.listing import backups
from jobs.backup.restore import restore
from jobs.backup.scratch import SCRATCH, scratch_lake
from jobs.pages.predict import run_page
from jobs.rehearsal.room import Asked
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from jobs.suites.deep import look_deep
from jobs.suites.repair import repair, repair_dry_run
from jobs.suites.upkeep import upkeep_dry_run
from tests.backup.test_backup import contents, restored
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lake.shared_lakes import check_pages, moved, new_database, new_lake, password
from tests.lake.shared_lakes import replace as replace_page
from tests.lakes import page_rows, rows
from tests.page_makers import process_of
from tests.postgres_server import PASSWORD, Server, needs_postgres
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.copies import catalogue_files, into_postgres
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import read_address, write_lake_file

pytestmark = needs_postgres
DAY = timedelta(days=1)
#: A value of each type that a rejects table, say, may have.
VALUES = {
    "VARCHAR": "'it''s é, \"x\"' || chr(10)",
    "BLOB": "'\\x00\\xFFab'::BLOB",
    "JSON": "'{\"a\": 1}'",
    "BOOLEAN": "true",
    "TINYINT": "-128",
    "UTINYINT": "255",
    "INTEGER": "2147483647",
    "BIGINT": "-9223372036854775808",
    "UBIGINT": "18446744073709551615",
    "HUGEINT": "170141183460469231731687303715884105727",
    "FLOAT": "0.1",
    "DOUBLE": "0.1::DOUBLE + 0.2::DOUBLE",
    "DECIMAL(18, 3)": "1234.567",
    "DECIMAL(38, 10)": "12345678901234567890.0123456789",
    "DATE": "DATE '2024-02-29'",
    "TIME": "TIME '12:34:56.123456'",
    "TIMESTAMP": "TIMESTAMP '2024-01-01 12:00:00.123456'",
    "TIMESTAMP_NS": "TIMESTAMP_NS '2024-01-01 12:00:00.123456789'",
    "TIMESTAMPTZ": "TIMESTAMPTZ '2024-01-01 12:00:00+00'",
    "INTERVAL": "INTERVAL '1 month 2 days'",
    "UUID": "'50cf9c07-0b3b-4f6b-b8b4-6f8a4b7b3b3b'",
    "VARCHAR[]": "['a', 'b, c', NULL]",
    "STRUCT(x INTEGER, y VARCHAR)": "{'x': 1, 'y': 'z'}",
    "MAP(VARCHAR, INTEGER)": "MAP {'k': 1}",
}


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@pytest.fixture(scope="module")
def _shared(postgres: Server, _published: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    suite = moved(postgres, "kept", _published, tmp_path_factory.mktemp("shared"))
    run_page(suite, PRODUCT, PAGE)
    return suite


@pytest.fixture
def shared(_shared: Suite) -> Suite:
    """A suite whose lake is in PostgreSQL, with a page that was replaced since."""
    return open_suite(_shared.root, clock_at(NOW))


def test_rows_of_every_type_that_stand_in_the_catalogue_are_copied_as_they_are(
    postgres: Server, tmp_path: Path
) -> None:
    lake = new_lake(postgres, "every_type", tmp_path / "data")
    columns = ", ".join(f"c{place} {kind}" for place, kind in enumerate(VALUES))
    with lake.commit("all types") as commit:
        commit.execute(f"CREATE TABLE rejects.every ({columns})")
        commit.execute(f"INSERT INTO rejects.every VALUES ({', '.join(VALUES.values())})")
        commit.execute(f"INSERT INTO rejects.every VALUES ({', '.join(['NULL'] * len(VALUES))})")
    with lake.commit("one is gone") as commit:
        commit.execute("DELETE FROM rejects.every WHERE c0 IS NULL")
    before = lake.newest_snapshot() - 1
    with scratch_lake(lake, tmp_path) as scratch:
        with contextlib.closing(sqlite3.connect(scratch.root / "catalogue.sqlite")) as copy:
            query = "SELECT table_id FROM ducklake_table WHERE table_name = 'every'"
            tables = "SELECT table_name FROM ducklake_inlined_data_tables WHERE table_id ="
            (table,) = copy.execute(f"{tables} ({query})").fetchone()
            assert copy.execute(f"SELECT count(*) FROM {table}").fetchone() == (2,)  # in no file
        for snapshot_id, n_rows in ((None, 1), (before, 2)):
            found = []
            for each in (lake, scratch):
                with each.reading(snapshot_id) as connection:
                    said = "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM rejects.every ORDER BY ALL"
                    values = connection.execute(said).fetchall()
                    found.append((values, connection.execute("DESCRIBE rejects.every").fetchall()))
            assert found[0] == found[1]
            assert len(found[0][0]) == n_rows
        # It goes on by itself, with rows that stand in its catalogue among them.
        with scratch.commit("goes on") as commit:
            commit.execute("INSERT INTO rejects.every BY NAME SELECT * FROM rejects.every")
        with scratch.reading() as connection:
            counts = "SELECT count(*), count(DISTINCT rows) FROM rejects.every AS rows"
            assert connection.execute(counts).fetchone() == (2, 1)


def test_a_copy_is_of_one_instant_whatever_is_committed_meanwhile(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = new_lake(postgres, "instant", tmp_path / "data")
    replace_page(lake, 1, "first")
    copy_table, copied = catalogue_files._copy_table, []

    def with_a_commit(connection: duckdb.DuckDBPyConnection, name: str, blobs: set[str]) -> None:
        copied.append(name)
        if len(copied) == 3:
            replace_page(lake, 1, "second")
        copy_table(connection, name, blobs)

    monkeypatch.setattr(catalogue_files, "_copy_table", with_a_commit)
    with scratch_lake(lake, tmp_path) as scratch:
        assert check_pages(scratch) == {1: "first"}
        assert scratch.newest_snapshot() == lake.newest_snapshot() - 1
    assert check_pages(lake) == {1: "second"}


def test_a_scratch_lake_has_every_table_and_snapshot_and_what_is_done_there_reaches_no_server(
    shared: Suite, postgres: Server
) -> None:
    before, states = contents(shared), _on_server(postgres)
    with scratch_lake(shared.lake, shared.root, whole=True) as scratch:
        there = replace(shared, lake=scratch)
        assert contents(there) == before
        of_page = f"SELECT * FROM predictions.{PRODUCT} ORDER BY ALL"
        newest = shared.lake.newest_snapshot()
        for snapshot_id in (newest - 2, newest):
            assert rows(there, of_page, snapshot_id=snapshot_id) == rows(shared, of_page, snapshot_id=snapshot_id)
        with contextlib.closing(TickStore.open(scratch.root)) as store:
            assert store.fact("noted") == "before"
        run_page(there, PRODUCT, PAGE + DAY)
        assert rows(there, "SELECT count(DISTINCT as_of) FROM predictions.late_order") == [(2,)]
    assert _on_server(postgres) == states
    assert contents(shared) == before


def _on_server(postgres: Server) -> list[Any]:
    """Give what tells any change of the lake or of the operational state."""
    with postgres.connect("kept") as connection:
        query = "SELECT max(snapshot_id), (SELECT fence FROM almanac.writer) FROM ducklake_snapshot"
        facts = "SELECT name, value FROM almanac.facts ORDER BY name"
        return [*connection.execute(query).fetchall(), *connection.execute(facts).fetchall()]


def test_checks_and_dry_runs_work_and_change_nothing(shared: Suite, postgres: Server, tmp_path: Path) -> None:
    states = _on_server(postgres)
    query = next((shared.root / "sql/features").glob("*.sql"))
    text = query.read_text()
    query.write_text(f"{text}\n-- the same\n")
    try:
        elsewhere = ["--dry-run", "--scratch", str(tmp_path)]
        for command in (
            ["check", "--scratch", str(tmp_path)],
            ["upkeep", *elsewhere],
            ["repair", *elsewhere],
            ["check"],
        ):
            done = almanac(shared.root, *command)
            assert done.returncode == 0, done.stderr
            assert PASSWORD not in done.stdout + done.stderr
    finally:
        query.write_text(text)
    assert _on_server(postgres) == states
    for place in (shared.root / SCRATCH, tmp_path / "almanac-scratch"):
        assert [path.name for path in place.iterdir()] == [".gitignore"]


def test_a_dry_run_of_upkeep_leaves_alone_what_other_hosts_may_be_at(shared: Suite) -> None:
    """A file that has just come may be somebody's who commits it in a moment: upkeep itself leaves it, too."""
    new = shared.lake.data / "sources" / "orders" / "new.parquet"
    new.write_bytes(b"new")
    try:
        found = upkeep_dry_run(open_suite(shared.root, clock_at(NOW + 365 * DAY)), timedelta(0), timedelta(0))
        early = upkeep_dry_run(shared, timedelta(0), timedelta(0))
    finally:
        new.unlink()
    assert (early.orphaned_files, found.orphaned_files) == (0, 1)


def test_backups_are_made_of_it_and_become_a_lake_of_a_directory(shared: Suite, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = backup(shared, kept)
    before = contents(shared)
    (tmp_path / "shop").symlink_to(shared.root)
    copy = restored(kept, tmp_path / "copy")
    assert contents(copy) == before
    assert copy.lake.newest_snapshot() == first.snapshot_id == shared.lake.newest_snapshot()
    with contextlib.closing(TickStore.open(copy.lake.root)) as store:
        assert store.fact("noted") == "before"
    run_page(copy, PRODUCT, PAGE + DAY)
    run_page(shared, PRODUCT, PAGE)
    second = backup(shared, kept)
    assert 2 < second.copied_files < 8 < second.n_files
    assert [state.wrong for state in backups(kept, verify=True)] == [[], []]


def test_what_is_lost_is_found_and_taken_out(shared: Suite, tmp_path: Path) -> None:
    before = page_rows(shared, PRODUCT)
    query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')"
    ((lost,),) = rows(shared, query, [PRODUCT])
    held = Path(lost).rename(tmp_path / "held")
    shared.lake.close()
    assert any(Path(lost).name in sentence for sentence in look_deep(shared).wrong)
    told = repair_dry_run(shared)
    found = repair(open_suite(shared.root, clock_at(NOW)))
    assert found == told
    assert [(row["kind"], row["pages"]) for row in found.pages] == [("predictions", 1)]
    assert page_rows(shared, PRODUCT) == []
    run_page(shared, PRODUCT, PAGE)
    assert page_rows(shared, PRODUCT) == before
    assert repair(shared).found_nothing
    # Older snapshots, which the tests after this one read, still name it.
    shutil.copy2(held, lost)


def test_history_is_lived_through_again_on_a_disk_of_this_machine(shared: Suite, tmp_path: Path) -> None:
    """Figures are those of the same rehearsal where the lake is in SQLite, which a backup of this one gives."""
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  never: {jobs: {}}\n")
    (tmp_path / "shop").symlink_to(shared.root)
    backup(shared, tmp_path / "kept")
    copy = restored(tmp_path / "kept", tmp_path / "copy")
    options = ("--from", "2026-03-10", "--to", "2026-03-12", "--policies", str(policies), "--training-takes", "1 hour")
    found = []
    for suite in (shared, copy):
        done = almanac(suite.root, "rehearse", PRODUCT, *options, "--json", "--keep", "--scratch", str(tmp_path))
        assert done.returncode == 0, done.stderr
        found.append({name: value for name, value in json.loads(done.stdout).items() if name != "rows"})
        (row,) = json.loads(done.stdout)["rows"]
        found[-1]["row"] = {name: value for name, value in row.items() if name != "cpu_s"}
        ((kept,),) = rows(suite, "SELECT kept_in FROM ledger.rehearsals")
        assert Path(kept).is_relative_to(tmp_path / "almanac-rehearsals")
        assert (Path(kept) / "never" / "lake" / "catalogue.sqlite").exists()
        assert not (suite.lake.root / "rehearsals").exists()
    assert found[0] == found[1]
    assert found[0]["row"]["pages"] == 2
    place = Asked(shared.definitions.product(PRODUCT), NOW, NOW, ()).place(shared)
    assert place == shared.root / ".rehearsals"


def restored_elsewhere(server: Server, name: str, kept: Path, shared: Suite, root: Path) -> Suite:
    """Restore the newest state into a database and a directory of their own."""
    shutil.copytree(shared.root / "sql", root / "sql")
    shutil.copyfile(shared.root / "schedules.yaml", root / "schedules.yaml")
    write_lake_file(root, read_address(f"{new_database(server, name)}?data={root.parent / f'data of {name}'}", "it"))
    done = almanac(root, "restore", str(kept), "--json")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return open_suite(root, clock_at(NOW))


def test_a_state_becomes_a_lake_in_postgresql_again(shared: Suite, postgres: Server, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = backup(shared, kept)
    copy = restored_elsewhere(postgres, "restored", kept, shared, tmp_path / "copy")
    assert contents(copy) == contents(shared)
    of_page = f"SELECT * FROM predictions.{PRODUCT} ORDER BY ALL"
    for snapshot in (first.snapshot_id - 2, first.snapshot_id):
        assert rows(copy, of_page, snapshot_id=snapshot) == rows(shared, of_page, snapshot_id=snapshot)
    with contextlib.closing(TickStore.open(copy.lake.root)) as store:
        assert store.fact("noted") == "before"
    run_page(copy, PRODUCT, PAGE + DAY)
    assert rows(copy, "SELECT count(DISTINCT as_of) FROM predictions.late_order") == [(2,)]
    # It replaces nothing.
    again = almanac(copy.root, "restore", str(kept))
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)


def _restore_and_be_killed(root: Path, kept: Path, at: str) -> None:
    """Die just before the catalogue is put into the server, with its transaction under way, or behind it."""
    if at == "behind":
        transferring.compare = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,return-value]
    elif at == "before":
        transferring.put_catalogue = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    else:
        put_table, put = into_postgres._put_table, list[str]()

        def until_the_tenth(connection: duckdb.DuckDBPyConnection, name: str) -> None:
            put_table(connection, name)
            put.append(name)
            if len(put) == 10:
                os.kill(os.getpid(), signal.SIGKILL)

        into_postgres._put_table = until_the_tenth
    restore(root, kept)


@pytest.mark.parametrize("at", ["before", "in the middle", "behind"])
def test_a_restore_that_was_killed_leaves_no_lake_and_is_done_again(
    at: str, shared: Suite, postgres: Server, tmp_path: Path
) -> None:
    kept, root = tmp_path / "kept", tmp_path / "copy"
    backup(shared, kept)
    root.mkdir()
    place = tmp_path / "data"
    write_lake_file(root, read_address(f"{new_database(postgres, 'killed')}?data={place}", "it"))
    process = process_of(_restore_and_be_killed, root, kept, at)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert any((place / "data").iterdir())
    # Whoever names the place is told of it, and makes no lake there.
    with pytest.raises(RunFailed, match="by `almanac restore` on "):
        Lake(place).create(NOW, "tests")
    with pytest.raises(RunFailed, match="was not compared yet"), Lake(place).writer_lock():
        raise AssertionError
    with pytest.raises(RunFailed, match="was not compared yet"):
        TickStore.open(place)
    restore(root, kept)
    newest = "SELECT * FROM ledger.pages ORDER BY ALL"
    with Lake(place).reading() as there, shared.lake.reading() as here:
        assert there.execute(newest).fetchall() == here.execute(newest).fetchall() != []
    if at == "behind":
        # Somebody has worked on one that an earlier version copied, and did not compare: that is nothing to delete.
        (place / ".arriving").mkdir()
        with Lake(place).writer_lock(), pytest.raises(UsageError, match="written to since"):
            restore(root, kept)
        assert Lake(place).exists()
