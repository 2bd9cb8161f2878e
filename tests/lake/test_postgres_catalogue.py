"""A lake with its catalogue in PostgreSQL works as one in SQLite does, and refuses whoever has lost its turn."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.elsewhere import put_elsewhere, readable
from jobs.suites.starter import make_starter
from jobs.suites.upkeep import upkeep
from jobs.training.train import train
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lakes import page_rows, rows
from tests.postgres_server import PASSWORD, Server, needs_postgres
from warehouse.errors import AlmanacError, PublishFailed, RunFailed, UsageError
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import MARKER, read_address, root_of_lake
from warehouse.lake.postgres.catalogue import PostgresCatalogue

pytestmark = needs_postgres


def new_database(server: Server, name: str) -> str:
    with server.connect() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield


@pytest.fixture(scope="module")
def _world(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """A suite with its facts, a live model and a page, all in a lake with its catalogue in PostgreSQL."""
    home = tmp_path_factory.mktemp("elsewhere")
    address = readable(f"{new_database(postgres, 'world')}?data={home / 'data of all'}")
    make_starter(home / "shop")
    put_elsewhere(home / "shop", address, NOW, "tests")
    suite = open_suite(home / "shop", clock_at(NOW))
    ingest(suite)
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE)
    return suite


@pytest.fixture
def world(_world: Suite) -> Suite:
    return open_suite(_world.root, clock_at(NOW))


def catalogue_of(suite: Suite) -> PostgresCatalogue:
    catalogue = suite.lake.catalogue
    assert isinstance(catalogue, PostgresCatalogue)
    return catalogue


def test_a_suite_has_the_same_rows_as_with_sqlite(world: Suite, published: Suite) -> None:
    wanted = page_rows(published, PRODUCT)
    assert page_rows(world, PRODUCT) == wanted
    assert len(wanted) > 10
    assert page_rows(world, PRODUCT, "features") == page_rows(published, PRODUCT, "features")
    assert {path.name for path in world.root.iterdir()} >= {"lake.yaml"}
    assert not (world.root / "lake").exists()
    assert (world.lake.root / MARKER).exists()


def test_commands_work_and_say_no_password(world: Suite) -> None:
    for command in (
        ["status", "--json"],
        ["query", f"SELECT count(*) AS n FROM predictions.{PRODUCT}_current", "--json"],
    ):
        done = almanac(world.root, *command)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
    assert '"n":45' in done.stdout


def test_the_ledgers_snapshots_are_ducklakes(world: Suite, postgres: Server) -> None:
    run_page(world, PRODUCT, PAGE)
    with postgres.connect("world") as connection:
        query = "SELECT snapshot_id, commit_extra_info::json ->> 'snapshot' FROM ducklake_snapshot_changes"
        made = {row[0]: row[1] for row in connection.execute(query).fetchall()}
    told = [snapshot for (snapshot,) in rows(world, "SELECT DISTINCT snapshot_id FROM ledger.pages ORDER BY ALL")]
    assert told
    assert [made[snapshot] for snapshot in told] == [str(snapshot) for snapshot in told]


def test_a_writer_whose_turn_is_over_is_refused(world: Suite, postgres: Server) -> None:
    """Its lock's session is ended between BEGIN and COMMIT, and somebody else commits meanwhile."""
    before = page_rows(world, PRODUCT)

    def lose_the_lock() -> None:
        with world.lake.commit("the first") as first, postgres.connect("world") as administrator:
            first.execute(f"DELETE FROM predictions.{PRODUCT}")
            ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            assert administrator.execute(ended).fetchall() == [(True,)]
            with Lake(world.lake.root).catalogue.writer_lock():
                pass

    with pytest.raises(PublishFailed, match="another writer has the lake"):
        lose_the_lock()
    assert page_rows(world, PRODUCT) == before


def test_a_stranger_cannot_commit_and_upkeep_can(world: Suite, postgres: Server) -> None:
    with world.lake.connect(read_only=False) as stranger, pytest.raises(duckdb.Error, match="this one has turn none"):
        stranger.execute(f"DELETE FROM predictions.{PRODUCT}")
    before = page_rows(world, PRODUCT)
    upkeep(world)
    assert page_rows(world, PRODUCT) == before


def test_one_writes_at_a_time(world: Suite) -> None:
    catalogue = catalogue_of(world)
    with (
        catalogue.writer_lock() as first,
        pytest.raises(PublishFailed, match="holder"),
        catalogue.writer_lock(timeout_s=0),
    ):
        pass
    with catalogue.writer_lock() as second:
        assert second.number == first.number + 1
    with (
        catalogue.ingest_lock(),
        pytest.raises(RunFailed, match="another ingest of this lake"),
        catalogue.ingest_lock(timeout_s=0),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me:secret@host/db?data=/d", "holds a password"),
        ("postgresql://me@host/db?data=/d&password=secret", "holds a password"),
        ("postgresql://me@host/db", "has to say where"),
        ("postgresql://me@host/db?data=s3://bucket/prefix", "not built yet"),
        ("postgresql://me@host/db?data=relative", "absolute path"),
        ("mysql://me@host/db?data=/d", "of the form"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, says: str, tmp_path: Path, starter: Path) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        read_address(url, "it")
    assert "secret" not in str(refused.value)
    done = almanac(tmp_path, "init", "--lake", url, str(tmp_path / "new"))
    assert (done.returncode, says in done.stderr, "secret" in done.stderr) == (2, True, False)
    assert not (tmp_path / "new").exists()


def test_a_suite_is_not_led_to_another_lake_unawares(
    world: Suite, ingested: Suite, postgres: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = (world.root / "lake.yaml").read_text().rpartition("lake: ")[2].strip()
    monkeypatch.setenv("ALMANAC_LAKE", url)
    assert root_of_lake(world.root, "catalogue.sqlite") == world.lake.root
    with pytest.raises(UsageError, match="holds a lake of its own"):
        open_suite(ingested.root, clock_at(NOW))
    (ingested.root / "lake.yaml").write_text("lake: here\n")
    assert open_suite(ingested.root, clock_at(NOW)).lake.root == ingested.lake.root
    monkeypatch.setenv("ALMANAC_LAKE", f"{url}/elsewhere")
    with pytest.raises(UsageError, match="name different lakes"):
        open_suite(world.root, clock_at(NOW))
    monkeypatch.delenv("ALMANAC_LAKE")
    # The files of one lake, and the database of another.
    shutil.rmtree(ingested.root / "lake")
    other = f"{new_database(postgres, 'other')}?data={world.lake.root}"
    (ingested.root / "lake.yaml").write_text(f"lake: {other}\n")
    with pytest.raises(UsageError, match="holds the files of the lake whose catalogue is"):
        open_suite(ingested.root, clock_at(NOW))
    (ingested.root / "lake.yaml").write_text(f"lake: {postgres.url('world')}?data={tmp_path / 'empty'}\n")
    with (
        pytest.raises(UsageError, match="holds another lake than"),
        open_suite(ingested.root, clock_at(NOW)).lake.reading(),
    ):
        pass


def test_what_is_not_built_says_so(world: Suite, tmp_path: Path) -> None:
    for command in (["backup", str(tmp_path / "kept")], ["check"], ["erase", "customer=1", "--yes"]):
        done = almanac(world.root, *command)
        assert done.returncode in (1, 2), command
        assert "PostgreSQL" in done.stderr, done.stderr


def test_whoever_lacks_the_packages_is_told_which(world: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"pip install 'almanac\[postgres-lake\]'"), catalogue_of(world).writer_lock():
        pass


def test_a_server_that_is_gone_is_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    (tmp_path / MARKER).write_text('{"catalogue": "postgresql://me@127.0.0.1:1/db", "lake": "x"}')
    with pytest.raises(AlmanacError, match="cannot be reached") as error:
        lake.exists()
    assert PASSWORD not in str(error.value)
