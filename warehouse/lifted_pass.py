"""The lifted pass: queries of a product run once for many pages, where `warehouse.lifting` allows it.

Pages are taken some dozens at a time, so that what a query holds of them stays bounded, and several such slices
are worked on at once. What is compared with the plain way, and what follows from a difference, is the chunk's.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from warehouse.definitions import Definitions, Source
from warehouse.ledger import SourceFacts
from warehouse.lifting import PAGE, PAGES, LiftedForm, TableShape, lift
from warehouse.query import CheckedQuery
from warehouse.ranges import Reason
from warehouse.sandbox import Sandbox, earlier, timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql

#: How many pages one query answers for at most, and how many at least are worth it.
PAGES_AT_ONCE, WORTH_IT = 64, 4
#: So many rows may come of joining a source to the pages, at the very worst: each fact on each of them.
_JOINED_ROWS = 50_000_000
#: A source of up to this many rows may be read whole on every page.
_SMALL_ROWS = 50_000
_numbers = itertools.count()


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
        Feature groups whose rows are there for all pages already.
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
        groups = query.tables & definitions.groups.keys()
        if missing := sorted(groups - ready):
            found[name] = Reason(f"it reads the feature group {missing[0]}, which goes the plain way")
            continue
        read = tuple((table, shape) for table, shape in shapes.items() if table in query.tables)
        if large := [table for table, _ in read if pages_at_once([table], facts) < WORTH_IT]:
            found[name] = Reason(f"{large[0]} has too many rows to be joined to several pages at once")
            continue
        found[name] = form = _lifted(query.text, read, tuple(sorted(groups)))
        if isinstance(form, LiftedForm):
            ready.add(name)
    return found


def pages_at_once(tables: Iterable[str], facts: Mapping[str, SourceFacts]) -> int:
    """Give how many pages may be joined to the sources among some tables in one query, so that memory is bounded."""
    rows = max((facts[table].n_rows for table in tables if table in facts), default=0)
    return min(PAGES_AT_ONCE, _JOINED_ROWS // max(1, rows))


@functools.lru_cache(maxsize=256)
def _lifted(text: str, sources: tuple[tuple[str, TableShape], ...], groups: tuple[str, ...]) -> LiftedForm | Reason:
    """Lift a query once for all chunks of a process."""
    return lift(text, dict(sources), groups)


class LiftedPass:
    """The lifted queries of one chunk."""

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
            Gives the full name of the chunk's table of a query.
        """
        found = lifted_forms(definitions, queries, sandbox.facts, sandbox.source_columns, made)
        self.forms = {name: form for name, form in found.items() if isinstance(form, LiftedForm)}
        self._tables = {name: query.tables for name, query in queries if name in self.forms}
        self._sandbox, self._definitions, self._table = sandbox, definitions, table

    def fill(
        self, pages: Sequence[datetime], columns: Mapping[str, Sequence[str]], workers: int
    ) -> dict[str, list[datetime]]:
        """Run the lifted queries for all pages; give the pages, by query, that the plain way has to make after all.

        Parameters
        ----------
        columns
            The columns of each query's table, in order, besides the page's.
        workers
            How many slices of pages are worked on at a time.
        """
        tables = {table for tables in self._tables.values() for table in tables}
        size = max(1, pages_at_once(tables, self._sandbox.facts))
        slices = [pages[start : start + size] for start in range(0, len(pages), size)]
        lacking: dict[str, list[datetime]] = {}
        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(slices)))) as pool:
            for found in pool.map(lambda part: self._fill_slice(part, columns), slices):
                for name, some in found.items():
                    lacking.setdefault(name, []).extend(some)
        return lacking

    def _fill_slice(self, pages: Sequence[datetime], columns: Mapping[str, Sequence[str]]) -> dict[str, list[datetime]]:
        schema = f"memory.lifted_{next(_numbers)}"
        lacking: dict[str, list[datetime]] = {}
        with contextlib.closing(self._sandbox.cursor()) as cursor:
            cursor.execute(f"CREATE SCHEMA {schema}")
            cursor.execute(f"USE {schema}")
            listed = ", ".join(f"({timestamp_literal(page)})" for page in pages)
            table = f"{schema}.{quote(PAGES)}"
            cursor.execute(f"CREATE TABLE {table} AS SELECT * FROM (VALUES {listed}) AS pages ({quote(PAGE)})")
            for name in sorted(set().union(*self._tables.values())):
                cursor.execute(self._view(name, f"{schema}.{quote(name)}", max(pages)))
            for name, form in self.forms.items():
                target = self._table(name)
                listed = quote_all(columns[name])
                cursor.execute(system_sql("lifting/collect", target=target, columns=listed, query=form.text))
                if form.may_lack_pages:
                    rows = cursor.execute(system_sql("lifting/lacking", pages=table, target=target)).fetchall()
                    lacking[name] = [row[0] for row in rows]
            cursor.execute("USE memory.main")
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")
        return lacking

    def _view(self, name: str, view: str, last: datetime) -> str:
        """Show a source, or the rows of a feature group of this chunk, under its name."""
        if name not in self._definitions.sources:
            return f"CREATE VIEW {view} AS FROM {self._table(name)}"
        source = self._definitions.sources[name]
        fragments = {
            "view": view,
            "columns": quote_all(self._sandbox.source_columns(source)),
            "source": self._sandbox.relation(source),
            "horizon": timestamp_literal(earlier(last, source.header.arrives_within)),
            "ingest_id": str(self._sandbox.ingest_id),
        }
        if self._sandbox.facts.get(name, SourceFacts()).has_versions:
            return system_sql("lifting/versioned_source", key=quote_all(source.key), **fragments)
        return system_sql("lifting/source", **fragments)
