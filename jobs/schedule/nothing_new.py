"""What is new for a page since the page before it: facts, definitions, or who writes it.

A job that says `unless: nothing new` makes no page that would say what the newest one before it says. That is replaced
all the same where it would end, or be staler than the product promises, before the next page is due.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from warehouse.definitions import Definitions, Product, Source
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import source_facts
from warehouse.ledger.records import PageRecord, SourceFacts
from warehouse.ledger.rollouts import courses_of
from warehouse.sandbox import earlier
from warehouse.system_sql import quote, system_sql


def why_nothing_new(
    connection: duckdb.DuckDBPyConnection, definitions: Definitions, product: Product, page: datetime
) -> str | None:
    """Say why a page would say what the one before it says; None if something is new, or nobody can tell.

    Parameters
    ----------
    connection
        One that reads the lake.
    page
        The page's as_of, naive UTC. That pages of later are there changes nothing.
    """
    published = ledger.published_pages(connection, product.name, "predictions")
    if page in published:
        return None
    before = max((one for one in published if one < page), default=None)
    if before is None:
        return None
    record = published[before]
    if _is_over(product, record, page) or _is_of_others(connection, definitions, product, record, page):
        return None
    sources = definitions.sources_of(product)
    facts = source_facts(connection, sources)
    if any(_is_new(connection, one, facts.get(one.name, SourceFacts()), record, page) for one in sources):
        return None
    return f"nothing new since the page {before}"


def _is_over(product: Product, record: PageRecord, page: datetime) -> bool:
    """Tell whether the page before would end, or be staler than is promised, before the next page."""
    following = product.grid.next(page)
    if record.valid_until is not None and record.valid_until < following:
        return True
    fresh_within = product.header.fresh_within
    return fresh_within is not None and following - record.as_of > fresh_within


def _is_of_others(
    connection: duckdb.DuckDBPyConnection,
    definitions: Definitions,
    product: Product,
    record: PageRecord,
    page: datetime,
) -> bool:
    """Tell whether other definitions, another version or another step of a rollout make the page."""
    if record.definitions != definitions.page_fingerprint(product):
        return True
    version = ledger.model_in_effect(ledger.promotions(connection, product.name), page)
    if version != record.model_version:
        return True
    courses = courses_of(connection, product.name).courses
    return any(record.as_of < step.effective_from <= page for course in courses for step in course.steps)


def _is_new(
    connection: duckdb.DuckDBPyConnection, source: Source, facts: SourceFacts, record: PageRecord, page: datetime
) -> bool:
    """Tell whether facts of a source have become known between two pages, or came later than they were known."""
    arrives_within = source.header.arrives_within
    since, until = earlier(record.as_of, arrives_within), earlier(page, arrives_within)
    if facts.newer_than(record.ingest_id, until) is not None:
        return True
    if not facts.table:
        return False
    query = system_sql("schedule/became_known", source=f"sources.{quote(facts.table)}")
    return bool(connection.execute(query, [since, until]).fetchall())
