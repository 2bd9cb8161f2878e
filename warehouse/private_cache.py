"""What is kept from one process to the next and is trusted: only this user may write where it lies."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property, wraps
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def private_directory(name: str, *, chosen: str | None = None) -> Path | None:
    """Give a directory called `name`, made where it is missing, in the first place that only we can write to.

    The places are `chosen`, the user's cache directory, and a private directory for temporary files; None if there is
    none among them.
    """
    if chosen and _is_ours(Path(chosen) / name):
        return Path(chosen) / name
    # Who can write to the place can put another directory where ours was.
    found = next((place / name for place in _places() if _is_ours(place) and _is_ours(place / name)), None)
    if found is not None:
        with suppress(OSError):
            os.utime(found)  # it is in use: see `prune_private_directories`
    return found


def prune_private_directories(kept: timedelta) -> int:
    """Remove what no process has used for so long: kept answers and kernels of code that is gone.

    How old something is goes by the clock that dated it, the file system's: a suite's clock may be a simulated one, and
    what it would remove here is in use.
    """
    pruned = 0
    for place in [place for place in _places() if place.is_dir() and _is_ours(place)]:
        with tempfile.NamedTemporaryFile(dir=place) as newest:
            before = datetime.fromtimestamp(Path(newest.name).stat().st_mtime, UTC).replace(tzinfo=None) - kept
        for directory in [path for path in place.iterdir() if path.is_dir() and not path.is_symlink()]:
            used = datetime.fromtimestamp(directory.stat().st_mtime, UTC).replace(tzinfo=None)
            if used < before:
                shutil.rmtree(directory, ignore_errors=True)
                pruned += 1
    return pruned


def _places() -> Iterator[Path]:
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():
        yield cache / "almanac"
    else:
        with suppress(RuntimeError):
            yield Path.home() / ".cache" / "almanac"
    yield Path(tempfile.gettempdir()) / f"almanac-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _is_ours(directory: Path) -> bool:
    """Say whether the directory can be written, and by nobody else; our own is closed to others."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = directory.lstat()
        if hasattr(os, "getuid") and (state.st_uid != os.getuid() or not stat.S_ISDIR(state.st_mode)):
            return False
        if state.st_mode & 0o022:
            directory.chmod(stat.S_IMODE(state.st_mode) & ~0o022)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


class Stamps:
    """Digests of what was looked at once and found right, so that later processes of this user need not look again.

    They lie in one file, a line each, to which several processes may append at once. Without a place for it, a
    process knows what it found itself.
    """

    #: A file of more lines is begun anew: it costs a look at each thing, and no file grows for ever.
    MOST = 10_000

    def __init__(self, name: str) -> None:
        self.name = name

    def __contains__(self, digest: str) -> bool:
        return digest in self._known

    def add(self, digest: str) -> None:
        """Note that what has this digest was found right."""
        if digest in self._known:
            return
        mode = "a" if len(self._known) < self.MOST else "w"
        self._known.add(digest)
        if self._file is not None:
            # One short write at the end of a file: of two processes, neither writes into the other's line.
            with suppress(OSError), self._file.open(mode, encoding="ascii") as file:
                file.write(f"{digest}\n")

    @cached_property
    def _file(self) -> Path | None:
        directory = private_directory("stamps")
        return directory / self.name if directory else None

    @cached_property
    def _known(self) -> set[str]:
        try:
            return set(self._file.read_text(encoding="ascii").split()) if self._file else set()
        except (OSError, UnicodeDecodeError):
            return set()


def kept(
    name: str, kind: Any, *packages: ModuleType
) -> Callable[[Callable[Arguments, Answer]], Callable[Arguments, Answer]]:
    """Keep the answers of a function that takes long, in this process and for later ones.

    Parameters
    ----------
    name
        What a directory of answers is called.
    kind
        The type of the answers, which pydantic writes as JSON and reads again.
    packages
        The code from which, with DuckDB, the kind of machine and the `repr` of its arguments, the answer follows.
    """

    @cache
    def adapter() -> TypeAdapter[Any]:
        from pydantic import TypeAdapter

        return TypeAdapter(kind)

    # Of the code that is being loaded; what lies there later may be newer.
    code = _code_of(packages)

    @cache
    def place() -> Path | None:
        return private_directory(f"{name}-{code}")

    def decorate(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        answers: dict[str, Answer] = {}

        @wraps(function)
        def ask(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Answer:
            question = hashlib.sha256(repr((arguments, keywords)).encode()).hexdigest()
            if question not in answers:
                directory = place()
                file = directory / f"{question}.json" if directory else None
                found = _read(file, adapter()) if file else None
                answers[question] = function(*arguments, **keywords) if found is None else found
                if file and found is None:
                    _write(file, adapter().dump_json(answers[question]))
            return answers[question]

        return ask

    return decorate


def _read(file: Path, adapter: TypeAdapter[Answer]) -> Answer | None:
    """Read an answer; one that is missing or damaged has to be made again."""
    try:
        return adapter.validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None


def _write(file: Path, text: bytes) -> None:
    """Write a file that no other process sees half written."""
    with suppress(OSError), tempfile.TemporaryDirectory(dir=file.parent) as unfinished:
        (Path(unfinished) / file.name).write_bytes(text)
        (Path(unfinished) / file.name).replace(file)


def _code_of(packages: Sequence[ModuleType]) -> str:
    """Name the code of packages, DuckDB's, and the machine's kind."""
    import duckdb

    digest = hashlib.sha256(f"{duckdb.__version__} {platform.machine()}".encode())
    for package in packages:
        for file in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
