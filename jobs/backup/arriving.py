"""Where a lake is being copied to: a directory, or the prefix of a bucket, in which nothing is but an earlier try.

While the lake is not whole, an entry there says so; by it the next try knows that the rest may go.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from warehouse.buckets import Bucket, BucketRefused
from warehouse.errors import RunFailed, UsageError
from warehouse.lake.places import IMMUTABLE
from warehouse.lake.postgres.addresses import MARKER, Address

_UNDER_WAY = ".arriving"


class Arriving(Protocol):
    """A place that a lake is copied to."""

    def require_room(self) -> None:
        """See that nothing is there, or only what an earlier try has left.

        Raises
        ------
        UsageError
            If there is something else.
        RunFailed
            If it cannot be looked at.
        """

    def is_under_way(self) -> bool:
        """Tell whether a lake is under way to there, and was not ended."""

    def is_over(self) -> bool:
        """Tell whether a lake is there whole, or something else is."""

    def names_a_lake(self) -> bool:
        """Tell whether what is there says which catalogue it has."""

    def begin(self) -> None:
        """Note that a lake is under way, and delete what an earlier try has left."""

    def put(self, file: Path, path: str) -> None:
        """Copy a file to a path below the lake."""

    def end(self) -> None:
        """Note that the lake is whole."""


def arriving_at(address: Address) -> Arriving:
    """Give the place of an address."""
    return ArrivingInBucket(address) if address.bucket else ArrivingInDirectory(address.data)


@dataclass(frozen=True)
class ArrivingInDirectory:
    """A directory."""

    root: Path

    def _there(self) -> list[Path]:
        return [path for path in self.root.iterdir() if path.name != MARKER] if self.root.exists() else []

    def require_room(self) -> None:
        """Look at it."""
        if self.is_over():
            raise UsageError(f"{self.root} is not empty; name a new directory.")

    def is_under_way(self) -> bool:
        """Look for that entry."""
        return (self.root / _UNDER_WAY).exists()

    def is_over(self) -> bool:
        """Look at what is there."""
        return bool(self._there()) and not self.is_under_way()

    def names_a_lake(self) -> bool:
        """Look for that file."""
        return (self.root / MARKER).exists()

    def begin(self) -> None:
        """Make a directory that says so."""
        left = self._there()
        (self.root / _UNDER_WAY).mkdir(exist_ok=True)
        for path in left:
            if path.name != _UNDER_WAY and path.is_dir():
                shutil.rmtree(path)
            elif path.name != _UNDER_WAY:
                path.unlink()

    def put(self, file: Path, path: str) -> None:
        """Copy it, with its times."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)

    def end(self) -> None:
        """Delete that directory."""
        (self.root / _UNDER_WAY).rmdir()


@dataclass(frozen=True)
class ArrivingInBucket:
    """A prefix of a bucket; what does not last goes to this host's directory of the lake."""

    address: Address

    @cached_property
    def _place(self) -> tuple[Bucket, str]:
        # A client takes long to make beside a small file, so that there is one for all of them.
        return Bucket.of(self.address.bucket)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Bucket]:
        try:
            yield self._place[0]
        except BucketRefused as error:
            raise RunFailed(
                f"the lake cannot be copied to {self.address.bucket}: {error}. Nothing else was changed; run this"
                " again."
            ) from error

    def _key(self, path: str) -> str:
        return f"{self._place[1]}/{path}"

    def require_room(self) -> None:
        """List it."""
        if self.is_over():
            raise UsageError(f"{self.address.bucket} is not empty; name a new prefix.")

    def is_under_way(self) -> bool:
        """Ask for that object."""
        with self._asking() as bucket:
            return bucket.size(self._key(_UNDER_WAY)) is not None

    def is_over(self) -> bool:
        """List it."""
        with self._asking() as bucket:
            there = {str(one["Key"]) for one in bucket.objects(self._key(""))}
        return bool(there - {self._key(MARKER)}) and self._key(_UNDER_WAY) not in there

    def names_a_lake(self) -> bool:
        """Ask for that object."""
        with self._asking() as bucket:
            return bucket.size(self._key(MARKER)) is not None

    def begin(self) -> None:
        """Put an object there that says so."""
        with self._asking() as bucket:
            bucket.put_new(self._key(_UNDER_WAY), "A lake is being copied to here.\n")
            for one in bucket.objects(self._key("")):
                if one["Key"] not in (self._key(MARKER), self._key(_UNDER_WAY)):
                    bucket.remove(str(one["Key"]))

    def put(self, file: Path, path: str) -> None:
        """Send it."""
        if not path.startswith(IMMUTABLE):
            ArrivingInDirectory(self.address.data).put(file, path)
            return
        with self._asking() as bucket:
            bucket.put(file, self._key(path))

    def end(self) -> None:
        """Delete that object; an answer that was lost says nothing of whether it is."""
        with self._asking() as bucket:
            try:
                bucket.remove(self._key(_UNDER_WAY))
            except BucketRefused:
                if bucket.size(self._key(_UNDER_WAY)) is not None:
                    raise
