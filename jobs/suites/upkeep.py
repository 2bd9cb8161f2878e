"""Upkeep: keeps the lake small. Merges files, expires what was superseded long ago, clears what killed runs left,
and forgets what the clock did long ago.

Safe while jobs and readers are at work. Every change is made under the writer lock, in steps of seconds at most. What
a run under way reads is kept for as long as it lives; files that nothing refers to any more are only retired, and
deleted once readers that began before must have ended. Orphans are files in the lake's data that no commit refers to.
DuckLake would also delete files of a transaction that is still open, whose commit then succeeds over missing files;
nobody has one open while we hold the writer lock.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import filelock

from jobs.backup.scratch import clear_scratch, scratch_lake
from jobs.facts.recorded import needed_copies, prune_copies
from jobs.facts.replayable import drop_unused_derivations
from jobs.suite import Suite
from warehouse.lake.compaction import compact
from warehouse.lake.lake import Lake
from warehouse.lake.retention import GRACE, KEEP, delete_files, delete_retired_files, expire_snapshots, n_retired
from warehouse.operations.leases import sweep_owners
from warehouse.operations.state import forget, open_operations
from warehouse.pages.arms.rows import forget_arms
from warehouse.private_cache import prune_private_directories
from warehouse.system_sql import system_sql

#: So long the clock's book says what became of a tick. docs/schedule.md tells people so.
KEEP_TICKS = timedelta(days=400)
#: A run names its staging directory at once; one without a name that is older belongs to no run.
_NAMED_WITHIN = timedelta(hours=1)
#: An ingestion copies what it takes in before it is committed.
_COMMITTED_WITHIN = timedelta(days=1)
#: What this user's caches hold that no code has used for so long was left by code that is gone.
_CACHES_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class UpkeepResult:
    """What was freed, and what was done besides.

    Attributes
    ----------
    freed_files, freed_bytes
        Files deleted, orphans among them.
    orphaned_files, orphaned_bytes
        Of these, those that no commit had ever referred to.
    files_before, files_after
        How many files were merged or written anew, and how many came of them.
    snapshots
        How many were expired.
    waiting_files
        Files that nothing refers to any more, and that the next upkeep deletes.
    abandoned_runs
        Staging directories, model artifacts and scratch lakes of runs that are gone.
    forgotten_ticks
        Ticks that the tick store no longer has.
    copies
        Copies of delivered files that were deleted: of deliveries that were never taken in, and of sources that the
        suite has no more.
    derivations
        Tables of facts under definitions of long ago, which can be made again, that were dropped.
    left
        Tables whose files could not be merged, by name, each with the reason.
    gained_bytes
        By how much less the lake's files take than before, the catalogue's own aside: what was deleted, less what was
        written to merge files. What others wrote or deleted meanwhile counts.
    """

    freed_files: int
    freed_bytes: int
    orphaned_files: int
    orphaned_bytes: int
    files_before: int
    files_after: int
    snapshots: int
    waiting_files: int
    abandoned_runs: int
    forgotten_ticks: int
    copies: int
    derivations: list[str]
    left: dict[str, str]
    gained_bytes: int = 0


def upkeep_dry_run(
    suite: Suite, keep: timedelta = KEEP, grace: timedelta = GRACE, scratch_in: Path | None = None
) -> UpkeepResult:
    """Give what upkeep would do, by doing it to a scratch lake; the lake itself is only read. See `upkeep`."""
    with scratch_lake(suite.lake, suite.root, whole=True, scratch_in=scratch_in) as scratch:
        return upkeep(replace(suite, lake=scratch), keep, grace, elsewhere=False)


def upkeep(suite: Suite, keep: timedelta = KEEP, grace: timedelta = GRACE, *, elsewhere: bool = True) -> UpkeepResult:
    """Merge small files, expire snapshots, delete retired and orphaned files, clear leftovers of killed runs.

    Parameters
    ----------
    suite
        Whose lake.
    keep
        How long superseded pages can still be read, and facts under definitions that nobody uses are left. What is
        published stays, and so do the states at which model versions were registered.
    grace
        How long retired files are left to readers that began before.
    elsewhere
        Clear, too, what lies outside of the lake: scratch lakes that killed processes left, and caches of old code.

    Raises
    ------
    PublishFailed
        If a step cannot be committed; those before it stay, and what is published is unchanged.
    """
    storage = suite.lake.storage
    before, newest = storage.bytes_here(), _newest_file(suite.lake)
    done = _upkeep(suite, keep, grace, elsewhere=elsewhere)
    after = storage.bytes_here()
    if before is None or after is None:
        return replace(done, gained_bytes=done.freed_bytes - _bytes_since(suite.lake, newest))
    return replace(done, gained_bytes=before - after)


def _newest_file(lake: Lake) -> int:
    """Give the number of the newest data file; DuckLake counts on."""
    with lake.reading() as connection:
        row = connection.execute("SELECT max(data_file_id) FROM __ducklake_metadata_lake.ducklake_data_file").fetchone()
    return int(row[0] or 0) if row else 0


def _bytes_since(lake: Lake, newest: int) -> int:
    """Add up the data files that were written since."""
    with lake.reading() as connection:
        row = connection.execute(system_sql("upkeep/bytes_since"), [newest]).fetchone()
    return int(row[0] or 0) if row else 0


def _upkeep(suite: Suite, keep: timedelta, grace: timedelta, *, elsewhere: bool) -> UpkeepResult:
    lake, now = suite.lake, suite.clock()
    with lake.reading():  # says what to do if there is no lake
        pass
    staged = [*_staging_directories(lake), *_unnamed_directories(lake, now - _NAMED_WITHIN)]
    abandoned = sum(_clear_if_abandoned(directory) for directory in staged if _may_go(suite, directory))
    if elsewhere:
        prune_private_directories(_CACHES_KEPT)
        abandoned += clear_scratch(suite.root)
    freed = _delete_retired(lake, now - grace)
    derivations = drop_unused_derivations(suite, now - keep)
    forget_arms(lake, suite.definitions.products, now - keep)
    compaction = compact(lake)
    with lake.maintaining() as connection:
        snapshots = expire_snapshots(connection, min(now - max(keep, grace), _oldest_run(lake) or now))
    if not grace:
        freed += _delete_retired(lake, suite.clock())
    orphaned, artifacts, waiting = _clear_orphans(suite)
    freed += orphaned
    return UpkeepResult(
        freed.files,
        freed.bytes,
        orphaned.files,
        orphaned.bytes,
        compaction.files_before,
        compaction.files_after,
        snapshots,
        waiting,
        abandoned + artifacts,
        _forget_what_is_long_over(suite),
        _prune_copies(suite, now, now - keep),
        derivations,
        compaction.left,
    )


def _prune_copies(suite: Suite, now: datetime, since: datetime) -> int:
    """Delete copies of delivered files that no derivation can need; those of the last hours are left alone."""
    with suite.lake.reading() as connection:
        return len(prune_copies(suite.lake, connection, suite.definitions.sources, since, now - _COMMITTED_WITHIN))


def _forget_what_is_long_over(suite: Suite) -> int:
    """Forget old ticks and runs of the clock, and clear what is left of leases whose owners are gone."""
    now = suite.clock()
    sweep_owners(suite.lake.root, now - timedelta(days=1))
    with contextlib.closing(open_operations(suite.lake.root)) as connection:
        return forget(connection, now - KEEP_TICKS)


@dataclass(frozen=True)
class _Freed:
    """Files that are gone."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: _Freed) -> _Freed:
        return _Freed(self.files + other.files, self.bytes + other.bytes)


def _freed(sizes: Mapping[str, int]) -> _Freed:
    return _Freed(len(sizes), sum(sizes.values()))


def _delete_retired(lake: Lake, before: datetime) -> _Freed:
    with lake.maintaining() as connection:
        return _freed(delete_retired_files(connection, before, lake.storage))


def _clear_orphans(suite: Suite) -> tuple[_Freed, int, int]:
    """Clear files and models that no commit refers to; give the files, how many models, and how many files wait."""
    lake = suite.lake
    with lake.maintaining() as connection:
        copies = needed_copies(connection, suite.definitions.sources, suite.clock() - _COMMITTED_WITHIN)
        freed = _freed(lake.storage.sweep(connection, copies))
        if lake.storage.may_hold_orphans():
            freed += _freed(_look_for_orphans(suite, connection))
            lake.storage.orphans_are_gone()
        known = connection.execute("SELECT artifact FROM ledger.models").fetchall()
        return freed, _clear_orphaned_artifacts(suite, known), n_retired(connection)


def _look_for_orphans(suite: Suite, connection: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    lake = suite.lake
    if not _is_shared(lake):
        return delete_files(connection, lake.storage, "upkeep/delete_orphans")
    before = (suite.clock() - _COMMITTED_WITHIN).isoformat(sep=" ")
    return delete_files(connection, lake.storage, "upkeep/delete_orphans_before", instant=before)


def _clear_orphaned_artifacts(suite: Suite, rows: list[tuple[str]]) -> int:
    """Remove models whose registration was never committed. The caller holds the writer lock."""
    known = {suite.lake.root / row[0] for row in rows}
    found = [path for path in suite.lake.artifacts.glob("*/*") if path.is_dir() and path not in known]
    orphans = [path for path in found if _may_go(suite, path)]
    for path in orphans:
        shutil.rmtree(path)
    return len(orphans)


def _may_go(suite: Suite, directory: Path) -> bool:
    """Tell whether what looks abandoned may be cleared: a lock of a file may not reach from one host to another."""
    return not _is_shared(suite.lake) or _changed_at(directory) < suite.clock() - _COMMITTED_WITHIN


def _is_shared(lake: Lake) -> bool:
    """Tell whether several hosts write a lake, or the one that a scratch lake was made of."""
    return (lake.linked or lake).catalogue.is_shared


def _staging_directories(lake: Lake) -> list[Path]:
    return [directory for directory in lake.staging.glob("[!.]*") if directory.is_dir()]


def _unnamed_directories(lake: Lake, before: datetime) -> list[Path]:
    """List what a run that was killed before it had locked and named its staging directory left behind."""
    found = [directory for directory in lake.staging.glob(".*") if directory.is_dir()]
    return [directory for directory in found if _changed_at(directory) < before]


def _changed_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)


def _clear_if_abandoned(directory: Path) -> bool:
    """Remove a staging directory whose run no longer holds its lock."""
    try:
        with filelock.FileLock(directory / "run.lock", timeout=0):
            shutil.rmtree(directory, ignore_errors=True)
    except (filelock.Timeout, FileNotFoundError):
        return False
    return True


def _oldest_run(lake: Lake) -> datetime | None:
    """Tell since when, in naive UTC, the oldest run is under way that still has its staging directory.

    It opened the lake after it made that, so that the state that it reads is no older.
    """
    began: list[float] = []
    for directory in _staging_directories(lake):
        with contextlib.suppress(FileNotFoundError):  # it has ended since
            began.append((directory / "run.lock").stat().st_mtime)
    return datetime.fromtimestamp(min(began), UTC).replace(tzinfo=None) if began else None
