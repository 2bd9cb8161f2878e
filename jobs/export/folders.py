"""Where a target's files lie: a directory, or a prefix of a bucket. A file appears in either whole, in one step."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobs.export.target import clear, put_in_place
from warehouse.buckets import Bucket, BucketRefused
from warehouse.errors import RunFailed


class Folder(Protocol):
    """One folder of files that are never changed, but for those that another takes the place of."""

    @property
    def place(self) -> str:
        """Where it is, for people; it ends in a slash."""

    def text(self, name: str) -> str | None:
        """Read a file as UTF-8; None if there is none."""

    def names(self, beginning: str) -> list[str]:
        """List the files whose names begin so."""

    def writing(self, name: str, run_id: str) -> AbstractContextManager[Path]:
        """Give a path to write to; at the end, without an error, what is there becomes the file of that name."""

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""


@dataclass(frozen=True)
class Directory:
    """A directory, made when it is first written to."""

    path: Path

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.path}/"

    def text(self, name: str) -> str | None:
        """Read a file; None if there is none."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def names(self, beginning: str) -> list[str]:
        """List the files whose names begin so."""
        return [path.name for path in self.path.glob("*") if path.name.startswith(beginning)]

    @contextlib.contextmanager
    def writing(self, name: str, run_id: str) -> Iterator[Path]:
        """Give a hidden path beside the file, which then takes its name; what killed runs left is cleared away."""
        self.path.mkdir(parents=True, exist_ok=True)
        stem, is_page, _ = name.partition("-")
        clear(self.path, f".{stem}-" if is_page else f".{name}.", ".new")
        temporary = self.path / f".{name}.{run_id}.new"
        try:
            yield temporary
            put_in_place(temporary, self.path / name)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Prefix:
    """What lies under a prefix of an S3 bucket.

    Attributes
    ----------
    staging
        Gives a directory of this machine for the run that is named, in which files are made before they are sent.
    """

    url: str
    staging: Callable[[str], AbstractContextManager[Path]]

    @property
    def place(self) -> str:
        """Its URL."""
        return self.url

    @functools.cached_property
    def _opened(self) -> tuple[Bucket, str]:
        name, _, prefix = self.url.removeprefix("s3://").partition("/")
        return Bucket(name), prefix

    @contextlib.contextmanager
    def _bucket(self) -> Iterator[tuple[Bucket, str]]:
        try:
            yield self._opened
        except BucketRefused as error:
            raise RunFailed(f"{self.url} cannot be used: {error}") from error

    def text(self, name: str) -> str | None:
        """Read an object; None if there is none."""
        with self._bucket() as (bucket, prefix):
            return bucket.text(prefix + name)

    def names(self, beginning: str) -> list[str]:
        """List the objects whose names begin so."""
        with self._bucket() as (bucket, prefix):
            return [str(one["Key"]).removeprefix(prefix) for one in bucket.objects(prefix + beginning)]

    @contextlib.contextmanager
    def writing(self, name: str, run_id: str) -> Iterator[Path]:
        """Give a path in a staging directory, whose file is then sent."""
        with self.staging(run_id) as directory, tempfile.TemporaryDirectory(dir=directory) as place:
            yield Path(place) / name
            with self._bucket() as (bucket, prefix):
                bucket.put(Path(place) / name, prefix + name)

    def remove(self, name: str) -> None:
        """Delete an object, if it is there."""
        with self._bucket() as (bucket, prefix):
            bucket.remove(prefix + name)
