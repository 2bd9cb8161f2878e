"""A store of backups: a directory that keeps states of one lake, each file of theirs once.

    almanac-backups.json        which suite's lake it is of
    objects/ab/SHA-256          a file, named by its content
    states/NAME.json            a state: the files of a lake at an instant, by their hashes
    store.lock                  held by whoever writes or restores

A state is written last, under another name first, so that a process that dies leaves the states that there were. The
name of a state ends in the hash of its text. Nothing here knows what a lake is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import filelock

from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.staged_files import sha256_of

_FORMAT = 1
_MARK = "almanac-backups.json"
_PIECE = 1 << 20
_NAME = re.compile(r"\d{6}-\d{8}T\d{6}-[0-9a-f]{12}")


@dataclass(frozen=True)
class StoredFile:
    """A file of a lake as a state has it: its path below the lake, and when it was last changed, in nanoseconds."""

    path: str
    bytes: int
    modified_ns: int
    sha256: str


@dataclass(frozen=True)
class State:
    """A state of a lake that a store keeps.

    Attributes
    ----------
    name
        What it is called: its number, its instant and the hash of its text; empty before it is written.
    made_at, made_by
        When (naive UTC), and by which version of Almanac.
    snapshot_id
        The lake's newest snapshot then.
    files
        Its files, by path.
    missing
        Paths of files that the catalogue named and that were not there.
    changed
        Paths of files that never change and had another content than in an earlier state, whose content this one has.
    """

    name: str
    made_at: datetime
    made_by: str
    snapshot_id: int
    files: tuple[StoredFile, ...]
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class Store:
    """A store of backups in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open a store that is there.

        Raises
        ------
        NotFoundError
            If the directory is none.
        UsageError
            If a newer version made it.
        """
        store = cls(root.resolve())
        mark = store._mark()
        if mark is None:
            raise NotFoundError(f"{root} has no backups of a lake; `almanac backup {root}` makes one.")
        if mark["format"] > _FORMAT:
            raise UsageError(f"{root} was made by a newer Almanac (format {mark['format']}); use that one.")
        return store

    @classmethod
    def open_or_make(cls, root: Path, suite_id: str) -> Store:
        """Open the store of a suite's lake, and make it where the directory is new or empty.

        Raises
        ------
        UsageError
            If the directory holds something else, or backups of another lake.
        """
        store = cls(root.resolve())
        if store._mark() is None:
            if store.root.is_dir() and any(store.root.iterdir()):
                raise UsageError(f"{root} holds other files, and no backups; name a new or empty directory.")
            store.root.mkdir(parents=True, exist_ok=True)
            _write(store.root / _MARK, json.dumps({"format": _FORMAT, "suite_id": suite_id}).encode())
        store = cls.open(root)
        if store.suite_id != suite_id:
            raise UsageError(f"{root} holds backups of another suite's lake; name another directory.")
        return store

    @property
    def suite_id(self) -> str:
        """Which suite's lake it keeps."""
        return str((self._mark() or {}).get("suite_id"))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for one command.

        Raises
        ------
        RunFailed
            If another command has it.
        """
        try:
            with filelock.FileLock(self.root / "store.lock", timeout=0):
                for left in self.root.glob("objects/*/.*"):
                    left.unlink()
                yield
        except filelock.Timeout as error:
            raise RunFailed(f"another command is at work on the backups in {self.root}; try again later.") from error

    def names(self) -> list[str]:
        """Give the names of the states, the oldest first."""
        return sorted(path.stem for path in self.root.glob("states/*.json") if _NAME.fullmatch(path.stem))

    def read(self, name: str) -> State:
        """Read a state.

        Raises
        ------
        NotFoundError
            If there is no such state.
        RunFailed
            If its text is not what was written.
        """
        if name not in self.names():
            known = ", ".join(self.names()[-5:]) or "none"
            raise NotFoundError(f"{self.root} has no state {name}; the newest are: {known}.")
        text = self._state_file(name).read_bytes()
        if hashlib.sha256(text).hexdigest()[:12] != name[-12:]:
            raise RunFailed(f"{self._state_file(name)} is damaged: take another state; `almanac backups` lists them.")
        found = json.loads(text)
        files = tuple(StoredFile(**file) for file in found.pop("files"))
        made_at, lists = datetime.fromisoformat(found.pop("made_at")), ("missing", "changed")
        found |= {each: tuple(found[each]) for each in lists}
        return State(**{**found, "name": name, "made_at": made_at, "files": files})

    def add(self, file: Path) -> str:
        """Copy a file into the store, unless it has its content; give its SHA-256."""
        unnamed = self.root / "objects" / "new" / f".{uuid.uuid4().hex}"
        unnamed.parent.mkdir(parents=True, exist_ok=True)
        try:
            with file.open("rb") as source, unnamed.open("wb") as target:
                sha256 = _copy(source, target)
                target.flush()
                os.fsync(target.fileno())
            home = self._object(sha256)
            if not home.exists():
                home.parent.mkdir(exist_ok=True)
                unnamed.rename(home)
                _sync(home.parent)
        finally:
            unnamed.unlink(missing_ok=True)
        return sha256

    def write(self, state: State) -> State:
        """Write a state whose files are all there; give it with its name."""
        text = json.dumps({**asdict(state), "made_at": state.made_at.isoformat()}, indent=1).encode()
        digest = hashlib.sha256(text).hexdigest()[:12]
        # By number, not by time: a clock may be set back.
        number = 1 + max((int(name[:6]) for name in self.names()), default=0)
        name = f"{number:06d}-{state.made_at:%Y%m%dT%H%M%S}-{digest}"
        _write(self._state_file(name), text)
        return replace(state, name=name)

    def copy_out(self, file: StoredFile, target: Path) -> None:
        """Copy a file of a state to where it is to be, and see that its content is what was stored.

        Raises
        ------
        RunFailed
            If it is not, or is gone.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._object(file.sha256).open("rb") as source, target.open("wb") as copy:
                sha256 = _copy(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
        except FileNotFoundError:
            sha256 = None
        if sha256 != file.sha256:
            raise RunFailed(f"{_what_is_wrong(self._object(file.sha256), sha256)}, which held {file.path}.")
        os.utime(target, ns=(file.modified_ns, file.modified_ns))

    def wrong_objects(self, state: State) -> list[str]:
        """Read every file of a state; give a sentence on each that is not what was stored."""
        wrong = []
        for file in state.files:
            home = self._object(file.sha256)
            found = sha256_of(home) if home.exists() else None
            if found != file.sha256:
                wrong.append(f"{_what_is_wrong(home, found)}, which held {file.path}")
        return wrong

    def prune(self, keep: int) -> list[str]:
        """Delete all states but the newest `keep`, and what only they had; give their names."""
        gone = self.names()[:-keep]
        for name in gone:
            self._state_file(name).unlink()
        if gone:
            needed = {file.sha256 for name in self.names() for file in self.read(name).files}
            for path in self.root.glob("objects/??/*"):
                if path.name not in needed:
                    path.unlink()
        return gone

    def _mark(self) -> dict[str, int] | None:
        try:
            found = json.loads((self.root / _MARK).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise RunFailed(f"{self.root / _MARK} is damaged: {error}; take another directory.") from error
        return found if isinstance(found, dict) and isinstance(found.get("format"), int) else None

    def _state_file(self, name: str) -> Path:
        return self.root / "states" / f"{name}.json"

    def _object(self, sha256: str) -> Path:
        return self.root / "objects" / sha256[:2] / sha256


def free_bytes(directory: Path) -> int:
    """Tell how many bytes are free where a directory is, or will be."""
    return shutil.disk_usage(next(path for path in (directory, *directory.parents) if path.exists())).free


def _what_is_wrong(file: Path, found: str | None) -> str:
    return f"{file} is {'gone' if found is None else 'damaged: its content is not what was stored'}"


def _copy(source: BinaryIO, target: BinaryIO) -> str:
    """Copy one open file to another in pieces; give the SHA-256 of what was read."""
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
        target.write(piece)
    return digest.hexdigest()


def _write(file: Path, content: bytes) -> None:
    """Write a small file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unnamed = file.with_name(f".{file.name}-{uuid.uuid4().hex[:6]}")
    with unnamed.open("wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    unnamed.rename(file)
    _sync(file.parent)


def _sync(directory: Path) -> None:
    """See that the names in a directory are on the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
