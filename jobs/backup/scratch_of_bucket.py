"""The files of a scratch lake of a lake in a bucket: the bucket's objects by their URLs, or copies of them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Collection
from pathlib import Path

from warehouse.errors import RunFailed
from warehouse.lake.storage.bucket_prefix import BucketPrefix
from warehouse.system_sql import system_sql

#: When what upkeep may take at once was changed, in a copy.
_LONG_AGO = 0


def name_objects(catalogue: Path, data: str) -> None:
    """Have a copy of a catalogue name the bucket's objects, which are then read where they are.

    What is done to the lake of that catalogue never deletes one: see `LinkedBucket`.
    """
    with contextlib.closing(sqlite3.connect(catalogue)) as copy:
        for files in ("ducklake_data_file", "ducklake_delete_file"):
            copy.execute(system_sql("backup/name_in_bucket", files=files), {"data": data})
        copy.commit()


def copy_from_bucket(
    storage: BucketPrefix, root: Path, catalogue: Path, named: Collection[str], *, whole: bool
) -> None:
    """Put copies of a bucket's data files and deliveries into a directory of this host.

    Parameters
    ----------
    root
        The directory of the scratch lake.
    catalogue
        The copy of the catalogue in it.
    named
        The files that the catalogue names, by their paths in the data.
    whole
        Copy also what upkeep would delete: files that wait for it, and those that no commit came to.

    Raises
    ------
    RunFailed
        If a file is lost that is needed. A dry run of `repair` (`whole`) is about these, and goes on.
    """
    wanted, long_ago = {f"data/{path}" for path in named}, set[str]()
    if whole:
        there = storage.listed("data")
        waiting, over = _waiting(catalogue), set(storage.keys.over())
        orphans = there.keys() - wanted if storage.may_hold_orphans() else set[str]()
        wanted |= orphans | {path for path in there if path in over or path.rpartition("/")[2] in waiting}
        long_ago = over & wanted
    copies = storage.listed("deliveries")
    unsettled = set(storage.keys.all()) if whole else set[str]()
    paths = sorted(wanted | copies.keys())
    states = storage.described(paths)
    lost = storage.copy_out({path: root / path for path in paths})
    if lost and not whole:
        raise RunFailed(
            f"{storage.place_of(lost[0])} is gone, which the lake's catalogue names (and {len(lost) - 1} more):"
            " `almanac doctor --deep` says what they held."
        )
    for path in states.keys() - set(lost):
        # By its age upkeep knows what may be about to be committed; of a bucket it knows that by our own list.
        settled = path in copies and path not in unsettled
        at = _LONG_AGO if path in long_ago or settled else states[path].modified_ns
        os.utime(root / path, ns=(at, at))


def _waiting(catalogue: Path) -> set[str]:
    """Give the names of the files that wait to be deleted."""
    with contextlib.closing(sqlite3.connect(catalogue)) as copy:
        rows = copy.execute("SELECT path FROM ducklake_files_scheduled_for_deletion").fetchall()
    return {str(path).rpartition("/")[2] for (path,) in rows}
