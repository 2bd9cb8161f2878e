"""Where a lake's files lie, as the rest of Almanac asks for it: a directory of this host, or of all; or a bucket.

A path here is one below the lake, with slashes, as the ledger and the catalogue keep it: `data/SCHEMA/TABLE/FILE`,
`artifacts/PRODUCT/VERSION/FILE`, `deliveries/SHA256/FILE`. Runs stage rows, and make models, in the lake's directory
of this host (`Lake.staging`); what is committed goes from there to where the lake's files lie.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from warehouse.lake.postgres.fences import Fence

if TYPE_CHECKING:
    import duckdb


class FileState(NamedTuple):
    """How many bytes a file has, and when it was changed (nanoseconds since 1970, UTC)."""

    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Sent:
    """What was put there before a commit: where, by staged file of a table, and the paths of what is to be kept."""

    files: Mapping[Path, str] = field(default_factory=dict)
    kept: Collection[str] = ()


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

    def send_ahead(self, files: Collection[tuple[str, str, Path]], kept: Mapping[str, Path]) -> Sent:
        """Put staged files, each with the schema and the table that it is for, where data files lie, before a commit.

        So are files and directories on this host, by the path under which `Turn.keep` is to keep them. Gives for the
        commit's turn what was put where. Whatever takes long is done here, under no lock.
        """

    def turn(self, fence: Fence | None, sent: Sent) -> AbstractContextManager[Turn]:
        """Begin a commit's turn of writing; if it ends without an error, what was put there is committed.

        `sent` is what `send_ahead` gave.
        """

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

    def take_out(self, path: str, target: Path) -> bool:
        """Make a kept file a file of this host that is none of the lake's; tell whether it was there."""

    def remove(self, path: str) -> None:
        """Delete a directory of kept files, if it is there."""

    def place_of(self, path: str) -> str:
        """Name a kept file as DuckDB reads it."""

    def size(self, path: str) -> int | None:
        """Give how many bytes a kept file has; None if there is none. This host's copies do not count."""

    def fetch_anew(self, path: str) -> Path:
        """Give the path on this host of a kept file, as it is now where the lake's files lie."""

    def at_hand(self, path: str) -> AbstractContextManager[Path]:
        """Give the path on this host of a kept file for a while; no copy of it is left.

        Raises
        ------
        FileNotFoundError
            If there is none.
        """

    def described(self, paths: Collection[str]) -> Mapping[str, FileState]:
        """Describe those of some kept files that are there."""

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

    def require_can_forget(self) -> None:
        """See that nothing keeps what is deleted from being gone, before anything is begun.

        Raises
        ------
        AlmanacError
            If something does.
        """

    def forget_deleted(self) -> None:
        """Delete for good what is kept of files that were deleted."""

    def write_note(self, name: str, text: str) -> None:
        """Keep a small file beside the places of the lake, where all hosts see it; whole or not at all."""

    def note(self, name: str) -> str | None:
        """Read such a file; None if there is none."""

    def remove_note(self, name: str) -> None:
        """Delete it for good."""

    def require_own(self, connection: duckdb.DuckDBPyConnection) -> None:
        """See that what DuckLake's own calls delete is this lake's; `connection` has it attached.

        Raises
        ------
        RunFailed
            If the lake names files of another one.
        """

    def bytes_here(self) -> int | None:
        """Add up all of the lake's files, where that takes no listing; None where it does."""
