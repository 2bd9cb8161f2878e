"""Copies of the operational state: into a SQLite file, wherever the state is, and out of one into a shared state.

Who is at work on which page is left out where a server is concerned: it is true of the lake that it was said of alone.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from warehouse.lake.registry import OPERATIONS, TABLES
from warehouse.operations.shared_state import SharedState
from warehouse.operations.state import looking, open_operations, set_up, writing

_LEFT = ("claims",)
#: Rows of all others refer to these.
_FIRST = {"jobs": 0, "runs": 1}


def copy_operations(lake: Path, file: Path) -> None:
    """Copy the operational state of the lake in a directory, as of one instant, to a new SQLite file; if there is one.

    Raises
    ------
    sqlite3.Error, OSError
        If it cannot be read, or the copy not be written.
    """
    with looking(lake) as state:
        if state is None:
            return
        with contextlib.closing(sqlite3.connect(file)) as copy:
            if not isinstance(state, SharedState):
                state.backup(copy)
                return
            set_up(copy)
            # Whatever changes it does so under this lock.
            with writing(state), writing(copy):
                _copy_rows(state, copy)


def put_operations(state: sqlite3.Connection, lake: Path) -> None:
    """Put the rows of a state in SQLite into the shared state of the lake in a directory, in place of what is there."""
    with contextlib.closing(open_operations(lake)) as opened:
        shared: Any = opened
        with writing(shared):
            for name in reversed(_names()):
                shared.execute(f"DELETE FROM {name}")
            _copy_rows(state, shared)
            for table, column in (("jobs", "job_id"), ("runs", "run")):
                next_one = f"SELECT setval(pg_get_serial_sequence('almanac.{table}', '{column}'), max({column}))"
                shared.execute(f"{next_one} FROM {table} HAVING max({column}) > 0").fetchall()


def _names() -> list[str]:
    """List the tables that are copied, those first that others refer to."""
    names = [each.name for each in TABLES if each.schema == OPERATIONS and each.name not in _LEFT]
    return sorted(names, key=lambda name: _FIRST.get(name, len(_FIRST)))


def _copy_rows(source: Any, target: Any) -> None:
    for name in _names():
        rows = [tuple(row) for row in source.execute(f"SELECT * FROM {name}")]
        if rows:
            target.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
