"""The files that a source is filled from: found, unpacked and told apart by their content.

`files` names paths or globs relative to the suite, URLs (`remote_files`), or `package:NAME/PATH` inside an installed
Python package, which is located without being imported. The members of a .zip are unpacked. A `loader` is a function of
the suite's own, `module:function`, called with an empty directory; it returns the paths that it filled.
"""

from __future__ import annotations

import glob
import hashlib
import importlib
import importlib.util
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from jobs.facts.files.remote_files import TakenIn, fetched
from warehouse.definitions import Source
from warehouse.definitions.source import is_remote
from warehouse.errors import DefinitionError, IngestFailed, NotInstalled
from warehouse.without_pandas import let_pandas_in


@dataclass(frozen=True)
class DeliveredFile:
    """One file as found: `path` as shown to people, what it hashes to, and what to read (a .zip's members).

    `entry` is its place among the source's formats (`Source.parts`). `state` is what told it from another file when it
    was hashed; `unreadable` says why it could not be, and `sha256` then bears no hash.
    """

    path: str
    sha256: str
    bytes: int
    found: Path
    entry: int = 0
    state: tuple[int, ...] = ()
    unreadable: str = ""

    def has_changed(self) -> bool:
        """Tell whether it was written to, replaced or deleted since it was hashed."""
        try:
            return bool(self.state) and _state_of(self.found.stat()) != self.state
        except OSError:
            return True

    def readable(self, directory: Path) -> list[Path]:
        """Give the files to read, unpacking a .zip into `directory`.

        Raises
        ------
        IngestFailed
            If the .zip is damaged or encrypted.
        """
        if self.found.suffix.lower() != ".zip":
            return [self.found]
        target = directory / self.sha256[:16]
        try:
            with zipfile.ZipFile(self.found) as archive:
                members = sorted(filter(_is_data, archive.infolist()), key=lambda member: member.filename)
                # Each into a directory of its own: two members may bear one name.
                return [Path(archive.extract(member, target / f"{n:06}")) for n, member in enumerate(members)]
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError) as error:
            raise IngestFailed(
                f"the file {self.path} cannot be unpacked: {error}. Deliver it again, without a password."
            ) from error


def _is_data(member: zipfile.ZipInfo) -> bool:
    """Leave out directories, and the folder in which macOS keeps what belongs to no file's content."""
    return not member.is_dir() and "__MACOSX" not in PurePosixPath(member.filename).parts


def find_files(source: Source, root: Path, directory: Path, taken: TakenIn | None = None) -> list[DeliveredFile]:
    """Find every file of a source, in the order of its header and by name within a glob.

    Parameters
    ----------
    directory
        Where a loader writes its files, and what is fetched is put.
    taken
        What was taken in before, so that it need not be fetched again.

    Raises
    ------
    NotInstalled
        If the package that holds the files is not there.
    IngestFailed
        If a path matches nothing, or a loader fails.
    """
    if source.header.loader is not None:
        return _delivered(_load(source, source.header.loader, root, directory))
    if source.entries:
        return _files_of_entries(source, root, directory, taken)
    return [
        file
        for number, pattern in enumerate(source.patterns)
        for file in _matches(source, pattern, root, directory / f"pattern-{number}", taken)
    ]


def _files_of_entries(source: Source, root: Path, directory: Path, taken: TakenIn | None) -> list[DeliveredFile]:
    """Find the files of each format; a file that two patterns match is of the first one's."""
    found: dict[Path, DeliveredFile] = {}
    lacking: list[IngestFailed] = []
    for number, part in enumerate(source.entries):
        try:
            for file in _matches(part, str(part.header.files), root, directory / f"pattern-{number}", taken):
                there = Path(file.path) if is_remote(file.path) else file.found
                found.setdefault(there, replace(file, entry=number))
        except NotInstalled:
            raise
        except IngestFailed as error:
            lacking.append(error)
    if not found:
        raise lacking[0]
    return list(found.values())


def entry_of(source: Source, path: str, root: Path) -> int:
    """Tell of which format a file was that was delivered under a path, whether it is still there or not."""
    for number, part in enumerate(source.entries):
        pattern = str(part.header.files)
        if path == pattern or PurePath(path).match(pattern) or Path(path) in root.glob(pattern):
            return number
    endings = [PurePath(str(part.header.files)).suffix for part in source.entries]
    return endings.index(PurePath(path).suffix) if PurePath(path).suffix in endings else 0


def _matches(source: Source, pattern: str, root: Path, directory: Path, taken: TakenIn | None) -> list[DeliveredFile]:
    if is_remote(pattern):
        return [described_file(path, url) for url, path in fetched(source, pattern, directory, taken)]
    base, relative = root, pattern
    if pattern.startswith("package:"):
        package, _, relative = pattern.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise NotInstalled(
                f"{source.file.where}: the package `{package}` that holds {relative} is not installed;"
                f" run: pip install '{source.header.requires or package}'"
            )
        base = Path(spec.submodule_search_locations[0])
    if Path(relative).is_absolute():
        base = Path(Path(relative).anchor)
        relative = str(Path(relative).relative_to(base))
    found = sorted(path for path in base.glob(relative) if path.is_file())
    if (base / relative).is_file():
        found = [_itself(source, pattern, base / relative, found)]
    if not found:
        raise IngestFailed(
            f"{source.file.where}: no file matches `{pattern}` under {base}. Put the files there, or correct `files`."
        )
    return _delivered(found, pattern if pattern.startswith("package:") else "")


def _itself(source: Source, pattern: str, path: Path, matched: list[Path]) -> Path:
    """Take a pattern that is also the name of a file for that file, unless it matches others too."""
    others = [other for other in matched if other != path]
    if others:
        raise IngestFailed(
            f"{source.file.where}: `{pattern}` is the name of a file, and a pattern that matches {others[0]};"
            f" rename the file, or write `{glob.escape(pattern)}` for the file alone."
        )
    return path


def loaded_function(source: Source, name: str, root: Path) -> Callable[..., Any]:
    """Import a function of the suite's own, `module:function`.

    Raises
    ------
    DefinitionError
        If there is none.
    """
    let_pandas_in()
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, str(root))
    try:
        function: Callable[..., Any] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(
            f"{source.file.where}: the loader `{name}` cannot be imported: {error}. Write it as `module:function`,"
            f" with the module in {root} or installed."
        ) from error
    finally:
        sys.path.remove(str(root))
    return function


def _load(source: Source, loader: str, root: Path, directory: Path) -> list[Path]:
    target = directory / "loaded"
    target.mkdir()
    function = loaded_function(source, loader, root)
    try:
        return sorted(Path(path) for path in function(target))
    except Exception as error:  # a loader is the suite's own code and may raise anything
        raise IngestFailed(f"{source.file.where}: the loader `{loader}` failed: {error!r}") from error


def _delivered(paths: Sequence[Path], shown: str = "") -> list[DeliveredFile]:
    """Hash files. One that was deleted meanwhile is not delivered; one that may not be read is, to be set aside."""
    files = []
    for path in paths:
        name = shown or str(path)
        try:
            files.append(_hashed(path, name))
        except FileNotFoundError:
            continue
        except OSError as error:
            why = f"it cannot be read: {error.strerror or error}"
            files.append(DeliveredFile(name, f"cannot be read: {name}", 0, path, unreadable=why))
    return files


def described_file(path: Path, shown: str) -> DeliveredFile:
    """Hash a file; `shown` is its path as told to people.

    Raises
    ------
    IngestFailed
        If it cannot be read.
    """
    try:
        return _hashed(path, shown)
    except OSError as error:
        raise IngestFailed(f"the file {path} cannot be read: {error}") from error


def _hashed(path: Path, shown: str) -> DeliveredFile:
    with path.open("rb") as stream:
        found = os.fstat(stream.fileno())
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return DeliveredFile(shown, digest, found.st_size, path, state=_state_of(found))


def _state_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
