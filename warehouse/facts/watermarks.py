"""Watermarks: the instant up to which a source's facts have been delivered, as known at some instant.

That nothing happened is known of a time only once everything that did happen then has been delivered. A source that
says how often it delivers (`expect: every`) has delivered up to its newest fact, as long as no pause between its facts
is longer than that: a day's file that never came holds the watermark where it would have begun, also when later files
are there. One with a `watermark` says so in its rows. Of any other source everything is taken to be here that became
known `arrives_within` ago.

As known at T, ingestions up to T count. Where the lake had none by then, its facts were delivered in bulk later, and
all of them count as if each had come in its time: `arrives_within` after it was known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from warehouse.definitions import Source
from warehouse.ledger.derivations import derivation_column, source_facts
from warehouse.system_sql import quote, system_sql

_MICROSECOND = timedelta(microseconds=1)
_SLICES = 16
#: From when to when facts became known, or are known to be none.
Stretch = tuple[datetime, datetime]


@dataclass(frozen=True)
class Delivered:
    """What one ingestion brought: when, stretches in which its facts became known, and the watermark in its rows."""

    ingest_id: int
    ingested_at: datetime
    stretches: list[Stretch] = field(default_factory=list)
    stated: datetime | None = None


def merged(stretches: Iterable[Stretch], every: timedelta) -> list[Stretch]:
    """Join stretches that lie no further apart than `every`; what is left between them are gaps."""
    found: list[Stretch] = []
    for first, last in sorted(stretches):
        if found and first - found[-1][1] <= every:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


class Watermarks:
    """The watermarks of sources in one state of the lake. What is read of a source is read once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, ingest_id: int) -> None:
        """Open them on a connection that has the lake in use; `ingest_id` is the newest ingestion that counts."""
        self._connection, self._ingest_id = connection, ingest_id
        self._read: dict[str, list[Delivered]] = {}

    def known_until(self, sources: Iterable[Source], at: datetime, ingest_id: int | None = None) -> datetime:
        """Give the instant as of which all facts of some sources had been delivered, as known at `at`.

        It is `at` itself where every source has delivered what had to be here by then. Labels are made as of it:
        what a source has not delivered does not count as not having happened.

        Parameters
        ----------
        sources
            Those that a label reads.
        at
            The instant of asking, naive UTC.
        ingest_id
            Leave out what later ingestions brought.
        """
        promised = [source for source in sources if source.promises_watermark]
        found = [later(self.of(source, at, ingest_id), source.header.arrives_within) for source in promised]
        return min([at, *found])

    def of(self, source: Source, at: datetime, ingest_id: int | None = None) -> datetime:
        """Give one source's watermark as known at `at`; the beginning of time if it has delivered nothing."""
        newest = at - source.header.arrives_within
        if not source.promises_watermark:
            return newest
        counted = [each for each in self.delivered(source) if ingest_id is None or each.ingest_id <= ingest_id]
        counted = [each for each in counted if each.ingested_at <= at] or counted
        if source.header.watermark is not None:
            stated = max((each.stated for each in counted if each.stated), default=datetime.min)
            return min(newest, stated)
        runs = self.runs(source, counted)
        return min(newest, runs[0][1]) if runs else datetime.min

    def runs(self, source: Source, delivered: Sequence[Delivered] | None = None) -> list[Stretch]:
        """Give the stretches of time that were delivered without a gap; a source without `every` has none."""
        expect = source.header.expect
        if expect is None or expect.every is None:
            return []
        counted = self.delivered(source) if delivered is None else delivered
        facts = [stretch for each in counted for stretch in each.stretches]
        if not facts:
            return []
        begin = min(first for first, _ in facts)
        quiet = [(each.after, each.before) for each in expect.quiet if each.before >= begin]
        return merged([*facts, *quiet], expect.every)

    def delivered(self, source: Source) -> list[Delivered]:
        """Read what each ingestion of a source brought, oldest first."""
        if source.name not in self._read:
            self._read[source.name] = self._look(source)
        return self._read[source.name]

    def _look(self, source: Source) -> list[Delivered]:
        held = source_facts(self._connection, [source]).get(source.name)
        if held is None:
            return []
        query = system_sql("watermarks/ingestions", derivation=derivation_column(self._connection))
        values = [source.name, self._ingest_id, held.derivation]
        ingestions = self._connection.execute(query, values).fetchall()
        if not any(n_rows for _, _, n_rows in ingestions):
            return []
        facts = {"source": f"sources.{quote(held.table)}", "ingest_id": str(self._ingest_id)}
        header, stated, stretches = source.header, dict[int, datetime](), dict[int, list[Stretch]]()
        if header.watermark is not None:
            statement = system_sql("watermarks/stated", watermark=header.watermark, **facts)
            stated = dict(self._connection.execute(statement).fetchall())
        elif header.expect is not None and header.expect.every:
            for ingest_id, first, last in self._connection.execute(_islands(header.expect.every, facts)).fetchall():
                stretches.setdefault(ingest_id, []).append((first, last))
            # A delivery of no rows says that there was nothing to deliver.
            for ingest_id, ingested_at, n_rows in ingestions:
                if not n_rows:
                    nothing = ingested_at - header.arrives_within
                    stretches.setdefault(ingest_id, []).append((nothing, nothing))
        return [Delivered(i, at, stretches.get(i, []), stated.get(i)) for i, at, _ in ingestions]


def _islands(every: timedelta, facts: dict[str, str]) -> str:
    microseconds = every // _MICROSECOND
    fragments = {"every": f"to_microseconds({microseconds})", "slice": str(max(1, microseconds // _SLICES))}
    return system_sql("watermarks/islands", **fragments, **facts)


def later(instant: datetime, by: timedelta) -> datetime:
    """Add a duration, up to the latest instant that there is."""
    return instant + by if datetime.max - instant > by else datetime.max
