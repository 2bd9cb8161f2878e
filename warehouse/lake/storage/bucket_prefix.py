"""A lake's files under a prefix of a bucket: DuckDB reads and writes them by its extension httpfs.

A bucket knows no renaming: a file is put there under its final name, and is there whole or not at all; what no commit
came to is on our own list (`warehouse.lake.storage.staged_keys`). Models and copies of deliveries, which other things
than DuckDB read, are copied to this host's directory of the lake when they are first asked for; none of them changes.
Keys are those that boto3 finds. DuckDB is given them in its memory, for this prefix alone, and shows them to nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from warehouse.buckets import AT_ONCE, Bucket, BucketRefused
from warehouse.errors import PublishFailed, RunFailed
from warehouse.lake.postgres.addresses import Marker
from warehouse.lake.postgres.fences import Fence
from warehouse.lake.storage.duckdb_keys import give_keys
from warehouse.lake.storage.forgetting import forget_deleted, remove_for_good, require_can_forget
from warehouse.lake.storage.key_buckets import new_name
from warehouse.lake.storage.out_of_reach import out_of_reach
from warehouse.lake.storage.staged_keys import StagedKeys
from warehouse.lake.storage.storage import FileState, Sent
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import duckdb

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def _files_of(start: Path, path: str) -> list[tuple[Path, str]]:
    """List a file, or all files below a directory, with what each is called if that is `path` below the lake."""
    if not start.is_dir():
        return [(start, path)]
    files = sorted(each for each in start.rglob("*") if each.is_file())
    return [(file, f"{path}/{file.relative_to(start).as_posix()}") for file in files]


@lru_cache(maxsize=4)
def _bucket(name: str, environment: tuple[tuple[str, str], ...], pid: int) -> Bucket:
    return Bucket(name)


@dataclass(frozen=True)
class BucketPrefix:
    """A prefix of a bucket.

    Attributes
    ----------
    root
        The lake's directory on this host: rows that are staged, and copies of models and deliveries.
    marker
        What that says of the lake.
    """

    root: Path
    marker: Marker

    extensions: ClassVar[Sequence[str]] = ("httpfs",)
    is_directory: ClassVar[bool] = False

    @property
    def data(self) -> str:
        """The URL of what holds data files."""
        return f"{self.marker.bucket}/data/"

    @property
    def keys(self) -> StagedKeys:
        """The list of what is not known to be committed."""
        return StagedKeys(self.marker.server)

    def _of(self, path: str) -> tuple[Bucket, str]:
        """Give the bucket, and the key of a path below the lake."""
        name, _, prefix = self.marker.bucket.removeprefix("s3://").partition("/")
        said = tuple(sorted((key, value) for key, value in os.environ.items() if key.startswith("AWS_")))
        return _bucket(name, said, os.getpid()), f"{prefix}/{path}"

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except BucketRefused as error:
            raise out_of_reach(self.marker.bucket, error) from error

    def prepare(self) -> None:
        """Make this host's directories."""
        for name in ("staging", "artifacts"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def make_ready(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Give DuckDB the keys of now, for this prefix."""
        with self._asking():
            way = self._of("")[0].way()
        give_keys(connection, way, self.marker.bucket)

    def send_ahead(self, files: Collection[tuple[str, str, Path]], kept: Mapping[str, Path]) -> Sent:
        """Send them, several at a time, as something that bears no turn yet."""
        paths = {file: f"data/{schema}/{table}/{new_name(file)}" for schema, table, file in files}
        below = {file: as_path for path, start in kept.items() for file, as_path in _files_of(start, path)}
        every = {**paths, **below}
        if every:
            self.keys.add(list(every.values()), None)
            with self._asking():
                self._all(lambda file: self._put(file, every[file]), list(every))
        return Sent(paths, frozenset(below.values()))

    def _put(self, file: Path, path: str) -> None:
        bucket, key = self._of(path)
        bucket.put(file, key)

    @contextlib.contextmanager
    def turn(self, fence: Fence | None, sent: Sent) -> Iterator[_BucketTurn]:
        """Write the turn down, and strike it out after its commit."""
        assert fence is not None
        self.keys.begin(fence.number)
        yield _BucketTurn(self, fence.number, sent)
        # What stays on the list where this fails is seen to be committed by whoever sweeps.
        with contextlib.suppress(RunFailed):
            self.keys.end(fence.number)

    def keep_now(self, path: str) -> None:
        """Send it, as something that bears no turn yet, but for what is there."""
        with self._asking():
            self.send(path, None)

    def send(self, path: str, turn: int | None, sent: Collection[str] = ()) -> None:
        """Send a file of this host's directory, or all of a directory, but for what is there; none of it changes."""
        files = dict(_files_of(self.root / path, path))
        self.keys.add(list(files.values()), turn)
        for file, each in files.items():
            bucket, key = self._of(each)
            if each not in sent and (turn is not None or bucket.size(key) != file.stat().st_size):
                bucket.put(file, key)

    def fetch(self, path: str) -> Path:
        """Copy it to this host, if it is not there yet; it is there whole or not at all."""
        here = self.root / path
        if not here.is_file() and self.size(path) is not None:
            with self._asking():
                self._fetch(*self._of(path), here)
        return here

    def fetch_all(self, path: str) -> Path:
        """Copy what is not there yet."""
        with self._asking():
            bucket, key = self._of(f"{path}/")
            for one in bucket.objects(key):
                below = self.root / path / str(one["Key"]).removeprefix(key)
                if not below.is_file():
                    self._fetch(bucket, str(one["Key"]), below)
        return self.root / path

    def _fetch(self, bucket: Bucket, key: str, target: Path) -> None:
        draft = self.root / "staging" / f"{uuid.uuid4().hex}.part"
        for directory in (target.parent, draft.parent):
            directory.mkdir(parents=True, exist_ok=True)
        try:
            bucket.fetch(key, None, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def files(self, path: str) -> list[str]:
        """List the objects."""
        with self._asking():
            bucket, key = self._of(f"{path}/")
            return [f"{path}/{str(one['Key']).removeprefix(key)}" for one in bucket.objects(key)]

    def settled(self, path: str, before: datetime) -> list[str]:
        """List the objects below it, by the first part of what follows, without what stands on our list."""
        with self._asking():
            bucket, key = self._of(f"{path}/")
            there = {str(one["Key"]).removeprefix(key).partition("/")[0] for one in bucket.objects(key)}
        return sorted(there - {listed.removeprefix(f"{path}/").partition("/")[0] for listed in self.keys.all()})

    def take_out(self, path: str, target: Path) -> bool:
        """Copy it to this host, and delete the object."""
        with self._asking():
            bucket, key = self._of(path)
            if bucket.size(key) is None:
                return False
            self._fetch(bucket, key, target)
            bucket.remove(key)
        return True

    def remove(self, path: str) -> None:
        """Delete this host's copies, and then the objects below it: by these it is known what is still to go."""
        shutil.rmtree(self.root / path, ignore_errors=True)
        with self._asking():
            bucket, key = self._of(f"{path}/")
            for one in bucket.objects(key):
                bucket.remove(str(one["Key"]))

    def place_of(self, path: str) -> str:
        """Give its URL; names of ours are no patterns."""
        return f"{self.marker.bucket}/{path}"

    def fetch_anew(self, path: str) -> Path:
        """Copy it to this host, whatever is there."""
        with self._asking():
            if self.size(path) is not None:
                self._fetch(*self._of(path), self.root / path)
        return self.root / path

    def size(self, path: str) -> int | None:
        """Ask for it."""
        with self._asking():
            bucket, key = self._of(path)
            return bucket.size(key)

    @contextlib.contextmanager
    def at_hand(self, path: str) -> Iterator[Path]:
        """Copy it to this host, and delete that again."""
        bucket, key = self._of(path)
        draft = self.root / "staging" / f"{uuid.uuid4().hex}.part{Path(path).suffix}"
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._asking():
                self._copy(bucket, key, draft)
            yield draft
        finally:
            draft.unlink(missing_ok=True)

    def _copy(self, bucket: Bucket, key: str, target: Path) -> None:
        try:
            bucket.fetch(key, None, target)
        except BucketRefused as error:
            if bucket.size(key) is None:
                raise FileNotFoundError(f"s3://{bucket.name}/{key}") from error
            raise

    def copy_out(self, targets: Mapping[str, Path]) -> list[str]:
        """Copy kept files to files of this host, several at a time; give the paths of those that are not there."""
        paths = sorted(targets)
        for directory in {target.parent for target in targets.values()}:
            directory.mkdir(parents=True, exist_ok=True)

        def copy(path: str) -> bool:
            try:
                self._copy(*self._of(path), targets[path])
            except FileNotFoundError:
                targets[path].unlink(missing_ok=True)
                return False
            return True

        with self._asking():
            there = self._all(copy, paths)
        return [path for path, is_there in zip(paths, there, strict=True) if not is_there]

    def described(self, paths: Collection[str]) -> Mapping[str, FileState]:
        """List the folders that they are in."""
        folders = sorted({path.rpartition("/")[0] for path in paths})
        found = {path: state for folder in folders for path, state in self.listed(folder).items()}
        return {path: found[path] for path in paths if path in found}

    def listed(self, folder: str) -> Mapping[str, FileState]:
        """Describe all objects below a folder."""
        with self._asking():
            bucket, key = self._of(f"{folder}/")
            return {
                f"{folder}/{str(one['Key']).removeprefix(key)}": FileState(
                    int(one["Size"]), round(one["LastModified"].timestamp() * 10**9)
                )
                for one in bucket.objects(key)
            }

    def missing(self, places: Collection[str]) -> set[str]:
        """List the tables' objects: a thousand a request, where to ask for each takes a request."""
        there: set[str] = set()
        with self._asking():
            for folder in sorted({place.rpartition("/")[0] for place in places}):
                bucket, key = self._of(folder.removeprefix(f"{self.marker.bucket}/") + "/")
                there |= {f"s3://{bucket.name}/{one['Key']}" for one in bucket.objects(key)}
        return set(places) - there

    def sizes(self, places: Collection[str]) -> Mapping[str, int]:
        """Ask for each, several at a time."""
        paths = [place.removeprefix(f"{self.marker.bucket}/") for place in places]
        found = self._all(self.size, paths)
        return {place: size for place, size in zip(places, found, strict=True) if size is not None}

    def _all(self, ask: Callable[[Asked], Answer], paths: Sequence[Asked]) -> list[Answer]:
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return list(pool.map(ask, paths))

    def sweep(self, connection: duckdb.DuckDBPyConnection, copies: Collection[str]) -> Mapping[str, int]:
        """Go through the list: what the lake refers to is struck out, the rest is deleted first."""
        listed = self.keys.over()
        if not listed:
            return {}
        files = {row[0] for row in connection.execute(system_sql("upkeep/known_files")).fetchall()}
        models = {row[0] for row in connection.execute("SELECT artifact FROM ledger.models").fetchall()}

        def is_needed(path: str) -> bool:
            folder, _, name = path.rpartition("/")
            return name in files if path.startswith("data/") else folder in models or folder.split("/")[-1] in copies

        gone = [path for path in listed if not is_needed(path)]
        sizes = dict(zip(gone, self._all(self.size, gone), strict=True))
        with self._asking():
            self._all(self._delete, gone)
        self.keys.strike(listed)
        return {path: size for path, size in sizes.items() if size is not None}

    def _delete(self, path: str) -> None:
        bucket, key = self._of(path)
        bucket.remove(key)

    def may_hold_orphans(self) -> bool:
        """Tell whether a turn was left unended."""
        return bool(self.keys.turns_over())

    def orphans_are_gone(self) -> None:
        """Strike such turns out."""
        self.keys.strike(self.keys.turns_over())

    def require_can_forget(self) -> None:
        """See whether it keeps versions, and whether they can be deleted."""
        require_can_forget(*self._of(""))

    def forget_deleted(self) -> None:
        """Delete versions."""
        forget_deleted(*self._of(""))

    def write_note(self, name: str, text: str) -> None:
        """Put it there."""
        with self._asking():
            bucket, key = self._of(name)
            bucket.put_text(key, text)

    def note(self, name: str) -> str | None:
        """Read it."""
        with self._asking():
            bucket, key = self._of(name)
            return bucket.text(key)

    def remove_note(self, name: str) -> None:
        """Delete it, with its versions."""
        remove_for_good(*self._of(name))

    def require_own(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Do nothing: it names objects below its own prefix."""

    def bytes_here(self) -> None:
        """Nothing says so but a listing."""
        return


@dataclass(frozen=True)
class _BucketTurn:
    """A turn of writing to a bucket; `number` is the fence's, and `sent` what was there before."""

    storage: BucketPrefix
    number: int
    sent: Sent

    def place(self, staged: Path, schema: str, table: str) -> str:
        """Send it under its final name, which is written down first; of what was sent it only notes the turn."""
        path = self.sent.files.get(staged, f"data/{schema}/{table}/{new_name(staged)}")
        self.storage.keys.add([path], self.number)
        try:
            if staged not in self.sent.files:
                self.storage._put(staged, path)
        except BucketRefused as error:
            raise PublishFailed(
                f"{staged.name} could not be put into {self.storage.marker.bucket}: {error}. What was published before"
                " is unchanged; run this again."
            ) from error
        return self.storage.place_of(path)

    def keep(self, path: str) -> None:
        """Send what this host's directory has; of what was sent it only notes the turn."""
        with self.storage._asking():
            self.storage.send(path, self.number, self.sent.kept)
