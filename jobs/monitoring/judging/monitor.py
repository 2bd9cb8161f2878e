"""Monitor: judge what has been published, and tell what was found, page by page and over the last year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from jobs.monitoring.judging.judgements import judge_and_write
from jobs.monitoring.performance.cold import COLD
from jobs.monitoring.performance.judge import judge_performance
from jobs.suite import Suite
from warehouse.errors import AlmanacError, NotFoundError
from warehouse.ledger.alarms import ACUTE, DRIFT, WITHDRAWN, Alarm, alarms_of
from warehouse.ledger.drift import Drift, findings_of
from warehouse.pages.profiling.segments_by import cold_name

#: So many pages are shown unless a range is asked for.
SHOWN_PAGES = 28
_YEAR = timedelta(days=365)


@dataclass(frozen=True)
class MonitoredPage:
    """What was found of one page; `found` has the columns, or segments, by what is acute."""

    page: datetime
    rows: int
    state: str
    evidence: float | None
    found: dict[str, list[str]] = field(default_factory=dict)
    alarm: str | None = None


@dataclass(frozen=True)
class LastYear:
    """How often the pages of the year before the newest page have alarmed, or would have."""

    pages: int
    slow_alarms: int
    acute_alarms: int
    flagged_pages: int
    expected_pages: int


@dataclass(frozen=True)
class Monitored:
    """A product as its monitor sees it: its pages, the alarms that are open, and its last year."""

    product: str
    pages: list[MonitoredPage]
    open_alarms: list[Alarm]
    last_year: LastYear
    column: list[Drift] = field(default_factory=list)
    segments: list[Drift] = field(default_factory=list)


def monitor_product(
    suite: Suite,
    product_name: str,
    first: datetime | None = None,
    until: datetime | None = None,
    known_at: datetime | None = None,
    column: str | None = None,
    by: str | None = None,
) -> Monitored:
    """Judge the pages of a product, write down what is new, and tell of pages with first <= as_of < until.

    Parameters
    ----------
    first, until
        By default the newest 28 pages.
    known_at
        Nothing is judged, and what had been judged at that instant is told.
    column
        One column whose figures are told page by page too.
    by
        A column whose segments are told of page by page too.

    Raises
    ------
    NotFoundError
        If there is no such column.
    """
    product = suite.definitions.product(product_name)
    if known_at is None:
        judge_and_write(suite, product)
    with suite.lake.reading() as connection:
        rows = findings_of(connection, product.name, known_at=known_at, column=column)
        alarms = alarms_of(connection, product.name, known_at)
    of_column = [row for row in rows if column and (row.column_name or "").lower() == column.lower()]
    of_column = [row for row in of_column if row.segment is None]
    if column and rows and not of_column:
        raise NotFoundError(f"{product.name}: no page has a profile of a column {column}.")
    pages = _pages(rows)
    shown = [one for one in pages if (first is None or one.page >= first) and (until is None or one.page < until)]
    shown = shown if first or until else shown[-SHOWN_PAGES:]
    there = {one.page for one in shown}
    named = (cold_name(product) or COLD) if by == COLD else by
    return Monitored(
        product.name,
        shown,
        [one for one in alarms if one.state == "open"],
        _last_year(pages, alarms),
        [row for row in of_column if row.as_of in there],
        [row for row in rows if named and _is_by(row, named) and row.as_of in there],
    )


def _is_by(row: Drift, column: str) -> bool:
    """Tell whether a judgement is of a segment, as a whole, that a column makes."""
    segment = (row.segment or "").lower()
    is_made = segment.startswith(f"{column.lower()} = ") or segment == f"{column.lower()} missing"
    return row.column_name is None and is_made


def _pages(rows: Sequence[Drift]) -> list[MonitoredPage]:
    pages: dict[datetime, MonitoredPage] = {}
    for row in rows:
        if row.column_name is None and row.segment is None:
            found: dict[str, list[str]] = {rule: [] for rule in row.flags}
            pages[row.as_of] = MonitoredPage(row.as_of, row.n_rows, row.state, row.evidence, found, row.alarm)
    for row in rows:
        # What is found in columns that the live version does not read belongs to no alarm, and is in the ledger alone.
        named = " in ".join(one for one in (row.column_name, row.segment) if one is not None)
        if named and row.alarm is not None and row.as_of in pages:
            for rule in row.flags:
                pages[row.as_of].found.setdefault(rule, []).append(named)
    return [pages[page] for page in sorted(pages)]


def _last_year(pages: Sequence[MonitoredPage], alarms: Sequence[Alarm]) -> LastYear:
    newest = pages[-1].page if pages else datetime.min + _YEAR
    within = [one for one in pages if one.page > newest - _YEAR]
    since = [one for one in alarms if one.first_page > newest - _YEAR and one.state != WITHDRAWN]
    return LastYear(
        len(within),
        sum(one.kind == DRIFT for one in since),
        sum(one.kind == ACUTE and one.expected is None for one in since),
        sum(bool(one.found) and one.state != "expected" for one in within),
        sum(bool(one.found) and one.state == "expected" for one in within),
    )


def judge_published(suite: Suite, products: Sequence[str]) -> list[str]:
    """Judge what was just published of some products, after its commit; gives a sentence on each that failed.

    Pages stand whatever comes of it: a judgement that fails fails no run, and the next one makes it good.
    """
    failed = []
    for name in products:
        try:
            judge_and_write(suite, suite.definitions.product(name))
            judge_performance(suite, name)
        except (AlmanacError, duckdb.Error) as error:
            failed.append(f"the pages of {name} were not judged: {error}. `almanac monitor {name}` does it.")
    return failed
