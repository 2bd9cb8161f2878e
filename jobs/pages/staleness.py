"""Staleness: whether a published page still says what it would say if it were made now, derived and never stored.

A page is stale if the definitions that it was made from mean something else now (their parsed queries, not their
whitespace or comments), if a later ingestion brought facts that its queries would have read, or, for predictions, if
another version writes it now.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from warehouse.definitions import Definitions, Product, Source
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord, Promotion, SourceFacts
from warehouse.sandbox import earlier
from warehouse.system_sql import quote, system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from warehouse.batching.reach import Reach


class _Source:
    """A source's ingestions, oldest first, each with the earliest fact that it or any later one brought."""

    def __init__(
        self,
        source: Source,
        facts: SourceFacts,
        connection: duckdb.DuckDBPyConnection | None,
        relation: Callable[[Source], str] | None,
    ) -> None:
        self.name, self.facts, self.connection = source.name, facts, connection
        # Where it lies is asked anew each time: a sandbox may have taken it into its memory meanwhile.
        self._relation: Callable[[], str] = lambda: (
            relation(source) if relation else f"lake.sources.{quote(facts.table)}"
        )
        self.arrives_within = source.header.arrives_within
        brought = sorted((ingest_id, known or datetime.max) for ingest_id, known in facts.ingestions)
        self.ingest_ids = [ingest_id for ingest_id, _ in brought]
        self.earliest = list(itertools.accumulate((known for _, known in reversed(brought)), min))[::-1]
        self._known_at: dict[int, npt.NDArray[np.datetime64]] = {}

    def late(self, record: PageRecord, reach_of_source: Callable[[str], Reach | None]) -> int | None:
        """Give the first ingestion since the page was made that brought facts which the page's queries read."""
        later = bisect.bisect_right(self.ingest_ids, record.ingest_id)
        if later == len(self.ingest_ids):
            return None
        horizon = earlier(record.as_of, self.arrives_within)
        if self.earliest[later] >= horizon:
            return None
        reach = reach_of_source(self.name) if self.connection is not None else None
        since = reach.since(record.as_of) if reach is not None else None
        if since is None:
            return self.facts.newer_than(record.ingest_id, horizon)
        return next((one for one in self.ingest_ids[later:] if self._brought(one, since, horizon)), None)

    def _brought(self, ingest_id: int, since: datetime, until: datetime) -> bool:
        """Tell whether an ingestion brought facts with since <= known_at < until."""
        import numpy as np

        if ingest_id not in self._known_at:
            assert self.connection is not None
            query = system_sql("staleness/known_at", source=self._relation())
            with contextlib.closing(self.connection.cursor()) as cursor:
                found = cursor.execute(query, [ingest_id]).fetchnumpy()["known_at"]
            self._known_at[ingest_id] = np.asarray(found, "M8[us]")
        known = self._known_at[ingest_id]
        first = np.searchsorted(known, np.datetime64(since, "us"))
        return bool(first < np.searchsorted(known, np.datetime64(until, "us")))


class Staleness:
    """Judges the pages of one product; asking about ten thousand of them takes milliseconds.

    Where late facts came, it looks how far back the product's queries read: a fact from before that changes no page.
    """

    def __init__(
        self,
        definitions: Definitions,
        product: Product,
        facts: Mapping[str, SourceFacts],
        connection: duckdb.DuckDBPyConnection | None = None,
        relation: Callable[[Source], str] | None = None,
    ) -> None:
        """Read once what all pages are compared with.

        Parameters
        ----------
        definitions, product
            As they are now.
        facts
            What the ledger knows of each source, by name.
        connection
            Reads the lake for as long as pages are asked about. Without it all facts known before a page count.
        relation
            Gives the relation of a source's facts by which it reads them; None: their table, in the lake as `lake`.
        """
        self.fingerprint = definitions.page_fingerprint(product)
        self._definitions, self._product = definitions, product
        self._reaches: dict[str, Reach | None] = {}
        self._sources = [
            _Source(source, facts.get(source.name, SourceFacts()), connection, relation)
            for source in definitions.sources_of(product)
        ]

    def why(self, record: PageRecord) -> str | None:
        """Say why a page's features are out of date, or None if they are not. Its model is not looked at."""
        if record.definitions != self.fingerprint:
            return "the definitions have changed"
        for source in self._sources:
            if (late := source.late(record, self._reach)) is not None:
                return f"ingestion {late} brought facts of `{source.name}` known before the page"
        return None

    def _reach(self, source: str) -> Reach | None:
        if source not in self._reaches:
            # Most daily runs meet no late facts, and need nothing of it.
            from warehouse.batching.reach import reach_of

            self._reaches[source] = reach_of(self._definitions, self._product, source)
        return self._reaches[source]


def versions_in_effect(
    promotions: Sequence[Promotion], pages: Iterable[datetime]
) -> Iterator[tuple[datetime, str | None]]:
    """Yield each page with the version that writes it, or None where none was in effect yet.

    Parameters
    ----------
    promotions
        A product's, in any order.
    pages
        `as_of`, naive UTC, in any order.
    """
    starts = sorted({promotion.effective_from for promotion in promotions})
    known: dict[int, str | None] = {}
    for page in pages:
        place = bisect.bisect_right(starts, page)
        if place not in known:
            known[place] = ledger.model_in_effect(promotions, page)
        yield page, known[place]
