"""Sources that have fallen silent: nothing has become known for longer than they ever paused before.

A source that promises nothing (`expect: every`, `watermark`) is taken to have delivered all that there was. One whose
files simply end looks the same as one in which nothing happens any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from warehouse.definitions import Source
from warehouse.facts.watermarks import later
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import source_facts
from warehouse.system_sql import quote, system_sql

#: Of a source with facts in fewer different hours nobody can tell how long it pauses.
_FEWEST_HOURS = 20
#: A source that paused for longer within so long a time is not silent, and no older fact has to be read.
_LATELY = timedelta(days=35)


@dataclass(frozen=True)
class Silence:
    """A silent source.

    Attributes
    ----------
    source
        Its name.
    since
        When its newest fact became known.
    longest_pause
        For how long, at most, nothing became known before.
    heard_at
        The first instant at which a sandbox shows that fact.
    """

    source: str
    since: datetime
    longest_pause: timedelta
    heard_at: datetime


def silences(connection: duckdb.DuckDBPyConnection, sources: Iterable[Source], at: datetime) -> list[Silence]:
    """Give those of some sources that are silent, as known at an instant; the one that has been for longest first.

    Those that promise a watermark are left out: they say themselves up to when they have delivered.

    Parameters
    ----------
    connection
        Has the lake in use.
    sources
        Those that a label reads.
    at
        The instant, naive UTC. Facts that were known before it count.
    """
    promising_nothing = [source for source in sources if not source.promises_watermark]
    held, found = source_facts(connection, promising_nothing), list[Silence]()
    ingest_id = str(ledger.newest_ingest_id(connection))
    for source in promising_nothing:
        if source.name not in held:
            continue
        facts = f"sources.{quote(held[source.name].table)}"
        query = system_sql("watermarks/pauses", source=facts, ingest_id=ingest_id)
        heard_until = at - source.header.arrives_within
        lately = heard_until - _LATELY if heard_until - datetime.min > _LATELY else datetime.min
        _, newest, pause = _pauses(connection, query, at, lately)
        if newest is not None and pause is not None and heard_until - newest <= pause:
            continue
        n_hours, newest, pause = _pauses(connection, query, at, datetime.min)
        if newest is not None and pause is not None and n_hours >= _FEWEST_HOURS and heard_until - newest > pause:
            heard_at = later(newest, source.header.arrives_within + timedelta(microseconds=1))
            found.append(Silence(source.name, newest, pause, heard_at))
    return sorted(found, key=lambda each: each.since)


def _pauses(
    connection: duckdb.DuckDBPyConnection, query: str, at: datetime, since: datetime
) -> tuple[int, datetime | None, timedelta | None]:
    """Give in how many hours facts became known, when the newest did, and the longest pause, from an instant on."""
    row = connection.execute(query, [at, since]).fetchone()
    return row or (0, None, None)
