"""The files that a source is filled from: found, unpacked and told apart by their content.

`files` names paths or globs relative to the suite, or `package:NAME/PATH` inside an installed Python package,
which is located without being imported. The members of a .zip are unpacked. A `loader` is a function of the
suite's own, `module:function`, called with an empty directory; it returns the paths that it filled.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from warehouse.definitions import Source
from warehouse.errors import DefinitionError, IngestFailed, NotInstalled


@dataclass(frozen=True)
class DeliveredFile:
    """One file as found: `path` as shown to people, what it hashes to, and what to read (a .zip's members)."""

    path: str
    sha256: str
    bytes: int
    found: Path

    def readable(self, directory: Path) -> list[str]:
        """Give the paths to read, unpacking a .zip into `directory`."""
        if self.found.suffix != ".zip":
            return [str(self.found)]
        target = directory / self.sha256[:16]
        with zipfile.ZipFile(self.found) as archive:
            # Python's own name for Mac folders' resource forks, which are no data.
            members = sorted(name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name)
            return [archive.extract(name, target) for name in members]


def find_files(source: Source, root: Path, directory: Path) -> list[DeliveredFile]:
    """Find every file of a source, in the order of its header and by name within a glob.

    Raises
    ------
    NotInstalled
        If the package that holds the files is not there.
    IngestFailed
        If a path matches nothing, or a loader fails.
    """
    if source.header.loader is not None:
        return [_described(path, str(path)) for path in _load(source, source.header.loader, root, directory)]
    patterns = [source.header.files] if isinstance(source.header.files, str) else source.header.files or []
    return [file for pattern in patterns for file in _matches(source, pattern, root)]


def _matches(source: Source, pattern: str, root: Path) -> list[DeliveredFile]:
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
    if not found:
        raise IngestFailed(
            f"{source.file.where}: no file matches `{pattern}` under {base}. Put the files there, or correct `files`."
        )
    return [_described(path, pattern if pattern.startswith("package:") else str(path)) for path in found]


def _load(source: Source, loader: str, root: Path, directory: Path) -> list[Path]:
    module_name, _, function_name = loader.partition(":")
    target = directory / "loaded"
    target.mkdir()
    sys.path.insert(0, str(root))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(
            f"{source.file.where}: the loader `{loader}` cannot be imported: {error}. Write it as `module:function`,"
            f" with the module in {root} or installed."
        ) from error
    finally:
        sys.path.remove(str(root))
    try:
        return sorted(Path(path) for path in function(target))
    except Exception as error:  # a loader is the suite's own code and may raise anything
        raise IngestFailed(f"{source.file.where}: the loader `{loader}` failed: {error!r}") from error


def _described(path: Path, shown: str) -> DeliveredFile:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise IngestFailed(f"the file {path} cannot be read: {error}") from error
    return DeliveredFile(shown, digest, path.stat().st_size, path)
