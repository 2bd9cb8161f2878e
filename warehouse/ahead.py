"""The lake, opened in the background while a command does something else: reads its definitions, computes pages.

To open one takes up to a tenth of a second, and lets other threads of Python go on meanwhile. Whoever needs it before
it is there waits for it, and whoever needs it in vain gets the error: here nothing is said of one.
"""

from __future__ import annotations

import contextlib
import threading

import duckdb

from warehouse.errors import AlmanacError
from warehouse.lake import Lake


def open_ahead(lake: Lake, *, hold: bool = False, writing: bool = False) -> None:
    """Begin to open a lake, if there is one; see `Lake.open`."""

    def quietly() -> None:
        with contextlib.suppress(AlmanacError, OSError, duckdb.Error):
            lake.open(hold=hold, writing=writing)

    # Not a daemon thread: one that is stopped in the middle of DuckDB's work takes the process down with it.
    threading.Thread(target=quietly, name="opening the lake").start()
