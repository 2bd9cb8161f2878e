"""All that lasts of a lake whose catalogue is in PostgreSQL, as a lake in a directory of this host, with SQLite."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from jobs.backup.scratch import fill_scratch
from warehouse.errors import RunFailed
from warehouse.lake.catalogues import OPERATIONS
from warehouse.lake.lake import Lake
from warehouse.operations.copies import copy_operations

#: What this host, or the directory that hosts share, has besides.
_BESIDE = ("damaged", "logs")


def fetch_lake(lake: Lake, root: Path) -> Lake:
    """Copy a lake's files, catalogue and operational state; what an earlier try has left goes first.

    Files that wait to be deleted are left where they are. The caller sees to it that nobody commits meanwhile. Files of
    a lake in a directory on the same disk, none of which changes, get a second name.

    Raises
    ------
    RunFailed
        If a file is lost, or the disk has no room.
    """
    shutil.rmtree(root, ignore_errors=True)
    fetched = Lake(root)
    fill_scratch(lake, fetched, hard=True)
    try:
        copy_operations(lake.root, root / OPERATIONS)
        for name in _BESIDE:
            if (lake.root / name).is_dir():
                shutil.copytree(lake.root / name, root / name)
    except (OSError, sqlite3.Error) as error:
        raise RunFailed(
            f"the lake {lake.root} could not be copied to {root}: {error}. Nothing else was changed; run this again."
        ) from error
    return fetched
