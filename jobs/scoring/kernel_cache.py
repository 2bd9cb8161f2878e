"""Where compiled kernels are kept on disk, and how several processes share them.

Compiling takes seconds, loading what was compiled takes milliseconds. The directory is named after everything
that the machine code depends on beside the CPU (which numba itself records), so that it never holds anything
stale, and a lock lets one process compile while others wait: numba's own index can, when two processes write
at once, name another signature's code (it numbers the files before it writes them).
"""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

SOURCES = ("kernel.py", "vector_code.py", "walk_kernel.py", "links.py")
LOCK_TIMEOUT_S = 300.0


def _fingerprint() -> str:
    """Return a name for these sources under this Python, numba and llvmlite."""
    import llvmlite
    import numba

    digest = hashlib.sha256()
    versions = (platform.python_version(), numba.__version__, llvmlite.__version__)
    for text in (*versions, *((Path(__file__).parent / name).read_text() for name in SOURCES)):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def _candidates() -> Iterator[Path]:
    """Yield the places to try: numba's own setting, the user's cache, a private temporary directory."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(chosen)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        yield Path(cache) / "almanac"
    else:
        with suppress(RuntimeError):
            yield Path.home() / ".cache" / "almanac"
    yield Path(tempfile.gettempdir()) / f"almanac-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _is_ours(directory: Path) -> bool:
    """Say whether the directory can be written, and by nobody else: what is in it will be executed."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        state = directory.stat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o022)


@lru_cache(maxsize=1)
def kernel_directory() -> Path | None:
    """Return the directory that compiled kernels are kept in, None if no place can be written."""
    for parent in _candidates():
        directory = parent / f"kernels-{_fingerprint()}"
        if _is_ours(directory):
            return directory
    return None


def compile_cached(function: Callable[..., Any]) -> Any:
    """Return numba's dispatcher of a function, its machine code kept in `kernel_directory`."""
    import numba
    from numba.core import config

    directory = kernel_directory()
    if directory is None:
        return numba.njit(nogil=True)(function)
    settings: Any = config
    before = settings.CACHE_DIR
    # numba reads the setting once, when a function is decorated; other packages' functions keep theirs.
    settings.CACHE_DIR = str(directory)
    try:
        return numba.njit(nogil=True, cache=True)(function)
    finally:
        settings.CACHE_DIR = before


@contextmanager
def _only_one_compiles() -> Iterator[None]:
    directory = kernel_directory()
    if directory is None:
        yield
        return
    from filelock import FileLock

    with FileLock(directory / "lock", timeout=LOCK_TIMEOUT_S):
        yield


def make_ready(kernel: Any, arguments: Sequence[Any]) -> None:
    """Compile a kernel for arguments like these, or load it; returns at once if that was done before."""
    import numba

    typeof: Any = vars(numba)["typeof"]
    signature = tuple(typeof(argument) for argument in arguments)
    if signature in kernel.overloads:
        return
    with _only_one_compiles():
        kernel.compile(signature)
