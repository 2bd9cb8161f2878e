"""A person is erased where the catalogue is in PostgreSQL: nothing is left in its tables, nor in the server's files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.erasure import erase as erasing
from jobs.erasure.erase import STEPS, erase, what_ends
from jobs.metering import RunMeter
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.erasure.test_erase import KEY, NAME, found_in, marks
from tests.lake.shared_lakes import moved, password
from tests.lakes import rows
from tests.postgres_server import Server, needs_postgres
from warehouse.errors import RunFailed
from warehouse.lake.postgres import vacuum as vacuuming
from warehouse.lake.postgres.addresses import MARKER, Address, write_lake_file
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.ledger import records as ledger
from warehouse.ledger.records import CheckRecord, WrongRow
from warehouse.operations.state import open_operations, writing

pytestmark = needs_postgres
#: Each step is left out once with `ALMANAC_ALL_STEPS=1`; in every run, those that are a server's own.
LEFT_OUT = [name for name, _ in STEPS] if os.environ.get("ALMANAC_ALL_STEPS") else ["operations", "vacuum"]


@pytest.fixture(scope="module")
def _world(postgres: Server, _with_a_person: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A shop whose lake was moved to a server, and in which the person has left traces of every kind since."""
    with password():
        place = tmp_path_factory.mktemp("erased")
        suite = moved(postgres, "erased", _with_a_person, place)
        leave_traces(suite, postgres)
        suite.lake.close()
        yield suite


def leave_traces(suite: Suite, postgres: Server) -> None:
    run_page(suite, PRODUCT, PAGE)
    meter = RunMeter(suite, "predict", PRODUCT)
    with suite.lake.commit("what checks and errors quote") as commit:  # rows that stand in the catalogue itself
        wrong = json.dumps({"order_id": "O99999", "courier": NAME})
        ledger.append(commit, [WrongRow(meter.run_id, PRODUCT, PAGE, "own", wrong)])
        ledger.append(commit, [CheckRecord(meter.run_id, PRODUCT, PAGE, "own", "warning", False, 1, f"{NAME} is late")])
        ledger.append(commit, [meter.record("failed", error=f"cannot read the order O99999 of {NAME}")])
    killed = suite.lake.staging / "killed"
    killed.mkdir()
    (killed / "rows.csv").write_text(f"O99999,{NAME}")
    os.utime(killed, (0, 0))
    with contextlib.closing(open_operations(suite.lake.root)) as state, writing(state):
        for text in (f"{NAME} is late", f"{NAME} is late again"):
            values = [f"late {text}", text]
            state.execute(
                "INSERT INTO alerts (what, raised_at, title, body, channels, state, tries)"
                " VALUES (?, '2026-04-01', 'late', ?, 'X', 'raised', 0)",
                values,
            )
    with postgres.connect("erased") as connection:
        connection.execute("ANALYZE")  # the server notes values of columns


@pytest.fixture
def world(_world: Suite, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """A copy of that shop: of its database as the server copies one, dead rows and all."""
    monkeypatch.setenv("ALMANAC_ERASE_KEY", KEY)
    with postgres.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS erasing WITH (FORCE)")
        connection.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = 'erased'")
        connection.execute("CREATE DATABASE erasing TEMPLATE erased STRATEGY file_copy")
    root, data = tmp_path / "shop", tmp_path / "data"
    shutil.copytree(_world.root, root)
    shutil.copytree(_world.lake.root, data)
    os.utime(data / "staging" / "killed", (0, 0))
    marker = json.loads((data / MARKER).read_text())
    (data / MARKER).write_text(json.dumps({**marker, "catalogue": postgres.url("erasing")}))
    write_lake_file(root, Address(postgres.url("erasing"), data))
    shutil.rmtree(root / "lake.moved")
    return open_suite(root, clock_at(NOW))


def found_on(postgres: Server, suite: Suite) -> list[str]:
    """Say where the person is in the server's tables and files; what it logs of changes is told of, not reached."""
    words = marks(suite)
    found = []
    with postgres.connect("erasing") as connection:
        tables = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'almanac')"
        for schema, table in connection.execute(tables).fetchall():
            said = str(connection.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall())
            found += [f"{schema}.{table}"] if any(word in said for word in words) else []
        (database,) = connection.execute("SELECT oid FROM pg_database WHERE datname = 'erasing'").fetchone()
        connection.execute("CHECKPOINT")
    for path in sorted((postgres.directory / "base" / str(database)).iterdir()):
        held = path.read_bytes().decode("latin-1")
        found += [f"{path.name}: bytes"] if any(word in held for word in words) else []
    return found


def test_nothing_is_left_of_a_person_on_the_server_and_all_else_is(world: Suite, postgres: Server) -> None:
    others = "FROM sources.orders WHERE courier <> $1 ORDER BY ALL"
    before = rows(world, others, [NAME])
    told = what_ends(world, "customer", NAME)
    assert any("WAL" in sentence for sentence in told.beyond)
    on_server = found_on(postgres, world)
    assert "almanac.alerts" in on_server
    assert any(place.startswith("public.ducklake_inlined_data") for place in on_server)
    assert any(place.endswith("bytes") for place in on_server)
    done = erase(world, "customer", NAME, "they asked for it")
    assert done.left == []
    assert [*found_in(world)] == []
    assert found_on(postgres, world) == []
    again = open_suite(world.root, clock_at(NOW))
    assert rows(again, others, [NAME]) == before
    run_page(again, PRODUCT, PAGE)
    with postgres.connect("erasing") as connection:
        told = connection.execute("SELECT body FROM almanac.alerts ORDER BY body").fetchall()
        assert told == [("[erased] is late",), ("[erased] is late",), ("[erased] is late again",)]


@pytest.mark.parametrize("without", LEFT_OUT)
def test_each_step_is_needed_on_a_server(
    world: Suite, postgres: Server, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "STEPS", tuple((name, step) for name, step in STEPS if name != without))
    with contextlib.suppress(Exception):
        erase(world, "customer", NAME)
    assert [*found_in(world), *found_on(postgres, world)] != []


def test_nothing_is_erased_while_another_host_may_be_at_work(world: Suite, postgres: Server) -> None:
    catalogue = world.lake.catalogue
    assert isinstance(catalogue, PostgresCatalogue)
    (world.lake.staging / "of-another-host").mkdir()
    with pytest.raises(RunFailed, match="of-another-host, unless it was killed"):
        erase(world, "customer", NAME)
    (world.lake.staging / "of-another-host").rmdir()
    with postgres.connect("erasing") as connection:
        owner = "INSERT INTO almanac.owners VALUES ('x', 'k', 'far', 1, 'almanac train', clock_timestamp() + '1 hour')"
        connection.execute(owner)
        with pytest.raises(RunFailed, match="`almanac train` on far"):
            erase(world, "customer", NAME)
        connection.execute("DELETE FROM almanac.owners")
    # What somebody may still look at, the server would keep without a word.
    with postgres.connect("erasing") as reader, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALMANAC_WAIT_S", "1")
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        with pytest.raises(RunFailed, match="may still see what was deleted"):
            vacuuming.vacuum(catalogue.server)
        reader.execute("COMMIT")
        vacuuming.vacuum(catalogue.server)
