"""A lake is moved into a bucket, and all works there that needs a copy of it: dry runs, checks, backups, rehearsals."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.backup import arriving
from jobs.backup.backup import backup
from jobs.backup.listing import backups
from jobs.backup.scratch import SCRATCH, scratch_lake
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.move_lake import move_lake
from jobs.suites.repair import repair, repair_dry_run
from jobs.suites.upkeep import upkeep, upkeep_dry_run
from tests.backup.test_backup import contents, restored
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lake.shared_lakes import new_database, password
from tests.lakes import page_rows, rows
from tests.page_makers import process_of
from tests.postgres_server import Server, needs_postgres
from tests.s3_server import S3
from warehouse import buckets
from warehouse.errors import RunFailed
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import read_address, write_lake_file
from warehouse.lake.retention import delete_files

pytestmark = needs_postgres
PREFIX = "lakes/moved"
DAY = timedelta(days=1)
SNAPSHOTS = "SELECT snapshot_id, commit_message FROM ducklake_snapshots('lake') ORDER BY ALL"
OF_PAGE = f"SELECT * FROM predictions.{PRODUCT} ORDER BY ALL"


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


def _move_and_be_killed(root: Path, url: str) -> None:
    put, sent = arriving.ArrivingInBucket.put, list[str]()

    def until_the_fourth(place: arriving.ArrivingInBucket, file: Path, path: str) -> None:
        put(place, file, path)
        sent.append(path)
        if len(sent) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    arriving.ArrivingInBucket.put = until_the_fourth  # type: ignore[method-assign]
    move_lake(root, read_address(url, "it").of_suite(root))


@pytest.fixture(scope="module")
def _world(bucket: S3, postgres: Server, _published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite whose lake was moved into a bucket, after a first try that was killed in the middle."""
    root = tmp_path_factory.mktemp("moved") / "shop"
    shutil.copytree(_published, root)
    (root / "lake" / "logs").mkdir()
    (root / "lake" / "logs" / "job.log").write_text("of before\n")
    url = f"{new_database(postgres, 'moved_to_a_bucket')}?data=s3://shop/{PREFIX}"
    process = process_of(_move_and_be_killed, root, url)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(bucket.all_keys()) == 6  # with those that say whose they are, and that a lake is being copied to here
    assert not (root / "lake.yaml").exists()
    said(root, "query", "FROM predictions.late_order_current LIMIT 1")
    said(root, "move-lake", url)
    return root


@pytest.fixture
def world(_world: Path) -> Suite:
    return open_suite(_world, clock_at(NOW))


def test_a_lake_is_moved_into_a_bucket(world: Suite, published: Suite, bucket: S3, postgres: Server) -> None:
    assert contents(world) == contents(published)
    before = rows(published, SNAPSHOTS)
    assert rows(world, SNAPSHOTS)[: len(before)] == before
    assert (world.root / "lake.moved" / "catalogue.sqlite").exists()
    assert sorted(path.name for path in world.root.glob(".lake*")) == []
    assert (world.root / "lake" / "logs" / "job.log").read_text() == "of before\n"
    assert {key.split("/")[2] for key in bucket.all_keys()} == {"data", "artifacts", "catalogue.json"}
    wanted = rows(published, OF_PAGE)
    shutil.rmtree(world.root / "lake")  # what a host has of it is nothing that lasts
    again = open_suite(world.root, clock_at(NOW))
    assert rows(again, OF_PAGE) == wanted
    run_page(again, PRODUCT, PAGE)
    # Nothing is put where something is.
    bucket.put("lakes/full/of", "something")
    for prefix, why in ((PREFIX, "holds the files of the lake"), ("lakes/full", "is not empty")):
        url = f"{new_database(postgres, 'not_moved')}?data=s3://shop/{prefix}"
        done = almanac(published.root, "move-lake", url)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    assert bucket.client.get_object(Bucket="shop", Key="lakes/full/of")["Body"].read() == b"something"
    bucket.client.delete_object(Bucket="shop", Key="lakes/full/of")


def test_one_client_sends_all_files(
    bucket: S3, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = buckets.Bucket.__init__, list[str]()

    def counted(self: buckets.Bucket, name: str) -> None:
        made.append(name)
        make(self, name)

    monkeypatch.setattr(buckets.Bucket, "__init__", counted)
    (tmp_path / "file").write_text("of a lake\n")
    address = read_address(f"{postgres.url('sent')}?data=s3://shop/lakes/sent", "it").of_suite(tmp_path)
    place = arriving.arriving_at(address)
    place.begin()
    for number in range(3):
        place.put(tmp_path / "file", f"data/{number}")
    place.end()
    assert made == ["shop"]
    assert {key for key in bucket.all_keys() if "/sent/" in key} == {f"lakes/sent/data/{each}" for each in range(3)}
    for number in range(3):
        bucket.client.delete_object(Bucket="shop", Key=f"lakes/sent/data/{number}")


def test_checks_and_dry_runs_work_and_change_nothing(world: Suite, bucket: S3, tmp_path: Path) -> None:
    for _ in range(2):
        run_page(world, PRODUCT, PAGE)
    states, keys = rows(world, SNAPSHOTS), set(bucket.all_keys())
    query = next((world.root / "sql/features").glob("*.sql"))
    text = query.read_text()
    query.write_text(f"{text}\n-- the same\n")
    try:
        for command in (["check"], ["repair", "--dry-run"], ["upkeep", "--dry-run", "--scratch", str(tmp_path)]):
            done = almanac(world.root, *command)
            assert done.returncode == 0, done.stderr
    finally:
        query.write_text(text)
    later = replace(
        world, clock=clock_at(datetime.now(UTC).replace(tzinfo=None) + 3 * DAY)
    )  # by the server's clock, too
    told = upkeep_dry_run(later, timedelta(0), timedelta(0))
    assert (rows(world, SNAPSHOTS), set(bucket.all_keys())) == (states, keys)
    assert [path.name for path in (world.root / SCRATCH).iterdir()] == [".gitignore"]
    done = upkeep(later, timedelta(0), timedelta(0))
    assert (told.freed_files, told.freed_bytes, told.snapshots) == (done.freed_files, done.freed_bytes, done.snapshots)
    assert done.freed_files > 0
    assert keys - set(bucket.all_keys())


def test_a_scratch_lake_reads_the_objects_and_deletes_none(world: Suite, bucket: S3) -> None:
    keys = set(bucket.all_keys())
    with scratch_lake(world.lake, world.root) as scratch:
        there = replace(world, lake=scratch)
        assert contents(there) == contents(world)
        assert not any(path.is_file() for path in scratch.data.rglob("*"))
        run_page(there, PRODUCT, PAGE)
        run_page(there, PRODUCT, PAGE + DAY)
        assert rows(there, "SELECT count(DISTINCT as_of) FROM predictions.late_order") == [(2,)]
        # The first page's file waits to be deleted, and is the bucket's.
        with scratch.maintaining() as connection:
            connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
        with pytest.raises(RunFailed, match="is not kept up"), scratch.maintaining() as connection:
            delete_files(connection, scratch.storage, "upkeep/delete_retired")
    assert set(bucket.all_keys()) == keys


def _suite_for(root: Path, address: str, of: Suite) -> Path:
    shutil.copytree(of.root, root, ignore=shutil.ignore_patterns("lake*", ".check"))
    if address:
        write_lake_file(root, read_address(address, "it"))
    return root


def test_a_backup_of_it_becomes_a_lake_in_a_directory_and_one_in_a_bucket(
    world: Suite, bucket: S3, postgres: Server, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    first = backup(world, kept)
    assert first.missing == ()
    run_page(world, PRODUCT, PAGE)
    second = backup(world, kept)
    assert 2 < second.copied_files < 8 < second.n_files
    assert list(world.lake.staging.iterdir()) == []
    assert [state.wrong for state in backups(kept, verify=True)] == [[], []]
    before = contents(world)
    # An object that is lost is told of.
    ((lost,),) = rows(
        world, "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')", [PRODUCT]
    )
    key = str(lost).removeprefix("s3://shop/")
    body = bucket.client.get_object(Bucket="shop", Key=key)["Body"].read()
    bucket.client.delete_object(Bucket="shop", Key=key)
    third = backup(world, kept)
    assert third.missing == (key.removeprefix(f"{PREFIX}/"),)
    bucket.client.put_object(Bucket="shop", Key=key, Body=body)
    (tmp_path / "shop").symlink_to(world.root)
    copy = restored(kept, tmp_path / "copy", second.state)
    assert contents(copy) == before
    run_page(copy, PRODUCT, PAGE + DAY)
    url = f"{new_database(postgres, 'restored_to_a_bucket')}?data=s3://shop/lakes/again"
    there = _suite_for(tmp_path / "there", url, world)
    said(there, "restore", str(kept), "--state", second.state)
    again = open_suite(there, clock_at(NOW))
    assert contents(again) == before
    run_page(again, PRODUCT, PAGE + DAY)
    assert rows(again, "SELECT count(DISTINCT as_of) FROM predictions.late_order") == [(2,)]
    full = almanac(there, "restore", str(kept))
    assert (full.returncode, "is not empty" in full.stderr) == (2, True), full.stderr


def test_what_is_lost_and_damaged_is_found_and_taken_out(world: Suite, bucket: S3) -> None:
    before = page_rows(world, PRODUCT)
    query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => $2)"
    keys = [
        str(rows(world, query, [PRODUCT, kind])[0][0]).removeprefix("s3://shop/")
        for kind in ("predictions", "features")
    ]
    bodies = [bucket.client.get_object(Bucket="shop", Key=key)["Body"].read() for key in keys]
    bucket.client.delete_object(Bucket="shop", Key=keys[0])
    bucket.client.put_object(Bucket="shop", Key=keys[1], Body=b"no Parquet")
    world.lake.close()
    told = repair_dry_run(world)
    assert bucket.client.get_object(Bucket="shop", Key=keys[1])["Body"].read() == b"no Parquet"
    found = repair(open_suite(world.root, clock_at(NOW)))
    assert found == told
    assert len(found.set_aside) == 1
    assert {row["kind"] for row in found.pages} == {"predictions", "features"}
    assert keys[1] not in bucket.all_keys()
    damaged = world.lake.root / "damaged" / keys[1].removeprefix(f"{PREFIX}/data/")
    assert damaged.read_bytes() == b"no Parquet"
    shutil.rmtree(world.lake.root / "damaged")
    run_page(world, PRODUCT, PAGE)
    assert page_rows(world, PRODUCT) == before
    assert repair(world).found_nothing
    # Older snapshots, which the tests after this one copy, still name them.
    for key, body in zip(keys, bodies, strict=True):
        bucket.client.put_object(Bucket="shop", Key=key, Body=body)


def test_history_is_lived_through_again_on_a_disk_of_this_machine(world: Suite, bucket: S3, tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  never: {jobs: {}}\n")
    options = ("--from", "2026-03-10", "--to", "2026-03-12", "--policies", str(policies), "--training-takes", "1 hour")
    told = json.loads(said(world.root, "rehearse", PRODUCT, *options, "--json", "--scratch", str(tmp_path)))
    assert [row["policy"] for row in told["rows"]] == ["never"]
    assert all(key.startswith(("lakes/moved/", "lakes/again/")) for key in bucket.all_keys())
    assert Lake(world.lake.root).storage.data == f"s3://shop/{PREFIX}/data/"
