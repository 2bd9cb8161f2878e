"""Directories for what is kept from one process to the next and is trusted: only this user may write to them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


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
