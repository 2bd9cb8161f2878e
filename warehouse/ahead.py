"""What a command is going to need, got ready in the background while it does something else.

To open a lake takes a tenth of a second, and to import what writes to it takes longer; both let other threads of
Python go on meanwhile. Whoever needs it before it is there waits for it, and whoever needs it in vain gets the error:
here nothing is said of one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import duckdb

from warehouse.errors import AlmanacError
from warehouse.lake import Lake


def open_ahead(lake: Lake) -> None:
    """Open a lake for reading, if there is one."""
    _begin(lambda: lake.open(read_only=True))


def _begin(work: Callable[[], object]) -> None:
    def quietly() -> None:
        with contextlib.suppress(AlmanacError, OSError, ImportError, duckdb.Error):
            work()

    # Not a daemon thread: one that is stopped in the middle of DuckDB's work takes the process down with it.
    threading.Thread(target=quietly, name="getting ready").start()
