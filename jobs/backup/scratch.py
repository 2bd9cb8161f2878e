"""Scratch lakes: the state of a lake as it is now, in a directory of its own, to try something in and throw away.

A scratch lake has a copy of the catalogue, copies of models, and a link to each data file: of a lake in a bucket it
reads the objects themselves, or has copies of them where it is to be kept up (`whole`) or to last (`hard`). What is
written in it is new files of its own, so that nothing that happens there reaches the lake that it comes from, which is
only read. It lies below the suite's directory on a disk of this machine, and goes at the end; what a killed process
left of one is cleared by the next.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import filelock

from jobs.backup.scratch_of_bucket import copy_from_bucket, name_objects
from warehouse.errors import NotFoundError, RunFailed
from warehouse.lake.catalogues import CATALOGUE, OPERATIONS
from warehouse.lake.copies.catalogue_files import copy_catalogue
from warehouse.lake.lake import Lake
from warehouse.lake.storage.bucket_prefix import BucketPrefix
from warehouse.operations.copies import copy_operations
from warehouse.system_sql import system_sql

#: Where scratch lakes of a suite lie, below its directory.
SCRATCH = ".check"
#: Where they lie in a directory that a command was given.
_OF_SCRATCH = "almanac-scratch"
_LOCK = "scratch.lock"


@contextlib.contextmanager
def scratch_lake(
    lake: Lake, suite_root: Path, *, whole: bool = False, scratch_in: Path | None = None
) -> Iterator[Lake]:
    """Make a scratch lake of a lake's newest state, give it, and clear it away at the end.

    Parameters
    ----------
    lake
        Is only read, and not even brought up to date if an earlier version of Almanac made it: its scratch lake is.
    suite_root
        The suite below whose directory it lies.
    whole
        Have also what no snapshot needs: files that wait to be deleted or that nothing refers to, what runs left in
        their staging directories, and the operational state.
    scratch_in
        Another directory in which it is put.

    Raises
    ------
    NotFoundError
        If there is no lake.
    RunFailed
        If it cannot be copied.
    """
    if not lake.exists():
        raise NotFoundError(f"there is no lake in {lake.root}; name production's with --against.")
    place = suite_root / SCRATCH if scratch_in is None else scratch_in.resolve() / _OF_SCRATCH
    place.mkdir(parents=True, exist_ok=True)
    (place / ".gitignore").write_text("*\n", encoding="utf-8")
    _clear(place)
    home = place / uuid.uuid4().hex[:12]
    unlocked = place / f".{home.name}"
    unlocked.mkdir()
    with filelock.FileLock(unlocked / _LOCK):
        directory = unlocked.rename(home)
        scratch = Lake(directory / "lake", linked=lake)
        try:
            fill_scratch(lake, scratch, whole=whole)
            yield scratch
        finally:
            scratch.close()
            shutil.rmtree(directory, ignore_errors=True)


def snapshot_copied(scratch: Lake) -> int:
    """Give the newest snapshot of the lake that a scratch lake was made of; ask before anything is done with it.

    Reading a lake that an earlier version of Almanac made brings it up to date, which is a snapshot more.
    """
    with contextlib.closing(sqlite3.connect(scratch.root / CATALOGUE)) as copy:
        return int(copy.execute("SELECT max(snapshot_id) FROM ducklake_snapshot").fetchone()[0])


def clear_scratch(suite_root: Path) -> int:
    """Clear away scratch lakes of a suite that killed processes have left; give how many those were."""
    return _clear(suite_root / SCRATCH)


def _clear(place: Path) -> int:
    left = 0
    for directory in place.glob("[!.]*"):
        with contextlib.suppress(filelock.Timeout, OSError):
            with filelock.FileLock(directory / _LOCK, timeout=0):
                pass
            shutil.rmtree(directory, ignore_errors=True)
            left += 1
    return left


def fill_scratch(lake: Lake, scratch: Lake, *, whole: bool = False, hard: bool = False) -> None:
    """Make a scratch lake of a lake's newest state, in a directory that the caller clears away.

    Parameters
    ----------
    whole
        As for `scratch_lake`.
    hard
        Give data files a second name in place of symbolic links, so that none is missed when the lake lets go of it.

    Raises
    ------
    RunFailed
        If it cannot be copied.
    """
    for directory in (scratch.root, scratch.data, scratch.staging, scratch.artifacts):
        directory.mkdir(parents=True, exist_ok=True)
    catalogue = scratch.root / CATALOGUE
    try:
        copy_catalogue(lake, catalogue)
        with contextlib.closing(sqlite3.connect(catalogue)) as copy:
            if not whole:
                # What waits to be deleted is the lake's matter.
                copy.execute("DELETE FROM ducklake_files_scheduled_for_deletion")
                copy.commit()
            rows = copy.execute(system_sql("backup/files")).fetchall()
        for path, is_ours in rows:
            if not is_ours:
                raise RunFailed(f"the lake's catalogue names a file outside of its data, {path}: move it into the lake")
        storage = lake.storage
        if isinstance(storage, BucketPrefix):
            if whole or hard:
                copy_from_bucket(storage, scratch.root, catalogue, [str(path) for path, _ in rows], whole=whole)
            else:
                name_objects(catalogue, storage.data)
            storage.fetch_all("artifacts")
        else:
            _link_files(lake, scratch, [Path(path) for path, _ in rows], whole=whole, hard=hard)
        if whole:
            # A run that is alive holds the lock in its directory, which is looked at through the link.
            _link(lake.staging, scratch.staging, [p.parent.relative_to(lake.staging) for p in _locks(lake.staging)])
            copy_operations(lake.root, scratch.root / OPERATIONS)
        if lake.artifacts.is_dir():
            # Copies: a model that is scored for the first time gets further files.
            shutil.copytree(lake.artifacts, scratch.artifacts, dirs_exist_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise RunFailed(
            f"the lake {lake.root} could not be copied to {scratch.root}: {error}. See that the disk has room, and that"
            " the lake can be read. Nothing of it was changed."
        ) from error


def _link_files(lake: Lake, scratch: Lake, named: list[Path], *, whole: bool, hard: bool) -> None:
    if whole:
        # DuckLake, which looks for files that nothing refers to, takes no notice of symbolic links.
        _link(lake.data, scratch.data, _files_below(lake.data), _link_hard)
    else:
        _link(lake.data, scratch.data, named, _link_hard if hard else _link_symbolic)
    copies = lake.root / "deliveries"
    _link(copies, scratch.root / "deliveries", _files_below(copies), _link_hard if hard else _link_symbolic)


def _files_below(directory: Path) -> Iterator[Path]:
    return (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())


def _locks(staging: Path) -> list[Path]:
    return sorted(staging.glob("[!.]*/run.lock"))


def _link_hard(source: Path, target: Path) -> None:
    """Give a file that never changes a second name; on another disk, copy it."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _link_symbolic(source: Path, target: Path) -> None:
    target.symlink_to(source)


def _link(
    source: Path, target: Path, paths: Iterable[Path], link: Callable[[Path, Path], None] = _link_symbolic
) -> None:
    made: set[Path] = set()
    for path in paths:
        named = target / path
        if named.parent not in made:
            named.parent.mkdir(parents=True, exist_ok=True)
            made.add(named.parent)
        link((source / path).resolve(), named)
