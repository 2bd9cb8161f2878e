"""What is kept from one process to the next and is trusted: only this user may write where it lies."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
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
    return next((place / name for place in _places(chosen) if _is_ours(place / name)), None)


def _places(chosen: str | None) -> Iterator[Path]:
    if chosen:
        yield Path(chosen)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache) / "almanac"
    else:
        with suppress(RuntimeError):
            yield Path.home() / ".cache" / "almanac"
    yield Path(tempfile.gettempdir()) / f"almanac-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _is_ours(directory: Path) -> bool:
    """Say whether the directory can be written, and by nobody else."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        state = directory.stat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)


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

    def decorate(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        answers: dict[str, Answer] = {}

        @wraps(function)
        def ask(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Answer:
            question = hashlib.sha256(repr((arguments, keywords)).encode()).hexdigest()
            if question not in answers:
                place = _answers(name, packages)
                file = place / f"{question}.json" if place else None
                found = _read(file, adapter()) if file else None
                answers[question] = function(*arguments, **keywords) if found is None else found
                if file and found is None:
                    _write(file, adapter().dump_json(answers[question]))
            return answers[question]

        return ask

    return decorate


def _read(file: Path, adapter: TypeAdapter[Answer]) -> Answer | None:
    """Read an answer; one that is not there, or that somebody spoilt, has to be made anew."""
    try:
        return adapter.validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None


def _write(file: Path, text: bytes) -> None:
    """Write a file that no other process sees half written."""
    with suppress(OSError):
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as unfinished:
            unfinished.write(text)
        Path(unfinished.name).replace(file)


@cache
def _answers(name: str, packages: tuple[ModuleType, ...]) -> Path | None:
    """Give the directory of a function's answers, named after all code that they follow from."""
    import duckdb

    digest = hashlib.sha256(f"{duckdb.__version__} {platform.machine()}".encode())
    for package in packages:
        for file in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            digest.update(file.read_bytes())
    return private_directory(f"{name}-{digest.hexdigest()[:16]}")
