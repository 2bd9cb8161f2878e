"""A lake with its catalogue in PostgreSQL works as one in SQLite does, and refuses whoever has lost its turn."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from jobs.suites.upkeep import upkeep
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lake.shared_lakes import new_database
from tests.lakes import page_rows, rows
from tests.postgres_server import PASSWORD, Server, needs_postgres
from warehouse.errors import AlmanacError, PublishFailed, RunFailed, UsageError
from warehouse.lake.extensions import extension_file
from warehouse.lake.lake import Lake, table_columns
from warehouse.lake.postgres.addresses import MARKER, read_address, root_of_lake
from warehouse.lake.postgres.catalogue import PostgresCatalogue

pytestmark = needs_postgres
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield


def catalogue_of(suite: Suite) -> PostgresCatalogue:
    catalogue = suite.lake.catalogue
    assert isinstance(catalogue, PostgresCatalogue)
    return catalogue


def test_a_lake_that_was_moved_has_all_that_it_had_and_goes_on(world: Suite, published: Suite) -> None:
    assert (world.root / "lake.moved" / "catalogue.sqlite").exists()
    assert not (world.root / "lake").exists()
    assert (world.lake.root / MARKER).exists()
    wanted = page_rows(published, PRODUCT)
    assert len(wanted) > 10
    for _ in range(2):
        assert page_rows(world, PRODUCT) == wanted
        assert page_rows(world, PRODUCT, "features") == page_rows(published, PRODUCT, "features")
        run_page(world, PRODUCT, PAGE)
    snapshots = "SELECT snapshot_id, commit_message FROM ducklake_snapshots('lake') ORDER BY ALL"
    before = rows(published, snapshots)
    assert before[1:]
    assert rows(world, snapshots)[: len(before)] == before
    with contextlib.closing(TickStore.open(world.lake.root)) as store:
        assert store.fact("noted") == "before"
    # There is no room in the database for another.
    again = almanac(world.root, "move-lake", f"{catalogue_of(world).server}?data={world.root / 'new'}")
    assert (again.returncode, "holds another lake" in again.stderr) == (2, True), again.stderr


def test_a_commit_to_a_moved_lake_makes_a_table_with_rows_and_writes_to_others(world: Suite) -> None:
    """DuckLake 1.5.5 fails there for good, where a table has none for the rows that come ten or fewer at a time."""
    with world.lake.commit("a table, and rows in others") as commit:
        commit.execute("CREATE TABLE rejects.made_after_the_move (r INTEGER)")
        commit.execute("INSERT INTO rejects.made_after_the_move VALUES (1)")
        for table in ("deployments", "trials", "erasures"):  # nothing has been written there since
            commit.execute(f"INSERT INTO ledger.{table} DEFAULT VALUES")
    assert rows(world, "FROM rejects.made_after_the_move") == [(1,)]
    with world.lake.commit("and they go again") as commit:
        commit.execute("DROP TABLE rejects.made_after_the_move")
        for table in ("deployments", "trials", "erasures"):
            key = next(iter(table_columns(commit.connection, "ledger", table)))
            commit.execute(f"DELETE FROM ledger.{table} WHERE {key} IS NULL")


def test_a_lake_is_moved_to_where_there_is_nothing(published: Suite, world: Suite, tmp_path: Path) -> None:
    there = almanac(published.root, "move-lake", f"{catalogue_of(world).server}?data={tmp_path / 'new'}")
    assert there.returncode == 2
    assert "holds another lake" in there.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    full = almanac(published.root, "move-lake", f"{catalogue_of(world).server}?data={tmp_path / 'full'}")
    assert (full.returncode, "is not empty" in full.stderr) == (2, True)
    assert (published.root / "lake" / "catalogue.sqlite").exists()
    assert not (published.root / "lake.yaml").exists()


def test_a_new_suite_takes_in_the_same_facts(ingested: Suite, postgres: Server, tmp_path: Path) -> None:
    url = f"{new_database(postgres, 'new_suite')}?data={tmp_path / 'data'}"
    made = almanac(tmp_path, "init", "--lake", url, str(tmp_path / "new"))
    assert made.returncode == 0, made.stderr
    suite = open_suite(tmp_path / "new", clock_at(NOW))
    ingest(suite)
    for source in ("orders", "deliveries"):
        query = f"SELECT * EXCLUDE (ingest_id) FROM sources.{source} ORDER BY ALL"
        assert rows(suite, query) == rows(ingested, query)
    with postgres.connect("new_suite") as administrator:
        # A reader that may SELECT and nothing else reads all of it, by the recipe of docs/catalogues.md.
        administrator.execute("DROP ROLE IF EXISTS reader")
        secret = PASSWORD.replace("'", "''")
        administrator.execute(f"CREATE ROLE reader LOGIN PASSWORD '{secret}'")
        administrator.execute("GRANT USAGE ON SCHEMA public TO reader")
        administrator.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    text = (ROOT / "docs" / "catalogues.md").read_text()
    recipe = text[text.index("db = duckdb.connect()") : text.index('rows = db.execute("FROM almanac.predictions')]
    recipe = recipe.replace("/mnt/shared/lake", str(tmp_path / "data"))
    recipe = recipe.replace("host=db.internal dbname=lake", f"host=127.0.0.1 port={postgres.port} dbname=new_suite")
    names = {"duckdb": duckdb, "import_extension": lambda name, con: None}
    recipe = recipe.replace("db.load_extension(extension)", "db.execute(f\"LOAD '{extension_file(extension)}'\")")
    exec(recipe, names | {"extension_file": extension_file}, found := dict[str, Any]())
    with found["db"] as reader:
        assert reader.execute("SELECT count(*) FROM almanac.sources.orders").fetchone() == (2568,)
        assert PASSWORD not in str(reader.execute("SELECT * FROM duckdb_databases()").fetchall())
        with pytest.raises(duckdb.Error):
            reader.execute("CREATE TABLE almanac.sources.mine (i INTEGER)")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM postgres_query('__ducklake_metadata_lake', 'SELECT 1')",
        "SELECT * FROM postgres_scan('dbname=world', 'public', 'ducklake_table')",
        "SELECT * FROM __ducklake_metadata_lake.ducklake_table",
    ],
)
def test_an_authors_query_cannot_ask_the_server(world: Suite, query: str) -> None:
    group = next((world.root / "sql/features").glob("*.sql"))
    before = group.read_text()
    try:
        group.write_text(before.rstrip().rstrip(";") + f"\n  AND EXISTS ({query})\n")
        with pytest.raises(AlmanacError):
            run_page(open_suite(world.root, clock_at(NOW)), PRODUCT, PAGE)
    finally:
        group.write_text(before)


def test_what_reads_is_refused_by_the_server_when_it_writes(world: Suite) -> None:
    with world.lake.connect() as reader, pytest.raises(duckdb.Error, match="read-only"):
        reader.execute("CALL postgres_execute('__ducklake_metadata_lake', 'DELETE FROM almanac.lake')")


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
    told = [snapshot for snapshot in told if made[snapshot] is not None]  # those since the lake was moved
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
    # A run of another host, whose lock of a file is not seen from here.
    staged = world.lake.staging / "20260410T000000-of-another-host"
    staged.mkdir()
    (staged / "run.lock").touch()
    upkeep(world)
    assert page_rows(world, PRODUCT) == before
    assert staged.exists()
    staged.joinpath("run.lock").unlink()
    staged.rmdir()


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
        ("postgresql://me@host/db?data=gs://bucket/prefix", "a bucket that speaks S3's protocol"),
        ("postgresql://me@host/db?data=s3://bucket", "has to be s3://BUCKET/PREFIX"),
        ("postgresql://me@host/db?data=s3://key:secret@bucket/prefix", "has to be s3://BUCKET/PREFIX"),
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
