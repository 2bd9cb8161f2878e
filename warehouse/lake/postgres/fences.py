"""The fence: which turn of writing a commit belongs to, as the catalogue itself checks it.

A lock of the server is held by one connection, and DuckLake commits by another. If the first breaks (a failover, a
restart, a cut cable), somebody else gets the lock while the first writer still believes that it has it. So each
holder of the lock also raises a number in the catalogue, `almanac.writer.fence`, and its commits bear that number; the
guard (sql/system/catalogue/guard.sql) refuses one that bears an older number.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warehouse.errors import AlmanacError, PublishFailed
from warehouse.lake.postgres.sessions import session

if TYPE_CHECKING:
    import duckdb
    import psycopg

#: How long the server is waited for that broke off a commit, to learn what became of it.
ASK_AGAIN_S = 60.0
_BETWEEN_S = 0.5


@dataclass(frozen=True)
class Fence:
    """One turn of writing. `number` is borne by what is committed in it."""

    server: str
    number: int
    _commit: str = field(default_factory=lambda: uuid.uuid4().hex)

    def extra_info(self, snapshot_id: int) -> str:
        """Give what a commit says of itself to the guard: its turn, the snapshot that it foresees, and its name."""
        return json.dumps({"fence": self.number, "snapshot": snapshot_id, "commit": self._commit})

    def took_place(self, snapshot_id: int) -> bool | None:
        """Tell whether a commit that met an error took place all the same; None if the server cannot be asked.

        The fence is raised first: that waits for a commit that the server has not ended yet, and one that reaches it
        later is refused. After that, the answer cannot change any more.
        """
        until = time.monotonic() + ASK_AGAIN_S
        while True:
            try:
                with session(self.server) as connection:
                    raise_fence(connection, "whoever asks what became of a commit")
                    query = "SELECT commit_extra_info FROM public.ducklake_snapshot_changes WHERE snapshot_id = %s"
                    row = connection.execute(query, [snapshot_id]).fetchone()
                    return row is not None and self._commit in str(row[0])
            except (AlmanacError, OSError):
                if time.monotonic() > until:
                    return None
                time.sleep(_BETWEEN_S)


def end_commit(connection: duckdb.DuckDBPyConnection, message: str, fence: Fence | None, snapshot_id: int) -> None:
    """Commit a transaction of a lake, and find out what became of it where the connection broke meanwhile.

    Raises
    ------
    duckdb.Error
        If it did not take place.
    PublishFailed
        If nobody knows.
    """
    if fence is None:
        connection.execute("CALL lake.set_commit_message('almanac', $1)", [message])
        connection.execute("COMMIT")
        return
    sealed = [message, fence.extra_info(snapshot_id)]
    connection.execute("CALL lake.set_commit_message('almanac', $1, extra_info => $2)", sealed)
    try:
        connection.execute("COMMIT")
    except _duckdb_error() as error:
        took_place = fence.took_place(snapshot_id)
        if took_place is None:
            raise PublishFailed(
                f"the server of the catalogue was lost during the commit «{message}», so that nobody knows whether it"
                f" took place: {error}. Once the server answers, `almanac status` shows it; running this again is safe."
            ) from error
        if not took_place:
            raise


def raise_fence(connection: psycopg.Connection[Any], holder: str) -> int:
    """Begin a turn; give its number. What bears an earlier one is refused from now on."""
    change = (
        "UPDATE almanac.writer SET fence = fence + 1, holder = %s, taken_at = clock_timestamp() WHERE id = 1"
        " RETURNING fence"
    )
    row = connection.execute(change, [holder]).fetchone()
    assert row is not None
    return int(row[0])


def _duckdb_error() -> type[Exception]:
    import duckdb

    return duckdb.Error
