"""Where a lake's files lie, as the rest of Almanac asks for it: a directory of this host, or of all; or a bucket.

A path here is one below the lake, with slashes, as the ledger and the catalogue keep it: `data/SCHEMA/TABLE/FILE`,
`artifacts/PRODUCT/VERSION/FILE`, `deliveries/SHA256/FILE`. Runs stage rows, and make models, in the lake's directory
of this host (`Lake.staging`); what is committed goes from there to where the lake's files lie.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from warehouse.errors import UsageError
from warehouse.lake.postgres.addresses import read_marker
from warehouse.lake.postgres.fences import Fence
from warehouse.system_sql import exact_path

if TYPE_CHECKING:
    import duckdb

#: The places of a lake that grow with what is kept.
_GROWS = ("data", "artifacts", "deliveries", "staging")


class Turn(Protocol):
    """One commit's turn of writing files."""

    def place(self, staged: Path, schema: str, table: str) -> str:
        """Put a staged Parquet file where data files lie, under its final name; give its place as DuckDB reads it."""

    def keep(self, path: str) -> None:
        """Have what a job has just written in this host's directory of the lake, a file or a directory, be kept."""


class Storage(Protocol):
    """What the rest of Almanac asks of where a lake's files lie."""

    @property
    def extensions(self) -> Sequence[str]:
        """DuckDB's extensions that it takes to read and write there."""

    @property
    def data(self) -> str:
        """Where data files lie, as DuckDB names it; it ends in a slash."""

    @property
    def is_directory(self) -> bool:
        """Whether files have a path on this host, can have a second name, and can be renamed."""

    def prepare(self) -> None:
        """Make ready for a new lake."""

    def make_ready(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let an instance that has the extensions reach the files, from now on and with the keys of now."""

    def turn(self, fence: Fence | None) -> AbstractContextManager[Turn]:
        """Begin a commit's turn of writing; if it ends without an error, what was put there is committed."""

    def keep_now(self, path: str) -> None:
        """Keep a file or a directory as `Turn.keep` does, before the commit that will name it."""

    def fetch(self, path: str) -> Path:
        """Give the path on this host of a file that is kept; where there is none, none is there."""

    def fetch_all(self, path: str) -> Path:
        """Give the path on this host of a directory of files that are kept, all of them."""

    def files(self, path: str) -> list[str]:
        """List all kept files below a directory, by their paths."""

    def settled(self, path: str, before: datetime) -> list[str]:
        """List what a directory of kept files holds, but for what no commit may have come to yet.

        `before` (naive UTC) is the instant up to which what was put there is settled in any case.
        """

    def remove(self, path: str) -> None:
        """Delete a directory of kept files, if it is there."""

    def place_of(self, path: str) -> str:
        """Name a kept file as DuckDB reads it."""

    def size(self, path: str) -> int | None:
        """Give how many bytes a kept file has; None if there is none. This host's copies do not count."""

    def fetch_anew(self, path: str) -> Path:
        """Give the path on this host of a kept file, as it is now where the lake's files lie."""

    def missing(self, places: Collection[str]) -> set[str]:
        """Give those of some data files, named as DuckDB does, that are not there."""

    def sizes(self, places: Collection[str]) -> Mapping[str, int]:
        """Give how many bytes each of some data files has, of those that are there."""

    def sweep(self, connection: duckdb.DuckDBPyConnection, copies: Collection[str]) -> Mapping[str, int]:
        """Delete what was put there and never committed, as far as that is known without looking for it.

        The caller holds the writer lock, and `connection` reads the lake. `copies` are the hashes of the deliveries
        whose copies are needed. Gives the bytes of each, by path.
        """

    def may_hold_orphans(self) -> bool:
        """Tell whether files may be there that no commit refers to, and that only looking for them finds."""

    def orphans_are_gone(self) -> None:
        """Note that they were looked for."""

    def bytes_here(self) -> int | None:
        """Add up all of the lake's files, where that takes no listing; None where it does."""


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

    @contextmanager
    def turn(self, fence: Fence | None) -> Iterator[LocalDirectory]:
        """Give itself: what a commit did not come to is found by its age, or by who holds a lock."""
        yield self

    def place(self, staged: Path, schema: str, table: str) -> str:
        """Rename it."""
        directory = self.root / "data" / schema / table
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / f"{uuid.uuid4().hex}.parquet"
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
        found = (each for each in (self.root / path).glob("[!.]*") if each.is_dir())
        below = [file for each in found for file in each.rglob("*")] + list((self.root / path).glob("[!.]*"))
        return sorted(file.relative_to(self.root).as_posix() for file in below if file.is_file())

    def settled(self, path: str, before: datetime) -> list[str]:
        """List the directory's older entries."""
        made = {each.name: each.stat().st_mtime for each in (self.root / path).glob("*")}
        return sorted(name for name, at in made.items() if at < before.replace(tzinfo=UTC).timestamp())

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


def storage_of(root: Path) -> Storage:
    """Give where the files lie of the lake that has a directory on this host."""
    marker = read_marker(root)
    if marker is None or not marker.bucket:
        return LocalDirectory(root)
    from warehouse.lake.storage.bucket_prefix import BucketPrefix

    return BucketPrefix(root, marker)


def require_directory(root: Path, what: str, instead: str) -> None:
    """Refuse what is not built for a lake in a bucket.

    Parameters
    ----------
    root
        The lake's directory on this host.
    what
        What is refused: the subject of the error.
    instead
        What to do, a sentence.

    Raises
    ------
    UsageError
        If the lake is in a bucket.
    """
    marker = read_marker(root)
    if marker is not None and marker.bucket:
        raise UsageError(
            f"{what} is not built for a lake in a bucket ({marker.bucket}). {instead} Nothing was changed."
        )
