"""A lake that was moved away: its catalogue says where to, and its writer lock is given to nobody any more.

Whoever still names the old place, a schedule on another host say, can read there, and is told where the lake is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warehouse.errors import RunFailed, UsageError
from warehouse.lake.postgres.fences import Fence, raise_fence
from warehouse.lake.postgres.sessions import session

if TYPE_CHECKING:
    import psycopg


def moved_to(connection: psycopg.Connection[Any]) -> str | None:
    """Tell where a catalogue's lake was moved to, as `almanac move-lake` was told; None if it was not.

    Lakes that earlier versions made have no column for it.
    """
    row = connection.execute("SELECT to_jsonb(noted) ->> 'moved_to' FROM almanac.lake AS noted").fetchone()
    return None if row is None or row[0] is None else str(row[0])


def require_not_moved(connection: psycopg.Connection[Any], server: str) -> None:
    """See that the lake was not moved away.

    Raises
    ------
    UsageError
        If it was.
    """
    where = moved_to(connection)
    if where is not None:
        raise UsageError(
            f"the lake of {server} was moved to {where}, and is written to there: let lake.yaml, or ALMANAC_LAKE, name"
            " that. Nothing was changed."
        )


def note_moved(fence: Fence, where: str) -> None:
    """Note that the lake was moved; the caller holds the writer lock, whose turn has to be the newest still.

    Raises
    ------
    RunFailed
        If another writer has had a turn meanwhile: what it committed may not be where the lake was moved to.
    """
    with session(fence.server) as connection, connection.transaction():
        row = connection.execute("SELECT fence FROM almanac.writer WHERE id = 1 FOR UPDATE").fetchone()
        if row != (fence.number,):
            raise RunFailed(
                f"the connection to {fence.server} was lost while its lake was copied, and another writer has had a"
                " turn since. The suite has the lake that it had; run this again, with a new place."
            )
        connection.execute("ALTER TABLE almanac.lake ADD COLUMN IF NOT EXISTS moved_to TEXT")
        connection.execute("UPDATE almanac.lake SET moved_to = %s", [where])
        raise_fence(connection, f"moved to {where}")
