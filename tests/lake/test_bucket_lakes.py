"""A lake whose files lie in a bucket works as one in a directory does, and is whole or not at all whatever breaks."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.facts.recorded import kept_copy
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.upkeep import upkeep
from jobs.training.train import train
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lake.shared_lakes import new_database, password
from tests.lakes import page_rows, rows
from tests.postgres_server import USER, Server, needs_postgres
from tests.s3_server import S3, SECRET
from warehouse.errors import AlmanacError, DefinitionError
from warehouse.lake.extensions import extension_file
from warehouse.lake.postgres.sessions import session
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
def _world(bucket: S3, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite whose lake is in a bucket, with its facts, a live model and a page."""
    root = tmp_path_factory.mktemp("bucket") / "shop"
    url = f"{new_database(postgres, 'bucket')}?data=s3://shop/{PREFIX}"
    said(root.parent, "init", "--lake", url, str(root))
    source = root / "sql/sources/orders.sql"
    source.write_text(source.read_text().replace("arrives_within:", "keep: true\narrives_within:", 1))
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
    assert here <= {"catalogue.json", "artifacts", "deliveries"}
    shown = rows(world, "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')", [PRODUCT])
    assert {path for (path,) in shown} <= {f"s3://shop/{key}" for key in bucket.all_keys()}
    assert {key.split("/")[2] for key in bucket.all_keys()} == {"data", "artifacts", "deliveries", "catalogue.json"}
    # What is kept before a commit is known to be committed once upkeep has seen that.
    (copy,) = staged(world)
    assert copy.startswith("deliveries/")


def test_a_host_that_has_nothing_of_it_goes_on(world: Suite) -> None:
    before = page_rows(world, PRODUCT)
    shutil.rmtree(world.lake.root)
    again = open_suite(world.root, clock_at(NOW))
    run_page(again, PRODUCT, PAGE)
    assert page_rows(again, PRODUCT) == before
    original = next((again.root / "data").glob("orders*.csv")).read_bytes()
    copy = next(kept_copy(again.lake, hashlib.sha256(original).hexdigest()).iterdir())
    assert copy.is_relative_to(again.lake.root)
    assert copy.read_bytes() == original


def test_upkeep_and_doctor_look_after_the_bucket(world: Suite, bucket: S3) -> None:
    for _ in range(3):
        run_page(world, PRODUCT, PAGE)
    before = page_rows(world, PRODUCT)
    with session(storage_of(world).marker.server) as connection:
        connection.execute("UPDATE almanac.staged_keys SET staged_at = staged_at - interval '3 days'")
    n_before = len(bucket.all_keys())
    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)  # by the server's clock, too
    done = upkeep(replace(world, clock=clock_at(tomorrow)), keep=timedelta(0), grace=timedelta(0))
    assert done.freed_files > 0
    assert done.freed_bytes >= done.gained_bytes
    assert done.freed_bytes > 0
    assert len(bucket.all_keys()) < n_before
    assert staged(world) == []
    assert page_rows(world, PRODUCT) == before
    found = almanac(world.root, "doctor", "--deep")
    assert "files of" in found.stdout
    assert found.returncode == 0, found.stdout
    # An object that is cut, and one that is gone.
    with world.lake.reading() as connection:
        query = "SELECT data_file FROM ducklake_list_files('lake', 'orders', schema => 'sources')"
        orders = str(connection.execute(query).fetchall()[0][0]).removeprefix("s3://shop/")
    whole = bucket.client.get_object(Bucket="shop", Key=orders)["Body"].read()
    (model,) = (key for key in bucket.all_keys() if key.endswith("model.skops"))
    artifact = bucket.client.get_object(Bucket="shop", Key=model)["Body"].read()
    bucket.client.put_object(Bucket="shop", Key=orders, Body=whole[:-1])
    bucket.client.delete_object(Bucket="shop", Key=model)
    world.lake.close()
    found = almanac(world.root, "doctor", "--deep")
    assert found.returncode == 1
    assert "is damaged" in found.stdout
    bucket.client.put_object(Bucket="shop", Key=orders, Body=whole)
    bucket.client.put_object(Bucket="shop", Key=model, Body=artifact)
    world.lake.close()


def storage_of(suite: Suite) -> BucketPrefix:
    assert isinstance(suite.lake.storage, BucketPrefix)
    return suite.lake.storage


def staged(suite: Suite) -> list[str]:
    return storage_of(suite).keys.all()


def test_keys_that_are_renewed_are_used_and_plain_duckdb_reads_it(
    world: Suite, bucket: S3, postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sandbox(world.lake) as sandbox:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
        with contextlib.closing(sandbox.cursor()) as cursor, world.lake.reading() as reading:
            for connection in (cursor, reading):
                assert "key_id=renewed" in str(connection.execute("FROM duckdb_secrets()").fetchall())
    with contextlib.closing(duckdb.connect(config={"allow_unsigned_extensions": "false"})) as reader:
        for extension in ("ducklake", "postgres_scanner", "httpfs"):
            reader.execute(f"LOAD '{extension_file(extension)}'")
        server = bucket.client.meta.endpoint_url.removeprefix("http://")
        keys = f"KEY_ID 'reader', SECRET '{SECRET}', ENDPOINT '{server}', URL_STYLE 'path', USE_SSL false"
        reader.execute(f"CREATE SECRET (TYPE s3, {keys})")
        place = f"host=127.0.0.1 port={postgres.port} dbname=bucket user={USER}"
        options = f"READ_ONLY, DATA_PATH 's3://shop/{PREFIX}/data/', OVERRIDE_DATA_PATH true"
        reader.execute(f"SET TimeZone = 'UTC'; ATTACH 'ducklake:postgres:{place}' AS almanac ({options})")
        assert reader.execute("SELECT count(*) FROM almanac.sources.orders").fetchone() == (2568,)


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


def test_one_prefix_is_one_lakes(world: Suite, bucket: S3, postgres: Server, tmp_path: Path) -> None:
    url = f"{new_database(postgres, 'another')}?data=s3://shop/{PREFIX}"
    done = almanac(tmp_path, "init", "--lake", url, str(tmp_path / "new"))
    assert done.returncode == 2
    assert f"s3://shop/{PREFIX} holds the files of the lake whose catalogue is" in done.stderr
