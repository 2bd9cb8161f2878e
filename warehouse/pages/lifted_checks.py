"""Which of a product's own checks can be run for many pages at once, and what they then find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import duckdb

from warehouse.batching.lifted_pass import lifted_forms
from warehouse.batching.lifted_slice import slice_of_pages, slices_of
from warehouse.batching.lifting import AS_OF_COLUMN, LiftedForm
from warehouse.batching.syntax.shapes import Reason
from warehouse.definitions import Definitions, Product, Source
from warehouse.definitions.product import PAGE, Check
from warehouse.errors import DefinitionError
from warehouse.ledger.records import SourceFacts
from warehouse.queries.inexact import inexact_sums
from warehouse.queries.running import running
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql

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
    with duckdb.connect(":memory:") as connection:
        for name, columns in {**read, PAGE: page}.items():
            listed = ", ".join(f"{quote(column)} {kind}" for column, kind in columns.items())
            connection.execute(f"CREATE TABLE {quote(name)} ({listed})")
        return {check.name: _as_plain(connection, check, found[_named(check)]) for check in product.checks}


def _named(check: Check) -> str:
    """Name a check apart from what it may read."""
    return f"check {check.name}"


def _as_plain(connection: duckdb.DuckDBPyConnection, check: Check, form: LiftedForm | Reason) -> LiftedForm | Reason:
    """Give a check's form with its columns named as page by page, or say why it may find something else.

    `connection` holds the tables that the check reads, empty.
    """
    if isinstance(form, Reason):
        return form
    try:
        sums = inexact_sums(connection, check.query)
    except DefinitionError:
        return Reason("whether its sums are exact cannot be told")
    if sums:
        return Reason(f"it adds up {sums[0].column} as DOUBLE, in whatever order rows come")
    # A column without a name of its own is named after its text, which lifting changes.
    described = connection.execute(
        f"DESCRIBE FROM ({check.query.text}\n)", check.query.bound(as_of=datetime.max) or None
    )
    names = [str(row[0]) for row in described.fetchall()]
    return replace(form, text=system_sql("lifting/named", query=form.text, names=quote_all([*names, AS_OF_COLUMN])))


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
        facts = self._sandbox.facts_of(self._definitions.sources)
        slices = slices_of(pages, check.query.tables, facts)
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
            with running(cursor, check.query.where, self._sandbox.query_timeout):
                found = {row[0]: (int(row[1]), list(row[2])) for row in cursor.execute(query).fetchall()}
            passed = pages if not form.may_lack_pages else []
            if form.aggregated:
                passed = [row[0] for row in cursor.execute(form.aggregated).fetchall()]
        return dict.fromkeys(passed, NOTHING_WRONG) | found
