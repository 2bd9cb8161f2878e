"""Move a lake from a suite's directory to where its catalogue is in PostgreSQL: copied, compared, and then switched to.

Nothing of the lake that is left is changed, but that its rows which stood in the catalogue are put into files first.
It is set aside under another name once `lake.yaml` names the new one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from jobs.progress import Progress, Silent
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.lake.extensions import load_postgres, open_instance
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.addresses import MARKER, Address, mark, write_lake_file
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.servers import connection_text
from warehouse.lake.postgres.sessions import libpq_settings
from warehouse.operations.copies import put_operations
from warehouse.operations.state import looking
from warehouse.system_sql import literal, quote, system_sql

#: What is copied of a lake's directory besides its catalogue and the operational state.
_COPIED = ("data", "artifacts", "deliveries", "damaged", "logs")
#: The name that the lake of before gets in the suite's directory.
LEFT_AS = "lake.moved"


@dataclass(frozen=True)
class Moved:
    """What was moved: tables, rows of the newest state, snapshots, files and their bytes; and where the old lake is."""

    tables: int
    rows: int
    snapshots: int
    files: int
    bytes: int
    left_as: Path


def move_lake(suite_root: Path, address: Address, progress: Progress | None = None) -> Moved:
    """Move the lake of a suite's directory. Nobody commits to it meanwhile.

    Raises
    ------
    NotFoundError
        If the suite has no lake in its directory.
    UsageError
        If there is something where the lake is to be.
    RunFailed
        If it cannot be copied, or the copy is not the same; the suite has the lake that it had.
    """
    old = Lake(suite_root / "lake")
    left_as = suite_root / LEFT_AS
    if not isinstance(old.catalogue, SqliteCatalogue) or not old.exists():
        raise NotFoundError(f"there is no lake in {suite_root / 'lake'} that could be moved.")
    if left_as.exists():
        raise UsageError(f"{left_as} is there, from an earlier move; delete it, or move it away, and run this again.")
    new = _place(address)
    with old.catalogue.ingest_lock():
        with old.reading():  # one of an earlier version is brought up to date
            pass
        old.close()
        with old.maintaining() as connection:
            connection.execute(system_sql("erasure/flush"))
        with old.writer_lock():
            try:
                files = _copy_files(old, new, progress or Silent())
                _copy_catalogue(old, new)
                with looking(old.root) as state:
                    if state is not None:
                        put_operations(state, new.root)
                tables, rows, snapshots = _compare(old, new)
            except (duckdb.Error, OSError) as error:
                raise RunFailed(
                    f"the lake could not be copied to {address.url}: {error}. The suite has the lake that it had; drop"
                    f" the database's schemas, delete {address.data}, and run this again."
                ) from error
            # In this order: a suite that has no lake in its directory, and is not told of another, would make one.
            write_lake_file(suite_root, address)
            old.close()
            os.rename(old.root, left_as)  # noqa: PTH104
    return Moved(tables, rows, snapshots, *files, left_as)


def _place(address: Address) -> Lake:
    """See that there is nothing where the lake is to be, and name that."""
    if address.data.exists() and [path for path in address.data.iterdir() if path.name != MARKER]:
        raise UsageError(f"{address.data} is not empty; name a new directory, or delete what a move has left there.")
    mark(address)
    new = Lake(address.data)
    assert isinstance(new.catalogue, PostgresCatalogue)
    if new.exists():
        raise UsageError(f"the database {address.server} holds a lake already; name another one.")
    new.catalogue.prepare()
    for directory in (new.data, new.staging, new.artifacts):
        directory.mkdir(exist_ok=True)
    return new


def _copy_files(old: Lake, new: Lake, progress: Progress) -> tuple[int, int]:
    paths = [path for place in _COPIED for path in sorted((old.root / place).rglob("*")) if path.is_file()]
    progress.start("move-lake", len(paths), unit="files")
    n_bytes = 0
    for path in paths:
        target = new.root / path.relative_to(old.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        n_bytes += target.stat().st_size
        progress.advance(1)
    progress.finish()
    return len(paths), n_bytes


@contextlib.contextmanager
def _both(old: Lake, new: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an instance that has both catalogues attached, as databases: `old` and `new`."""
    assert isinstance(old.catalogue, SqliteCatalogue)
    assert isinstance(new.catalogue, PostgresCatalogue)
    with contextlib.closing(open_instance()) as connection:
        load_postgres(connection)
        # Its columns have whatever types SQLite was given; each value is read as text, and cast to the column's type.
        connection.execute("SET sqlite_all_varchar = true")
        connection.execute(f"ATTACH {literal(str(old.catalogue.file))} AS old (READ_ONLY)")
        place = literal(connection_text(libpq_settings(new.catalogue.server)))
        connection.execute(f"ATTACH {place} AS new (TYPE postgres)")
        yield connection


def _copy_catalogue(old: Lake, new: Lake) -> None:
    """Have DuckLake make its tables in PostgreSQL, and put the rows of SQLite's in them."""
    assert isinstance(new.catalogue, PostgresCatalogue)
    with contextlib.closing(open_instance(new.catalogue.extensions)) as connection:
        new.catalogue.attach(connection, "lake", new.data, read_only=False, snapshot_id=None)
    with _both(old, new) as connection:
        query = "SELECT table_name FROM duckdb_tables() WHERE database_name = $1 ORDER BY table_name"
        there = [str(name) for (name,) in connection.execute(query, ["old"]).fetchall()]
        inlined = [name for name in there if name.startswith("ducklake_inlined_")]
        for name in set(inlined) - {"ducklake_inlined_data_tables"}:
            if connection.execute(f"SELECT count(*) FROM old.{quote(name)}").fetchone() != (0,):
                raise RunFailed(
                    f"rows stand in the catalogue itself ({name}), and could not be put into files: another command"
                    " committed meanwhile. Run this again."
                )
        connection.execute("BEGIN")
        for name in (name for name in there if name.startswith("ducklake_") and name not in inlined):
            _copy_table(connection, name)
        connection.execute("COMMIT")
    new.catalogue.guard()


def _copy_table(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    target = f"new.public.{quote(name)}"
    columns = connection.execute(f"DESCRIBE {target}").fetchall()
    ours = {row[0] for row in connection.execute(f"DESCRIBE old.{quote(name)}").fetchall()}
    if ours != {row[0] for row in columns}:
        raise RunFailed(f"the table {name} of the two catalogues has not the same columns; use one version of DuckDB.")
    casts = ", ".join(f"{quote(row[0])}::{row[1]} AS {quote(row[0])}" for row in columns)
    connection.execute(f"DELETE FROM {target}")
    connection.execute(f"INSERT INTO {target} BY NAME SELECT {casts} FROM old.{quote(name)}")


def _compare(old: Lake, new: Lake) -> tuple[int, int, int]:
    """See that each table of the newest and of the oldest state holds the same rows; give tables, rows, snapshots."""
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
