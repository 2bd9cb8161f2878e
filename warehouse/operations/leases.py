"""Leases: which process is at work on what, so that no two do the same to no purpose.

A process takes a lease on the pages of a batch before it makes them, and gives it back once they are committed. The
clock takes one on each run that it starts. What holds a lease is an *owner*: it holds a lock (flock) on a file of its
own under `lake/owners/` for as long as it lives, and child processes that inherit the file live for it. The kernel
releases the lock with the last of them, however that ends, and a lease whose owner's lock is free is nobody's and
can be taken over at once. Whoever finds a page taken goes on with others, and waits only when it holds nothing:
nothing can deadlock.

Leases spare work and keep nothing safe: what is published is decided under the lake's writer lock. Where several
hosts share a lake, owners also say to its server that they live (`warehouse.lake.postgres.owners`): an owner of another
host lives for as long as that says so. Which owner has which page stands in the operational state
(`warehouse.operations.state`).
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
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from warehouse.lake.catalogues import catalogue_of
from warehouse.lake.lake import Lake
from warehouse.lake.postgres.catalogue import PostgresCatalogue
from warehouse.lake.postgres.owners import Sign, appear, forget_the_gone, living, vanish
from warehouse.operations.state import looking, open_operations, writing

_CLAIM = (
    "INSERT INTO claims (product, page, owner) VALUES (?, ?, ?)"
    " ON CONFLICT (product, page) DO UPDATE SET owner = excluded.owner, claimed_at = CURRENT_TIMESTAMP"
)


@dataclass(frozen=True)
class Owner:
    """Who holds a lease: the process that took it. `command` is what that was started with."""

    name: str
    pid: int
    host: str
    command: str


class OwnerLock:
    """A new owner's sign of life: it lasts until `end`, or until no process has `descriptor` open any more."""

    def __init__(self, lake: Path) -> None:
        self.owner = Owner(uuid.uuid4().hex, os.getpid(), socket.gethostname(), " ".join(sys.argv)[:500])
        owners = _owners(lake)
        owners.mkdir(parents=True, exist_ok=True)
        unnamed = owners / f".{self.owner.name}"
        self.descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        os.write(self.descriptor, json.dumps(asdict(self.owner)).encode() + b"\n")
        # Locked before it bears the name by which others look at it.
        self._file = unnamed.rename(_file_of(lake, self.owner.name))
        self._server = _server_of(lake)
        if self._server is not None:
            own = self.owner
            try:
                appear(self._server, Sign(own.name, this_host(), own.host, own.pid, own.command))
            except BaseException:
                self._server = None
                self.end()
                raise

    def end(self) -> None:
        """End the sign of life: whoever looks from now on finds no such owner."""
        if self._server is not None:
            vanish(self._server, self.owner.name)
        self._file.unlink(missing_ok=True)
        os.close(self.descriptor)


class Leases:
    """One process's leases on pages. A context: at its end, all that it holds is given back."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake.root
        self._db = open_operations(lake.root)
        try:
            self._lock: OwnerLock | None = OwnerLock(lake.root)
        except BaseException:
            self._db.close()
            raise
        self.owner = self._lock.owner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back all leases."""
        if self._lock is None:
            return
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("DELETE FROM claims WHERE owner = ?", [self.owner.name])
        self._db.close()
        self._lock.end()
        self._lock = None

    def take(self, product: str, pages: Collection[datetime]) -> set[datetime]:
        """Take leases on pages of a product; give those that are ours now. The others are some live process's."""
        with writing(self._db):
            held = _claims(self._db, product, pages)
            dead = set(held.values()) - _alive(self._lake, set(held.values())).keys()
            for owner in dead:
                self._db.execute("DELETE FROM claims WHERE owner = ?", [owner])
            free = [page for page in pages if held.get(page) in {None, self.owner.name, *dead}]
            rows = [(product, page.isoformat(), self.owner.name) for page in free]
            self._db.executemany(_CLAIM, rows)
        for owner in dead:
            _file_of(self._lake, owner).unlink(missing_ok=True)
        return set(free)

    def give_back(self, product: str, pages: Collection[datetime]) -> None:
        """Give back the leases on pages; those that are not ours stay."""
        rows = [(product, page.isoformat(), self.owner.name) for page in pages]
        with writing(self._db):
            self._db.executemany("DELETE FROM claims WHERE product = ? AND page = ? AND owner = ?", rows)

    @contextlib.contextmanager
    def holding(self, product: str, pages: Collection[datetime]) -> Iterator[set[datetime]]:
        """Hold leases on those of the pages that nobody else holds, which it gives."""
        ours = self.take(product, pages)
        try:
            yield ours
        finally:
            self.give_back(product, ours)


def pages_held(lake: Lake, product: str) -> dict[datetime, Owner]:
    """Tell which pages of a product some live process is at work on. Makes and changes nothing."""
    with looking(lake.root) as db:
        held = _claims(db, product) if db else {}
    alive = _alive(lake.root, set(held.values()))
    return {page: owner for page, name in held.items() if (owner := alive.get(name)) is not None}


def is_alive(lake: Path, name: str) -> bool:
    """Tell whether an owner lives. Those who ask do not disturb each other: they share the lock."""
    return bool(_alive(lake, {name}))


def _alive(lake: Path, names: Collection[str]) -> dict[str, Owner]:
    """Give those of some owners that live."""
    server = _server_of(lake)
    if server is None or not names:
        here = {name for name in names if not _is_free(_file_of(lake, name))}
        return {name: owner for name in here if (owner := _owner(lake, name)) is not None}
    signs = living(server)
    return {
        name: Owner(name, sign.pid, sign.host, sign.command)
        for name in names
        # One of this host that was killed is known to be gone before its time is up.
        if (sign := signs.get(name)) and not (sign.kernel == this_host() and _is_free(_file_of(lake, name)))
    }


def this_host() -> str:
    """Name the running kernel: equal in all containers on one machine, and another after a restart."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{uuid.getnode():x}"


def note_of(lake: Path, name: str) -> str:
    """Give what was written behind an owner's line in its file by those who work under its lease; empty if nothing."""
    try:
        return _file_of(lake, name).read_text(errors="replace").partition("\n")[2].strip()
    except FileNotFoundError:
        return ""


def sweep_owners(lake: Path, before: datetime) -> None:
    """Clear away what owners left behind that are gone, and came before an instant (naive UTC)."""
    if (server := _server_of(lake)) is not None:
        forget_the_gone(server)
    for path in _owners(lake).glob("*"):
        with contextlib.suppress(FileNotFoundError):
            came_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
            # What is young may be about to be locked.
            if came_at < before and _is_free(path):
                path.unlink()


def _claims(db: sqlite3.Connection, product: str, pages: Collection[datetime] | None = None) -> dict[datetime, str]:
    """Give the owner's name of each page that is claimed, by anyone alive or dead."""
    query, values = "SELECT page, owner FROM claims WHERE product = ?", [product]
    if pages:
        query += " AND page BETWEEN ? AND ?"
        values += [min(pages).isoformat(), max(pages).isoformat()]
    return {datetime.fromisoformat(page): str(owner) for page, owner in db.execute(query, values)}


def _server_of(lake: Path) -> str | None:
    catalogue = catalogue_of(lake)
    return catalogue.server if isinstance(catalogue, PostgresCatalogue) else None


def _owners(lake: Path) -> Path:
    return catalogue_of(lake).owners


def _file_of(lake: Path, name: str) -> Path:
    return _owners(lake) / f"{name}.lock"


def _owner(lake: Path, name: str) -> Owner | None:
    try:
        return Owner(**json.loads(_file_of(lake, name).read_text().partition("\n")[0]))
    except FileNotFoundError:  # it has ended since
        return None


def _is_free(file: Path) -> bool:
    """Tell whether no process holds the lock on a file, or there is no such file."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
