"""A lake's files in a directory, of this host or of all hosts that share it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from warehouse.lake.postgres.fences import Fence
from warehouse.lake.storage.key_buckets import new_name
from warehouse.lake.storage.storage import FileState, Sent
from warehouse.system_sql import exact_path

if TYPE_CHECKING:
    import duckdb

#: The places of a lake that grow with what is kept.
_GROWS = ("data", "artifacts", "deliveries", "staging")


@dataclass(frozen=True)
class LocalDirectory:
    """A lake's own directory, on this host or shared by several."""

    root: Path

    extensions: ClassVar[Sequence[str]] = ()
    is_directory: ClassVar[bool] = True

    @property
    def data(self) -> str:
        """Its directory `data`."""
        return str((self.root / "data").resolve()) + os.sep

    def prepare(self) -> None:
        """Make the directories."""
        for name in ("data", "staging", "artifacts"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def make_ready(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Do nothing: DuckDB reads files."""

    def send_ahead(self, files: Collection[tuple[str, str, Path]], kept: Mapping[str, Path]) -> Sent:
        """Send nothing: to rename a file takes no time."""
        return Sent()

    @contextmanager
    def turn(self, fence: Fence | None, sent: Sent) -> Iterator[LocalDirectory]:
        """Give itself: what a commit did not come to is found by its age, or by who holds a lock."""
        yield self

    def place(self, staged: Path, schema: str, table: str) -> str:
        """Rename it."""
        directory = self.root / "data" / schema / table
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / new_name(staged)
        staged.replace(target)
        # By its age upkeep of another host knows that it is about to be committed, however long it was staged.
        os.utime(target)
        return exact_path(target.resolve())

    def keep(self, path: str) -> None:
        """Do nothing: it is where it belongs."""

    keep_now = keep

    def fetch(self, path: str) -> Path:
        """Name it."""
        return self.root / path

    fetch_all = fetch_anew = fetch

    def files(self, path: str) -> list[str]:
        """List the directory, but for what bears no name yet."""
        below = (file.relative_to(self.root / path) for file in (self.root / path).rglob("*") if file.is_file())
        return sorted(f"{path}/{file.as_posix()}" for file in below if not any(part[0] == "." for part in file.parts))

    def settled(self, path: str, before: datetime) -> list[str]:
        """List the directory's older entries."""
        made = {each.name: each.stat().st_mtime for each in (self.root / path).glob("*")}
        return sorted(name for name, at in made.items() if at < before.replace(tzinfo=UTC).timestamp())

    def take_out(self, path: str, target: Path) -> bool:
        """Rename it."""
        if not (self.root / path).exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(target)
        return True

    def remove(self, path: str) -> None:
        """Delete the directory."""
        shutil.rmtree(self.root / path, ignore_errors=True)

    def place_of(self, path: str) -> str:
        """Give its path as a pattern that matches it alone."""
        return exact_path(self.root / path)

    def size(self, path: str) -> int | None:
        """Look at the file."""
        try:
            return (self.root / path).stat().st_size
        except FileNotFoundError:
            return None

    @contextmanager
    def at_hand(self, path: str) -> Iterator[Path]:
        """Name it."""
        yield self.root / path

    def described(self, paths: Collection[str]) -> Mapping[str, FileState]:
        """Look at each."""
        found = {}
        for path in paths:
            with suppress(FileNotFoundError):
                stat = (self.root / path).stat()
                found[path] = FileState(stat.st_size, stat.st_mtime_ns)
        return found

    def missing(self, places: Collection[str]) -> set[str]:
        """Look for each."""
        return {place for place in places if not Path(place).exists()}

    def sizes(self, places: Collection[str]) -> Mapping[str, int]:
        """Look at each."""
        found = {}
        for place in places:
            with suppress(OSError):
                found[place] = Path(place).stat().st_size
        return found

    def sweep(self, connection: duckdb.DuckDBPyConnection, copies: Collection[str]) -> Mapping[str, int]:
        """Do nothing: what is left in a directory is found by looking for it."""
        return {}

    def may_hold_orphans(self) -> bool:
        """Tell so: looking costs little."""
        return True

    def orphans_are_gone(self) -> None:
        """Do nothing."""

    def require_can_forget(self) -> None:
        """Do nothing: what is deleted is gone."""

    def forget_deleted(self) -> None:
        """Do nothing."""

    def write_note(self, name: str, text: str) -> None:
        """Write it, and give it its name then."""
        unnamed = self.root / f"{name}-journal"
        unnamed.write_text(text, encoding="utf-8")
        unnamed.replace(self.root / name)

    def note(self, name: str) -> str | None:
        """Read it."""
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def remove_note(self, name: str) -> None:
        """Delete it."""
        (self.root / name).unlink(missing_ok=True)

    def require_own(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Do nothing: it names files of its own directory."""

    def bytes_here(self) -> int:
        """Add each up once, whatever names it has; of a scratch lake those that its links lead to."""
        sizes = {}
        for place in _GROWS:
            for directory, _, names in os.walk(self.root / place, followlinks=True):
                for name in names:
                    with suppress(FileNotFoundError):  # another process has just removed it
                        found = (Path(directory) / name).stat()
                        sizes[found.st_dev, found.st_ino] = found.st_size
        return sum(sizes.values())
