"""The ways that fill a batch's tables for many pages at once, each compared with pages made one by one.

In turn: what another product of the same run has worked out; the entities, lifted; the feature groups that one pass
over time makes cheaper than lifting does, for those entities; all other queries that can be lifted. After each, some
pages are made one by one too; rows of another product were compared when they were made. A query whose rows differ, or
that fails, is made page by page, and so is what reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import duckdb

from warehouse.batching.compared_pages import compared_pages
from warehouse.batching.comparison import differing_rows
from warehouse.batching.shared_rows import ENTITIES, PAGE_COLUMN, KeptRows, SharedRows, missing_keys
from warehouse.batching.trials import Left, Trials
from warehouse.definitions import Definitions, FeatureGroup, Product
from warehouse.queries.checked_query import CheckedQuery
from warehouse.sandbox import Sandbox, SandboxPage, timestamp_literal
from warehouse.system_sql import quote, system_sql

if TYPE_CHECKING:
    from warehouse.batching.range_pass import RangePass

#: From how many pages on the range way can be the cheaper of the two: its one query is long, and takes a while to plan.
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
    #: What the run's products share; None where it makes pages of one product.
    shared: SharedRows | None

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
        #: By group, SQL of the pages and keys that its rows were made for; of others, all were.
        self.made_for: dict[str, str] = {}
        #: The queries whose rows are all another product's.
        self.taken: set[str] = set()
        self._kept: dict[str, KeptRows] = {}

    def not_shared(self, pages: Sequence[datetime]) -> list[CheckedQuery]:
        """Give the queries that no other product of the run has worked out for all of these pages."""
        batch = self.batch
        return [
            query
            for name, query in batch.queries()
            if not pages
            or batch.shared is None
            or batch.shared.find(batch.sandbox, query, self._key(name), pages) is None
        ]

    def take_shared(self, pages: Sequence[datetime]) -> None:
        """Fill the tables of queries that another product of the run has worked out for all of these pages."""
        batch = self.batch
        if batch.shared is None:
            return
        for name, query in batch.queries():
            kept = batch.shared.find(batch.sandbox, query, self._key(name), pages)
            if kept is not None and kept.wanted is None:
                batch.shared.take(batch.cursor, kept, batch.table(name), pages)
                self._have_taken(name)
            elif kept is not None:
                self._kept[name] = kept

    def _have_taken(self, name: str) -> None:
        self._tried.add(name)
        self.done.add(name)
        self.taken.add(name)

    def _key(self, name: str) -> Sequence[str]:
        batch = self.batch
        return batch.product.keys if name == ENTITIES else batch.definitions.groups[name].key

    def begin(self, n_pages: int, background: Executor) -> None:
        """Begin to recognise what one pass over time can make; that takes no time of DuckDB's."""
        batch = self.batch
        if n_pages >= RANGE_FROM_PAGES:
            # A daily run, of one page, needs neither way, nor what they import.
            from warehouse.batching.range_pass import RangePass

            self._ranges = background.submit(
                RangePass, batch.sandbox, batch.definitions, batch.groups, batch.cursor, batch.schema
            )

    def fill(self, pages: Sequence[datetime], workers: int) -> None:
        """Fill what can be filled."""
        batch = self.batch
        # So many pages were wanted; it may be that only few fit.
        ranges = self._ranges.result() if self._ranges is not None and len(pages) >= RANGE_FROM_PAGES else None
        by_keys = ranges is not None or bool(self._kept)
        if by_keys and not batch.features_choose_entities and ENTITIES not in self._tried:
            self._lift([(ENTITIES, batch.product.entities)], pages, workers)
        remaining = self._take_looked_up(pages)
        if ranges is not None:
            ranges.leave_out(self.done)
            self._pass_over_time(ranges, pages, workers, remaining)
        self._lift([query for query in batch.queries() if query[0] not in self._tried], pages, workers)

    def _take_looked_up(self, pages: Sequence[datetime]) -> dict[str, str]:
        """Take the rows of groups whose every key another product has looked up; of others, give the keys that remain.

        Theirs are taken too once the rest is made.
        """
        remaining = {}
        for name, kept in self._kept.items():
            if not self._may_choose(name, self._key(name)):
                continue
            missing = missing_keys(kept, self.wanted(name), self._key(name))
            if self.batch.cursor.execute(f"SELECT count(*) FROM {missing} AS missing").fetchone() == (0,):
                self._take(name, pages)
                self._have_taken(name)
            else:
                remaining[name] = missing
        return remaining

    def _take(self, name: str, pages: Sequence[datetime]) -> None:
        assert self.batch.shared is not None
        wanted = self.wanted(name)
        looked_up = (wanted, self._key(name))
        self.batch.shared.take(self.batch.cursor, self._kept[name], self.batch.table(name), pages, looked_up)
        self.made_for[name] = wanted

    def _pass_over_time(
        self, ranges: RangePass, pages: Sequence[datetime], workers: int, remaining: Mapping[str, str]
    ) -> None:
        ranges.show(pages)
        ranges.leave_out([name for name in ranges.forms if self._is_better_lifted(ranges, name, len(pages))])
        if not ranges.forms:
            return
        approximate = {name: ranges.approximate(name) for name in ranges.forms}
        wanted = {name: self.wanted(name) for name, form in ranges.forms.items() if self._may_choose(name, form.keys)}
        self.made_for |= wanted

        def fill() -> Left:
            left = ranges.fill({name: remaining.get(name, keys) for name, keys in wanted.items()}, workers)
            for name in remaining.keys() & wanted.keys():
                self._take(name, pages)
            return left

        self._try("range", approximate, pages, fill, workers, wanted)

    def _is_better_lifted(self, ranges: RangePass, name: str, n_pages: int) -> bool:
        """Tell whether a group that one pass over time can make is made by lifting all the same."""
        batch, n_wanted = self.batch, None
        if self._may_choose(name, ranges.forms[name].keys):
            n_uses = sum(use.group == name for use in batch.product.header.features)
            row = batch.cursor.execute(f"SELECT count(*) FROM {batch.table(ENTITIES)}").fetchone()
            n_wanted = n_uses * int(row[0]) if row else None
        try:
            if ranges.is_cheaper(name, n_pages, n_wanted):
                return False
        except duckdb.Error:
            pass  # Filling would meet the same error, and lifting may not.
        from warehouse.batching.lifted_pass import LiftedPass

        query = batch.definitions.groups[name].query
        return bool(LiftedPass(batch.sandbox, batch.definitions, [(name, query)], self.done, batch.table).forms)

    def _lift(self, queries: Sequence[tuple[str, CheckedQuery]], pages: Sequence[datetime], workers: int) -> None:
        from warehouse.batching.lifted_pass import LiftedPass

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
        # Of pages whose entities are still to be made one by one nobody knows yet which keys they look up.
        entities_known = ENTITIES in self.done and not any(left == ENTITIES for left, _ in self.left)
        is_read_by_the_join_alone = name not in self.batch.read_by_others and entities_known
        return is_read_by_the_join_alone and set(keys) == set(self.batch.definitions.groups[name].key)

    def wanted(self, name: str) -> str:
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
        """Fill tables for many pages at once, and compare some pages; what differs is emptied again.

        Parameters
        ----------
        approximate
            By query, the columns where equal means within 1e-9.
        fill
            Gives the pages, by query, that it leaves to be made one by one.
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
        """Make one page by itself too; give the queries whose rows differ, and those that read them."""
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
                        f"{query.where}: {count} rows of the page {chosen} differ on the {way} way from those of"
                        " the page made by itself"
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
        key = self._key(name)
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
