"""Restore: a state out of a store of backups becomes a suite's lake.

It is put together beside the lake's place, each file's content compared with what was stored, and gets its name last:
a restore that dies leaves no lake, and can be made again. What a standing lake holds is never touched. Where the suite
says that its lake's catalogue is in PostgreSQL, what was put together is moved to there, and to its bucket.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.backup.store import Store, free_bytes
from jobs.backup.transfer import make_room, require_room, transfer
from jobs.progress import Progress, Silent
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.lake import Lake, lake_of
from warehouse.lake.postgres.addresses import Address, read_marker

_UNDER_WAY = ".lake-restoring-"


@dataclass(frozen=True)
class RestoreResult:
    """A lake that was restored: from which state, made when (naive UTC), its newest snapshot, and how much it holds.

    `missing` are paths of files that were lost before the backup was made.
    """

    state: str
    made_at: datetime
    snapshot_id: int
    n_files: int
    n_bytes: int
    missing: tuple[str, ...]


def restore(
    root: Path, directory: Path, state_name: str | None = None, progress: Progress | None = None
) -> RestoreResult:
    """Restore a state, by default the newest, as the lake of the suite in `root`, which must have none.

    Raises
    ------
    NotFoundError
        If there is no such store, state or suite.
    UsageError
        If the suite has a lake. One with its catalogue in PostgreSQL is restored to there, where nothing is yet.
    RunFailed
        If a file of the state is gone or damaged, or the lake could not be written; nothing was changed then.
    """
    progress = progress or Silent()
    root = root.resolve()
    lake = lake_of(root)
    marker = read_marker(lake.root)
    address = Address(marker.server, lake.root, marker.bucket) if marker is not None else None
    if not root.is_dir():
        raise NotFoundError(f"{root} is no directory; make the suite first, from where its definitions are kept.")
    if address is not None:
        require_room(address)
    elif lake.root.exists() and (not lake.root.is_dir() or any(lake.root.iterdir())):
        raise UsageError(f"{lake.root} is there; move it away, and run this again: a restore replaces nothing.")
    store = Store.open(directory)
    with store.lock():
        if not store.names():
            raise NotFoundError(f"{directory} has no states yet; `almanac backup {directory}` makes one.")
        state = store.read(state_name or store.names()[-1])
        if address is not None:
            # Else whoever names that place already could make a new lake there meanwhile.
            make_room(address, "restore")
        for left in root.glob(f"{_UNDER_WAY}*"):
            shutil.rmtree(left)
        new = root / f"{_UNDER_WAY}{uuid.uuid4().hex[:8]}"
        n_bytes = sum(file.bytes for file in state.files)
        try:
            progress.start("restore", len(state.files), unit="files")
            for file in state.files:
                store.copy_out(file, new / file.path)
                progress.advance(1)
            progress.finish()
            _look_at(new, state.snapshot_id)
            if address is None:
                new.rename(lake.root)
            else:
                with transfer(
                    Lake(new), address, progress, command="restore", named="to the lake", lacking=state.missing
                ):
                    pass
                Lake(new).close()
        except OSError as error:
            raise RunFailed(
                f"the lake could not be restored to {lake.root} ({free_bytes(root) / 1e9:.1f} GB free where"
                f" {n_bytes / 1e9:.1f} are needed): {error}. Nothing was changed."
            ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return RestoreResult(state.name, state.made_at, state.snapshot_id, len(state.files), n_bytes, state.missing)


def _look_at(directory: Path, snapshot_id: int) -> None:
    """Open what is to be the lake, and see that it is the state that it is said to be."""
    lake = Lake(directory)
    for place in (lake.data, lake.staging, lake.artifacts):
        place.mkdir(exist_ok=True)
    connection = lake.connect()
    try:
        row = connection.execute("SELECT max(snapshot_id) FROM ducklake_snapshots('lake')").fetchone()
    finally:
        connection.close()
    if row is None or row[0] != snapshot_id:
        raise RunFailed(f"the state holds the snapshot {row and row[0]}, and not {snapshot_id}; take another state.")
