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
        n_hours, newest, pause = connection.execute(query, [at]).fetchone() or (0, None, None)
        if n_hours >= _FEWEST_HOURS and at - source.header.arrives_within - newest > pause:
            heard_at = later(newest, source.header.arrives_within + timedelta(microseconds=1))
            found.append(Silence(source.name, newest, pause, heard_at))
    return sorted(found, key=lambda each: each.since)
