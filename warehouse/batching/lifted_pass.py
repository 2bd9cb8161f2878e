"""The lifted pass: queries of a product run once for many pages, where `warehouse.batching.lifting` allows it.

Pages are taken some dozens at a time, so that what a query holds of them stays bounded, and several such slices
are worked on at once. What is compared page by page, and what follows from a difference, is the batch's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from warehouse.batching import lifting, ranges, syntax
from warehouse.batching.lifted_slice import WORTH_IT, pages_at_once, slice_of_pages, slices_of
from warehouse.batching.lifting import PAGES, LiftedForm, TableShape, lift
from warehouse.batching.syntax.shapes import Reason
from warehouse.definitions import Definitions, Source
from warehouse.ledger.records import SourceFacts
from warehouse.private_cache import kept
from warehouse.queries.allowed_functions import BOUNDED
from warehouse.queries.checked_query import CheckedQuery
from warehouse.queries.running import running
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql

#: A source of up to this many rows may be read whole on every page: of 70,000, 64 pages took two thirds of the CPU that
#: they take one by one.
_SMALL_ROWS = 100_000


def lifted_forms(
    definitions: Definitions,
    queries: Sequence[tuple[str, CheckedQuery]],
    facts: Mapping[str, SourceFacts],
    columns_of: Callable[[Source], Mapping[str, str]],
    made: Collection[str] = (),
) -> dict[str, LiftedForm | Reason]:
    """Say for each query of a product how it can be run for many pages at once, or why it cannot.

    Parameters
    ----------
    queries
        By name, each after those that it reads.
    facts, columns_of
        What is known of each source, and its columns as a query sees them.
    made
        What else than sources they may read: its rows are there for all pages already, marked by page.
    """
    shapes = {
        name: TableShape(
            tuple(columns_of(source).items()),
            source.header.arrives_within,
            facts.get(name, SourceFacts()).has_versions,
            facts.get(name, SourceFacts()).n_rows <= _SMALL_ROWS,
        )
        for name, source in definitions.sources.items()
        if any(name in query.tables for _, query in queries)
    }
    found: dict[str, LiftedForm | Reason] = {}
    ready = set(made)
    for name, query in queries:
        if name in ready:
            continue
        if bounded := sorted(query.functions & BOUNDED):
            found[name] = Reason(f"it calls {bounded[0]}, whose arguments are bounded page by page")
            continue
        groups = query.tables - definitions.sources.keys()
        if missing := sorted(groups - ready):
            found[name] = Reason(f"it reads the feature group {missing[0]}, which is made page by page")
            continue
        read = tuple((table, shape) for table, shape in shapes.items() if table in query.tables)
        if large := [table for table, _ in read if pages_at_once([table], facts) < WORTH_IT]:
            found[name] = Reason(f"{large[0]} has too many rows to be joined to several pages at once")
            continue
        found[name] = form = _lifted(query.text, read, tuple(sorted(groups)))
        if isinstance(form, LiftedForm):
            ready.add(name)
    return found


@kept("lifted", LiftedForm | Reason, lifting, ranges, syntax)
def _lifted(text: str, sources: tuple[tuple[str, TableShape], ...], groups: tuple[str, ...]) -> LiftedForm | Reason:
    """Lift a query once."""
    return lift(text, dict(sources), groups)


class LiftedPass:
    """The lifted queries of one batch."""

    def __init__(
        self,
        sandbox: Sandbox,
        definitions: Definitions,
        queries: Sequence[tuple[str, CheckedQuery]],
        made: Collection[str],
        table: Callable[[str], str],
    ) -> None:
        """Choose what is lifted.

        Parameters
        ----------
        queries
            All of the product's, by name, each after those that it reads.
        made
            Those whose rows are there for all pages already.
        table
            Gives the full name of the batch's table of a query.
        """
        self._facts = sandbox.facts_of(definitions.sources)
        found = lifted_forms(definitions, queries, self._facts, sandbox.source_columns, made)
        self.forms = {name: form for name, form in found.items() if isinstance(form, LiftedForm)}
        self._read = {table for name, query in queries if name in self.forms for table in query.tables}
        self._tables = {name: query.tables for name, query in queries}
        self._sandbox, self._definitions, self._table = sandbox, definitions, table

    def fill(
        self, pages: Sequence[datetime], columns: Mapping[str, Sequence[str]], workers: int
    ) -> dict[str, list[datetime]]:
        """Run the lifted queries for all pages; give the pages, by query, that have to be made one by one.

        Parameters
        ----------
        columns
            The columns of each query's table, in order, besides the page's.
        workers
            How many slices of pages are worked on at a time.
        """
        slices = slices_of(pages, self._read, self._facts)
        lacking: dict[str, list[datetime]] = {}
        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(slices)))) as pool:
            for found in pool.map(lambda part: self._fill_slice(part, columns), slices):
                for name, some in found.items():
                    lacking.setdefault(name, []).extend(some)
        return lacking

    def _fill_slice(self, pages: Sequence[datetime], columns: Mapping[str, Sequence[str]]) -> dict[str, list[datetime]]:
        lacking: dict[str, list[datetime]] = {}
        with slice_of_pages(self._sandbox, self._definitions, pages, self._read, self._table) as cursor:
            for name, form in self.forms.items():
                target = self._table(name)
                listed = quote_all(columns[name])
                with running(cursor, name, self._sandbox.query_timeout):
                    cursor.execute(system_sql("lifting/collect", target=target, columns=listed, query=form.text))
                if form.may_lack_pages:
                    rows = cursor.execute(system_sql("lifting/lacking", pages=quote(PAGES), target=target)).fetchall()
                    lacking[name] = [row[0] for row in rows]
                # What another query reads was not all there for these pages when this one read it.
                if inherited := {page for read in self._tables[name] for page in lacking.get(read, ())}:
                    listed = ", ".join(map(timestamp_literal, sorted(inherited)))
                    cursor.execute(system_sql("lifting/take_out", target=target, pages=listed))
                    lacking[name] = sorted(inherited.union(lacking.get(name, ())))
        return lacking
