"""Upkeep: clears what killed runs left behind, under the writer lock, and forgets what the clock did long ago.

Orphans are files in the lake's data that no commit refers to. DuckLake would also delete files of a
transaction that is still open, whose commit then succeeds over missing files; nobody has one open while we
hold the writer lock.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import filelock

from jobs.suite import Suite
from warehouse.leases import sweep_owners
from warehouse.operations import forget, open_operations

#: So long the clock's book says what became of a tick. docs/clock.md tells people so.
KEEP_TICKS = timedelta(days=400)


@dataclass(frozen=True)
class UpkeepResult:
    """What was cleared."""

    orphaned_files: int
    orphaned_bytes: int
    abandoned_runs: int
    forgotten_ticks: int


def upkeep(suite: Suite) -> UpkeepResult:
    """Clear orphaned files and the staging directories of runs that are gone. Safe while jobs run."""
    lake = suite.lake
    with lake.reading():  # says what to do if there is no lake
        pass
    with lake.writer_lock(), contextlib.closing(lake.connect(read_only=False)) as connection:
        before = _sizes(lake.data)
        connection.execute("CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)")
        gone = before.keys() - _sizes(lake.data).keys()
        artifacts = _clear_orphaned_artifacts(
            suite, connection.execute("SELECT artifact FROM ledger.models").fetchall()
        )
    abandoned = sum(_clear_if_abandoned(directory) for directory in lake.staging.glob("[!.]*") if directory.is_dir())
    orphaned_bytes = sum(before[path] for path in gone)
    return UpkeepResult(len(gone), orphaned_bytes, abandoned + artifacts, _forget_what_is_long_over(suite))


def _forget_what_is_long_over(suite: Suite) -> int:
    """Forget old ticks and runs of the clock, and clear what is left of leases whose owners are gone."""
    now = suite.clock()
    sweep_owners(suite.lake.root, now - timedelta(days=1))
    with contextlib.closing(open_operations(suite.lake.root)) as connection:
        return forget(connection, now - KEEP_TICKS)


def _sizes(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in directory.rglob("*") if path.is_file()}


def _clear_orphaned_artifacts(suite: Suite, rows: list[tuple[str]]) -> int:
    """Remove models whose registration was never committed. The caller holds the writer lock."""
    known = {suite.lake.root / row[0] for row in rows}
    orphans = [path for path in suite.lake.artifacts.glob("*/*") if path.is_dir() and path not in known]
    for path in orphans:
        shutil.rmtree(path)
    return len(orphans)


def _clear_if_abandoned(directory: Path) -> bool:
    """Remove a staging directory whose run no longer holds its lock."""
    try:
        with filelock.FileLock(directory / "run.lock", timeout=0):
            shutil.rmtree(directory, ignore_errors=True)
    except (filelock.Timeout, FileNotFoundError):
        return False
    return True
