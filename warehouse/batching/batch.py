"""A batch: some pages of one product, computed together and staged as one Parquet file.

Each query of the product (its entities and feature groups) fills one table for all pages of the batch, marked
by page; one join then makes the feature pages. One page is a batch of one. Pages are computed together where that
can be, and otherwise in a sandbox each, several at a time; what the join reads are rows of the same page only.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import duckdb

from warehouse.batching.many_pages import ManyPages
from warehouse.batching.page_columns import page_columns
from warehouse.batching.page_join import PageJoin, text_of
from warehouse.batching.shared_rows import ENTITIES, PAGE_COLUMN, SharedRows
from warehouse.definitions import Definitions, Product
from warehouse.errors import RunFailed
from warehouse.lake.lake import one_transaction
from warehouse.queries.checked_query import CheckedQuery
from warehouse.sandbox import HOLD_FROM_PAGES, Sandbox, SandboxPage, timestamp_literal
from warehouse.system_sql import exact_path, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

#: From how many pages on they are made together where that can be: for fewer, it costs more than it saves.
TOGETHER_FROM_PAGES = 4
#: Rows of the batches in which a sieve is given candidates.
SIEVED_ROWS = 65_536
#: What a sieve is given beside the columns of feature pages: a hash of each row's list.
LIST_COLUMN = "almanac: list"
_numbers = itertools.count()


@dataclass(frozen=True)
class FeaturePages:
    """Staged feature pages: one file, the entities of each page, and the columns (keys, as_of, and the rest).

    `others` are the files of further rows, where pages were made in shards, `held` SQL of the
    same rows out of memory, where they are there until the batch ends.
    """

    file: Path
    n_rows: dict[datetime, int]
    columns: dict[str, str]
    others: tuple[Path, ...] = ()
    held: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return self.file, *self.others


class Sieve(Protocol):
    """Takes the candidates of a page as they are made, and stages those of them that may be wanted."""

    def __call__(self, candidates: pa.RecordBatchReader, times: Mapping[str, datetime], file: Path) -> int:
        """Stage those that are kept in `file`, without `LIST_COLUMN` and with `times`, which are the same on all rows.

        Gives how many candidates there were.

        Raises
        ------
        RunFailed
            If it cannot; the page is then made in steps.
        """


class Batch:
    """The tables of one batch, in a schema of its own inside a sandbox's memory."""

    def __init__(
        self,
        sandbox: Sandbox,
        definitions: Definitions,
        product: Product,
        shared: SharedRows | None = None,
        ingest_id: int | None = None,
    ) -> None:
        self.sandbox, self.definitions, self.product, self.shared = sandbox, definitions, product, shared
        #: With it one page is made as it was, without what later ingestions brought.
        self.ingest_id = ingest_id
        self.schema = f"batch_{next(_numbers)}"
        self.cursor = sandbox.cursor()
        sandbox.query_timeout = product.header.query_timeout
        self.groups = definitions.groups_of(product)
        self._joins = PageJoin(self.cursor, definitions, product, self.table)
        self.read_by_others = {name for _, query in self.queries() for name in query.tables}
        self._many_pages = ManyPages(self)
        #: The pages that could not be computed, each with its error; the others are not touched by that.
        self.failed: dict[datetime, str] = {}
        self._sources = definitions.sources_of(product)
        self._is_prepared = False
        self._background = ThreadPoolExecutor(max_workers=2)
        self._held: Future[None] | None = None

    def __enter__(self) -> Batch:
        self.cursor.execute(f"CREATE SCHEMA memory.{self.schema}")
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing of it may go on once the sandbox is closed.
        self._background.shutdown()
        self.cursor.execute(f"DROP SCHEMA IF EXISTS memory.{self.schema} CASCADE")
        self.cursor.close()

    @property
    def differing(self) -> list[str]:
        """Warnings about queries whose rows for many pages at once differed or failed."""
        return self._many_pages.differing

    def table(self, name: str) -> str:
        """Give the full name of one of the batch's tables."""
        return f"memory.{self.schema}.{quote(name)}"

    def begin(self, n_pages: int, pages: Sequence[datetime] = ()) -> None:
        """Begin in the background with what many pages take and no page is needed for, unless that was done.

        The sandbox can be asked other things meanwhile. What another product of the run has worked out for all of these
        pages takes nothing.
        """
        if self._held is not None or n_pages < HOLD_FROM_PAGES:
            return
        if queries := self._many_pages.not_shared(pages):
            self._held = self._background.submit(self.sandbox.hold, self.definitions.sources_read(queries))
            self._many_pages.begin(n_pages, self._background)

    def compute(
        self,
        pages: Sequence[datetime],
        file: Path,
        workers: int,
        done: Callable[[int], None],
        *,
        needs_lake: bool = True,
        sieve: Sieve | None = None,
    ) -> FeaturePages:
        """Compute the feature pages and stage them in `file`, but for those that fail on the data (see `failed`).

        Parameters
        ----------
        pages
            The pages' `as_of`, naive UTC.
        file
            The Parquet file to write.
        workers, done
            How many pages are computed at a time, and what is told of every page that is done.
        needs_lake
            Whether the sandbox has to read the lake afterwards. If not, and the sources are held, it is detached.
        sieve
            What takes the candidates of lists and stages what is kept of them, where they can be streamed.

        Raises
        ------
        DefinitionError
            If a query does not bind, or two of its columns have the same name.
        """
        self.begin(len(pages), pages)
        if self._held is not None:
            self._held.result()
            if not needs_lake:
                # The product's own checks come later, and may read other sources.
                checked = self.definitions.sources_read(check.query for check in self.product.checks)
                self.sandbox.detach_lake([*self._sources, *checked])
        self.prepare(pages[0])
        # What the join could not be made of is told before anything is computed.
        self._feature_columns()
        if self.product.ranking is not None and len(pages) == 1 and self.shared is None:
            streamed = self._stream(file, pages[0], sieve)
            if streamed is not None:
                done(1)
                return streamed
        self._many_pages.take_shared(pages)
        if len(pages) >= TOGETHER_FROM_PAGES:
            self._many_pages.fill(pages, workers)
        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(pages)))) as pool:
            for _ in pool.map(self._fill, pages):
                done(1)
        self._keep_shared([page for page in pages if page not in self.failed])
        self._take_out(self.failed)
        return self.stage(file, pages)

    def stage(self, file: Path, pages: Sequence[datetime]) -> FeaturePages:
        """Join what the batch's tables hold of some pages, and stage it in `file`, but for those that fail on that."""
        counts = self._counts()
        n_joined = self._stage(file, [page for page in pages if page not in self.failed])
        if n_joined != sum(counts.get(page, 0) for page in pages if page not in self.failed):
            self._take_out(self._pages_with_repeated_keys(file, counts))
            self._stage(file, [page for page in pages if page not in self.failed])
        n_rows = {page: counts.get(page, 0) for page in pages if page not in self.failed}
        types, columns = self._types(file), self._feature_columns()
        return FeaturePages(file, n_rows, types, held=self._joins.held(columns, types))

    def shape_of(self, pages: Sequence[datetime]) -> tuple[list[int], int]:
        """Give how many entities pages have, and how many columns feature pages, without computing any feature.

        No number of entities is given where it takes features to choose them, or their query fails on the data.

        Raises
        ------
        DefinitionError
            If a query does not bind.
        """
        self.prepare(pages[0])
        n_columns = len(self.product.keys) + len(self._feature_columns())
        if self.features_choose_entities:
            return [], n_columns
        try:
            for as_of in pages:
                with self.page(as_of) as page:
                    page.run_wrapped("pages/collect", self.product.entities, self.table(ENTITIES), as_of)
            counts = self._counts()
        except RunFailed:
            return [], n_columns
        finally:
            self.cursor.execute(f"DELETE FROM {self.table(ENTITIES)}")
        return [counts.get(page, 0) for page in pages], n_columns

    def page_types(self, as_of: datetime) -> dict[str, str]:
        """Give the columns that feature pages have by the definitions, with their types; no row is computed.

        Raises
        ------
        DefinitionError
            If a query does not bind.
        """
        self.prepare(as_of)
        entities = self.columns(ENTITIES)
        listed = page_columns(self.definitions, self.product, entities, self.columns)
        times = {"as_of": "TIMESTAMP", "valid_until": "TIMESTAMP"}
        keys = {key: entities[key] for key in self.product.keys}
        return {**keys, **times, **{column.name: column.stored_kind for column in listed}}

    def columns_of_groups(self, as_of: datetime) -> dict[str, list[str]]:
        """Give the columns of feature pages that come from each feature group; see `page_types` for what it raises."""
        self.prepare(as_of)
        uses, found = self.product.header.features, dict[str, list[str]]()
        for column in page_columns(self.definitions, self.product, self.columns(ENTITIES), self.columns):
            if column.use is not None:
                found.setdefault(uses[column.use].group, []).append(column.name)
        return found

    @property
    def features_choose_entities(self) -> bool:
        """Whether the query of the entities reads a feature group."""
        return bool(self.product.entities.tables & self.definitions.groups.keys())

    @contextlib.contextmanager
    def page(self, as_of: datetime) -> Iterator[SandboxPage]:
        """Open the sandbox for one page."""
        with self.sandbox.at(as_of, self._sources, ingest_id=self.ingest_id) as page:
            yield page

    def wanted_keys(self, group: str) -> str:
        """Give SQL of a relation of the keys of a feature group that some entity of the batch is looked up by."""
        return self._many_pages.wanted(group)

    def queries(self) -> list[tuple[str, CheckedQuery]]:
        """Give the product's queries, each after those that it reads."""
        return [*((group.name, group.query) for group in self.groups), (ENTITIES, self.product.entities)]

    def prepare(self, as_of: datetime) -> None:
        """Make the batch's tables, empty, with the types that the queries have; on any page they have the same."""
        if self._is_prepared:
            return
        # Each transaction of its own would ask the lake for its state.
        with self.page(as_of) as page, one_transaction(page.cursor):
            for name, query in self.queries():
                page.run_wrapped("pages/prepare", query, self.table(name), page.instant)
                if name in self.read_by_others:
                    page.show_rows_of(name, self.table(name))
        self._is_prepared = True

    def _keep_shared(self, pages: Sequence[datetime]) -> None:
        """Leave what was worked out to those products of the run that come later and ask the same."""
        if self.shared is None or not pages:
            return
        made = self._many_pages
        for name, query in self.queries():
            key = self.product.keys if name == ENTITIES else self.definitions.groups[name].key
            if name not in made.taken and self.shared.is_asked_after(self.product, query, key):
                wanted = made.made_for.get(name) if name in made.done else None
                self.shared.keep(self.sandbox, query, key, self.table(name), pages, wanted)

    def _counts(self) -> dict[datetime, int]:
        """Count the entities of each page that has any."""
        return dict(self.cursor.execute(system_sql("pages/counts", entities=self.table(ENTITIES))).fetchall())

    def _fill(self, as_of: datetime) -> None:
        """Compute what is left of a page; if it fails on the data, that is this page's matter alone."""
        try:
            self._fill_one_page(as_of)
        except RunFailed as error:
            self.failed[as_of] = str(error)

    def _stream(self, file: Path, as_of: datetime, sieve: Sieve | None) -> FeaturePages | None:
        """Stage a page's entities while they are made, joined to its feature groups; None where that fails.

        To put all down first costs as much again, and memory may not hold them; in steps it is told why a page fails.
        """
        try:
            with self.page(as_of) as page:
                self._collect(page, self.queries()[:-1])
                if any(self._joins.repeated_key(use, as_of) for use in self.product.header.features):
                    raise RunFailed("a key is there twice")
                columns, entities = self._feature_columns(), self._joins.entities_of(as_of)
                if sieve is None or not columns:
                    text = self._joins.statement(columns, file, 1, entities=entities)
                    n_rows = page.run_within(text, self.product.entities, as_of)
                else:
                    times = self._joins.same_on_all(as_of)
                    text = self._joins.rows(columns | self._hash_of_lists(), 1, entities=entities, without=times)
                    with page.reading_within(text, self.product.entities, as_of) as rows:
                        n_rows = sieve(rows.to_arrow_reader(SIEVED_ROWS), times, file)
        except RunFailed:
            for group in self.groups:
                self.cursor.execute(f"DELETE FROM {self.table(group.name)}")
            return None
        return FeaturePages(file, {as_of: n_rows}, self._types(file))

    def _hash_of_lists(self) -> dict[str, str]:
        assert self.product.ranking is not None
        return {LIST_COLUMN: f"hash({quote_all(self.product.ranking.keys, 'entities.')})"}

    def _collect(self, page: SandboxPage, queries: Iterable[tuple[str, CheckedQuery]]) -> None:
        """Fill the tables of those queries of a page that are not complete."""
        for name, query in queries:
            if not self._many_pages.is_complete(name, page.instant):
                page.run_wrapped("pages/collect", query, self.table(name), page.instant)
            if name in self.read_by_others:
                page.show_rows_of(name, self.table(name))

    def _fill_one_page(self, as_of: datetime) -> None:
        if all(self._many_pages.is_complete(name, as_of) for name, _ in self.queries()):
            return
        with self.page(as_of) as page:
            self._collect(page, self.queries())

    def columns(self, name: str) -> dict[str, str]:
        """Give the columns of a query's table and their types, but for the page's."""
        rows = self.cursor.execute(f"DESCRIBE {self.table(name)}").fetchall()
        return {str(row[0]): str(row[1]) for row in rows if row[0] != PAGE_COLUMN}

    def _feature_columns(self) -> dict[str, str]:
        """Give the SQL of every column of the feature pages besides keys and times, by its name."""
        listed = page_columns(self.definitions, self.product, self.columns(ENTITIES), self.columns)
        return {column.name: text_of(column) for column in listed}

    def _stage(self, file: Path, pages: Sequence[datetime]) -> int:
        """Write the join of pages to a file, and take out those that fail on it; give the number of rows."""
        columns = self._feature_columns()
        join = self._joins.statement(columns, file, len(pages))
        try:
            row = self.cursor.execute(join).fetchone()
        except duckdb.DataError:
            failed = {page: error for page in pages if (error := self._error_of_join(columns, file, page))}
            if not failed:
                raise
            self.failed |= failed
            self._take_out(failed)
            row = self.cursor.execute(join).fetchone()
        return int(row[0]) if row else 0

    def _error_of_join(self, columns: dict[str, str], file: Path, page: datetime) -> str | None:
        """Join one page by itself; give the error, if that fails on the data."""
        try:
            self.cursor.execute(self._joins.statement(columns, file, 1, only=page))
        except duckdb.DataError as error:
            first = str(error).splitlines()[0]
            return (
                f"{self.product.yaml_where}: a value does not fit its column on the page: {first}. Integers are kept as"
                " BIGINT, and sums of them are wider: cast what may be larger to DECIMAL(38, 0)."
            )
        return None

    def _types(self, file: Path) -> dict[str, str]:
        described = self.cursor.execute("DESCRIBE SELECT * FROM read_parquet($1)", [exact_path(file)])
        return {str(row[0]): str(row[1]) for row in described.fetchall()}

    def _take_out(self, pages: Iterable[datetime]) -> None:
        """Leave pages out of the join, which has a row for each entity."""
        if listed := ", ".join(timestamp_literal(page) for page in pages):
            self.cursor.execute(f"DELETE FROM {self.table(ENTITIES)} WHERE {quote(PAGE_COLUMN)} IN ({listed})")

    def _pages_with_repeated_keys(self, file: Path, counts: Mapping[datetime, int]) -> list[datetime]:
        """Find the pages that have more rows in the join than entities, and note why."""
        joined = dict(self.cursor.execute(system_sql("pages/staged"), [exact_path(file)]).fetchall())
        wrong = [page for page, n_rows in joined.items() if n_rows != counts[page]]
        self.failed |= {page: self._joins.explain_repeated_keys(page) for page in wrong}
        return wrong
