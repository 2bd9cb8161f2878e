"""Which pages have all their labels: the time for them has passed, and their sources have delivered it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.facts.watermarks import Watermarks
from warehouse.ledger import records as ledger


def matured_pages(suite: Suite, product: Product, pages: Sequence[datetime], known_by: datetime) -> list[datetime]:
    """Leave out pages whose labels had not all had the time to come: what comes early is not like what comes late.

    Nor do those count of which a source that label.sql reads had not delivered all by `known_by`.
    """
    sources = suite.definitions.sources_read([product.label])
    settled_by = known_by
    if any(source.promises_watermark for source in sources):
        with suite.lake.reading() as connection:
            watermarks = Watermarks(connection, ledger.newest_ingest_id(connection))
            settled_by = watermarks.known_until(sources, known_by)
    return [page for page in pages if page + product.maturity <= settled_by]
