"""Profiles looked at and made: a page's columns beside their reference, and profiles of pages that have none.

Labels have a profile once all of a page's had the time to come: what comes early is not like what comes late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import duckdb

from jobs.metering import RunMeter
from jobs.monitoring.comparison import Comparison, compare
from jobs.monitoring.references import reference_pages
from jobs.suite import Suite
from warehouse.definitions import Definitions, Product
from warehouse.errors import NotFoundError
from warehouse.facts.watermarks import Watermarks
from warehouse.lake.lake import table_columns
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import (
    Profile,
    RowsOfPages,
    centres_of,
    forget_profiles,
    new_centres,
    profiles_of,
    record_centres,
)
from warehouse.pages.profiling.appended import append_profiles
from warehouse.pages.profiling.page_counts import profile_rows
from warehouse.pages.profiling.segments import append_segment_profiles, segment_counts
from warehouse.pages.profiling.segments_by import segments_by
from warehouse.system_sql import quote, system_sql

#: The kinds of pages that are profiled.
KINDS = ("features", "predictions", "labels")


@dataclass(frozen=True)
class PageComparison:
    """A page of one kind beside its reference; `columns` with the greatest PSI first, those without one last."""

    product: str
    kind: str
    page: datetime
    reference: list[datetime]
    columns: list[Comparison]


def compare_page(suite: Suite, product_name: str, page: datetime, column: str | None = None) -> list[PageComparison]:
    """Compare the columns of a published page with their references: its features, predictions and matured labels.

    Raises
    ------
    NotFoundError
        If the page has no profile, or no such column.
    """
    product = suite.definitions.product(product_name)
    found = []
    with suite.lake.reading() as connection:
        by_kind = ledger.published_pages_by_kind(connection, product.name, KINDS)
        wanted = [
            published[one]
            for published in by_kind.values()
            if page in published
            for one in [*reference_pages(product, page, published), page]
        ]
        profiles = profiles_of(connection, product.name, wanted, column)
    for kind in KINDS:
        own = [one for one in profiles if one.kind == kind and one.as_of == page]
        if own:
            earlier = [one for one in profiles if one.kind == kind and one.as_of < page]
            found.append(_compared(product.name, kind, page, own, earlier))
    if not found:
        what = f"column {column} of the page" if column else "page"
        raise NotFoundError(
            f"there is no profile of the {what} {page} of {product.name}. `almanac pages {product.name}` lists its"
            f" pages; `almanac monitor {product.name} --profile` profiles those of before there were profiles. Labels"
            " have one once all of the page's had the time to come."
        )
    return found


def _compared(product: str, kind: str, page: datetime, own: list[Profile], earlier: list[Profile]) -> PageComparison:
    columns = [compare(one, [other for other in earlier if other.column_name == one.column_name]) for one in own]
    columns.sort(key=lambda one: (one.psi is None, -(one.psi or 0), one.column))
    return PageComparison(product, kind, page, sorted({other.as_of for other in earlier}), columns)


@dataclass(frozen=True)
class Profiled:
    """Of one kind of pages: how many are published, how many of these had a profile, and how many got one now.

    Of labels those pages count whose labels had all had the time to come when they were made.
    """

    product: str
    kind: str
    published: int
    had: int
    made: int


def monitor(suite: Suite, product_name: str, make_profiles: bool = False) -> list[Profiled]:
    """Tell how many published pages have profiles; `make_profiles` for those that have none, in one pass and commit.

    A page that lacks profiles of its segments counts as one that has none.
    """
    product = suite.definitions.product(product_name)
    found = []
    for kind in KINDS:
        with suite.lake.reading() as connection:
            pages = _pages(connection, suite.definitions, product, kind)
        lacking = [page for page, is_profiled in pages if not is_profiled]
        made = _make_profiles(suite, product, kind, lacking) if make_profiles and lacking else 0
        found.append(Profiled(product.name, kind, len(pages), len(pages) - len(lacking), made))
    return found


def _pages(
    connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product, kind: str
) -> list[tuple[PageRecord, bool]]:
    published = ledger.published_pages(connection, product.name, kind)
    if kind == "labels":
        published = _matured(connection, definitions, product, published)
    wanted = [*segments_by(product, kind, table_columns(connection, kind, product.name))]
    rows = connection.execute(system_sql("profiles/lacking"), [product.name, kind, wanted]).fetchall()
    lacking = {as_of for (as_of,) in rows}
    return [(page, as_of not in lacking) for as_of, page in published.items()]


def _matured(
    connection: duckdb.DuckDBPyConnection,
    definitions: Definitions,
    product: Product,
    published: Mapping[datetime, PageRecord],
) -> dict[datetime, PageRecord]:
    """Give the pages all of whose labels had had the time to come when they were made."""
    read = definitions.sources_read([product.label])
    watermarks = Watermarks(connection, ledger.newest_ingest_id(connection))

    @cache
    def known_until(at: datetime, ingest_id: int) -> datetime:
        return watermarks.known_until(read, at, ingest_id)

    return {
        as_of: page
        for as_of, page in published.items()
        if as_of + product.maturity <= known_until(page.recorded_at, page.ingest_id)
    }


def _make_profiles(suite: Suite, product: Product, kind: str, pages: list[PageRecord]) -> int:
    meter = RunMeter(suite, "monitor", product.name)
    with suite.lake.reading(all_cores=True) as connection:
        columns = table_columns(connection, kind, product.name)
        rows = RowsOfPages(product, kind, f"{quote(kind)}.{quote(product.name)}", columns, pages)
        known = centres_of(connection, product.name)
        new = new_centres(connection, rows, known)
        parts = segment_counts(rows, {**new, **known})
        profiles = list(profile_rows(connection, rows, {**new, **known}, parts))
    with suite.lake.commit(f"profiles of {len(pages)} pages of {product.name}, run {meter.run_id}") as commit:
        there = centres_of(commit.connection, product.name)
        # What was published, profiled or begun from another centre meanwhile is left to the next call.
        now = _pages(commit.connection, suite.definitions, product, kind)
        lacking = {(page.run_id, page.as_of) for page, is_profiled in now if not is_profiled}
        is_moved = any(there.get(key, centre) != centre for key, centre in new.items())
        kept = [page for page in pages if (page.run_id, page.as_of) in lacking and not is_moved]
        forget_profiles(commit, kept)
        record_centres(commit, product.name, new, there, meter.run_id, suite.clock())
        append_profiles(commit, profiles, kept)
        append_segment_profiles(commit, parts.tables if parts is not None else (), kept)
        span = {"first_as_of": min(p.as_of for p in pages), "last_as_of": max(p.as_of for p in pages)}
        n_pages = len(kept)
        record = meter.record("succeeded", snapshot_id=commit.snapshot_id, n_pages=n_pages, **span)
        ledger.append(commit, [record])
    return n_pages
