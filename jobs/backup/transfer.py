"""A lake in a directory, with its catalogue in SQLite, copied to where its catalogue is in PostgreSQL, and compared.

The catalogue is put there last, and in one transaction of the server. From the begin on it says that a lake is under
way, and so does an entry beside the files: until all was compared, nobody uses it (`warehouse.lake.postgres.arrivals`),
and the next try takes away what that one left.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import duckdb

from jobs.backup.arriving import arriving_at
from jobs.progress import Progress
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.compaction import flush_inlined
from warehouse.lake.copies.into_postgres import drop_catalogue, put_catalogue, was_written_to
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import Address, mark
from warehouse.lake.postgres.arrivals import begin_arrival, comparing, end_arrival
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.operations.copies import put_operations
from warehouse.operations.state import looking
from warehouse.system_sql import quote, system_sql

#: What is copied of a lake's directory besides its catalogue and the operational state.
_COPIED = ("data", "artifacts", "deliveries", "damaged", "logs")


@dataclass(frozen=True)
class Transferred:
    """What was copied: tables, rows of the newest state, snapshots, files and their bytes."""

    tables: int
    rows: int
    snapshots: int
    files: int
    bytes: int


@contextlib.contextmanager
def transfer(
    old: Lake, address: Address, progress: Progress, *, command: str, named: str = "", lacking: Collection[str] = ()
) -> Iterator[Transferred]:
    """Copy a lake to where there is none, after its inlined rows were put into files. Nobody commits to it meanwhile.

    The writer lock of the old one is held until the end.

    Parameters
    ----------
    command
        Which command of Almanac's copies it, as those are told who meet the lake on its way.
    named
        Under which name progress is shown, if not the command's.
    lacking
        Files that it has lost; if there are any, rows are not compared, which cannot be read.

    Raises
    ------
    UsageError
        If there is something where the lake is to be.
    RunFailed
        If it cannot be copied, or the copy is not the same. The same can be tried again.
    """
    new, copied_by = make_room(address, command)
    flush_inlined(old)
    with old.writer_lock():
        try:
            files, n_bytes = _copy_files(old, address, progress, named or command)
            assert isinstance(old.catalogue, SqliteCatalogue)
            assert isinstance(new.catalogue, PostgresCatalogue)
            with _looked_into(new):
                with looking(old.root) as state:
                    if state is not None:
                        put_operations(state, new.root)
                put_catalogue(old.catalogue.file, new)
                counted = (0, 0, 0) if lacking else compare(old, new)
            arriving_at(address).end()
            end_arrival(address.server, new.catalogue.lake, copied_by)
        except (duckdb.Error, sqlite3.Error, OSError) as error:
            raise RunFailed(
                f"the lake could not be copied to {address.url}: {error}. Nothing else was changed; run this again."
            ) from error
        yield Transferred(*counted, files, n_bytes)


@contextlib.contextmanager
def _looked_into(new: Lake) -> Iterator[None]:
    """Let this process, and no other, use a lake that is under way."""
    try:
        assert isinstance(new.catalogue, PostgresCatalogue)
        with comparing(new.catalogue.server):
            yield
    except BaseException:
        new.close()
        raise


def require_room(address: Address) -> Lake:
    """See that there is nothing where a lake is to be, or only what an earlier try has left; name that lake.

    Raises
    ------
    UsageError
        If there is something else, or a lake.
    """
    arriving = arriving_at(address)
    if not arriving.names_a_lake():
        arriving.require_room()
    mark(address)
    new = Lake(address.data)
    assert isinstance(new.catalogue, PostgresCatalogue)
    is_arriving = new.catalogue.is_arriving()
    if not is_arriving:
        arriving.require_room()
        if not new.exists():
            return new
        # Earlier versions put no mark into the catalogue.
        if not arriving.is_under_way():
            raise UsageError(f"the database {address.server} holds a lake already; name another one.")
    if was_written_to(new.catalogue):
        raise UsageError(
            f"the lake at {address.url} was copied to there, not compared, and written to since; nothing of it is"
            " deleted. Name another place and another database."
        )
    return new


def make_room(address: Address, command: str) -> tuple[Lake, str]:
    """See that there is room, note that a lake is under way, and clear what an earlier try has left.

    Gives the lake, and by what name it is noted who copies it.

    Raises
    ------
    UsageError
        If there is something else, or a lake.
    """
    new = require_room(address)
    assert isinstance(new.catalogue, PostgresCatalogue)
    if new.catalogue.is_arriving() or new.exists():
        drop_catalogue(new.catalogue)
    new.catalogue.prepare()
    copied_by = begin_arrival(address.server, new.catalogue.lake, command)
    arriving_at(address).begin()
    new.storage.prepare()
    return new, copied_by


def _copy_files(old: Lake, address: Address, progress: Progress, named: str) -> tuple[int, int]:
    paths = [path for place in _COPIED for path in sorted((old.root / place).rglob("*")) if path.is_file()]
    progress.start(named, len(paths), unit="files")
    arriving = arriving_at(address)
    n_bytes = 0
    for path in paths:
        arriving.put(path, path.relative_to(old.root).as_posix())
        n_bytes += path.stat().st_size
        progress.advance(1)
    progress.finish()
    return len(paths), n_bytes


def found_whole(old: Lake, address: Address) -> Transferred | None:
    """Give what was copied of a lake if all of it is there already, since an earlier try was killed just after that."""
    place = arriving_at(address)
    if not place.is_over() or not place.names_a_lake():
        return None
    mark(address)
    new = Lake(address.data)
    with contextlib.suppress(RunFailed):
        if new.exists():
            return Transferred(*compare(old, new), 0, 0)
    return None


def compare(old: Lake, new: Lake) -> tuple[int, int, int]:
    """See that each table of the newest and of the oldest state holds the same rows; give tables, rows, snapshots.

    Raises
    ------
    RunFailed
        If it does not, or one of them cannot be read.
    """
    try:
        return _compared(old, new)
    except duckdb.Error as error:
        raise RunFailed(
            f"the copy could not be compared with the lake: {error}. The suite has the lake that it had; run this"
            " again."
        ) from error


def _compared(old: Lake, new: Lake) -> tuple[int, int, int]:
    with old.reading() as connection:
        kept = connection.execute(system_sql("upkeep/snapshots")).fetchall()
    with new.reading() as connection:
        if connection.execute(system_sql("upkeep/snapshots")).fetchall() != kept:
            raise RunFailed("the copy has not the same snapshots. The suite has the lake that it had.")
    # The first of all snapshots has no table yet.
    newest, oldest = kept[-1][0], next(number for number, _ in kept if number)
    wanted = {number: _counts(old, number) for number in {newest, oldest}}
    for number, rows in wanted.items():
        if _counts(new, number) != rows:
            raise RunFailed(f"the copy has other rows at snapshot {number}. The suite has the lake that it had.")
    return len(wanted[newest]), sum(count for count, _ in wanted[newest].values()), len(kept)


def count_of(lake: Lake) -> tuple[int, int, int]:
    """Count the tables of a lake, their rows and its snapshots, as `compare` does."""
    with lake.reading() as connection:
        kept = connection.execute(system_sql("upkeep/snapshots")).fetchall()
    counts = _counts(lake, kept[-1][0])
    return len(counts), sum(count for count, _ in counts.values()), len(kept)


def _counts(lake: Lake, snapshot_id: int) -> dict[str, tuple[int, int]]:
    """Give how many rows each table has, and a sum over all of them, as of a snapshot."""
    found = {}
    with lake.reading(snapshot_id) as connection:
        for schema, table in connection.execute(system_sql("reading/tables")).fetchall():
            name = f"{quote(schema)}.{quote(table)}"
            row = connection.execute(f"SELECT count(*), sum(hash(rows)) FROM {name} AS rows").fetchone()
            assert row is not None
            found[name] = (int(row[0]), int(row[1] or 0))
    return found
