"""The files of a scratch lake that reads those of a lake in a bucket: what it writes itself is in its own directory.

Its catalogue names the bucket's objects by their URLs. None of them is ever written or deleted from here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.errors import RunFailed
from warehouse.lake.storage.local_directory import LocalDirectory
from warehouse.lake.storage.storage import Storage
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class LinkedBucket(LocalDirectory):
    """A directory, and the bucket that is read besides.

    Attributes
    ----------
    linked
        Where the other lake's files lie.
    """

    linked: Storage

    @property
    def extensions(self) -> Sequence[str]:  # type: ignore[override]
        """Those of the bucket."""
        return self.linked.extensions

    def make_ready(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give DuckDB the bucket's keys of now."""
        self.linked.make_ready(connection)

    def fetch(self, path: str) -> Path:
        """Give the one in the directory, or else the other lake's."""
        here = super().fetch(path)
        return here if here.exists() else self.linked.fetch(path)

    def fetch_all(self, path: str) -> Path:
        """Give the directory here, or else the other lake's."""
        here = super().fetch_all(path)
        return here if here.exists() else self.linked.fetch_all(path)

    def fetch_anew(self, path: str) -> Path:
        """Give the one in the directory, or else the other lake's."""
        here = super().fetch(path)
        return here if here.exists() else self.linked.fetch_anew(path)

    def files(self, path: str) -> list[str]:
        """List those of both."""
        return sorted({*super().files(path), *self.linked.files(path)})

    def size(self, path: str) -> int | None:
        """Look at the file here, or else ask for the object."""
        here = super().size(path)
        return here if here is not None else self.linked.size(path)

    def missing(self, places: Collection[str]) -> set[str]:
        """Look for each where it is."""
        there, here = self._apart(places)
        return super().missing(here) | self.linked.missing(there)

    def sizes(self, places: Collection[str]) -> Mapping[str, int]:
        """Look at each where it is."""
        there, here = self._apart(places)
        return {**super().sizes(here), **self.linked.sizes(there)}

    def _apart(self, places: Collection[str]) -> tuple[list[str], list[str]]:
        there = [place for place in places if place.startswith(self.linked.data)]
        return there, [place for place in places if not place.startswith(self.linked.data)]

    def require_own(self, connection: duckdb.DuckDBPyConnection) -> None:
        """See that DuckLake's own calls can delete nothing in the bucket: what this lake names is all here.

        Raises
        ------
        RunFailed
            If it is not.
        """
        if connection.execute(system_sql("backup/named_elsewhere")).fetchone() != (0,):
            raise RunFailed(f"{self.root} reads files of {self.linked.data}, and is not kept up. Nothing was changed.")
