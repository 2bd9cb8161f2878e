"""Keeps pandas out of a process until a model is loaded that may want it.

DuckDB and pyarrow import pandas, where it is installed, at the first value that they are handed, which takes half a
second. Where it is not installed they go on without, and a process that only scores needs it no more than they do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _WithoutPandas(MetaPathFinder):
    """An import finder under which pandas is as if it were not installed."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Find nothing, and let nobody else look for pandas."""
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def keep_pandas_out() -> None:
    """Keep pandas from being imported, unless it is there already."""
    if "pandas" not in sys.modules:
        sys.meta_path.insert(0, _WithoutPandas())


def let_pandas_in() -> None:
    """Let pandas be imported again: somebody's own Python is about to run."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _WithoutPandas)]
