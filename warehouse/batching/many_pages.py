"""Pages made together: the ways that fill a batch's tables for many pages at once, each held to the plain way.

In turn: the entities, lifted; the feature groups that one pass over time can make, for those entities; all other
queries that can be lifted. After each, one page is made the plain way too. A query whose rows differ, or that
fails, is left to the plain way, and so is what reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

import duckdb

from warehouse.batching.compared_pages import compared_pages
from warehouse.batching.comparison import differing_rows
from warehouse.batching.lifted_pass import LiftedPass
from warehouse.batching.range_pass import RangePass
from warehouse.batching.trials import Left, Trials
from warehouse.definitions import Definitions, FeatureGroup, Product
from warehouse.queries.checked_query import CheckedQuery
from warehouse.sandbox import Sandbox, SandboxPage, timestamp_literal
from warehouse.system_sql import quote, system_sql

#: How the entities' table is called beside those of the feature groups; no group can bear this name.
ENTITIES = "almanac: entities"
#: The page of a row of a batch's tables.
PAGE_COLUMN = "almanac: as_of"
#: From how many pages on the range way is the cheaper of the two: its one query is long, and takes a while to plan.
RANGE_FROM_PAGES = 32


class PageTables(Protocol):
    """The tables of a batch as the ways of many pages see them: a product's queries, each with a table to fill."""

    sandbox: Sandbox
    definitions: Definitions
    product: Product
    schema: str
    cursor: duckdb.DuckDBPyConnection
    groups: list[FeatureGroup]
    #: The queries whose rows another query reads.
    read_by_others: set[str]

    @property
    def features_choose_entities(self) -> bool:
        """Whether the entities are chosen by what features say."""

    def table(self, name: str) -> str:
        """Give the full name of the table of one query."""

    def columns(self, name: str) -> dict[str, str]:
        """Give the columns of one query's table, and their types."""

    def queries(self) -> list[tuple[str, CheckedQuery]]:
        """Give the queries in the order in which they can be made."""

    def page(self, as_of: datetime) -> AbstractContextManager[SandboxPage]:
        """Open the sandbox of one page."""


class ManyPages(Trials):
    """What was made for many pages at once, and what remains."""

    def __init__(self, batch: PageTables) -> None:
        super().__init__(batch.product.name)
        self.batch = batch
        self._tried: set[str] = set()
        self._compared: list[datetime] = []
        self._columns: dict[str, list[str]] = {}
        self._ranges: Future[RangePass] | None = None

    def begin(self, n_pages: int, background: Executor) -> None:
        """Begin to recognise what one pass over time can make; that takes no time of DuckDB's."""
        batch = self.batch
        if n_pages >= RANGE_FROM_PAGES:
            self._ranges = background.submit(
                RangePass, batch.sandbox, batch.definitions, batch.groups, batch.cursor, batch.schema
            )

    def fill(self, pages: Sequence[datetime], workers: int) -> None:
        """Fill what can be filled."""
        batch = self.batch
        # So many pages were wanted; it may be that only few fit.
        if self._ranges is not None and len(pages) >= RANGE_FROM_PAGES:
            if not batch.features_choose_entities:
                self._lift([(ENTITIES, batch.product.entities)], pages, workers)
            self._pass_over_time(self._ranges.result(), pages, workers)
        self._lift([query for query in batch.queries() if query[0] not in self._tried], pages, workers)

    def _pass_over_time(self, ranges: RangePass, pages: Sequence[datetime], workers: int) -> None:
        approximate = {name: ranges.approximate(name) for name in ranges.forms}
        wanted = {name: self._wanted(name) for name, form in ranges.forms.items() if self._may_choose(name, form.keys)}
        self._try("range", approximate, pages, lambda: ranges.fill(pages, wanted, workers), workers, wanted)

    def _lift(self, queries: Sequence[tuple[str, CheckedQuery]], pages: Sequence[datetime], workers: int) -> None:
        batch = self.batch
        lifted = LiftedPass(batch.sandbox, batch.definitions, queries, self.done, batch.table)
        columns = {name: batch.columns(name) for name in lifted.forms}
        approximate = {
            name: frozenset(column for column, kind in found.items() if kind in ("DOUBLE", "FLOAT"))
            for name, found in columns.items()
        }
        listed = {name: list(found) for name, found in columns.items()}
        self._try("lifted", approximate, pages, lambda: lifted.fill(pages, listed, workers), workers)

    def _may_choose(self, name: str, keys: Sequence[str]) -> bool:
        """Tell whether a group may be made for the keys of the entities alone."""
        is_read_by_the_join_alone = name not in self.batch.read_by_others and ENTITIES in self.done
        return is_read_by_the_join_alone and set(keys) == set(self.batch.definitions.groups[name].key)

    def _wanted(self, name: str) -> str:
        """Write a relation of the pages and keys of a group that some entity is looked up by."""
        uses = [use for use in self.batch.product.header.features if use.group == name]
        keys = self.batch.definitions.groups[name].key
        chosen = [", ".join(f"{quote(use.on.get(key, key))} AS {quote(key)}" for key in keys) for use in uses]
        entities = self.batch.table(ENTITIES)
        return (
            "("
            + " UNION ".join(f"SELECT DISTINCT {quote(PAGE_COLUMN)} AS as_of, {c} FROM {entities}" for c in chosen)
            + ")"
        )

    def _try(
        self,
        way: str,
        approximate: Mapping[str, frozenset[str]],
        pages: Sequence[datetime],
        fill: Callable[[], Left],
        workers: int,
        wanted: Mapping[str, str] | None = None,
    ) -> None:
        """Fill tables by another way than the plain one, and compare some pages; what differs is emptied again.

        Parameters
        ----------
        approximate
            By query, the columns where equal means within 1e-9.
        fill
            Gives the pages, by query, that it leaves to the plain way.
        workers
            How many pages are compared at a time.
        wanted
            By query, the keys that rows were made for; of others, all were.
        """
        self._tried |= approximate.keys()
        self._columns |= {name: list(self.batch.columns(name)) for name in approximate}

        def compare(page: datetime, left: Left, known: frozenset[str]) -> set[str]:
            return self._compare(way, approximate, page, left, known, wanted or {})

        self.try_out(
            way,
            approximate.keys(),
            fill=fill,
            choose=lambda: self._chosen(pages),
            compare=compare,
            take_back=self._empty,
            at_a_time=workers,
        )

    def _empty(self, names: Iterable[str]) -> None:
        for name in names:
            self.batch.cursor.execute(f"DELETE FROM {self.batch.table(name)}")

    def _chosen(self, pages: Sequence[datetime]) -> list[datetime]:
        """Choose the pages to compare, the same ones for each way."""
        if not self._compared:
            batch = self.batch
            self._compared = compared_pages(batch.sandbox, batch.definitions.sources_of(batch.product), pages)
        return self._compared

    def _compare(
        self,
        way: str,
        approximate: Mapping[str, frozenset[str]],
        chosen: datetime,
        left: Left,
        known: frozenset[str],
        wanted: Mapping[str, str],
    ) -> set[str]:
        """Make one page the plain way too; give the queries whose rows differ, and those that read them."""
        batch = self.batch
        wrong = set(known)
        with batch.page(chosen) as page:
            for name in sorted(self.done & batch.read_by_others):
                page.show_rows_of(name, batch.table(name))
            for name, query in batch.queries():
                if name not in approximate or name in known or chosen in left.get(name, ()):
                    continue
                if query.tables & wrong:
                    wrong.add(name)
                elif count := self._differing_rows(page, name, query, approximate[name], wanted.get(name)):
                    wrong.add(name)
                    self.differing.append(
                        f"{query.where}: {count} rows of the page {chosen} differ from the plain way's on the {way} way"
                    )
                if name in batch.read_by_others:
                    page.show_rows_of(name, batch.table(name))
        return wrong

    def _differing_rows(
        self, page: SandboxPage, name: str, query: CheckedQuery, approximate: frozenset[str], wanted: str | None
    ) -> int:
        batch = self.batch
        plain = f"memory.{page.schema}.{quote(f'almanac: plain {name}')}"
        page.run_wrapped("pages/made", query, plain, page.instant)
        columns = self._columns[name]
        at = timestamp_literal(page.instant)
        key = batch.product.keys if name == ENTITIES else batch.definitions.groups[name].key
        if wanted is not None:
            same_key = " AND ".join(f"plain.{quote(column)} = wanted.{quote(column)}" for column in key)
            plain = system_sql("pages/wanted_rows", plain=plain, wanted=wanted, same_key=same_key, as_of=at)
        return differing_rows(
            page.cursor,
            f"(FROM {batch.table(name)} WHERE {quote(PAGE_COLUMN)} = {at})",
            plain,
            key=key,
            exact=[column for column in columns if column not in approximate],
            close=[column for column in columns if column in approximate],
        )
