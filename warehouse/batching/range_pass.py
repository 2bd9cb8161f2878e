"""The range pass: feature groups of many pages made in one query each, where `warehouse.batching.ranges` allows it.

A pass recognises which groups of a product can go that way, fills their tables for a whole batch, and makes
one page by itself to compare. A difference is an error of ours: it is reported, and the batch is made page by page.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import duckdb

from warehouse.batching import ranges, syntax
from warehouse.batching.ranges.recognition import RangeForm, recognise
from warehouse.batching.syntax.shapes import Reason, SourceShape
from warehouse.definitions import Definitions, FeatureGroup, Source
from warehouse.ledger.records import SourceFacts
from warehouse.private_cache import kept
from warehouse.queries.allowed_functions import BOUNDED
from warehouse.queries.running import running
from warehouse.sandbox import Sandbox, earlier, timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql


def range_forms(
    definitions: Definitions,
    groups: Sequence[FeatureGroup],
    facts: Mapping[str, SourceFacts],
    columns_of: Callable[[Source], Mapping[str, str]],
) -> dict[str, RangeForm | Reason]:
    """Say for each feature group how its pages can be made in one pass, or why they cannot.

    Parameters
    ----------
    facts
        What the ledger knows of each source, by name.
    columns_of
        Gives a source's columns and types, as a query sees them.
    """
    return {group.name: _form(definitions, group, facts, columns_of) for group in groups}


def _form(
    definitions: Definitions,
    group: FeatureGroup,
    facts: Mapping[str, SourceFacts],
    columns_of: Callable[[Source], Mapping[str, str]],
) -> RangeForm | Reason:
    others = sorted(group.query.tables & definitions.groups.keys())
    if others:
        return Reason(f"it reads the feature group {others[0]}")
    if bounded := sorted(group.query.functions & BOUNDED):
        return Reason(f"it calls {bounded[0]}, whose arguments are bounded page by page")
    shapes = []
    for name in sorted(group.query.tables):
        source = definitions.sources[name]
        has_versions = facts.get(name, SourceFacts()).has_versions
        columns = tuple(columns_of(source).items())
        shapes.append((name, columns, source.header.arrives_within, has_versions))
    return _recognised(group.query.text, tuple(shapes))


@kept("recognised", RangeForm | Reason, ranges, syntax)
def _recognised(
    query: str, shapes: tuple[tuple[str, tuple[tuple[str, str], ...], timedelta, bool], ...]
) -> RangeForm | Reason:
    """Recognise a query once, which takes a tenth of a second."""
    return recognise(query, {name: SourceShape(dict(columns), late, again) for name, columns, late, again in shapes})


#: What a fact, and a row of a key and a page, takes on the range way, and a row on the lifted way, where a fact that a
#: lifted query reads on a page takes 1. Measured in CPU seconds on six groups of flights, whose facts are read on 26
#: pages each (2 to 4 times as quick on the range way), and on one of customers, read on two for each row that they make
#: (1 to 2 times as quick when lifted).
FACT_COST, ROW_COST, LIFTED_ROW_COST = 4.5, 7.0, 3.5


class RangePass:
    """The recognised groups of one batch, with the relations that their queries read."""

    def __init__(
        self,
        sandbox: Sandbox,
        definitions: Definitions,
        groups: Sequence[FeatureGroup],
        cursor: duckdb.DuckDBPyConnection,
        schema: str,
    ) -> None:
        found = range_forms(definitions, groups, sandbox.facts_of(definitions.sources), sandbox.source_columns)
        self.forms = {name: form for name, form in found.items() if isinstance(form, RangeForm)}
        self._sandbox, self._definitions, self._cursor = sandbox, definitions, cursor
        self._schema = f"memory.{schema}"
        self._pages = f"{self._schema}.{quote('almanac: pages')}"

    def show(self, pages: Sequence[datetime]) -> None:
        """Make the relations that the queries read: the pages, and of each source what the last of them sees."""
        listed = ", ".join(f"({timestamp_literal(page)})" for page in pages)
        self._cursor.execute(f"CREATE TABLE {self._pages} AS SELECT * FROM (VALUES {listed}) AS pages (as_of)")
        for source in sorted({form.source for form in self.forms.values()}):
            self._cursor.execute(self._facts_view(source, self._facts(source), max(pages)))

    def is_cheaper(self, name: str, n_pages: int, n_wanted: int | None) -> bool:
        """Tell whether a group costs less this way than lifted, by a look at how many facts its pages read.

        Lifted, each fact is read on each page whose window holds it. This way it is read once, and each key has totals
        on each page: of many keys with few facts each, those are what costs.

        Parameters
        ----------
        n_wanted
            How many rows are made, where only some are.
        """
        form = self.forms[name]
        query = form.look(self._pages, self._facts(form.source))
        row = self._cursor.execute(query).fetchone()
        n_read, n_facts, n_keys = (int(count or 0) for count in row or (0, 0, 0))
        n_rows = min(n_keys * n_pages, n_read)
        n_made = n_rows if n_wanted is None else min(n_rows, n_wanted)
        return FACT_COST * n_facts + ROW_COST * n_made < n_read + LIFTED_ROW_COST * n_rows

    def leave_out(self, made: Collection[str]) -> None:
        """Leave out groups whose rows are there already, or that are left to another way."""
        self.forms = {name: form for name, form in self.forms.items() if name not in made}

    def fill(self, wanted: Mapping[str, str], workers: int) -> dict[str, list[datetime]]:
        """Fill the batch's tables of the groups for the pages that are shown; it leaves none of them out.

        Parameters
        ----------
        wanted
            By group, SQL of a relation of `as_of` and the group's keys that are looked up; of a group that is not in
            it, all rows are made.
        workers
            How many groups are worked on at a time: one query leaves cores idle between its steps.
        """
        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(self.forms)))) as pool:
            list(pool.map(lambda name: self._fill_group(name, wanted.get(name)), self.forms))
        return {}

    def _fill_group(self, name: str, wanted: str | None) -> None:
        form = self.forms[name]
        query = form.sql(self._pages, self._facts(form.source), wanted)
        limit = self._sandbox.query_timeout
        with contextlib.closing(self._sandbox.cursor()) as cursor, running(cursor, name, limit):
            cursor.execute(system_sql("ranges/collect", target=f"{self._schema}.{quote(name)}", query=query))

    def _facts(self, source: str) -> str:
        return f"{self._schema}.{quote(f'almanac: facts of {source}')}"

    def _facts_view(self, name: str, view: str, last: datetime) -> str:
        source = self._definitions.sources[name]
        return system_sql(
            "ranges/facts",
            view=view,
            columns=quote_all(self._sandbox.source_columns(source)),
            source=self._sandbox.relation(source),
            horizon=timestamp_literal(earlier(last, source.header.arrives_within)),
            ingest_id=str(self._sandbox.ingest_id),
        )

    def approximate(self, name: str) -> frozenset[str]:
        """Give the columns of a group that may differ in the last bits from those made page by page."""
        return frozenset(column.name for column in self.forms[name].columns if column.is_approximate)
