"""A lake whose files lie in a bucket works as one in a directory does, and is whole or not at all whatever breaks."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lake.shared_lakes import new_database, password
from tests.lakes import page_rows, rows
from tests.postgres_server import Server, needs_postgres
from tests.s3_server import S3, SECRET, empty_bucket
from warehouse.errors import AlmanacError, DefinitionError
from warehouse.lake.storage.bucket_prefix import BucketPrefix
from warehouse.queries.checked_query import check_query
from warehouse.sandbox import Sandbox

pytestmark = needs_postgres
PREFIX = "lakes/one"


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@pytest.fixture(scope="module")
def bucket(_s3_server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with pytest.MonkeyPatch.context() as patch:
        yield empty_bucket(_s3_server, tmp_path_factory.mktemp("aws"), patch)


@pytest.fixture(scope="module")
def _world(bucket: S3, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite whose lake is in a bucket, with its facts, a live model and a page."""
    root = tmp_path_factory.mktemp("bucket") / "shop"
    url = f"{new_database(postgres, 'bucket')}?data=s3://shop/{PREFIX}"
    said(root.parent, "init", "--lake", url, str(root))
    suite = open_suite(root, clock_at(NOW))
    ingest(suite)
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE)
    return root


@pytest.fixture
def world(_world: Path) -> Suite:
    return open_suite(_world, clock_at(NOW))


def test_it_holds_what_a_lake_in_a_directory_holds(world: Suite, published: Suite, bucket: S3) -> None:
    pages = BackfillOrder(PRODUCT, PAGE + timedelta(days=1), PAGE + timedelta(days=4), pages_per_commit=2)
    for suite in (world, published):
        done = backfill(suite, pages)
        assert (len(done.failed), len(done.published) > 0) == (0, True)
    for schema in ("predictions", "features", "labels"):
        wanted = page_rows(published, PRODUCT, schema)
        assert len(wanted) > 10
        assert page_rows(world, PRODUCT, schema) == wanted
    for source in ("orders", "deliveries"):
        query = f"SELECT * EXCLUDE (ingest_id) FROM sources.{source} ORDER BY ALL"
        assert rows(world, query) == rows(published, query)
    # All that lasts is in the bucket, and nothing else is.
    here = {path.relative_to(world.lake.root).parts[0] for path in world.lake.root.rglob("*") if path.is_file()}
    assert here <= {"catalogue.json", "artifacts", "operations.sqlite"}
    shown = rows(world, "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')", [PRODUCT])
    assert {path for (path,) in shown} <= {f"s3://shop/{key}" for key in bucket.all_keys()}
    assert {key.split("/")[2] for key in bucket.all_keys()} == {"data", "artifacts", "catalogue.json"}
    assert staged(world) == []
    # A host that has nothing of it yet.
    shutil.rmtree(world.lake.root)
    again = open_suite(world.root, clock_at(NOW))
    before = page_rows(again, PRODUCT)
    run_page(again, PRODUCT, PAGE)
    assert page_rows(again, PRODUCT) == before


def staged(suite: Suite) -> list[str]:
    storage = suite.lake.storage
    assert isinstance(storage, BucketPrefix)
    return storage.keys.all()


def test_no_key_is_shown_or_kept(world: Suite, bucket: S3, postgres: Server) -> None:
    told = []
    for command in (["doctor"], ["status", "--json"], ["query", "FROM duckdb_secrets()"], ["query", "SELEC"]):
        done = almanac(world.root, *command)
        told.append(done.stdout + done.stderr)
    with world.lake.reading() as connection:
        for asked in ("duckdb_secrets()", "duckdb_databases()", "duckdb_settings()"):
            told.append(str(connection.execute(f"FROM {asked}").fetchall()))
    told += [path.read_text(errors="replace") for path in world.root.rglob("*") if path.is_file()]
    with postgres.connect("bucket") as administrator:
        query = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables WHERE table_schema IN"
        for (table,) in administrator.execute(f"{query} ('public', 'almanac')").fetchall():
            told.append(str(administrator.execute(f"SELECT * FROM {table}").fetchall()))
    assert [text for text in told if SECRET in text] == []
    assert "redacted" in "".join(told)
    # Nor where the server lets nobody in.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        world.lake.close()
        with pytest.raises((AlmanacError, duckdb.Error)) as refused:
            page_rows(world, PRODUCT)
    world.lake.close()
    assert SECRET not in str(refused.value)
    assert page_rows(world, PRODUCT)


def test_authors_see_the_lakes_prefix_and_nothing_else(world: Suite, bucket: S3, tmp_path: Path) -> None:
    bucket.put("lakes/other/data/secret.csv", "a\n1\n")
    bucket.put(f"{PREFIX}/artifacts/secret.csv", "a\n1\n")
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with Sandbox(world.lake) as sandbox, contextlib.closing(sandbox.cursor()) as cursor:
        assert cursor.execute(f"SELECT count(*) FROM {sandbox.catalogue}.sources.orders").fetchone() == (2568,)
        for place in (
            "s3://shop/lakes/other/data/secret.csv",
            f"s3://shop/{PREFIX}/artifacts/secret.csv",
            "s3://another/secret.csv",
            str(tmp_path / "secret.csv"),
        ):
            with pytest.raises(duckdb.PermissionException):
                cursor.execute(f"FROM read_csv('{place}')")
    # DuckDB compares the texts of URLs, and curl then follows the dots: two lines before that refuse to read a file.
    dots = f"s3://shop/{PREFIX}/data/../artifacts/secret.csv"
    for query in (f"SELECT * FROM read_csv('{dots}')", f"SELECT * FROM '{dots}'"):
        with pytest.raises(DefinitionError):
            check_query(query, "it", tables={"orders"}, parameters=set())


def test_what_is_not_built_is_refused_in_words(world: Suite, published: Suite, tmp_path: Path) -> None:
    before = rows(world, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")
    for command in (
        ["backup", str(tmp_path / "kept")],
        ["check"],
        ["erase", "customer=1", "--yes"],
        ["repair"],
        ["upkeep", "--dry-run"],
    ):
        done = almanac(world.root, *command)
        assert done.returncode in (1, 2), command
        assert "is not built for a lake in a bucket" in done.stderr, (command, done.stderr)
    assert not (tmp_path / "kept").exists()
    there = almanac(published.root, "move-lake", f"{world.lake.storage.marker.server}?data=s3://shop/lakes/moved")
    assert (there.returncode, "not built yet" in there.stderr) == (2, True)
    assert rows(world, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')") == before


def test_one_prefix_is_one_lakes(world: Suite, bucket: S3, postgres: Server, tmp_path: Path) -> None:
    url = f"{new_database(postgres, 'another')}?data=s3://shop/{PREFIX}"
    done = almanac(tmp_path, "init", "--lake", url, str(tmp_path / "new"))
    assert done.returncode == 2
    assert f"s3://shop/{PREFIX} holds the files of the lake whose catalogue is" in done.stderr
