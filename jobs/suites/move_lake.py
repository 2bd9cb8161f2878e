"""Move a suite's lake to another place: copied, compared, and then switched to.

From the suite's directory to where its catalogue is in PostgreSQL, from one such place to another, or back into the
directory. Nothing of the lake that is left is changed, but that its rows which stood in the catalogue are put into
files first. Once all of it is at the new place, a lake in the directory gets another name, and the catalogue of one in
PostgreSQL says where it went and lets nobody write any more. What breaks off later is ended by the same command.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobs.backup.fetched import fetch_lake
from jobs.backup.transfer import Transferred, compare, count_of, found_whole, transfer
from jobs.progress import Progress, Silent
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.catalogues import CATALOGUE
from warehouse.lake.compaction import flush_inlined
from warehouse.lake.lake import Lake, lake_of
from warehouse.lake.places import ERASING
from warehouse.lake.postgres.addresses import (
    LAKE_VARIABLE,
    Address,
    mark,
    read_lake_file,
    read_marker,
    write_lake_file,
)
from warehouse.lake.postgres.departures import moved_to, note_moved
from warehouse.lake.postgres.fences import Fence
from warehouse.lake.postgres.sessions import session

#: The name that the lake of before gets in the suite's directory.
LEFT_AS = "lake.moved"
_ARRIVES_AS, _FETCHED_AS = ".lake.arriving", ".lake.fetched"


@dataclass(frozen=True)
class Moved(Transferred):
    """What was moved, and where the lake of before is: its path, or the URL of one with its catalogue in PostgreSQL."""

    left_as: str


def move_lake(suite_root: Path, address: Address | None, progress: Progress | None = None) -> Moved:
    """Move the lake of a suite. Nobody commits to it meanwhile.

    Parameters
    ----------
    address
        Where to; None: into the suite's directory `lake/`, with a catalogue in SQLite.

    Raises
    ------
    NotFoundError
        If the suite has no lake.
    UsageError
        If there is something where the lake is to be, or an erasure has begun and not ended.
    RunFailed
        If it cannot be copied, or the copy is not the same; the suite has the lake that it had.
    """
    move = _Move(suite_root, address, progress or Silent())
    said = read_lake_file(suite_root)
    if said is not None and (address is None or not move.is_here):
        return move.from_server(said)
    if not move.is_here:
        raise NotFoundError(f"there is no lake in {move.own} that could be moved.{_named_by_variable()}")
    if address is None:
        raise UsageError(f"the lake is in {move.own} already.")
    return move.from_directory(address)


def _named_by_variable() -> str:
    if LAKE_VARIABLE not in os.environ:
        return ""
    return f" Where {LAKE_VARIABLE} names it, write that into lake.yaml, as `lake: URL`, and unset the variable."


@dataclass(frozen=True)
class _Move:
    """A move that is under way."""

    suite_root: Path
    address: Address | None
    progress: Progress

    @property
    def own(self) -> Path:
        """The suite's directory `lake/`: a lake, or what this host has of one in a bucket."""
        return self.suite_root / "lake"

    @property
    def is_here(self) -> bool:
        """Whether a lake with its catalogue in SQLite is there."""
        return (self.own / CATALOGUE).exists() and read_marker(self.own) is None

    @property
    def arriving(self) -> Path:
        """What is to be that directory."""
        return self.suite_root / _ARRIVES_AS

    @property
    def fetched(self) -> Path:
        """A copy on this host, which was not compared yet."""
        return self.suite_root / _FETCHED_AS

    def from_directory(self, address: Address) -> Moved:
        """Move the lake of the suite's directory."""
        old, left_as = Lake(self.own), self.suite_root / LEFT_AS
        _require_free(left_as)
        with old.catalogue.ingest_lock():
            _make_ready(old)
            with self._transferred(old, address) as done:
                # In this order: a suite that has no lake in its directory, and is not told of another, would make one.
                write_lake_file(self.suite_root, address)
                old.close()
                os.rename(old.root, left_as)  # noqa: PTH104
            self._arrive()
        return Moved(**asdict(done), left_as=str(left_as))

    def from_server(self, said: Address) -> Moved:
        """Move a lake with its catalogue in PostgreSQL, or end a move of which only the switch is lacking."""
        if LAKE_VARIABLE in os.environ:
            raise UsageError(f"{LAKE_VARIABLE} says where the lake is: unset it, everywhere, so that lake.yaml does.")
        # The directory of a suite is one host's, and another host's may have the same path.
        where = f"{socket.gethostname()}:{self.own}" if self.address is None else self.address.url
        with session(said.server) as connection:
            row = connection.execute("SELECT to_regclass('almanac.lake') IS NOT NULL").fetchone()
            is_moved = row == (True,) and moved_to(connection) == where
        done = None if is_moved else self._copied(said, where)
        self._switch(said)
        if done is None:
            done = Transferred(*count_of(lake_of(self.suite_root)), 0, 0)
        return Moved(**asdict(done), left_as=said.url)

    def _copied(self, said: Address, where: str) -> Transferred:
        """Copy a lake with its catalogue in PostgreSQL, and have it say where it is."""
        if self.is_here:
            raise UsageError(f"{self.own} holds a lake, and lake.yaml names another one; move that directory away.")
        if said.data == self.own:
            _require_free(self.suite_root / LEFT_AS)
        mark(said)
        old = Lake(said.data)
        if not old.exists():
            raise NotFoundError(f"there is no lake at {said.url} that could be moved.")
        with old.catalogue.ingest_lock():
            _make_ready(old)
            flush_inlined(old)
            with old.writer_lock() as fence:
                done = self._fetched(old) if self.address is None else self._sent_on(old, self.address)
                assert isinstance(fence, Fence)
                note_moved(fence, where)
            old.close()
        return done

    def _fetched(self, old: Lake) -> Transferred:
        """Copy it to this host; only what was compared gets the name that becomes the suite's lake."""
        new = fetch_lake(old, self.fetched)
        counted = compare(old, new)
        new.close()
        shutil.rmtree(self.arriving, ignore_errors=True)
        new.root.rename(self.arriving)
        sizes = [path.stat().st_size for path in self.arriving.rglob("*") if path.is_file()]
        return Transferred(*counted, len(sizes), sum(sizes))

    def _sent_on(self, old: Lake, address: Address) -> Transferred:
        """Copy a lake to this host, and from here to where it is to be."""
        if (self.arriving / CATALOGUE).exists():  # of a move home, which was broken off
            shutil.rmtree(self.arriving)
        there = self._there(address)
        if found := found_whole(old, there):
            return found
        fetched = fetch_lake(old, self.fetched)
        try:
            compare(old, fetched)
            shutil.rmtree(self.arriving, ignore_errors=True)
            with transfer(fetched, there, self.progress, command="move-lake") as done:
                return done
        finally:
            fetched.close()
            shutil.rmtree(fetched.root, ignore_errors=True)

    @contextlib.contextmanager
    def _transferred(self, old: Lake, address: Address) -> Iterator[Transferred]:
        """Copy it, unless an earlier try did; nobody commits to the old one until the end."""
        there = self._there(address)
        with old.writer_lock():
            if found := found_whole(old, there):
                yield found
                return
        shutil.rmtree(self.arriving, ignore_errors=True)
        with transfer(old, there, self.progress, command="move-lake") as done:
            yield done

    def _there(self, address: Address) -> Address:
        # This host's directory of a lake in a bucket is `lake/` too, and there once the old lake is not.
        return replace(address, data=self.arriving) if address.bucket else address

    def _switch(self, said: Address) -> None:
        """Have the suite name the new lake; each step can be made again."""
        marker = read_marker(self.own)
        if said.data == self.own and marker is not None and marker.server == said.server:
            left_as = self.suite_root / LEFT_AS
            # Whoever looked at the old lake since has made its directory again.
            self.own.rename(left_as.with_name(f"{LEFT_AS}-{uuid.uuid4().hex[:8]}") if left_as.exists() else left_as)
        self._arrive()
        write_lake_file(self.suite_root, self.address)

    def _arrive(self) -> None:
        if self.address is None or self.address.bucket:
            Lake(self.arriving).close()
            if self.arriving.exists():
                self.arriving.rename(self.own)


def _require_free(left_as: Path) -> None:
    if left_as.exists():
        raise UsageError(f"{left_as} is there, from an earlier move; delete it, or move it away, and run this again.")


def _make_ready(old: Lake) -> None:
    """See that nothing is half done, and bring a lake of an earlier version up to date."""
    if old.storage.note(ERASING) is not None:
        raise UsageError("an erasure has begun and not ended: the same `almanac erase` as then ends it; do that first.")
    with old.reading():
        pass
    old.close()
