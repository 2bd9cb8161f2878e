"""The instances that a process keeps open, and how they hold a lake's catalogue."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from jobs.suite import Suite
from tests.command_line import said
from tests.conftest import NOW
from warehouse.errors import LakeFormatError
from warehouse.lake import connections as connections_module
from warehouse.lake import lake as lake_module
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.connections import Instances, remembered
from warehouse.lake.lake import Lake, check_format, newest_snapshot


@pytest.fixture
def instances(monkeypatch: pytest.MonkeyPatch) -> Iterator[Instances]:
    """Those of a process that has none open yet; they are closed at the end."""
    fresh = Instances()
    monkeypatch.setattr(lake_module, "_instances", fresh)
    yield fresh
    for kept in fresh._kept.values():
        kept.close()


@pytest.fixture
def lake(ingested: Suite, tmp_path: Path, instances: Instances) -> Lake:
    """A lake that nobody has open: the fixture's own is open in this process."""
    root = tmp_path / "another"
    ingested.root.rename(root)
    return Lake(root / "lake")


#: Takes a catalogue for itself, which only works while nobody else has it open.
ALONE = """
import sqlite3, sys
catalogue = sqlite3.connect(sys.argv[1], timeout=0)
try:
    assert catalogue.execute("PRAGMA journal_mode = DELETE").fetchall() == [("delete",)]
    assert catalogue.execute("PRAGMA journal_mode = WAL").fetchall() == [("wal",)]
except sqlite3.OperationalError as error:
    print(error)
"""


def is_held(lake: Lake) -> bool:
    """Ask in a process of its own: see the docstring of `warehouse.lake`."""
    command = [sys.executable, "-c", ALONE, str(SqliteCatalogue(lake.root).file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout in ("", "database is locked\n")
    return bool(done.stdout)


def test_a_lake_that_is_held_is_not_given_up_between_questions(lake: Lake) -> None:
    lake.open()
    with lake.reading(follow=True) as connection:
        assert not is_held(lake)
        connection.execute("FROM ledger.format").fetchall()
    assert not is_held(lake), "given up after each question, under a lock that others may have to wait for"
    lake.open(hold=True)
    assert is_held(lake)


def test_a_catalogue_that_cannot_be_held_is_refused_for_what_it_is(tmp_path: Path, instances: Instances) -> None:
    (tmp_path / "catalogue.sqlite").write_text("no database " * 1000)
    with pytest.raises(LakeFormatError):
        Lake(tmp_path).open(hold=True)
    assert not instances._kept


def test_commands_hold_their_lake(ingested: Suite, tmp_path: Path, instances: Instances) -> None:
    ingested.root.rename(tmp_path / "another")
    said(tmp_path / "another", "status")
    assert is_held(Lake(tmp_path / "another" / "lake"))


def test_a_lake_that_is_closed_is_opened_again_by_whoever_asks(lake: Lake, instances: Instances) -> None:
    lake.open(hold=True)
    lake.open(writing=True)
    assert is_held(lake)
    lake.close()
    assert not instances._kept
    assert not is_held(lake)
    assert lake.newest_snapshot() > 0


def test_a_question_is_asked_once_of_each_state_and_anew_after_each_commit(lake: Lake) -> None:
    asked: list[str] = []

    @remembered
    def n_runs(connection: duckdb.DuckDBPyConnection, job: str) -> int:
        asked.append(job)
        row = connection.execute("SELECT count(*) FROM ledger.runs WHERE job = $1", [job]).fetchone()
        return int(row[0]) if row else 0

    insert = "INSERT INTO ledger.runs (run_id, job) VALUES ('one more', 'ingest')"
    with lake.reading() as early:
        before = n_runs(early, "ingest")
        with lake.reading() as connection:
            assert n_runs(connection, "ingest") == n_runs(connection, "ingest") == before
        with lake.reading(follow=True) as connection:
            assert (n_runs(connection, "ingest"), n_runs(connection, "train")) == (before, 0)
            assert asked == ["ingest", "train"]
            with lake.commit("another run") as commit:
                commit.execute(insert)
                # What is not committed yet is nobody else's, and may never be.
                assert n_runs(commit.connection, "ingest") == n_runs(commit.connection, "ingest") == before + 1
            assert n_runs(connection, "ingest") == before + 1
        assert n_runs(early, "ingest") == before, "it sees the lake as of its first statement"
    with lake.reading() as connection:
        assert n_runs(connection, "ingest") == before + 1
    assert asked == ["ingest", "train", "ingest", "ingest", "ingest"]


def test_a_lake_that_was_made_anew_in_the_place_of_another_answers_for_itself(
    tmp_path: Path, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where the file's inode is that of the one that was removed.
    monkeypatch.setattr(SqliteCatalogue, "identity", lambda self: self.file.absolute())

    @remembered
    def jobs(connection: duckdb.DuckDBPyConnection) -> list[tuple[str]]:
        return connection.execute("SELECT job FROM ledger.runs").fetchall()

    told = []
    for job in ("train", "ingest"):
        lake = Lake(tmp_path / "lake")
        lake.create(NOW, "tests")
        with lake.commit("a run") as commit:
            commit.execute("INSERT INTO ledger.runs (run_id, job) VALUES ('one', $1)", [job])
        with lake.reading() as connection:
            told.append((newest_snapshot(connection), jobs(connection)))
        lake.close()
        shutil.rmtree(lake.root)
    assert told[0][0] == told[1][0]
    assert [found for _, found in told] == [[("train",)], [("ingest",)]]


def test_a_process_that_commits_reads_on_the_instance_that_does_and_cannot_write_there(
    lake: Lake, instances: Instances
) -> None:
    lake.open(writing=True)
    with lake.reading() as early:
        before = early.execute("SELECT count(*) FROM ledger.runs").fetchall()
        with lake.commit("another run") as commit:
            commit.execute("INSERT INTO ledger.runs (run_id, job) VALUES ('one more', 'ingest')")
        assert early.execute("SELECT count(*) FROM ledger.runs").fetchall() == before
        with lake.reading() as connection:
            assert connection.execute("SELECT count(*) FROM ledger.runs").fetchall() != before
    assert len(instances._kept) == 1
    for statement in ("INSERT INTO ledger.runs (run_id) VALUES ('x')", "DROP TABLE ledger.runs"):
        with lake.reading() as connection, pytest.raises(duckdb.TransactionException, match="read-only"):
            connection.execute(statement)
    with pytest.raises(RuntimeError), lake.commit("one that goes wrong") as commit:
        raise RuntimeError
    with lake.reading() as connection:
        connection.execute("FROM ledger.runs").fetchall()


def _commit_states(lake: Lake, n_states: int) -> Iterator[int]:
    """Commit states that each have a view of their own, as pages' commits do."""
    for number in range(n_states):
        with lake.commit("another view") as commit:
            commit.execute(f"CREATE OR REPLACE VIEW predictions.newest AS SELECT {number} AS number")
        yield number


def _bytes_remembered(lake: Lake) -> int:
    with lake.reading() as connection:
        assert connection.execute("FROM predictions.newest").fetchall()
        row = connection.execute(connections_module._REMEMBERED).fetchone()
    assert row
    return int(row[0])


def test_what_an_instance_remembers_of_states_is_bounded_however_many_there_are(
    lake: Lake, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_BYTES_REMEMBERED", 0)
    lake.open(hold=True)
    writer, states, remembered = Instances(), _commit_states(lake, 40), []
    for _ in range(40):
        with monkeypatch.context() as another_process:
            another_process.setattr(lake_module, "_instances", writer)
            next(states)
        remembered.append(_bytes_remembered(lake))
    writer.close(lake.catalogue)
    of_a_state = remembered[1] - remembered[0]
    assert of_a_state > 0, "DuckLake keeps no states any more: nothing needs to be replaced"
    most = connections_module._STATES_REMEMBERED + connections_module._LOOKED_AT_EVERY
    assert max(remembered) < remembered[0] + (most + 2) * of_a_state < remembered[0] + 40 * of_a_state
    assert len(instances._kept) == 1
    assert lake.catalogue.is_shared or is_held(lake), "the new instance holds what the old one held"


def test_an_instance_that_commits_is_replaced_but_not_under_a_cursor_that_follows(
    lake: Lake, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_BYTES_REMEMBERED", 0)
    monkeypatch.setattr(connections_module, "_STATES_REMEMBERED", 1)
    monkeypatch.setattr(connections_module, "_LOOKED_AT_EVERY", 2)
    lake.open(writing=True)
    with lake.reading(follow=True) as following, lake.reading() as early:
        first = _instance(instances, lake)
        early.execute("FROM ledger.format").fetchall()
        for number in _commit_states(lake, 6):
            assert following.execute("FROM predictions.newest").fetchall() == [(number,)]
        assert _instance(instances, lake) is first
        for _ in range(4):
            lake.newest_snapshot()
        assert _instance(instances, lake) is first
    for _ in range(4):
        lake.newest_snapshot()
    assert _instance(instances, lake) is not first
    with lake.commit("on the new one") as commit:
        commit.execute("CREATE OR REPLACE VIEW predictions.newest AS SELECT 7 AS number")
    with lake.reading() as connection:
        assert connection.execute("FROM predictions.newest").fetchall() == [(7,)]


def test_a_reader_goes_on_while_its_instance_is_replaced(
    lake: Lake, instances: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_BYTES_REMEMBERED", 0)
    monkeypatch.setattr(connections_module, "_STATES_REMEMBERED", 0)
    monkeypatch.setattr(connections_module, "_LOOKED_AT_EVERY", 2)
    lake.open(writing=True)
    with lake.reading() as early:
        first = _instance(instances, lake)
        before = early.execute("SELECT count(*) FROM ledger.runs").fetchall()
        with lake.commit("another run") as commit:
            commit.execute("INSERT INTO ledger.runs (run_id, job) VALUES ('one more', 'ingest')")
        for _ in range(4):
            lake.newest_snapshot()
        assert _instance(instances, lake) is not first
        assert early.execute("SELECT count(*) FROM ledger.runs").fetchall() == before
    # Who was given an instance may still ask for a cursor on it.
    assert first.execute("SELECT 1").fetchall() == [(1,)]


def _instance(instances: Instances, lake: Lake) -> duckdb.DuckDBPyConnection:
    """Give the one that is read on: where hosts share a catalogue, what commits has another."""
    kept = instances._kept[instances._key(lake.catalogue, read_only=True)]
    assert len(instances._kept) <= 1 + lake.catalogue.is_shared
    assert kept.instance is not None
    return kept.instance


def test_a_commit_sees_what_it_writes_and_what_was_written_before_it(ingested: Suite) -> None:
    root = ingested.lake.root
    with ingested.lake.reading() as connection:
        suite_id, before = check_format(connection, root), newest_snapshot(connection)
    for place, name in enumerate(("another", suite_id), 1):
        with ingested.lake.commit(name) as commit:
            assert commit.snapshot_id == before + place
            commit.execute("UPDATE ledger.format SET suite_id = $1", [name])
            assert check_format(commit.connection, root) == name, "what a commit has written is not remembered"
        with ingested.lake.reading() as connection:
            assert check_format(connection, root) == name
            assert newest_snapshot(connection) == before + place
