"""Late: how long after its instant each page was published, against what its product promises.

A page is of an instant, and is of use from when it is published. What counts is its first publication: a page that is
made again later was not late for that. A page that is due and was never published is late by as long as it is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from jobs.pages.states import grid_pages
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.system_sql import system_sql

#: How far back is looked unless told otherwise.
LOOK_BACK = timedelta(days=14)


@dataclass(frozen=True)
class Lateness:
    """One page: when it was first published, and how long after its instant that was (so far, if it never was).

    `is_late` is None for a product that promises nothing (`fresh_within`).
    """

    product: str
    page: datetime
    published_at: datetime | None
    late_by: timedelta
    fresh_within: timedelta | None
    is_late: bool | None


def late(
    suite: Suite, product_name: str | None = None, start: datetime | None = None, end: datetime | None = None
) -> list[Lateness]:
    """Tell of each page of one product, or of all, how late it was: the latest first.

    Parameters
    ----------
    start, end
        Pages with start <= as_of < end, naive UTC; by default those of the last two weeks.
    """
    chosen = [product_name] if product_name else list(suite.definitions.products)
    found: list[Lateness] = []
    with suite.lake.reading() as connection:
        for name in chosen:
            found += _of_product(connection, suite, suite.definitions.product(name), start, end)
    return sorted(found, key=lambda one: (one.product, -one.late_by, one.page))


def _of_product(
    connection: duckdb.DuckDBPyConnection,
    suite: Suite,
    product: Product,
    start: datetime | None,
    end: datetime | None,
) -> list[Lateness]:
    now, within = suite.clock(), product.header.fresh_within
    since = max(product.header.pages.since, now - LOOK_BACK) if start is None else start
    try:
        pages = grid_pages(product, since, end, now)
    except UsageError:
        return []  # one product may have no page where others have
    known = bool(table_columns(connection, "ledger", "pages"))
    query = system_sql("status/first_published")
    values = [product.name, pages[0], pages[-1]]
    first = dict(connection.execute(query, values).fetchall()) if known else {}
    rows = []
    for page in pages:
        published = first.get(page)
        late_by = (published or now) - page
        is_late = None if within is None else late_by > within
        rows.append(Lateness(product.name, page, published, late_by, within, is_late))
    return rows
