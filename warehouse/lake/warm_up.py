"""The lake, opened in the background while a command does something else: reads its definitions, computes pages.

To open one takes up to a tenth of a second, and lets other threads of Python go on meanwhile. Whoever needs it before
it is there waits for it. Errors are not reported here: whoever needs the lake meets them again.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor

import duckdb

from warehouse.errors import AlmanacError
from warehouse.lake.lake import Lake, check_format, newest_snapshot


def open_ahead(lake: Lake, *, hold: bool = False, writing: bool = False) -> None:
    """Begin to open a lake, if there is one; see `Lake.open`."""

    def quietly() -> None:
        with contextlib.suppress(AlmanacError, OSError, duckdb.Error):
            lake.open(hold=hold, writing=writing)

    # Not a daemon thread: one that is stopped in the middle of DuckDB's work takes the process down with it.
    threading.Thread(target=quietly, name="opening the lake").start()


#: Instances at a snapshot that was the newest, by process and catalogue, on their way to whoever asks first.
_spares: dict[Hashable, Future[tuple[int, duckdb.DuckDBPyConnection, str]]] = {}


def connect_ahead(lake: Lake) -> None:
    """Begin to open an instance of its own at the newest snapshot, for `connect` to give away."""

    def open_spare() -> tuple[int, duckdb.DuckDBPyConnection, str]:
        with lake.reading() as kept:
            check_format(kept, lake.root)
            snapshot_id = newest_snapshot(kept)
        name = hidden_name()
        return snapshot_id, lake.connect(snapshot_id=snapshot_id, name=name, for_authors=True), name

    pool = ThreadPoolExecutor(max_workers=1)
    _spares[lake.catalogue.identity()] = pool.submit(open_spare)
    pool.shutdown(wait=False)


def connect(lake: Lake, snapshot_id: int) -> tuple[duckdb.DuckDBPyConnection, str]:
    """Open an instance at a snapshot, or give away one that is open already, with its lake's `hidden_name`."""
    spare = _spares.pop(lake.catalogue.identity(), None)
    if spare is not None:
        with contextlib.suppress(AlmanacError, OSError, duckdb.Error):
            shown, connection, name = spare.result()
            if shown == snapshot_id:
                return connection, name
            connection.close()
    name = hidden_name()
    return lake.connect(snapshot_id=snapshot_id, name=name, for_authors=True), name


def hidden_name() -> str:
    """Draw a name for a lake that is attached where authors' queries run, so that none can name its tables."""
    return f"lake_{secrets.token_hex(16)}"
