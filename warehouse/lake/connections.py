"""The database instances that a process keeps open: attaching a lake takes ten times as long as a question to it.

An instance is one lake's, and reads or writes. One that reads can *hold* its lake, by a transaction that stays open.
SQLite gives a catalogue up when the last transaction on it ends, and takes it up with the next, each time under a lock,
and the SQLite that DuckDB is built with sleeps for a whole second when it meets one: of two commands at a time every
fourth took that second longer. While someone holds the catalogue, nobody gives it up. Nor does SQLite shorten its log
then, so that commands hold their lake, and programs that stay for long do not.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import duckdb

from warehouse.system_sql import literal, quote

#: A process works on one lake; what works on many is tests.
_KEPT = 4
#: This process, the file's path and its inode.
_Key = tuple[int, Path, int]
_HELD = "almanac: held"
#: What an instance can be given before its lake is attached to it.
First = Callable[[duckdb.DuckDBPyConnection], None]


class _Kept:
    """An instance, and what it holds."""

    def __init__(self, catalogue: Path) -> None:
        self.instance: duckdb.DuckDBPyConnection | None = None
        self._catalogue = catalogue
        self._transaction: duckdb.DuckDBPyConnection | None = None

    def hold(self, instance: duckdb.DuckDBPyConnection) -> None:
        """Hold the catalogue, unless it is held: a transaction begins with its first question."""
        if self._transaction is not None:
            return
        self._transaction = instance.cursor()
        file = literal(str(self._catalogue.resolve()))
        # What is wrong with it will be said by who attaches it as a lake.
        with contextlib.suppress(duckdb.Error):
            self._transaction.execute(f"ATTACH IF NOT EXISTS {file} AS {quote(_HELD)} (TYPE sqlite, READ_ONLY)")
            self._transaction.execute("BEGIN")
            self._transaction.execute(f"FROM {quote(_HELD)}.ducklake_metadata LIMIT 1").fetchall()

    def close(self) -> None:
        """Close it; cursors that are open elsewhere keep theirs alive."""
        if self._transaction is not None:
            self._transaction.close()
        if self.instance is not None:
            self.instance.close()


class Instances:
    """Those of one process, by catalogue. Python closes them at its end."""

    def __init__(self) -> None:
        self._kept: dict[tuple[_Key, bool], _Kept] = {}
        self._lock = threading.Lock()

    def get(
        self,
        catalogue: Path,
        open_one: Callable[[First | None], duckdb.DuckDBPyConnection],
        check: Callable[[duckdb.DuckDBPyConnection], None],
        *,
        read_only: bool,
        hold: bool = False,
    ) -> duckdb.DuckDBPyConnection:
        """Give the instance of a catalogue, and open it if there is none yet.

        Parameters
        ----------
        open_one
            Opens one, in one thread at a time; what it is handed, if anything, sees it before the lake is attached.
        check
            Looks at one that was opened, and raises if it is not to be used.
        hold
            Hold the lake from now on.
        """
        with self._lock:
            key = (catalogue_key(catalogue), read_only)
            if key not in self._kept:
                opened = _Kept(catalogue)
                try:
                    # Held before the lake is attached, which asks many questions.
                    opened.instance = open_one(opened.hold if hold else None)
                    check(opened.instance)
                except BaseException:
                    opened.close()
                    raise
                while len(self._kept) >= _KEPT:
                    self._kept.pop(next(iter(self._kept))).close()
                self._kept[key] = opened
            kept = self._kept[key]
            assert kept.instance is not None
            if hold:
                kept.hold(kept.instance)
            return kept.instance

    def drop(self, instance: duckdb.DuckDBPyConnection) -> None:
        """Close an instance, and open another one when it is asked for again."""
        with self._lock:
            for key in [key for key, kept in self._kept.items() if kept.instance is instance]:
                self._kept.pop(key).close()
        instance.close()


def catalogue_key(catalogue: Path) -> _Key:
    """Name a catalogue as this process has it; a lake that was removed and made again is another file."""
    inode = catalogue.stat().st_ino if catalogue.exists() else 0
    return os.getpid(), catalogue.absolute(), inode
