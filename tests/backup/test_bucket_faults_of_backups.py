"""Backups of a lake in a bucket, and restores into one, over a line that breaks: whole, or as it was.

Some requests meet a fault each; with `ALMANAC_ALL_STEPS=1` they are counted once, and then all of them do, which takes
more than half an hour: say `-o faulthandler_timeout=0`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.backup.backup import BackupResult, backup
from jobs.backup.listing import backups
from jobs.backup.restore import RestoreResult, restore
from jobs.backup.store import Store
from jobs.suite import Suite
from tests.backup.broken_lines import ALL, Meeting, at
from tests.conftest import PRODUCT
from tests.lake.shared_lakes import new_database, password
from tests.lakes import page_rows, rows
from tests.postgres_server import Server, needs_postgres
from tests.s3_proxy import Faults
from tests.s3_server import S3
from warehouse.errors import NotFoundError, RunFailed
from warehouse.lake.postgres.addresses import read_address, write_lake_file

pytestmark = needs_postgres
#: How the line breaks in every run, at which of the requests of such names: in a listing, and in the middle of copying.
IN_BACKUPS = (("deny", 0, "prefix=lakes/again0/data"), ("truncate", 3, "GET /shop/lakes/again0/data"))
#: In the middle of sending, and once all was sent, when it is compared.
IN_RESTORES = (("lose", 3, "PUT /shop/lakes/again0/data"), ("fail", 0, "GET /shop/lakes/again0/data"))
ORDERS = "FROM sources.orders ORDER BY ALL"
Break = tuple[str, int, str]


@pytest.fixture(scope="module", autouse=True)
def _password() -> Iterator[None]:
    with password():
        yield


def breaks(
    meeting: Meeting, act: Callable[[], object], some: tuple[Break, ...], again: Callable[[], None] | None = None
) -> Iterator[Break]:
    """Give how the line breaks, and where: at some requests, or at each of those that the act makes.

    `again` makes ready for the act after one that was done.
    """
    if ALL:
        n_requests = meeting.count(act)
        if again is not None:
            again()
        yield from ((how, place, "") for how, place in meeting.each(n_requests, n_requests))
    else:
        yield from some


def test_a_restore_and_then_a_backup_are_whole_or_not_at_all(
    published: Suite, bucket: S3, faults: Faults, postgres: Server, tmp_path: Path
) -> None:
    backup(published, tmp_path / "first")
    wanted, orders = page_rows(published, PRODUCT), rows(published, ORDERS)
    published.lake.close()
    number, root = 0, tmp_path / "copy"
    shutil.copytree(published.root, root, ignore=shutil.ignore_patterns("lake*"))

    def named() -> None:
        shutil.rmtree(root / "lake", ignore_errors=True)
        url = f"{new_database(postgres, f'faults_again_{number}')}?data=s3://shop/lakes/again{number}"
        write_lake_file(root, read_address(url, "it"))

    def restored() -> RestoreResult:
        return restore(root, tmp_path / "first")

    def elsewhere() -> None:
        nonlocal number
        number += 1
        named()

    named()
    meeting = Meeting(faults, 5)
    # Each goes on with what the one before has left, if that was broken off.
    for how, place, names in breaks(meeting, restored, IN_RESTORES, elsewhere):
        if meeting.meets(how, place, restored, names=names, for_good=bool(names)):
            assert (page_rows(at(root), PRODUCT), rows(at(root), ORDERS)) == (wanted, orders)
            at(root).lake.close()
            elsewhere()
        else:
            assert "run this again" in meeting.said
            with pytest.raises((NotFoundError, RunFailed)):
                at(root).lake.newest_snapshot()
    assert meeting.told >= len(IN_RESTORES)
    restored()
    assert (page_rows(at(root), PRODUCT), rows(at(root), ORDERS)) == (wanted, orders)
    at(root).lake.close()
    _back_up(root, tmp_path / "second", bucket, Meeting(faults, 1))


def _back_up(root: Path, kept: Path, bucket: S3, meeting: Meeting) -> None:
    keys = set(bucket.all_keys())

    def stored() -> BackupResult:
        return backup(at(root), kept, full=True)

    whole = int(ALL)
    for how, place, names in breaks(meeting, stored, IN_BACKUPS):
        if meeting.meets(how, place, stored, names=names, for_good=bool(names)):
            whole += 1
        else:
            assert "run this again" in meeting.said
        # What was broken off has left the states that there were, and nothing of a lake.
        assert len(Store.open(kept).names()) == whole
        assert not any(path.is_file() for path in (root / "lake" / "staging").rglob("*"))
    assert meeting.told >= len(IN_BACKUPS)
    assert stored().missing == ()
    assert [state.wrong for state in backups(kept, verify=True)] == [[]] * (whole + 1)
    assert set(bucket.all_keys()) == keys
