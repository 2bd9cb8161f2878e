"""Leases: which process is at work on which page, so that no two make the same one to no purpose.

A process takes a lease on the pages of a chunk before it makes them, and gives it back once they are committed.
It holds a lock (flock) on a file of its own under `lake/owners/` for as long as it lives; the kernel lets go of
it however the process ends, and a lease whose owner's lock is free is nobody's and can be taken over at once.
Whoever finds a page taken goes on with others, and waits only when it holds nothing: nothing can deadlock.

Leases spare work and keep nothing safe: what is published is decided under the lake's writer lock. They hold
among the processes of one host. Like the rest of operational state they are no part of the lake, which a commit
for each lease would bloat: they are in `lake/leases.sqlite`, opened by Python's SQLite, as the lake's catalogue
must never be.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sqlite3
import sys
import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from warehouse.errors import RunFailed
from warehouse.lake import Lake
from warehouse.system_sql import system_sql

#: So long a process waits for another one's change to the leases, which takes milliseconds.
_BUSY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Owner:
    """The process that holds a lease. `command` is what it was started with."""

    name: str
    pid: int
    host: str
    command: str


class Leases:
    """One process's leases. A context: at its end, all that it holds is given back."""

    def __init__(self, lake: Lake) -> None:
        self._owners = lake.root / "owners"
        self.owner = Owner(uuid.uuid4().hex, os.getpid(), socket.gethostname(), " ".join(sys.argv)[:500])
        self._lock = self._live()
        self._db = sqlite3.connect(lake.root / "leases.sqlite", timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(system_sql("leases/create"))
        except sqlite3.Error as error:
            self.close()
            raise RunFailed(
                f"the leases in {lake.root} cannot be opened: {error}. See that the disk has room and that its files"
                " can be written. Nothing was changed."
            ) from error

    def _live(self) -> int:
        """Make the file that tells others that this process lives, and lock it; give its descriptor."""
        self._owners.mkdir(parents=True, exist_ok=True)
        unnamed = self._owners / f".{self.owner.name}"
        descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps(asdict(self.owner)).encode())
        # Locked before it bears the name by which others look at it.
        unnamed.rename(_file_of(self._owners, self.owner.name))
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back all leases."""
        if self._lock < 0:
            return
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("DELETE FROM claims WHERE owner = ?", [self.owner.name])
        self._db.close()
        _file_of(self._owners, self.owner.name).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1

    def take(self, product: str, pages: Collection[datetime]) -> set[datetime]:
        """Take leases on pages of a product; give those that are ours now. The others are some live process's."""
        with self._writing():
            held = _claims(self._db, product, pages)
            dead = {owner for owner in set(held.values()) if not _is_alive(self._owners, owner)}
            for owner in dead:
                self._db.execute("DELETE FROM claims WHERE owner = ?", [owner])
            free = [page for page in pages if held.get(page) in {None, self.owner.name, *dead}]
            rows = [(product, page.isoformat(), self.owner.name) for page in free]
            self._db.executemany("INSERT OR REPLACE INTO claims (product, page, owner) VALUES (?, ?, ?)", rows)
        for owner in dead:
            _file_of(self._owners, owner).unlink(missing_ok=True)
        return set(free)

    def give_back(self, product: str, pages: Collection[datetime]) -> None:
        """Give back the leases on pages; those that are not ours stay."""
        rows = [(product, page.isoformat(), self.owner.name) for page in pages]
        with self._writing():
            self._db.executemany("DELETE FROM claims WHERE product = ? AND page = ? AND owner = ?", rows)

    @contextlib.contextmanager
    def holding(self, product: str, pages: Collection[datetime]) -> Iterator[set[datetime]]:
        """Hold leases on those of the pages that nobody else holds, which it gives."""
        ours = self.take(product, pages)
        try:
            yield ours
        finally:
            self.give_back(product, ours)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def pages_held(lake: Lake, product: str) -> dict[datetime, Owner]:
    """Tell which pages of a product some live process is at work on. Makes and changes nothing."""
    file = lake.root / "leases.sqlite"
    if not file.exists():
        return {}
    with contextlib.closing(sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'claims'").fetchone():
            return {}
        held = _claims(db, product)
    owners = lake.root / "owners"
    alive = {name: _owner(owners, name) for name in set(held.values()) if _is_alive(owners, name)}
    return {page: owner for page, name in held.items() if (owner := alive.get(name)) is not None}


def _claims(db: sqlite3.Connection, product: str, pages: Collection[datetime] | None = None) -> dict[datetime, str]:
    """Give the owner's name of each page that is claimed, by anyone alive or dead."""
    query, values = "SELECT page, owner FROM claims WHERE product = ?", [product]
    if pages:
        query += " AND page BETWEEN ? AND ?"
        values += [min(pages).isoformat(), max(pages).isoformat()]
    return {datetime.fromisoformat(page): str(owner) for page, owner in db.execute(query, values)}


def _file_of(owners: Path, name: str) -> Path:
    return owners / f"{name}.lock"


def _owner(owners: Path, name: str) -> Owner | None:
    try:
        return Owner(**json.loads(_file_of(owners, name).read_text()))
    except FileNotFoundError:  # it has ended since
        return None


def _is_alive(owners: Path, name: str) -> bool:
    """Tell whether an owner's process lives. Those who ask do not disturb each other: they share the lock."""
    try:
        descriptor = os.open(_file_of(owners, name), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
