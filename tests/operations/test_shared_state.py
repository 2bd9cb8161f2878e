"""Where several hosts share a lake, ticks, leases and alerts are in its catalogue, and are what they are in SQLite."""

from __future__ import annotations

import contextlib
import inspect
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.schedule.host import show_host
from jobs.schedule.tick_store import TickStore
from tests.operations import test_leases
from tests.operations.test_leases import PAGES
from tests.postgres_server import PASSWORD, Server, needs_postgres
from tests.schedule import simulated_clock
from tests.schedule.simulated_clock import SimulatedWorld
from warehouse.errors import LakeFormatError, PublishFailed
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import MARKER
from warehouse.lake.postgres.owners import beat_once
from warehouse.lake.postgres.sessions import session
from warehouse.lake.registry import OPERATIONS, TABLES
from warehouse.operations import leases as leases_module
from warehouse.operations.leases import Leases, is_alive, pages_held
from warehouse.operations.shared_state import SharedState
from warehouse.operations.state import forget, looking, open_operations, writing

pytestmark = needs_postgres


@pytest.fixture(scope="module")
def _server(postgres: Server) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch, postgres.connect() as connection:
        patch.setenv("PGPASSWORD", PASSWORD)
        connection.execute("DROP DATABASE IF EXISTS state WITH (FORCE)")
        connection.execute("CREATE DATABASE state")
        yield postgres


@pytest.fixture
def lake(_server: Server, tmp_path: Path) -> Lake:
    """A lake that several hosts share, of which there is nothing but the name."""
    with _server.connect("state") as connection:
        connection.execute("DROP SCHEMA IF EXISTS almanac CASCADE")
    (tmp_path / MARKER).write_text(json.dumps({"catalogue": _server.url("state"), "lake": tmp_path.name}))
    return Lake(tmp_path)


def server_of(lake: Lake) -> str:
    return str(json.loads((lake.root / MARKER).read_text())["catalogue"])


@pytest.mark.parametrize(
    "case",
    [
        test_leases.test_a_page_is_leased_to_one_at_a_time,
        test_leases.test_a_lease_can_be_taken_again_by_its_owner,
        test_leases.test_giving_back_leaves_others_leases_alone,
        test_leases.test_holding_ends_with_its_block_even_on_an_error,
        test_leases.test_a_closed_owner_leaves_nothing_behind,
        test_leases.test_leases_of_a_killed_process_are_free_at_once,
        test_leases.test_many_processes_at_once_share_the_pages_out,
    ],
    ids=lambda case: case.__name__.removeprefix("test_"),
)
def test_leases_are_what_they_are_in_sqlite(case: Callable[[Lake], None], lake: Lake) -> None:
    assert list(inspect.signature(case).parameters) == ["lake"]
    case(lake)


def test_looking_makes_nothing(lake: Lake) -> None:
    with looking(lake.root) as state:
        assert state is None


def test_two_schedulers_that_are_killed_now_and_then_do_what_they_do_on_sqlite(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tick has one outcome, whichever of the two took it: the very accounts of the same world in SQLite."""

    def new_state() -> Any:
        with contextlib.closing(open_operations(lake.root)) as state:
            tables = ", ".join(each.name for each in TABLES if each.schema == OPERATIONS)
            state.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        return open_operations(lake.root)

    for seed in (3, 11):
        wanted = SimulatedWorld(seed, 2)
        wanted.live_through()
        with monkeypatch.context() as patch:
            patch.setattr(simulated_clock, "new_state", new_state)
            world = SimulatedWorld(seed, 2)
            assert world.tick_store.is_shared
            world.live_through()
            assert world.check_accounts() == wanted.check_accounts()
            forget(world.tick_store.db, world.now + timedelta(days=1))
            forget(wanted.tick_store.db, wanted.now + timedelta(days=1))
            left = [store.report_ticks(None, None, None, 10_000) for store in (world.tick_store, wanted.tick_store)]
            assert left[0] == left[1]
            world.tick_store.close()


def test_a_host_that_was_not_heard_of_has_lost_its_work_and_commits_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, writer = Leases(lake), lake.catalogue
    with lost, Leases(lake) as other, session(server_of(lake)) as server:
        assert lost.take("p", PAGES) == set(PAGES)
        assert other.take("p", PAGES) == set()
        # Its host is another one, so that nothing but the clock of the server tells that it lives.
        change = "UPDATE almanac.owners SET kernel = 'another' WHERE name = %s"
        server.execute(change, [lost.owner.name])
        assert other.take("p", PAGES) == set()
        with writer.writer_lock():
            pass
        server.execute(
            "UPDATE almanac.owners SET expires = clock_timestamp() - interval '1 second' WHERE name = %s",
            [lost.owner.name],
        )
        assert not is_alive(lake.root, lost.owner.name)
        assert other.take("p", PAGES) == set(PAGES)
        # It comes back, and stays gone.
        beat_once(server_of(lake), server)
        assert not is_alive(lake.root, lost.owner.name)
        assert {owner.name for owner in pages_held(lake, "p").values()} == {other.owner.name}
        with pytest.raises(PublishFailed, match="was not heard of"), writer.writer_lock():
            pass
        # So is a command that it runs.
        name = lost.owner.name
        monkeypatch.setenv("ALMANAC_LEASE", name)
        lost.close()
        with writer.writer_lock():  # its row is gone, as that of a run that has ended
            pass


def test_several_hosts_may_run_the_jobs_of_one_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 3, 1)
    for host in ("one", "another"):
        monkeypatch.setattr(leases_module, "this_host", lambda host=host: host)
        with contextlib.closing(TickStore.open(lake.root)) as store:
            show_host(store, now)
            show_host(store, now, again=True)


def test_a_change_is_whole_and_a_broken_connection_is_opened_anew(lake: Lake) -> None:
    with contextlib.closing(open_operations(lake.root)) as state, session(server_of(lake)) as administrator:

        def facts() -> list[Any]:
            return [tuple(row) for row in state.execute("SELECT name, value FROM facts ORDER BY name")]

        def break_off() -> None:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            administrator.execute(f"{ended} AND datname = current_database()")

        def note_and_break() -> None:
            with writing(state):
                state.execute("INSERT INTO facts VALUES (?, ?)", ("b", "100 %"))
                break_off()
                state.execute("INSERT INTO facts VALUES (?, ?)", ("c", ""))

        state.execute("INSERT INTO facts VALUES (?, ?)", ("a", "100 %"))
        with pytest.raises(sqlite3.OperationalError):
            note_and_break()
        assert facts() == [("a", "100 %")]
        break_off()
        assert facts() == [("a", "100 %")]
        with pytest.raises(sqlite3.IntegrityError, match="duplicate key"):
            state.execute("INSERT INTO facts VALUES (?, ?)", ("a", ""))
        row = state.execute("SELECT name, value AS said FROM facts").fetchone()
        assert (row["said"], row[0], dict(row), list(row.keys())) == (
            "100 %",
            "a",
            {"name": "a", "said": "100 %"},
            ["name", "said"],
        )


def test_a_state_of_a_newer_version_is_refused(lake: Lake) -> None:
    open_operations(lake.root).close()
    with contextlib.closing(SharedState(server_of(lake))) as state:
        state.note_format(99)
    with pytest.raises(LakeFormatError, match="format 99"):
        open_operations(lake.root)
