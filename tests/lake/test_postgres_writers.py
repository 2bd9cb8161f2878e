"""Several processes write to a lake in PostgreSQL, are killed and lose their server: no page is torn, doubled or lost.

`ALMANAC_ALL_KILLS=1` has 100 kills and 10 restarts, in place of a tenth of them.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.lake.shared_lakes import Writer, check_pages, new_lake, password, put, replace, staged
from tests.postgres_server import Server, needs_postgres, running_server
from warehouse.errors import PublishFailed, RunFailed
from warehouse.lake import lake as lakes
from warehouse.lake.lake import Commit, Lake, newest_snapshot
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.fences import end_commit
from warehouse.lake.postgres.sessions import session
from warehouse.lake.storage.local_directory import LocalDirectory

pytestmark = needs_postgres
ALL = "ALMANAC_ALL_KILLS" in os.environ
KILLS, RESTARTS, PAGES = (100, 10, 100) if ALL else (10, 2, 8)


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@pytest.fixture
def lake(postgres: Server, tmp_path: Path) -> Lake:
    return new_lake(postgres, "writers", tmp_path / "lake")


def test_four_processes_replace_the_same_pages(lake: Lake) -> None:
    writers = [Writer(lake, f"w{number}", list(range(PAGES))) for number in range(4)]
    for writer in writers:
        writer.wait_for(PAGES)
        writer.process.join()
        assert writer.process.exitcode == 0
    assert set(check_pages(lake)) == set(range(PAGES))


def begun(lake: Lake, page: int, writer: str) -> duckdb.DuckDBPyConnection:
    """Begin to replace a page under no lock, on an instance of its own."""
    connection = lake.connect(read_only=False)
    connection.execute("BEGIN")
    put(
        Commit(lake, connection, newest_snapshot(connection) + 1, LocalDirectory(lake.root)),
        page,
        writer,
        staged(lake, page, writer),
    )
    return connection


def test_without_lock_and_guard_a_page_is_doubled_and_with_the_guard_it_is_not(lake: Lake, postgres: Server) -> None:
    first, second = begun(lake, 1, "first"), begun(lake, 1, "second")
    with first, second, postgres.connect("writers") as administrator:
        administrator.execute("ALTER TABLE ducklake_snapshot_changes DISABLE TRIGGER almanac_guard")
        first.execute("COMMIT")
        second.execute("COMMIT")
        administrator.execute("ALTER TABLE ducklake_snapshot_changes ENABLE TRIGGER almanac_guard")
    with pytest.raises(AssertionError):
        check_pages(lake)
    with lake.commit("away") as commit:
        commit.execute("DELETE FROM sources.pages")
        commit.execute("DELETE FROM sources.told")
    replace(lake, 1, "whole")
    late, logged = begun(lake, 1, "late"), len(postgres.log)
    with late, pytest.raises(duckdb.Error, match="this one has turn none"):
        late.execute("COMMIT")
    assert refusals(postgres, logged) == 1
    assert check_pages(lake) == {1: "whole"}


def refusals(server: Server, begins: int) -> int:
    """Count the guard's refusals: one a commit, for it says nothing at which DuckLake would try that again."""
    return server.log[begins:].count("ERROR:  almanac: refused")


def test_one_turn_gives_one_snapshot_and_no_other(lake: Lake, postgres: Server) -> None:
    """Two commits of one turn foresee the same snapshot, as where a copy of a process goes on: one is refused."""
    with lake.writer_lock() as fence:
        assert fence is not None
        opened = [begun(lake, 1, "first"), begun(lake, 1, "second")]
        foreseen = lake.newest_snapshot() + 1
        for connection in opened:
            extra = [fence.extra_info(foreseen)]
            connection.execute("CALL lake.set_commit_message('almanac', '1 by first', extra_info => $1)", extra)
        with opened[0], opened[1]:
            opened[0].execute("COMMIT")
            logged = len(postgres.log)
            with pytest.raises(duckdb.Error, match="was foreseen"):
                opened[1].execute("COMMIT")
        assert refusals(postgres, logged) == 1
    assert check_pages(lake) == {1: "first"}


class LosesTheAnswer:
    """A connection that is cut once COMMIT has reached the server, or just before."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, reached: bool) -> None:
        self._connection, self._reached = connection, reached

    def execute(self, query: str, parameters: Any = None) -> Any:
        if query != "COMMIT" or self._reached:
            self._connection.execute(query, parameters)
        if query == "COMMIT":
            raise duckdb.IOException("server closed the connection unexpectedly")


@pytest.mark.parametrize("reached", [True, False])
def test_failed_may_mean_committed(lake: Lake, reached: bool) -> None:
    with lake.writer_lock() as fence:
        connection = begun(lake, 1, "w")
        with connection:
            foreseen = newest_snapshot(connection) + 1
            cut: Any = LosesTheAnswer(connection, reached=reached)
            if reached:
                end_commit(cut, "1 by w", fence, foreseen)
            else:
                with pytest.raises(duckdb.IOException):
                    end_commit(cut, "1 by w", fence, foreseen)
                # It reaches the server after all, once its fate was told.
                with pytest.raises(duckdb.Error, match="another writer has the lake"):
                    connection.execute("COMMIT")
    assert check_pages(lake) == ({1: "w"} if reached else {})


def test_upkeep_during_a_commit_whose_lock_was_lost_takes_none_of_its_files(lake: Lake, postgres: Server) -> None:
    replace(lake, 1, "before")

    def lose_the_lock() -> None:
        with lake.commit("2 by w") as commit, postgres.connect("writers") as administrator:
            put(commit, 2, "w", staged(lake, 2, "w"))
            files = set(lake.data.rglob("*.parquet"))
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            assert administrator.execute(ended).fetchall() == [(True,)]
            with lake.maintaining() as connection:
                since = "now() - INTERVAL 1 DAY"
                connection.execute(f"CALL ducklake_delete_orphaned_files('lake', older_than => {since})")
            assert set(lake.data.rglob("*.parquet")) == files

    with pytest.raises(PublishFailed, match="another writer has the lake"):
        lose_the_lock()
    assert check_pages(lake) == {1: "before"}


def test_killed_writers_leave_the_lock_free_and_every_page_whole(lake: Lake, postgres: Server) -> None:
    dice, catalogue = random.Random(20261130), lake.catalogue
    assert isinstance(catalogue, PostgresCatalogue)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with postgres.connect("writers") as administrator:
        for number in range(KILLS):
            writer = Writer(lake, f"w{number}", [2 * number, 2 * number + 1], again=True)
            writer.wait_for(1 + dice.randrange(3))
            # Most of the time that it holds the lock it is in the middle of a commit.
            for _ in range(1 + dice.randrange(40)):
                if administrator.execute(held).fetchone() != (0,):
                    break
            writer.kill()
            with catalogue.writer_lock():
                pass
            there = check_pages(lake)
            assert set(writer.committed) <= there.keys()


def test_whoever_loses_the_server_is_told_so_at_whatever_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step lets an error of the driver through, which nobody upstream expects; afterwards all goes on."""
    with running_server() as server:
        lake = new_lake(server, "lost", tmp_path / "lake")

        def crash(question: str) -> str:
            """Give the question that is asked next: the server is lost before it is."""
            server.stop(signal.SIGQUIT)
            return question

        def at(where: str) -> None:
            real = getattr(lakes, where)
            monkeypatch.setattr(lakes, where, lambda *given: real(*given) if crash(where) else None)

        for where in ("format_and_suite", "newest_snapshot"):
            replace(lake, 1, where)  # what the process keeps open is open
            at(where)
            with pytest.raises(PublishFailed, match="did not take place"):
                replace(lake, 1, "lost")
            monkeypatch.undo()
            server.start()
        with pytest.raises(RunFailed, match="cannot be read"), lake.reading() as connection:
            connection.execute(crash("SELECT version FROM ledger.format"))
        server.start()
        with pytest.raises(RunFailed, match="was lost, or refused"), session(server.url("lost")) as asking:
            asking.execute(crash("SELECT 1"))
        server.start()
        replace(lake, 1, "afterwards")
        assert check_pages(lake) == {1: "afterwards"}
        lake.close()


def test_after_restarts_of_the_server_all_go_on(tmp_path: Path) -> None:
    """Nothing that was told as committed is lost, and neither writers nor readers stay with an instance that broke."""
    with running_server() as server:
        lake = new_lake(server, "restarts", tmp_path / "lake")
        writers = [
            Writer(lake, f"w{number}", [10 * number + page for page in range(5)], again=True) for number in (1, 2)
        ]
        for restart in range(RESTARTS):
            for writer in writers:
                writer.wait_for(len(writer.committed) + 2)
            assert set(check_pages(lake))
            server.stop((signal.SIGQUIT, signal.SIGKILL, signal.SIGINT)[restart % 3])
            server.start()
            there = check_pages(lake)
            for writer in writers:
                assert set(writer.committed) <= there.keys()
                writer.wait_for(len(writer.committed) + 2)
        for writer in writers:
            writer.kill()
        assert {page for writer in writers for page in writer.committed} <= check_pages(lake).keys()
        lake.close()
