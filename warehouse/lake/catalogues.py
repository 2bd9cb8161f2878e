"""Catalogues: where a lake's catalogue is, how it is attached, what identifies it, and the locks and state beside it.

Nothing else knows what kind of catalogue a lake has. Each kind is a class of this shape and a line in `catalogue_of`:
SQLite here, whose locks and operational state are in the lake's own directory, for one host; PostgreSQL, where several
hosts share a lake, in `warehouse.lake.postgres.catalogue`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import duckdb
import filelock

from warehouse.errors import PublishFailed, RunFailed
from warehouse.lake.postgres.addresses import read_marker
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.fences import Fence
from warehouse.system_sql import attach_statement, literal, quote
from warehouse.waiting import INGEST_LOCK_TIMEOUT_S, WRITER_LOCK_TIMEOUT_S, wait_s

#: The files of a catalogue of one host, in the lake's directory: itself, the operational state, and its locks.
CATALOGUE, OPERATIONS, WRITER_LOCK, INGEST_LOCK = (
    "catalogue.sqlite",
    "operations.sqlite",
    "writer.lock",
    "ingest.lock",
)
_HOLD_TIMEOUT_S = 5.0
#: Under this name a catalogue that is held is attached a second time.
_HELD = "almanac: held"
#: Copies a database: its file, the copy's, and how many seconds to wait for a lock.
_COPY = """
import sqlite3, sys
source = sqlite3.connect("file:" + sys.argv[1].replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?mode=ro",
                         uri=True, timeout=float(sys.argv[3]))
copy = sqlite3.connect(sys.argv[2])
source.backup(copy)
copy.close()
"""
#: Writes a database anew and empties its log: its file, and how many seconds to wait for a lock.
_VACUUM = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]))
database.execute("VACUUM")
busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
database.close()
if busy:
    sys.exit("another process reads it")
"""


class Catalogue(Protocol):
    """What the rest of Almanac asks of a lake's catalogue."""

    @property
    def extensions(self) -> Sequence[str]:
        """DuckDB's extensions that it needs besides DuckLake."""

    @property
    def is_shared(self) -> bool:
        """Whether several hosts share it by a server, to which a connection can break."""

    def exists(self) -> bool:
        """Tell whether it has been made."""

    def identity(self) -> Hashable:
        """Identify it, so that what this process keeps open is used for it and for no other.

        One that was removed and made anew is another.
        """

    def attach(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        data: str,
        *,
        read_only: bool,
        snapshot_id: int | None,
        fence: Fence | None = None,
        for_authors: bool = False,
    ) -> None:
        """Attach the lake as `name`, and make it if it is not there and may be written to.

        Parameters
        ----------
        connection
            An instance with the extensions loaded.
        name
            Not quoted.
        data
            Where committed Parquet files lie, as DuckDB names it, with a slash at its end.
        read_only, snapshot_id
            Refuse writes; show the lake as of this snapshot.
        fence
            What the writer lock gave, for calls of DuckLake's that commit by themselves.
        for_authors
            Authors' queries will read it, by what lets them only read, where the catalogue has such a thing.

        Raises
        ------
        duckdb.Error
            If it cannot be opened.
        """

    def doubt(self) -> str | None:
        """Tell what is less safe than it could be, and what to do about it, for `almanac doctor`."""

    def prepare(self) -> None:
        """Make ready for a new lake, under no lock yet."""

    def guard(self) -> None:
        """Finish a new catalogue, once DuckLake has made its tables and before anything is committed."""

    def is_of_another_kind(self, error: duckdb.Error) -> bool:
        """Tell whether an error of `attach` means that what is there is no catalogue that this DuckLake can read."""

    def hold(self, instance: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection | None:
        """Keep the catalogue open from now on, where that spares others waiting; give what to close at the end."""

    def writer_lock(self, timeout_s: float | None = None) -> AbstractContextManager[Fence | None]:
        """Hold the lock that every commit is made under. It goes with the process, however that ends.

        What it gives, if anything, has to be borne by what is committed.

        Raises
        ------
        PublishFailed
            If another process holds it for longer than `timeout_s`, by default what `wait_s` says.
        """

    def ingest_lock(self, timeout_s: float | None = None) -> AbstractContextManager[None]:
        """Hold the lock under which deliveries are taken in, one command at a time.

        Raises
        ------
        RunFailed
            If another process holds it for longer than `timeout_s`, by default what `wait_s` says.
        """

    def vacuum(self) -> None:
        """Write it and the operational state anew, so that nothing that was deleted is left in their files.

        The caller holds the writer lock, and has nothing of it open.

        Raises
        ------
        RunFailed
            If another process has it open, or the disk has no room.
        """

    @property
    def operations(self) -> Path:
        """The SQLite file of the operational state; see `warehouse.operations.state`."""

    @property
    def owners(self) -> Path:
        """The directory of the owners' files, which say who is alive; see `warehouse.operations.leases`."""


@dataclass(frozen=True)
class SqliteCatalogue:
    """A catalogue in a SQLite file, with its locks beside it in the lake's directory: one host, many processes.

    Never open the file with another SQLite library in a process that has it attached: closing a file drops POSIX locks
    that the other one holds.
    """

    root: Path

    #: DuckDB's extensions that it needs besides DuckLake.
    EXTENSIONS = ("sqlite_scanner",)
    extensions: ClassVar[Sequence[str]] = EXTENSIONS
    is_shared: ClassVar[bool] = False
    _BUSY_TIMEOUT_S = 30.0

    @property
    def file(self) -> Path:
        """The catalogue itself."""
        return self.root / CATALOGUE

    def exists(self) -> bool:
        """Tell whether it has been made."""
        return self.file.exists()

    def identity(self) -> Hashable:
        """Give this process, the file's path and its inode."""
        inode = self.file.stat().st_ino if self.file.exists() else 0
        return os.getpid(), self.file.absolute(), inode

    def attach(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: str,
        data: str,
        *,
        read_only: bool,
        snapshot_id: int | None,
        fence: Fence | None = None,
        for_authors: bool = False,
    ) -> None:
        """Attach the lake, see `Catalogue.attach`."""
        place = f"ducklake:sqlite:{self.file.resolve()}"
        # With a write-ahead log readers never fail.
        options = ("META_JOURNAL_MODE 'WAL'", f"META_BUSY_TIMEOUT {round(1000 * wait_s(self._BUSY_TIMEOUT_S))}")
        connection.execute(
            attach_statement(place, name, data, read_only=read_only, snapshot_id=snapshot_id, options=options)
        )

    def doubt(self) -> str | None:
        """Tell of nothing: an instance that only reads opens the file for reading."""
        return None

    def is_of_another_kind(self, error: duckdb.Error) -> bool:
        """Tell by the words that DuckLake and SQLite have for it."""
        return any(word in str(error) for word in ("version", "not a database", "Could not find"))

    def hold(self, instance: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Begin a transaction on the file, which SQLite then does not give up; see `warehouse.lake.connections`."""
        transaction = instance.cursor()
        file = literal(str(self.file.resolve()))
        # What is wrong with it will be said by who attaches it as a lake.
        with contextlib.suppress(duckdb.Error):
            # It is not waited for as long as the lake itself, for which each command waits after this.
            timeout_ms = round(1000 * min(_HOLD_TIMEOUT_S, wait_s(_HOLD_TIMEOUT_S)))
            options = f"TYPE sqlite, READ_ONLY, BUSY_TIMEOUT {timeout_ms}"
            transaction.execute(f"ATTACH IF NOT EXISTS {file} AS {quote(_HELD)} ({options})")
            transaction.execute("BEGIN")
            # A transaction begins with its first question.
            transaction.execute(f"FROM {quote(_HELD)}.ducklake_metadata LIMIT 1").fetchall()
        return transaction

    def prepare(self) -> None:
        """Do nothing: SQLite makes the file when it is attached."""

    def guard(self) -> None:
        """Do nothing: the lock of a host is lost only with its process."""

    @contextlib.contextmanager
    def writer_lock(self, timeout_s: float | None = None) -> Iterator[None]:
        """Hold lake/writer.lock: two unguarded writers have corrupted such catalogues elsewhere."""
        file = self.root / WRITER_LOCK
        timeout_s = wait_s(WRITER_LOCK_TIMEOUT_S) if timeout_s is None else timeout_s
        try:
            with filelock.FileLock(file, timeout=timeout_s):
                yield
        except filelock.Timeout as error:
            raise PublishFailed(
                f"another process has held the writer lock {file} for {timeout_s:g} s; see which one with `fuser`, and"
                " run this again. Nothing was changed."
            ) from error

    @contextlib.contextmanager
    def ingest_lock(self, timeout_s: float | None = None) -> Iterator[None]:
        """Hold lake/ingest.lock."""
        timeout_s = wait_s(INGEST_LOCK_TIMEOUT_S) if timeout_s is None else timeout_s
        try:
            with filelock.FileLock(self.root / INGEST_LOCK, timeout=timeout_s):
                yield
        except filelock.Timeout as error:
            raise RunFailed(f"another ingest of this lake has been running for {timeout_s:g} s; try later.") from error

    def copy_to(self, file: Path) -> None:
        """Copy lake/catalogue.sqlite, as of one instant, by SQLite itself, in a process of its own; see above why.

        Raises
        ------
        RunFailed
            If it cannot be read, or the copy not be written.
        """
        if reason := self._refused(_COPY, str(self.file), str(file)):
            raise RunFailed(
                f"the catalogue {self.file} could not be copied: {reason}. See that it can be read and that the disk"
                " has room, and run this again. Nothing was changed."
            )

    def vacuum(self) -> None:
        """Write lake/catalogue.sqlite and lake/operations.sqlite anew, in a process of their own; see above why."""
        for file in (self.file, self.operations):
            if file.exists() and (reason := self._refused(_VACUUM, str(file))):
                raise RunFailed(
                    f"{file} could not be written anew: {reason}. See that no other process has the lake open"
                    " (`fuser` names them) and that the disk has room, and run this again."
                )

    def _refused(self, program: str, *arguments: str) -> str | None:
        """Run a program on SQLite in a process of its own; give the last thing that it said if it failed."""
        command = [sys.executable, "-I", "-c", program, *arguments, str(wait_s(self._BUSY_TIMEOUT_S))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stderr.strip().splitlines() or ["it said nothing"])[-1] if done.returncode else None

    @property
    def operations(self) -> Path:
        """Give lake/operations.sqlite."""
        return self.root / OPERATIONS

    @property
    def owners(self) -> Path:
        """Give lake/owners."""
        return self.root / "owners"


def catalogue_of(root: Path) -> Catalogue:
    """Give the catalogue of the lake in a directory."""
    shared = read_marker(root)
    return SqliteCatalogue(root) if shared is None else PostgresCatalogue(root, shared.server, shared.lake)
