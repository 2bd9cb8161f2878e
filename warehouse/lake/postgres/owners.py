"""Which processes are at work on a lake that several hosts share: each says so again and again, by the server's clock.

A process that was not heard of for `LASTS_S` is gone for all others, who take over its work. Should it come back (its
host slept, or was cut off), it commits nothing any more: the writer lock is given only to a process whose signs of life
have not lapsed, its own as well as that of the clock's run that it is part of (`ALMANAC_LEASE`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warehouse.errors import AlmanacError, PublishFailed
from warehouse.lake.postgres.sessions import session

if TYPE_CHECKING:
    import psycopg

#: How long a sign of life lasts, and how often it is given.
LASTS_S = 40
EVERY_S = 5.0
#: The run of the clock that this process is part of; see `jobs.schedule.processes.commands`.
_LEASE = "ALMANAC_LEASE"
_LIVES = "expires > clock_timestamp()"
_LAST = f"clock_timestamp() + interval '{LASTS_S} seconds'"


@dataclass(frozen=True)
class Sign:
    """What a process says of itself."""

    name: str
    kernel: str
    host: str
    pid: int
    command: str


#: The owners that this process keeps alive, by server.
_kept: dict[str, set[str]] = {}
_lock = threading.Lock()
_beating: set[tuple[int, str]] = set()


def appear(server: str, sign: Sign) -> None:
    """Write down a new owner, and keep it alive from now on."""
    insert = f"INSERT INTO almanac.owners VALUES (%s, %s, %s, %s, %s, {_LAST})"
    with session(server) as connection:
        connection.execute(insert, [sign.name, sign.kernel, sign.host, sign.pid, sign.command])
    with _lock:
        _kept.setdefault(server, set()).add(sign.name)
        if (os.getpid(), server) not in _beating:
            _beating.add((os.getpid(), server))
            threading.Thread(target=_beat, args=(server,), daemon=True, name="signs of life").start()


def vanish(server: str, name: str) -> None:
    """Take an owner away, whose work is over."""
    with _lock:
        _kept.get(server, set()).discard(name)
    # Where the server cannot be asked, its time runs out.
    with contextlib.suppress(AlmanacError), session(server) as connection:
        connection.execute("DELETE FROM almanac.owners WHERE name = %s", [name])


def living(server: str) -> dict[str, Sign]:
    """Give all owners that live, by name."""
    query = f"SELECT name, kernel, host, pid, command FROM almanac.owners WHERE {_LIVES}"
    with session(server) as connection:
        return {row[0]: Sign(*row) for row in connection.execute(query).fetchall()}


def forget_the_gone(server: str) -> None:
    """Forget owners whose time was up a day ago."""
    with session(server) as connection:
        connection.execute("DELETE FROM almanac.owners WHERE expires < clock_timestamp() - interval '1 day'")


def require_leases(connection: psycopg.Connection[Any], server: str) -> None:
    """Refuse who is gone for all others.

    Raises
    ------
    PublishFailed
        If this process was not heard of for so long that others may have taken over its work.
    """
    with _lock:
        names = sorted(_kept.get(server, set()))
    # A lease of a run of another lake, or of a time before the state was moved, is none of this one's.
    names += [os.environ[_LEASE]] if os.environ.get(_LEASE) else []
    if not names:
        return
    query = f"SELECT name FROM almanac.owners WHERE name = ANY(%s) AND NOT {_LIVES}"
    if connection.execute(query, [names]).fetchall():
        raise PublishFailed(
            f"this process was not heard of for more than {LASTS_S} s (its host slept, or was cut off from {server}),"
            " and others may have taken over its work. Nothing was changed; run this again."
        )


def beat_once(server: str, connection: psycopg.Connection[Any]) -> None:
    """Say once that this process lives. An owner whose time was up stays gone."""
    with _lock:
        names = sorted(_kept.get(server, set()))
    if names:
        change = f"UPDATE almanac.owners SET expires = {_LAST} WHERE name = ANY(%s) AND {_LIVES}"
        connection.execute(change, [names])


def _beat(server: str) -> None:
    pause = threading.Event()
    while True:
        with contextlib.suppress(AlmanacError, OSError), session(server) as connection:
            while not pause.wait(EVERY_S):
                beat_once(server, connection)
        pause.wait(EVERY_S)
