"""Whatever breaks between a lake and its bucket, a commit is whole or not at all, and nothing is left for good."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.conftest import NOW
from tests.lake.shared_lakes import Writer, check_pages, new_database, password, put, replace, staged
from tests.postgres_server import Server, needs_postgres
from tests.s3_proxy import Faults
from tests.s3_server import S3
from warehouse.errors import AlmanacError
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import Address, mark
from warehouse.lake.postgres.sessions import session
from warehouse.lake.storage.bucket_prefix import BucketPrefix
from warehouse.system_sql import system_sql

pytestmark = needs_postgres
PREFIX = "lakes/small"


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


@pytest.fixture(scope="module")
def lake(_faults: Faults, postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("small") / "lake"
    mark(Address(new_database(postgres, "small"), root, f"s3://shop/{PREFIX}"))
    lake = Lake(root)
    lake.create(NOW, "tests")
    with lake.commit("tables") as commit:
        commit.execute("CREATE TABLE sources.pages (page INTEGER, writer VARCHAR, r BIGINT)")
        commit.execute("CREATE TABLE sources.told (page INTEGER, writer VARCHAR, snapshot BIGINT)")
    replace(lake, 1, "first")
    return lake


def storage_of(lake: Lake) -> BucketPrefix:
    assert isinstance(lake.storage, BucketPrefix)
    return lake.storage


def orphans(lake: Lake, bucket: S3) -> set[str]:
    """Give the names of the data's objects that the catalogue does not name."""
    with lake.reading() as connection:
        known = {row[0] for row in connection.execute(system_sql("upkeep/known_files")).fetchall()}
    return {key.rpartition("/")[2] for key in bucket.all_keys() if key.startswith(f"{PREFIX}/data/")} - known


def sweep(lake: Lake) -> None:
    with lake.maintaining() as connection:
        lake.storage.sweep(connection, set())


@pytest.mark.parametrize("how", ["refuse", "cut", "lose"])
def test_what_breaks_once_is_tried_again_or_told_and_leaves_what_was_there(
    how: str, lake: Lake, bucket: S3, faults: Faults
) -> None:
    faults.tell("watch")
    replace(lake, 1, "whole")
    n_requests, told = faults.seen, []
    assert n_requests >= 2
    for first in range(n_requests):
        before = check_pages(lake)[1]
        faults.tell(how, first, 1)
        with contextlib.suppress(AlmanacError):
            replace(lake, 1, f"{how}{first}")
            before = f"{how}{first}"
        told.append(before != f"{how}{first}")
        assert check_pages(lake)[1] == before
        assert faults.done == 1
    # Ours is sent by boto3, which is told here to try once; DuckLake's are tried again by httpfs.
    assert told[0]
    faults.tell("")
    sweep(lake)
    assert storage_of(lake).keys.all() == []
    assert orphans(lake, bucket) == set()
    replace(lake, 1, "at last")
    assert check_pages(lake)[1] == "at last"


def test_whoever_is_refused_for_good_is_told_and_nothing_has_changed(lake: Lake, bucket: S3, faults: Faults) -> None:
    before = check_pages(lake)
    # The first is ours; then those that DuckLake writes.
    for first in (0, 1):
        faults.tell("refuse", first)
        with pytest.raises(AlmanacError):
            replace(lake, 1, "never")
        assert check_pages(lake) == before
    faults.tell("")
    sweep(lake)
    assert orphans(lake, bucket) == set()


def test_slow_answers_are_waited_for(lake: Lake, faults: Faults) -> None:
    faults.tell("slow")
    replace(lake, 2, "slow")
    assert faults.done > 1
    assert check_pages(lake)[2] == "slow"


def test_files_are_sent_while_others_commit_and_go_if_no_commit_names_them(
    lake: Lake, bucket: S3, faults: Faults
) -> None:
    before = check_pages(lake)
    faults.tell("hold", count=1)
    writer = Writer(lake, "held", [5], ahead=True)
    assert faults.held.wait(120)
    replace(lake, 6, "meanwhile", ahead=True)  # with the lock held it would wait for that
    writer.kill()
    faults.go_on.set()
    faults.tell("")
    assert check_pages(lake) == before | {6: "meanwhile"}
    # Nobody can tell yet whether a commit is to come.
    (key,) = storage_of(lake).keys.all()
    sweep(lake)
    assert storage_of(lake).keys.all() == [key]
    with session(storage_of(lake).marker.server) as connection:
        # What earlier tests have left of turns stays young.
        connection.execute(
            "UPDATE almanac.staged_keys SET staged_at = staged_at - interval '3 days' WHERE key = %s", [key]
        )
    assert orphans(lake, bucket) == {key.rpartition("/")[2]}
    sweep(lake)
    assert (storage_of(lake).keys.all(), orphans(lake, bucket)) == ([], set())
    # One that is refused changes nothing either.
    faults.tell("refuse")
    with pytest.raises(AlmanacError):
        replace(lake, 6, "refused", ahead=True)
    faults.tell("")
    assert check_pages(lake)[6] == "meanwhile"
    storage_of(lake).keys.strike(storage_of(lake).keys.all())


@pytest.mark.parametrize("names", ["", "ducklake-"])
def test_a_writer_that_is_killed_while_it_sends_leaves_what_upkeep_finds(
    names: str, lake: Lake, bucket: S3, faults: Faults
) -> None:
    before = check_pages(lake)
    faults.tell("hold", names=names)
    writer = Writer(lake, "killed", [1])
    assert faults.held.wait(120)
    writer.kill()
    faults.go_on.set()
    faults.tell("")
    assert check_pages(lake) == before
    assert orphans(lake, bucket)
    assert storage_of(lake).keys.all()
    sweep(lake)
    assert storage_of(lake).keys.all() == []
    left = orphans(lake, bucket)
    assert all(name.startswith("ducklake-") for name in left)
    assert bool(left) == (names == "ducklake-")
    # Files that DuckLake has named are looked for where a turn was left, once it is old.
    assert not lake.storage.may_hold_orphans()
    with session(storage_of(lake).marker.server) as connection:
        connection.execute("UPDATE almanac.staged_keys SET staged_at = staged_at - interval '3 days'")
    with lake.maintaining() as maintaining:
        assert lake.storage.may_hold_orphans()
        maintaining.execute(system_sql("upkeep/delete_orphans", dry_run="false"))
        lake.storage.orphans_are_gone()
    assert orphans(lake, bucket) == set()
    assert not lake.storage.may_hold_orphans()
    replace(lake, 1, "after")
    assert check_pages(lake)[1] == "after"


def test_what_a_commit_names_stays_though_it_was_not_struck_out(lake: Lake, bucket: S3) -> None:
    replace(lake, 3, "kept")
    with lake.reading() as connection:
        query = "SELECT data_file FROM ducklake_list_files('lake', 'pages', schema => 'sources')"
        places = [str(row[0]) for row in connection.execute(query).fetchall()]
    # As if the server had been lost just after the commit.
    storage_of(lake).keys.add([place.removeprefix(f"s3://shop/{PREFIX}/") for place in places], 1)
    sweep(lake)
    assert storage_of(lake).keys.all() == []
    assert check_pages(lake)[3] == "kept"


def test_what_a_turn_has_put_there_stays_while_it_goes_on(lake: Lake, bucket: S3) -> None:
    with lake.commit("4 by late") as commit:
        put(commit, 4, "late", staged(lake, 4, "late"))
        (key,) = storage_of(lake).keys.all()
        assert storage_of(lake).keys.over() == []
    assert storage_of(lake).keys.all() == []
    assert check_pages(lake)[4] == "late"
    # It is over for whoever has the next turn.
    storage_of(lake).keys.add([key], 1)
    assert storage_of(lake).keys.over() == [key]
    sweep(lake)
