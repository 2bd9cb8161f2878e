"""Ingesting by a clock that was set back since the last ingestion.

A changed row is known from its ingestion on. By a clock that is too early it would be known to pages that were made
long before it came, and by one that was too late once it would be taken for older than what it replaces. Either gives
wrong values without an error.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from warehouse.definitions import Source
from warehouse.errors import IngestFailed
from warehouse.facts.watermarks import later
from warehouse.system_sql import system_sql
from warehouse.wording import to_the_second


def refuse_a_clock_set_back(connection: duckdb.DuckDBPyConnection, source: Source, now: datetime, *, may: bool) -> None:
    """Refuse to take in anything if it is earlier than the source's last ingestion, by more than clocks differ.

    With `may` somebody has said that the clock is right.

    Raises
    ------
    IngestFailed
        With what to do.
    """
    row = connection.execute(system_sql("ingest/last_ingestion"), [source.name]).fetchone()
    last: datetime | None = row[0] if row else None
    if not may and last is not None and last > later(now, source.header.clock_skew):
        raise IngestFailed(
            f"{source.file.where}: by this machine's clock it is {to_the_second(now)}, and {source.name} was last taken"
            f" in at {to_the_second(last)}, which is later: the clock is wrong now, or it was then. Nothing was taken"
            f" in. Set the clock right; if it is right, run `almanac ingest {source.name} --set-back`: what changed in"
            " the ingestion of then stays dated so."
        )
