"""What a training depends on besides its rows: libraries, the platform, threads. Recorded, so as to be compared."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager
from typing import Any

from jobs.models.libraries import LIBRARIES

_LIBRARIES = (
    *("polars", "pyarrow", "duckdb", "numba", "skops", "onnxruntime"),
    *(name for library in LIBRARIES for name in library.distributions),
)


def library_versions() -> dict[str, str]:
    """Give the versions of the libraries that are installed and bear on a model."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def platform_text() -> str:
    """Name the machine's kind and the interpreter: floating-point results may differ between two of them."""
    return f"{platform.system()} {platform.machine()}, CPython {platform.python_version()}"


def threads() -> int:
    """Give how many threads estimators may use: what OpenMP, or else BLAS, is set to."""
    import sklearn.ensemble  # noqa: F401 loads the OpenMP library that is asked
    from threadpoolctl import threadpool_info

    return max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)


def limited_to(n_threads: int) -> AbstractContextManager[Any]:
    """Within it, OpenMP and BLAS use so many threads."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(n_threads)
    return limits
