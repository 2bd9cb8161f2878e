"""A person is erased where the lake's files are in a bucket that keeps versions: none of these is left either."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from jobs.erasure import erase as erasing
from jobs.erasure.erase import STEPS, erase, what_ends
from jobs.erasure.journal import read
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from tests.command_line import said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.erasure.test_erase import KEY, NAME, found_in
from tests.lake.shared_lakes import new_database, password
from tests.lakes import rows
from tests.page_makers import process_of
from tests.postgres_server import Server, needs_postgres
from tests.s3_server import S3
from warehouse.buckets import Bucket
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.storage.forgetting import require_can_forget

pytestmark = needs_postgres
PREFIX = "lakes/erased"


@pytest.fixture(scope="module")
def world(
    bucket: S3, postgres: Server, _with_a_person: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Suite]:
    root = tmp_path_factory.mktemp("erased") / "shop"
    shutil.copytree(_with_a_person, root)
    (root / "lake" / "staging" / "killed" / "rows.csv").unlink()
    (root / "lake" / "staging" / "killed").rmdir()
    bucket.client.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
    with password(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALMANAC_ERASE_KEY", KEY)
        said(root, "move-lake", f"{new_database(postgres, 'erased_in_a_bucket')}?data=s3://shop/{PREFIX}")
        shutil.rmtree(root / "lake.moved")
        suite = open_suite(root, clock_at(NOW))
        run_page(suite, PRODUCT, PAGE)
        yield suite


def kept(bucket: S3) -> list[tuple[str, str, bool]]:
    """List all that the bucket keeps below the lake's prefix: key, version, and whether readers of the key get it."""
    found = []
    for page in bucket.client.get_paginator("list_object_versions").paginate(Bucket="shop", Prefix=f"{PREFIX}/"):
        found += [(one["Key"], one["VersionId"], one["IsLatest"]) for one in page.get("Versions", [])]
        found += [(one["Key"], one["VersionId"], False) for one in page.get("DeleteMarkers", [])]
    return found


def found_in_all_versions(suite: Suite, bucket: S3) -> list[str]:
    """Say where the person is, here and in every version of every object."""
    place = suite.lake.root / "fetched"
    for number, (key, version, _) in enumerate(kept(bucket)):
        target = place / str(number) / Path(key).name
        target.parent.mkdir(parents=True)
        with contextlib.suppress(ClientError):  # a mark of deletion has no content
            bucket.client.download_file("shop", key, str(target), ExtraArgs={"VersionId": version})
    found = [*found_in(suite)]
    shutil.rmtree(place)
    return found


def erase_until(root: Path, now: datetime, last: str) -> None:
    def dying(name: str, step: object) -> tuple[str, object]:
        def run(context: erasing.Context) -> None:
            step(context)  # type: ignore[operator]
            if name == last:
                os.kill(os.getpid(), signal.SIGKILL)

        return name, run

    erasing.STEPS = tuple(dying(*step) for step in STEPS)  # type: ignore[assignment]
    erase(open_suite(root, clock_at(now)), "customer", NAME)


def test_nothing_is_left_of_a_person_in_a_bucket_that_keeps_versions(world: Suite, bucket: S3) -> None:
    others = "FROM sources.orders WHERE courier <> $1 ORDER BY ALL"
    before = rows(world, others, [NAME])
    told = what_ends(world, "customer", NAME)
    assert len(told.copies) == 2
    assert all(copy.startswith(f"s3://shop/{PREFIX}/deliveries/") for copy in told.copies)
    assert any("other hosts" in sentence for sentence in told.beyond)
    assert any(where.startswith("fetched/") for where in found_in_all_versions(world, bucket))
    killed = process_of(erase_until, world.root, NOW, "clean up")
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert any(not is_shown for _, _, is_shown in kept(bucket))
    # Another host goes on.
    shutil.rmtree(world.lake.root)
    again = open_suite(world.root, clock_at(NOW))
    assert any(finding.subject == "erasure" for finding in doctor(again.root, again.clock))
    with pytest.raises(UsageError, match="the erasure of another customer has not ended"):
        erase(again, "customer", "Swift")
    assert erase(again, "customer", NAME).left == []
    assert read(again.lake.storage) is None
    left = kept(bucket)
    assert [key for key, _, is_shown in left if not is_shown or key.endswith("erasing.json")] == []
    assert found_in_all_versions(again, bucket) == []
    assert rows(again, others, [NAME]) == before
    run_page(again, PRODUCT, PAGE)


def test_where_versions_cannot_be_deleted_nothing_is_begun(bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    require_can_forget(Bucket("locked"), "lakes/one/")
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 10}}
    client.put_object_lock_configuration(
        Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    with pytest.raises(UsageError, match="s3://locked locks its objects"):
        require_can_forget(Bucket("locked"), "lakes/one/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RunFailed, match="could not be asked"):
        require_can_forget(Bucket("locked"), "lakes/one/")
