"""The queries that this process runs, and what ends them: a limit of time, or that what is in hand is dropped.

DuckDB ends a query when its connection is interrupted, but looks for that between pieces of work only, never inside
one call of a function. So whoever watches asks again and again, and at last ends the process: of what it had in hand,
nothing was committed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import duckdb

from warehouse.errors import Dropped, RunFailed

#: How long a query may take where nobody says otherwise.
QUERY_TIMEOUT = timedelta(minutes=10)
#: How long a query that is over its limit has to heed an interrupt, and how long everything has once it is dropped.
PATIENCE_S, DROPPED_WITHIN_S = 10.0, 1.5
_ASK_AGAIN_S = 0.05


@dataclass
class _Query:
    connection: duckdb.DuckDBPyConnection
    deadline: float
    is_over: bool = False

    def interrupt(self) -> None:
        """Ask it to end; one that has ended may have its connection closed by now."""
        with contextlib.suppress(duckdb.Error):
            self.connection.interrupt()


_queries: dict[int, _Query] = {}
_changed = threading.Condition()
_dropped = threading.Event()
_watchman: threading.Thread | None = None


@contextlib.contextmanager
def running(connection: duckdb.DuckDBPyConnection, where: str, limit: timedelta = QUERY_TIMEOUT) -> Iterator[None]:
    """Run something on a connection that is ended after a time, or when everything is dropped.

    Parameters
    ----------
    where
        What runs, as shown to people.
    limit
        How long it may take.

    Raises
    ------
    RunFailed
        If it took longer.
    Dropped
        If everything is.
    """
    if _dropped.is_set():
        raise Dropped
    query = _Query(connection, time.monotonic() + limit.total_seconds())
    _watch(query)
    try:
        yield
    except duckdb.InterruptException as error:
        if _dropped.is_set():
            raise Dropped from error
        if query.is_over:
            raise RunFailed(
                f"{where}: the query took longer than {limit.total_seconds():g} s; make it do less, or raise"
                " `query_timeout` in product.yaml (of a source, in its header; --timeout of `almanac query`)."
            ) from error
        raise
    finally:
        with _changed:
            _queries.pop(id(query), None)


def _watch(query: _Query) -> None:
    global _watchman
    with _changed:
        _queries[id(query)] = query
        if _watchman is None or not _watchman.is_alive():
            # Also in a process that was forked from one that had a watchman.
            _watchman = threading.Thread(target=_keep_watch, name="watching queries", daemon=True)
            _watchman.start()
        elif query.deadline < _woken_at:
            _changed.notify()


#: When the watchman looks again by himself.
_woken_at = 0.0


def _keep_watch() -> None:
    global _woken_at
    while True:
        with _changed:
            now = time.monotonic()
            late = [query for query in _queries.values() if query.deadline <= now]
            for query in late:
                query.is_over = True
                query.interrupt()
            wait = _ASK_AGAIN_S if late else min((q.deadline - now for q in _queries.values()), default=60.0)
            wait = min(wait, 60.0)
            _woken_at = now + wait
            if any(query.deadline + PATIENCE_S <= now for query in late):
                end_process("a query took too long and could not be interrupted; nothing of it was committed.", 1)
            _changed.wait(wait)


def drop_everything() -> None:
    """End all that runs, and let nothing new begin; it is asked for again until the process ends."""
    _dropped.set()
    until = time.monotonic() + DROPPED_WITHIN_S
    while time.monotonic() < until:
        with _changed:
            for query in _queries.values():
                query.interrupt()
        time.sleep(_ASK_AGAIN_S)


def end_process(why: str, code: int) -> None:
    """End the process at once, whatever it is in the middle of; only what was committed stays."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"almanac: {why}\n" if why else "")
        sys.stderr.flush()
    os._exit(code)
