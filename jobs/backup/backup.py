"""Backup: a state of a lake is copied into a store outside of it, while jobs go on.

The operational state is copied first and the catalogue after it, each as of one instant, so that no tick is said to
have made a page that the catalogue lacks. The files that the catalogue names were there before they were committed,
and never change: they are copied after it, those alone that the newest state in the store lacks. A staging directory
keeps upkeep from letting go of the lake's newest state meanwhile; where a file of an older one goes, the catalogue is
copied again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.backup.store import State, Store, StoredFile, free_bytes
from jobs.progress import Progress, Silent
from jobs.suite import Suite, almanac_version
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.catalogues import CATALOGUE, OPERATIONS
from warehouse.lake.copies.catalogue_files import copy_catalogue
from warehouse.lake.lake import Lake
from warehouse.lake.places import IMMUTABLE
from warehouse.lake.storage.storage import FileState
from warehouse.operations.copies import copy_operations
from warehouse.system_sql import system_sql

#: So often the catalogue is copied where files go that it names.
_TRIES = 5


@dataclass(frozen=True)
class BackupResult:
    """A state that was written.

    Attributes
    ----------
    state
        Its name.
    snapshot_id
        The lake's newest snapshot in it.
    n_files, n_bytes
        What it holds.
    copied_files, copied_bytes
        What of that was read anew; the rest was in the store.
    missing, changed
        See `State`: what is wrong with the lake itself.
    deleted
        The names of older states that were deleted, as `keep` said.
    """

    state: str
    snapshot_id: int
    n_files: int
    n_bytes: int
    copied_files: int
    copied_bytes: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: list[str]


def backup(
    suite: Suite, directory: Path, *, keep: int | None = None, full: bool = False, progress: Progress | None = None
) -> BackupResult:
    """Add a state of the suite's lake to a store of backups, and make the store if it is not there.

    Parameters
    ----------
    suite
        Whose lake. Its definitions are not part of it.
    directory
        The store; outside of the lake.
    keep
        How many states are left, this one among them; None for all.
    full
        Read every file of the lake again, so that one that is damaged is found. Otherwise a file of the size and time
        of change that it had in the newest state is taken to be the same.

    Raises
    ------
    NotFoundError
        If there is no lake.
    UsageError
        If the directory is no place for its backups.
    RunFailed
        If the state could not be written; the states before it are as they were.
    """
    lake = suite.lake
    with lake.reading() as connection:
        suite_id = connection.execute("SELECT suite_id FROM ledger.format").fetchall()[-1][0]
    if directory.resolve().is_relative_to(lake.root.resolve()):
        raise UsageError(f"{directory} lies in the lake itself; name a directory on another disk.")
    progress = progress or Silent()
    try:
        store = Store.open_or_make(directory, str(suite_id))
        with store.lock(), suite.staging(f"backup-{uuid.uuid4().hex[:12]}") as staging:
            work = _Work(lake, store, staging, full, progress)
            files, missing = work.copy()
            changed = tuple(sorted(work.changed))
            made_at = suite.clock()
            state = State("", made_at, almanac_version(), work.snapshot_id, tuple(files), tuple(missing), changed)
            state = store.write(state)
            deleted = store.prune(keep) if keep else []
    except OSError as error:
        free = free_bytes(directory.resolve())
        raise RunFailed(
            f"the backup could not be written to {directory} ({free / 1e9:.1f} GB free): {error}. The states that"
            " were there are as they were; see that it has room and can be written to, and run this again."
        ) from error
    return BackupResult(
        state.name,
        state.snapshot_id,
        len(state.files),
        sum(file.bytes for file in state.files),
        work.copied_files,
        work.copied_bytes,
        state.missing,
        state.changed,
        deleted,
    )


class _Work:
    """One backup under way."""

    def __init__(self, lake: Lake, store: Store, staging: Path, full: bool, progress: Progress) -> None:
        self._lake, self._store, self._staging, self._full, self._progress = lake, store, staging, full, progress
        names = store.names()
        earlier = [store.read(name) for name in names[-1:]]
        self._before = {file.path: file for state in earlier for file in state.files}
        self.changed: set[str] = set()
        self.copied_files = self.copied_bytes = 0
        self.snapshot_id = 0

    def copy(self) -> tuple[list[StoredFile], list[str]]:
        """Copy all that the store lacks; give the state's files, and the paths of those that are not there."""
        missing: set[str] = set()
        for _ in range(_TRIES):
            databases, paths = self._databases(), self._paths()
            found, gone = self._files(paths)
            if gone <= missing:  # the catalogue names them still: they are lost
                break
            missing |= gone
        self._progress.finish()
        return databases + found, sorted(gone)

    def _databases(self) -> list[StoredFile]:
        """Copy the operational state and the catalogue, as they are now, into the staging directory and the store."""
        catalogue, operations = self._staging / CATALOGUE, self._staging / OPERATIONS
        for file in (catalogue, operations):
            file.unlink(missing_ok=True)
        copy_operations(self._lake.root, operations)
        copy_catalogue(self._lake, catalogue)
        with contextlib.closing(sqlite3.connect(catalogue)) as copy:
            (self.snapshot_id,) = copy.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()
            # What waits to be deleted is not copied, and so need not be deleted where the state is restored.
            copy.execute("DELETE FROM ducklake_files_scheduled_for_deletion")
            copy.commit()
        return [self._stored(file, file.name) for file in (catalogue, operations) if file.exists()]

    def _paths(self) -> list[str]:
        """Give the paths below the lake of all files of the state but its databases."""
        with contextlib.closing(sqlite3.connect(self._staging / CATALOGUE)) as copy:
            rows = copy.execute(system_sql("backup/files")).fetchall()
        for path, is_ours in rows:
            if not is_ours:
                raise RunFailed(f"the lake's catalogue names a file outside of its data, {path}: move it into the lake")
        kept = [path for place in ("artifacts", "deliveries") for path in self._lake.storage.files(place)]
        assert all(path.startswith(IMMUTABLE) for path in kept)
        return [f"data/{path}" for path, _ in rows] + kept

    def _files(self, paths: list[str]) -> tuple[list[StoredFile], set[str]]:
        self._progress.start("backup", len(paths), unit="files")
        found, gone = [], set()
        states = self._lake.storage.described(paths)
        for path in paths:
            try:
                found.append(self._file(path, states[path]))
            except (FileNotFoundError, KeyError):
                gone.add(path)
            self._progress.advance(1)
        return found, gone

    def _file(self, path: str, state: FileState) -> StoredFile:
        """Store a file that never changes, unless the store has it."""
        before = self._before.get(path)
        if before and not self._full and (before.bytes, before.modified_ns) == state:
            return before
        with self._lake.storage.at_hand(path) as file:
            stored = replace(self._stored(file, path), modified_ns=state.modified_ns)
        if before and before.sha256 != stored.sha256:
            self.changed.add(path)
            return before
        return stored

    def _stored(self, file: Path, path: str) -> StoredFile:
        stat = file.stat()
        sha256 = self._store.add(file)
        self.copied_files += 1
        self.copied_bytes += stat.st_size
        return StoredFile(path, stat.st_size, stat.st_mtime_ns, sha256)
