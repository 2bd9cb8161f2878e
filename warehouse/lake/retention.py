"""Retention: which snapshots of the lake are kept, and when files that none of them shows are deleted.

Kept are: what was the newest state at any instant since `since`, so that every question about that time can be
answered; and, however old, the states at which model versions were registered, which show the feature pages that
they were trained on. DuckLake dates a snapshot by when its transaction began. The last one dated before `since` may
have become visible only after it, and whoever opened the lake in between reads the one before: both are kept. Writers
take turns, so that no more than one is ever on its way.

Letting go of the others only *retires* files. They are deleted once nobody can be reading them any more, some time
after: a reader that asked before holds no lock that could be seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import duckdb

from warehouse.lake.storage.storage import Storage
from warehouse.system_sql import system_sql

#: How long superseded pages are kept.
KEEP = timedelta(days=90)
#: How long files that nothing refers to are left to readers that began before.
GRACE = timedelta(hours=1)


def snapshots_to_expire(
    snapshots: Sequence[tuple[int, datetime]], since: datetime, needed: Collection[int]
) -> list[int]:
    """Choose the snapshots to expire.

    Parameters
    ----------
    snapshots
        Number of each, and the instant (naive UTC) at which its transaction began, in the order of their numbers.
    since
        From when on every state is kept, the two that may have been the newest at that instant among them.
    needed
        The numbers of those that are kept however old they are.
    """
    before = [number for number, began_at in snapshots if began_at < since]
    return [number for number in before[:-2] if number not in needed]


def expire_snapshots(connection: duckdb.DuckDBPyConnection, since: datetime) -> int:
    """Expire the snapshots that are not kept; give how many. The caller holds the writer lock.

    Parameters
    ----------
    connection
        One that writes to the lake.
    since
        See `snapshots_to_expire`.
    """
    snapshots = connection.execute(system_sql("upkeep/snapshots")).fetchall()
    needed = {row[0] for row in connection.execute(system_sql("upkeep/trainings")).fetchall()}
    gone = snapshots_to_expire(snapshots, since, needed)
    if gone:
        connection.execute(system_sql("upkeep/expire", versions=str(gone)))
    return len(gone)


def delete_retired_files(
    connection: duckdb.DuckDBPyConnection, before: datetime, storage: Storage
) -> Mapping[str, int]:
    """Delete the files that were retired before an instant (naive UTC). The caller holds the writer lock.

    Where some were retired since, those of the same day are left for the next time too: DuckLake tells no finer. Gives
    the bytes of each file that was there, by its place.
    """
    row = connection.execute(system_sql("upkeep/retired")).fetchone()
    if row is None or not row[0]:
        return {}
    if row[1] < before:
        return delete_files(connection, storage, "upkeep/delete_retired")
    day_before = datetime(before.year, before.month, before.day) - timedelta(microseconds=1)
    instant = day_before.isoformat(sep=" ")
    return delete_files(connection, storage, "upkeep/delete_retired_before", instant=instant)


def delete_files(
    connection: duckdb.DuckDBPyConnection, storage: Storage, call: str, **values: str
) -> Mapping[str, int]:
    """Have DuckLake delete files by one of its calls; give the bytes of each that was there, by its place.

    It is asked first which these are: nobody adds any, since the caller holds the writer lock.
    """
    would = connection.execute(system_sql(call, dry_run="true", **values)).fetchall()
    sizes = storage.sizes([row[0] for row in would])
    if would:
        storage.require_own(connection)
        connection.execute(system_sql(call, dry_run="false", **values))
    return sizes


def n_retired(connection: duckdb.DuckDBPyConnection) -> int:
    """Count the files that wait to be deleted."""
    row = connection.execute(system_sql("upkeep/retired")).fetchone()
    return int(row[0]) if row else 0
