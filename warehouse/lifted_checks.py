"""Which of a product's own checks can be run for many pages at once, and what they then find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import duckdb

from warehouse.definitions import Definitions, Product, Source
from warehouse.definitions.product import Check
from warehouse.definitions.suite import PAGE
from warehouse.errors import DefinitionError
from warehouse.inexact import inexact_sums
from warehouse.ledger import SourceFacts
from warehouse.lifted_pass import lifted_forms
from warehouse.lifted_slice import slice_of_pages, slices_of
from warehouse.lifting import LiftedForm
from warehouse.ranges import Reason
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import quote, system_sql

#: How many rows of a page a check found wrong, and the first of them as JSON.
Finding = tuple[int, list[str]]
NOTHING_WRONG: Finding = (0, [])


def lifted_checks(
    definitions: Definitions,
    product: Product,
    page: Mapping[str, str],
    facts: Mapping[str, SourceFacts],
    columns_of: Callable[[Source], Mapping[str, str]],
) -> dict[str, LiftedForm | Reason]:
    """Say for each check of a product how it can be run for many pages at once, or why it cannot.

    Parameters
    ----------
    page
        The columns of `page` with their DuckDB types.
    facts, columns_of
        What is known of each source, and its columns as a query sees them.
    """
    queries = [(_named(check), check.query) for check in product.checks]
    found = lifted_forms(definitions, queries, facts, columns_of, [PAGE])
    read = {source.name: columns_of(source) for source in definitions.sources_read(query for _, query in queries)}
    inexact = _inexact(product.checks, {**read, PAGE: page})
    return {check.name: inexact.get(check.name, found[_named(check)]) for check in product.checks}


def _named(check: Check) -> str:
    """Name a check apart from what it may read."""
    return f"check {check.name}"


def _inexact(checks: Sequence[Check], tables: Mapping[str, Mapping[str, str]]) -> dict[str, Reason]:
    """Give the checks whose last digits may change when they are worked out beside other pages."""
    reasons: dict[str, Reason] = {}
    with duckdb.connect(":memory:") as connection:
        for name, columns in tables.items():
            listed = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
            connection.execute(f"CREATE TABLE {quote(name)} ({listed})")
        for check in checks:
            try:
                sums = inexact_sums(connection, check.query)
            except DefinitionError:
                reasons[check.name] = Reason("whether its sums are exact cannot be told")
                continue
            if sums:
                reasons[check.name] = Reason(f"it adds up {sums[0].column} as DOUBLE, in whatever order rows come")
    return reasons


class LiftedChecks:
    """The lifted checks of one product, at work."""

    def __init__(self, sandbox: Sandbox, definitions: Definitions, limit: int, workers: int) -> None:
        """Take what they need; `limit` wrong rows are kept, and so many slices of pages worked on at a time."""
        self._sandbox, self._definitions = sandbox, definitions
        self._limit, self._workers = limit, workers

    def find(
        self, check: Check, form: LiftedForm, pages: Sequence[datetime], rows: str
    ) -> tuple[dict[datetime, Finding], list[datetime]]:
        """Run a check for pages that follow one another in `rows`; give what it finds, and the pages that it lacks.

        Raises
        ------
        duckdb.Error
            If it fails, on whichever page.
        """
        slices = slices_of(pages, check.query.tables, self._sandbox.facts)
        found: dict[datetime, Finding] = {}
        with ThreadPoolExecutor(max_workers=max(1, min(self._workers, len(slices)))) as pool:
            for part in pool.map(lambda some: self._find_in_slice(check, form, some, rows), slices):
                found |= part
        return found, [page for page in pages if page not in found]

    def _find_in_slice(
        self, check: Check, form: LiftedForm, pages: Sequence[datetime], rows: str
    ) -> dict[datetime, Finding]:
        first, last = timestamp_literal(pages[0]), timestamp_literal(pages[-1])
        shown = system_sql("lifting/page", rows=rows, first=first, last=last)
        query = system_sql("audit/lifted_wrong_rows", query=form.text, limit=str(self._limit))
        with slice_of_pages(self._sandbox, self._definitions, pages, check.query.tables, lambda _: shown) as cursor:
            found = {row[0]: (int(row[1]), list(row[2])) for row in cursor.execute(query).fetchall()}
            passed = pages if not form.may_lack_pages else []
            if form.aggregated:
                passed = [row[0] for row in cursor.execute(form.aggregated).fetchall()]
        return dict.fromkeys(passed, NOTHING_WRONG) | found
