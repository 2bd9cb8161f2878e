"""Operational state: `lake/operations.sqlite`, one small SQLite file in the lake's directory.

Where several hosts share the lake, it is in the database of the lake's catalogue: see
`warehouse.operations.shared_state`.

It says who is at work on which page (`warehouse.operations.leases`), and what was due and became of it (the tick
store). Such state changes by the second and concerns one host; a commit to the lake for each change would bloat it.
Every change is made inside `writing`, which holds SQLite's write lock, and the tables' unique constraints hold what
must never happen twice. `OPERATIONS_MIGRATIONS` lists the SQL that makes the tables.

It is opened by Python's SQLite, as the lake's catalogue must never be.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from warehouse.errors import LakeFormatError, RunFailed
from warehouse.lake.catalogues import catalogue_of
from warehouse.lake.postgres.arrivals import noted_lake, require_arrived
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.registry import OPERATIONS, TABLES, Kept
from warehouse.operations.shared_state import SharedState
from warehouse.system_sql import system_sql
from warehouse.waiting import wait_s

#: The steps that made the tables what they are, as files under sql/system/, in order. The format after each is its
#: place in the list, counted from 1. Whoever adds a table adds a step; one that has been released is never changed.
OPERATIONS_MIGRATIONS: tuple[str, ...] = ("operations/create",)
#: So long a process waits for another one's change, which takes milliseconds.
_BUSY_TIMEOUT_S = 60.0


def operations_file(lake: Path) -> Path:
    """Give the file that holds the operational state of the lake in this directory."""
    return catalogue_of(lake).operations


def open_operations(lake: Path) -> sqlite3.Connection:
    """Open the operational state of the lake in this directory, and make it if there is none.

    Raises
    ------
    LakeFormatError
        If a newer version made it.
    RunFailed
        If it cannot be opened, or the lake is being copied to there.
    """
    catalogue = catalogue_of(lake)
    if isinstance(catalogue, PostgresCatalogue):
        opened: sqlite3.Connection = _set_up_shared(catalogue)
        return opened
    try:
        lake.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(operations_file(lake), timeout=wait_s(_BUSY_TIMEOUT_S))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return set_up(connection)
    except (sqlite3.Error, OSError) as error:
        raise RunFailed(
            f"{operations_file(lake)} cannot be opened: {error}. See that the disk has room and that the files in"
            f" {lake} can be written. Nothing was changed."
        ) from error


def set_up(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Make the tables if there are none; gives the connection, on which transactions are left to `writing`."""
    connection.isolation_level = None
    connection.row_factory = sqlite3.Row
    newest = len(OPERATIONS_MIGRATIONS)
    if format_of(connection) > newest:
        raise LakeFormatError(
            f"lake/operations.sqlite has format {format_of(connection)}, and this Almanac reads up to"
            f" {newest}: install the version that wrote it, or a newer one"
        )
    if format_of(connection) < newest:
        with writing(connection):
            # Asked again under the lock: another process may have taken the steps meanwhile.
            for name in OPERATIONS_MIGRATIONS[format_of(connection) :]:
                for statement in system_sql(name).split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {newest}")
    return connection


def _set_up_shared(catalogue: PostgresCatalogue) -> Any:
    """Open a shared state, and make its tables, see `set_up`; it is used as SQLite's connection is."""
    state = SharedState(catalogue.server)
    try:
        require_arrived(noted_lake(state), catalogue.server)
        found, newest = state.format(), len(OPERATIONS_MIGRATIONS)
        if found > newest:
            raise LakeFormatError(
                f"the operational state of the lake has format {found}, and this Almanac reads up to {newest}: install"
                " the version that wrote it, or a newer one"
            )
        if found == 0:
            catalogue.prepare()
        if found < newest:
            with writing(state):
                for name in OPERATIONS_MIGRATIONS[state.format() :]:
                    state.create(system_sql(name))
                state.note_format(newest)
    except BaseException:
        state.close()
        raise
    return state


@contextlib.contextmanager
def looking(lake: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the operational state to look at it; None if there is none yet. Makes and changes nothing."""
    catalogue = catalogue_of(lake)
    if isinstance(catalogue, PostgresCatalogue):
        with contextlib.closing(SharedState(catalogue.server)) as state:
            require_arrived(noted_lake(state), catalogue.server)
            found: Any = state if state.format() else None
            yield found
        return
    if not operations_file(lake).exists():
        yield None
        return
    with contextlib.closing(sqlite3.connect(operations_file(lake), timeout=wait_s(_BUSY_TIMEOUT_S))) as connection:
        connection.row_factory = sqlite3.Row
        yield connection if format_of(connection) else None


@contextlib.contextmanager
def writing(connection: sqlite3.Connection | SharedState) -> Iterator[None]:
    """Hold the write lock; what is done inside is kept as a whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def forget(connection: sqlite3.Connection, before: datetime) -> int:
    """Forget what was over before an instant (naive UTC): ticks, runs, pauses, alerts. Gives the number of ticks.

    Nothing that is forgotten can be due again: up to when a job's ticks were written down is kept with the job. Nor
    does a job that comes `after` another one miss anything: of each job the newest tick is kept, however old.
    """
    values = {"before": before.isoformat(" ")}
    with writing(connection):
        earlier = connection.total_changes  # rowcount knows nothing of a statement that begins with WITH
        connection.execute(system_sql("operations/forget_ticks"), values)
        ticks = connection.total_changes - earlier
        for table in TABLES:
            if table.schema == OPERATIONS and table.kept is Kept.TICKS and table.name != "ticks":
                connection.execute(system_sql(f"operations/forget_{table.name}"), values)
    return ticks


def format_of(connection: sqlite3.Connection) -> int:
    """Give the format of the tables; 0 if there are none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
