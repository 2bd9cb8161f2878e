"""What every kind of target can do, and what it says of itself."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import duckdb

from jobs.export.content import Content

#: Under this key stands what a target holds that holds no pages.
CURRENT = datetime.min


@dataclass(frozen=True)
class Held:
    """The commit whose publication a target holds, when that was made, and its rows."""

    snapshot_id: int
    published_at: datetime
    n_rows: int

    def has(self, snapshot_id: int, published_at: datetime) -> bool:
        """Tell whether it holds a publication, or what came after it.

        Numbers of snapshots begin again in a lake that was put back from a backup, so that a target can hold a higher
        number that stands for something earlier. Instants do not begin again.
        """
        return self.snapshot_id >= snapshot_id and self.published_at >= published_at


@dataclass(frozen=True)
class Owner:
    """Whose target it is: of which suite and product."""

    suite_id: str
    product: str


class Target(Protocol):
    """One target. Only one process at a time uses it."""

    @property
    def place(self) -> str:
        """Where it is, for people; nothing secret."""

    def held(self) -> Mapping[datetime, Held]:
        """Give the commits whose publications it holds, by page, or under CURRENT.

        Raises
        ------
        UsageError
            If there is something that we did not make.
        RunFailed
            If it cannot be asked.
        """

    def send(self, connection: duckdb.DuckDBPyConnection, content: Content) -> int:
        """Make it hold a publication, whole or not at all; give the number of rows.

        Raises
        ------
        UsageError
            If there is something that we did not make, or that must not be touched.
        RunFailed
            If it did not succeed; what was there before still is.
        """


def put_in_place(temporary: Path, path: Path) -> None:
    """Let a finished file take the place of another in one step, so that it is there after a crash too."""
    with contextlib.suppress(FileNotFoundError):
        # Who may read the target is for the people whose it is to say, and they said it of the file before.
        temporary.chmod(stat.S_IMODE(path.stat().st_mode))
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear(directory: Path, *parts: str) -> None:
    """Remove what killed runs left under names that only we give; `*` between the parts of a name is anything."""
    for path in directory.glob("*".join(glob.escape(part) for part in parts)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
