"""A lake is moved from bucket to bucket, to a directory, and back into its suite's; it is written to at one place."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.backup import transfer as transferring
from jobs.pages.predict import run_page
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from jobs.suites import move_lake as moving
from jobs.suites.move_lake import move_lake
from tests.backup.test_backup import contents
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lake.shared_lakes import new_database, password
from tests.lakes import rows
from tests.page_makers import process_of
from tests.postgres_server import Server, needs_postgres
from tests.s3_server import S3
from warehouse.errors import UsageError
from warehouse.lake.lake import Lake
from warehouse.lake.places import ERASING
from warehouse.lake.postgres.addresses import read_address

pytestmark = needs_postgres
SNAPSHOTS = "SELECT snapshot_id, commit_message FROM ducklake_snapshots('lake') ORDER BY ALL"


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


def noted(suite: Suite) -> str | None:
    store = TickStore.open(suite.lake.root)
    try:
        return store.fact("noted")
    finally:
        store.close()


def at(root: Path) -> Suite:
    return open_suite(root, clock_at(NOW))


def _move_and_be_killed(root: Path, url: str | None, after: str) -> None:
    """Move a lake, and be killed once a function of the move has done its work."""
    whole = getattr(moving, after)

    def last(*arguments: object) -> None:
        whole(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(moving, after, last)
    move_lake(root, read_address(url, "it") if url else None)


def killed(root: Path, url: str | None, after: str) -> None:
    process = process_of(_move_and_be_killed, root, url, after)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_a_lake_goes_from_bucket_to_bucket_to_a_directory_and_home(
    published: Suite, bucket: S3, postgres: Server, tmp_path: Path
) -> None:
    root = published.root
    (root / "lake" / "logs").mkdir()
    (root / "lake" / "logs" / "job.log").write_text("of before\n")
    store = TickStore.open(root / "lake")
    with store.writing():
        store.note_fact("noted", "before")
    store.close()
    before, states = contents(published), rows(published, SNAPSHOTS)
    published.lake.close()
    one, two, three = (new_database(postgres, f"moved_{number}") for number in ("one", "two", "three"))
    places = [f"{one}?data=s3://shop/lakes/one", f"{two}?data=s3://shop/lakes/two", f"{three}?data={tmp_path / 'all'}"]
    for place in places:
        # What is broken off once all is there is ended by the same command.
        killed(root, place, "write_lake_file" if place == places[0] else "note_moved")
        said(root, "move-lake", place)
        now = at(root)
        assert contents(now) == before
        assert rows(now, SNAPSHOTS)[: len(states)] == states
        assert noted(now) == "before"
        assert (now.lake.root / "logs" / "job.log").read_text() == "of before\n"
        assert [path.name for path in root.glob(".lake*")] == []
        now.lake.close()
        for left in root.glob("lake.moved*"):
            shutil.rmtree(left)
    assert not (root / "lake").exists()
    # Whoever names a place of before can read there, and is told where to write.
    told = open_suite(other(root, places[0], tmp_path), clock_at(NOW))
    assert contents(told) == before
    with pytest.raises(UsageError, match=f"was moved to {two}"):
        run_page(told, PRODUCT, PAGE)
    told.lake.close()
    # Another host that is told the same only learns of it.
    said(told.root, "move-lake", places[1])
    again = almanac(told.root, "move-lake", places[2], "--json")
    assert (again.returncode, '"files": 0' in again.stdout) == (0, True), again.stderr
    assert contents(at(told.root)) == before
    at(told.root).lake.close()
    killed(root, None, "note_moved")
    said(root, "move-lake", "here")
    home = at(root)
    assert contents(home) == before
    assert noted(home) == "before"
    assert sorted(path.name for path in (root / "lake").iterdir() if path.is_file())[0] == "catalogue.sqlite"
    run_page(home, PRODUCT, PAGE)
    assert almanac(root, "doctor", "--deep").returncode == 0
    with pytest.raises(UsageError, match=r"the lake is in .* already"):
        move_lake(root, None)
    refused = almanac(told.root, "move-lake", "here")
    assert (refused.returncode, f"was moved to {os.uname().nodename}:{root}/lake" in refused.stderr) == (2, True)


def _move_and_be_killed_before(root: Path, url: str | None, step: str) -> None:
    """Move a lake, and be killed once all is copied, before it is compared, or before everybody may use it."""

    def last(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for module in (moving, transferring):
        if hasattr(module, step):
            setattr(module, step, last)
    move_lake(root, read_address(url, "it").of_suite(root) if url else None)


def killed_before(root: Path, url: str | None, step: str) -> None:
    process = process_of(_move_and_be_killed_before, root, url, step)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("place", "step"), [("directory", "compare"), ("bucket", "compare"), ("bucket", "end_arrival")]
)
def test_a_copy_that_was_not_compared_is_nobodys_lake(
    place: str, step: str, published: Suite, bucket: S3, postgres: Server, tmp_path: Path
) -> None:
    root, name = published.root, f"uncompared_{place}_{step}"
    before = contents(published)
    published.lake.close()
    data = tmp_path / "data" if place == "directory" else f"s3://shop/lakes/{name}"
    url = f"{new_database(postgres, name)}?data={data}"
    killed_before(root, url, step)
    assert contents(at(root)) == before
    at(root).lake.close()
    there = other(root, url, tmp_path)
    for command in (["query", "FROM ledger.pages"], ["status"], ["ingest"], ["doctor"]):
        told = almanac(there, *command)
        assert (told.returncode, told.stdout) == (1, ""), command
        for words in ("by `almanac move-lake` on ", "was not compared yet", "run it again, or let lake.yaml"):
            assert words in told.stderr
    said(root, "move-lake", url)
    assert contents(at(root)) == before
    assert contents(at(there)) == before
    run_page(at(there), PRODUCT, PAGE)


def test_a_copy_at_home_that_was_not_compared_has_no_name_of_a_lake(
    published: Suite, postgres: Server, tmp_path: Path
) -> None:
    root, before = published.root, contents(published)
    published.lake.close()
    said(root, "move-lake", f"{new_database(postgres, 'uncompared_here')}?data={tmp_path / 'data'}")
    killed_before(root, None, "compare")
    assert not (root / "lake").exists()
    assert not (root / ".lake.arriving").exists()
    assert (root / ".lake.fetched" / "catalogue.sqlite").exists()
    assert contents(at(root)) == before
    at(root).lake.close()
    said(root, "move-lake", "here")
    assert (contents(at(root)), at(root).lake.root) == (before, root / "lake")
    assert list(root.glob(".lake.*")) == []


def other(root: Path, url: str, place: Path) -> Path:
    """Give another host's checkout of the suite."""
    copied = place / "other"
    shutil.copytree(root, copied, ignore=shutil.ignore_patterns("lake*", ".lake*"))
    (copied / "lake.yaml").write_text(f"lake: {url}\n")
    return copied


def test_what_has_not_ended_is_not_moved(published: Suite, postgres: Server, tmp_path: Path) -> None:
    url = f"{new_database(postgres, 'not_moved_yet')}?data={tmp_path / 'data'}"
    published.lake.storage.write_note(ERASING, "{}")
    with pytest.raises(UsageError, match="an erasure has begun"):
        move_lake(published.root, read_address(url, "it"))
    published.lake.storage.remove_note(ERASING)
    assert Lake(published.root / "lake").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALMANAC_LAKE", url)
        (published.root / "lake").rename(published.root / "kept")
        refused = almanac(published.root, "move-lake", "here")
        assert (refused.returncode, "write that into lake.yaml" in refused.stderr) == (2, True), refused.stderr
