"""A lake that is being copied to a server: its catalogue says so, and nobody uses it until it is whole.

The mark is taken away last, once the copy was compared with what it is a copy of. Whoever opens the lake before, on
whatever host, is told by which command it is being copied, and to run that again if it was broken off.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from warehouse.errors import RunFailed
from warehouse.lake.postgres.sessions import session

#: Servers whose lake this process is comparing just now, which it may read for that.
_compared_here: set[str] = set()


@dataclass(frozen=True)
class NotedLake:
    """What a catalogue says of its lake: its id, since when it is there, and by whom it is still being copied."""

    lake: str
    since: datetime
    copied_by: str | None


def noted_lake(connection: Any) -> NotedLake | None:
    """Give what a database says of its lake; None if it has none. Earlier versions had no column for who copies it.

    `connection` is a session of psycopg's, or a `SharedState`.
    """
    if not connection.execute("SELECT to_regclass('almanac.lake') IS NOT NULL").fetchone()[0]:
        return None
    query = "SELECT lake, made_at, to_jsonb(noted) ->> 'copied_by' FROM almanac.lake AS noted"
    row = connection.execute(query).fetchone()
    return None if row is None else NotedLake(str(row[0]), row[1], row[2])


def require_arrived(noted: NotedLake | None, server: str) -> None:
    """See that no lake is under way to a database, unless it is this process that compares it.

    Raises
    ------
    RunFailed
        If one is.
    """
    if server in _compared_here:
        return
    if noted is not None and noted.copied_by is not None:
        since = noted.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        raise RunFailed(
            f"the lake of {server} is being copied to there since {since}, by {noted.copied_by}, and was not"
            " compared yet, so that nobody can use it: wait until that command has ended. If it was broken off, run it"
            " again, or let lake.yaml, or ALMANAC_LAKE, name another place. Nothing was changed."
        )


def begin_arrival(server: str, lake: str, command: str) -> str:
    """Note that a lake is being copied to a database by a command of Almanac's; give by what name it is noted."""
    copied_by = f"`almanac {command}` on {socket.gethostname()} (process {os.getpid()})"
    insert = "INSERT INTO almanac.lake (id, lake, made_at, copied_by) VALUES (1, %s, clock_timestamp(), %s)"
    with session(server) as connection, connection.transaction():
        # Other tables of an earlier version's try may be there.
        connection.execute("ALTER TABLE almanac.lake ADD COLUMN IF NOT EXISTS copied_by TEXT")
        connection.execute(insert, [lake, copied_by])
    return copied_by


def end_arrival(server: str, lake: str, copied_by: str) -> None:
    """Let everybody use a lake, which was compared.

    Raises
    ------
    RunFailed
        If another command has begun to copy a lake to there meanwhile.
    """
    change = "UPDATE almanac.lake SET copied_by = NULL WHERE lake = %s AND copied_by = %s"
    with session(server) as connection:
        if connection.execute(change, [lake, copied_by]).rowcount != 1:
            raise RunFailed(
                f"another command has begun to copy a lake to {server} while this one did; run only one of them again."
            )


@contextlib.contextmanager
def comparing(server: str) -> Iterator[None]:
    """Let this process read a lake that is under way, in order to compare it."""
    _compared_here.add(server)
    try:
        yield
    finally:
        _compared_here.discard(server)
