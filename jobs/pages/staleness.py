"""Staleness: whether a published page still says what it would say if it were made now, derived and never stored.

A page is stale if the definitions that it was made from mean something else now (their parsed queries, not their
whitespace or comments), if a later ingestion brought facts that it would have seen, or, for predictions, if
another version writes it now.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from warehouse.definitions import Definitions, Product
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord, Promotion, SourceFacts
from warehouse.sandbox import earlier


@dataclass(frozen=True)
class _Source:
    """A source's ingestions, oldest first, each with the earliest fact that it or any later one brought."""

    name: str
    arrives_within: timedelta
    facts: SourceFacts
    ingest_ids: Sequence[int]
    earliest: Sequence[datetime]

    def late(self, record: PageRecord) -> int | None:
        """Give the first ingestion since the page was made that brought facts known before it."""
        horizon = earlier(record.as_of, self.arrives_within)
        later = bisect.bisect_right(self.ingest_ids, record.ingest_id)
        if later == len(self.ingest_ids) or self.earliest[later] >= horizon:
            return None
        return self.facts.newer_than(record.ingest_id, horizon)


class Staleness:
    """Judges the pages of one product; asking about ten thousand of them takes milliseconds."""

    def __init__(self, definitions: Definitions, product: Product, facts: Mapping[str, SourceFacts]) -> None:
        """Read once what all pages are compared with.

        Parameters
        ----------
        definitions, product
            As they are now.
        facts
            What the ledger knows of each source, by name.
        """
        self.fingerprint = definitions.page_fingerprint(product)
        self._sources = [
            _source(source.name, source.header.arrives_within, facts.get(source.name, SourceFacts()))
            for source in definitions.sources_of(product)
        ]

    def why(self, record: PageRecord) -> str | None:
        """Say why a page's features are out of date, or None if they are not. Its model is not looked at."""
        if record.definitions != self.fingerprint:
            return "the definitions have changed"
        for source in self._sources:
            if (late := source.late(record)) is not None:
                return f"ingestion {late} brought facts of `{source.name}` known before the page"
        return None


def _source(name: str, arrives_within: timedelta, facts: SourceFacts) -> _Source:
    brought = sorted((ingest_id, known or datetime.max) for ingest_id, known in facts.ingestions)
    earliest = list(itertools.accumulate((known for _, known in reversed(brought)), min))[::-1]
    return _Source(name, arrives_within, facts, [ingest_id for ingest_id, _ in brought], earliest)


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
