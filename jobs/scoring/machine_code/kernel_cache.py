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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from warehouse.errors import ScoringFailed
from warehouse.private_cache import private_directory

#: All that `compile_cached` made.
_dispatchers: list[Any] = []
_KERNELS = Path(__file__).parents[1] / "kernels"
SOURCES = (
    _KERNELS / "kernel.py",
    _KERNELS / "kernel_input.py",
    _KERNELS / "vector_code.py",
    _KERNELS / "walk_kernel.py",
    _KERNELS / "link_kernels.py",
    _KERNELS.parent / "sieves" / "list_arrays.py",
    _KERNELS.parent / "sieves" / "sieve_kernel.py",
    Path(__file__).parent / "entry.py",
    Path(__file__).parent / "kept_code.py",
)
LOCK_TIMEOUT_S = 300.0


def _fingerprint(more: tuple[Path, ...]) -> str:
    """Return a name for these sources and more under this Python, numba and llvmlite."""
    # What is installed, asked without importing it: numba takes a quarter of a second.
    versions = (platform.python_version(), version("numba"), version("llvmlite"))
    digest = hashlib.sha256()
    for text in (*versions, *(path.read_text() for path in (*SOURCES, *more))):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


@lru_cache(maxsize=8)
def kernel_directory(more: tuple[Path, ...] = ()) -> Path | None:
    """Return the directory that compiled kernels are kept in, None if no place can be written."""
    return private_directory(f"kernels-{_fingerprint(more)}", chosen=os.environ.get("NUMBA_CACHE_DIR"))


def compile_cached(function: Callable[..., Any], more: tuple[Path, ...] = ()) -> Any:
    """Return numba's dispatcher of a function, its machine code kept in `kernel_directory`.

    Parameters
    ----------
    function
        The function.
    more
        Modules that it is made of beside `SOURCES`.
    """
    import numba
    from numba.core import config

    directory = kernel_directory(more)
    if directory is None:
        return numba.njit(nogil=True)(function)
    settings: Any = config
    before = settings.CACHE_DIR
    # numba reads the setting once, when a function is decorated; other packages' functions keep theirs.
    settings.CACHE_DIR = str(directory)
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    finally:
        settings.CACHE_DIR = before
    _dispatchers.append(dispatcher)
    return dispatcher


def _keep_nothing() -> None:
    """Let this process compile for itself from now on, and keep nothing, as where a disk is full."""
    from numba.core.caching import NullCache

    for dispatcher in _dispatchers:
        # numba 0.6x has no public way to take a cache from a function.
        dispatcher._cache = NullCache()


@contextmanager
def only_one_compiles() -> Iterator[None]:
    """Let one process compile, of those that share a directory, while others wait."""
    directory = kernel_directory()
    if directory is None:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(directory / "lock", timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise ScoringFailed(
            f"another process has been compiling the scoring kernels for more than {LOCK_TIMEOUT_S:.0f} s (lock:"
            f" {directory / 'lock'}). Run this again once it is done, or set NUMBA_CACHE_DIR to a directory of its own."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _load(kernel: Any, signature: tuple[Any, ...]) -> bool:
    """Load what was compiled for a signature, if it is kept; tell whether it was.

    As numba 0.6x's `Dispatcher.compile` does, but for its refresh: before it looks whether there is anything to load,
    that imports all that a compilation may need, scipy's linear algebra too. What was compiled needs numba's allocator
    alone.
    """
    from numba.core.caching import FunctionCache
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.runtime.nrt import rtsys

    if not isinstance(kernel._cache, FunctionCache):
        return False
    load, context = getattr(kernel._cache, "_load_overload"), kernel.targetctx  # noqa: B009 - it has no types
    with global_compiler_lock:
        if signature in kernel.overloads:
            return True
        rtsys.initialize(context)
        loaded = load(signature, context)
        if loaded is None or loaded.objectmode:
            return False
        context.insert_user_function(loaded.entry_point, loaded.fndesc, [loaded.library])
        kernel.add_overload(loaded)
        kernel._cache_hits[signature] += 1
    return True


def make_ready(kernel: Any, arguments: Sequence[Any]) -> None:
    """Compile a kernel for arguments like these, or load it; returns at once if that was done before.

    What is kept is a gain of time. Where it cannot be read or written, the kernel is compiled.
    """
    import numba

    typeof: Any = vars(numba)["typeof"]
    signature = tuple(typeof(argument) for argument in arguments)
    if signature in kernel.overloads:
        return
    try:
        with only_one_compiles():
            if not _load(kernel, signature):
                kernel.compile(signature)
    except (OSError, EOFError, UnpicklingError):
        _keep_nothing()
        kernel.compile(signature)
