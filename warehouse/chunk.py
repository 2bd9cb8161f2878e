"""A chunk: some pages of one product, computed together and staged as one Parquet file.

Each query of the product (its entities and feature groups) fills one table for all pages of the chunk, marked
by page; one join then makes the feature pages. One page is a chunk of one. Pages are computed in a sandbox
each, several at a time; what the join reads are rows of the same page only.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.comparison import differing_rows
from warehouse.definitions import Definitions, FeatureUse, Product
from warehouse.definitions.durations import duration_text
from warehouse.definitions.product import PAGE_COLUMNS
from warehouse.errors import DefinitionError, RunFailed
from warehouse.lifted_pass import LiftedPass
from warehouse.query import CheckedQuery
from warehouse.range_pass import RangePass
from warehouse.sandbox import HOLD_FROM_PAGES, Sandbox, SandboxPage, timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: How the entities' table is called beside those of the feature groups; no group can bear this name.
ENTITIES = "almanac: entities"
_PAGE = "almanac: as_of"
#: From how many pages on they are made together where that can be: for fewer, it costs more than it saves.
TOGETHER_FROM_PAGES = 4
#: From how many on the range way is the cheaper of the two: its one query is long, and takes a while to plan.
RANGE_FROM_PAGES = 32
_numbers = itertools.count()


@dataclass(frozen=True)
class FeaturePages:
    """Staged feature pages: one file, the entities of each page, and the columns (keys, as_of, and the rest)."""

    file: Path
    n_rows: dict[datetime, int]
    columns: dict[str, str]


class Chunk:
    """The tables of one chunk, in a schema of its own inside a sandbox's memory."""

    def __init__(self, sandbox: Sandbox, definitions: Definitions, product: Product) -> None:
        self.sandbox, self.definitions, self.product = sandbox, definitions, product
        self.schema = f"chunk_{next(_numbers)}"
        self.cursor = sandbox.cursor()
        self._groups = definitions.groups_of(product)
        self._read_by_others = {name for _, query in self._queries() for name in query.tables}
        #: The queries whose rows were made for all pages together, but for the pages that are left of some, and
        #: what is to be said of those where that gave other rows.
        self._done: set[str] = set()
        self._left: set[tuple[str, datetime]] = set()
        self.differing: list[str] = []
        #: The pages that could not be computed, each with its error; the others are not touched by that.
        self.failed: dict[datetime, str] = {}
        self._sources = definitions.sources_of(product)

    def __enter__(self) -> Chunk:
        self.cursor.execute(f"CREATE SCHEMA memory.{self.schema}")
        return self

    def __exit__(self, *_: object) -> None:
        self.cursor.execute(f"DROP SCHEMA IF EXISTS memory.{self.schema} CASCADE")
        self.cursor.close()

    def table(self, name: str) -> str:
        """Give the full name of one of the chunk's tables."""
        return f"memory.{self.schema}.{quote(name)}"

    def compute(self, pages: Sequence[datetime], file: Path, workers: int, done: Callable[[int], None]) -> FeaturePages:
        """Compute the feature pages and stage them in `file`, but for those that fail on the data (see `failed`).

        Parameters
        ----------
        pages
            The pages' `as_of`, naive UTC.
        file
            The Parquet file to write.
        workers
            How many pages are computed at a time.
        done
            Told of every page that is done.

        Raises
        ------
        DefinitionError
            If a query does not bind, or two of its columns have the same name.
        """
        if len(pages) >= HOLD_FROM_PAGES:
            self.sandbox.hold(self._sources)
        with self._page(pages[0]) as first:
            self._prepare(first)
        if len(pages) >= TOGETHER_FROM_PAGES:
            self._fill_together(pages, workers)
        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(pages)))) as pool:
            for _ in pool.map(self._fill, pages):
                done(1)
        self._take_out(self.failed)
        counts = dict(self.cursor.execute(system_sql("pages/counts", entities=self.table(ENTITIES))).fetchall())
        join = self._join(self._columns(), file, len(pages))
        row = self.cursor.execute(join).fetchone()
        if row and row[0] != sum(counts.values()):
            self._take_out(self._pages_with_repeated_keys(file, counts))
            self.cursor.execute(join)
        n_rows = {page: counts.get(page, 0) for page in pages if page not in self.failed}
        return FeaturePages(file, n_rows, self._types(file))

    @contextlib.contextmanager
    def _page(self, as_of: datetime) -> Iterator[SandboxPage]:
        with self.sandbox.at(as_of, self._sources) as page:
            yield page

    def _queries(self) -> list[tuple[str, CheckedQuery]]:
        return [*((group.name, group.query) for group in self._groups), (ENTITIES, self.product.entities)]

    def _prepare(self, page: SandboxPage) -> None:
        """Make the chunk's tables, empty, with the types that the queries have."""
        for name, query in self._queries():
            page.run_wrapped("pages/prepare", query, self.table(name), page.instant)
            if name in self._read_by_others:
                page.show_rows_of(name, self.table(name))

    def _fill_together(self, pages: Sequence[datetime], workers: int) -> None:
        """Make what can be made for many pages at once, in one pass over time or by lifted queries."""
        groups = self._groups if len(pages) >= RANGE_FROM_PAGES else []
        ranges = RangePass(self.sandbox, self.definitions, groups, self.cursor, self.schema, pages)
        approximate = {name: ranges.approximate(name) for name in ranges.forms}
        self._try("range", approximate, pages, ranges.fill)
        # What was tried in vain is not tried again: it is made the plain way.
        queries = [(name, query) for name, query in self._queries() if name not in approximate.keys() - self._done]
        lifted = LiftedPass(self.sandbox, self.definitions, queries, self._done, self.table)
        columns = {name: self._described(name) for name in lifted.forms}
        approximate = {
            name: frozenset(column for column, kind in found.items() if kind in ("DOUBLE", "FLOAT"))
            for name, found in columns.items()
        }
        listed = {name: list(found) for name, found in columns.items()}
        self._try("lifted", approximate, pages, lambda: lifted.fill(pages, listed, workers))

    def _try(
        self,
        way: str,
        approximate: Mapping[str, frozenset[str]],
        pages: Sequence[datetime],
        fill: Callable[[], Mapping[str, list[datetime]]],
    ) -> None:
        """Fill tables by another way than the plain one, and compare one page; what differs is emptied again.

        `approximate` has, by query, the columns where equal means within 1e-9; `fill` gives the pages, by query,
        that it leaves to the plain way.
        """
        try:
            left = fill()
        except duckdb.Error as error:
            # One query for many pages meets facts that no single page reaches, and may fail on them.
            self.differing.append(f"{self.product.name}: the {way} way failed ({str(error).splitlines()[0]})")
            self._empty(approximate)
            return
        try:
            wrong = self._compare(way, approximate, random.Random(str(pages)).choice(list(pages)), left)
        except RunFailed as error:
            # The page fails the plain way, which will say so of each that does.
            self.differing.append(f"{self.product.name}: the {way} way could not be compared ({error})")
            wrong = set(approximate)
        self._empty(wrong)
        for name in approximate.keys() - wrong:
            self._done.add(name)
            self._left |= {(name, page) for page in left.get(name, ())}

    def _empty(self, names: Iterable[str]) -> None:
        for name in names:
            self.cursor.execute(f"DELETE FROM {self.table(name)}")

    def _compare(
        self,
        way: str,
        approximate: Mapping[str, frozenset[str]],
        chosen: datetime,
        left: Mapping[str, list[datetime]],
    ) -> set[str]:
        """Make one page the plain way too; give the queries whose rows differ, and those that read them."""
        wrong: set[str] = set()
        with self._page(chosen) as page:
            for name in sorted(self._done & self._read_by_others):
                page.show_rows_of(name, self.table(name))
            for name, query in self._queries():
                if name not in approximate or chosen in left.get(name, ()):
                    continue
                if query.tables & wrong:
                    wrong.add(name)
                elif count := self._differing_rows(page, name, query, approximate[name]):
                    wrong.add(name)
                    self.differing.append(
                        f"{query.where}: {count} rows of the page {chosen} differ from the plain way's on the {way} way"
                    )
                if name in self._read_by_others:
                    page.show_rows_of(name, self.table(name))
        return wrong

    def _differing_rows(self, page: SandboxPage, name: str, query: CheckedQuery, approximate: frozenset[str]) -> int:
        plain = f"memory.{page.schema}.{quote(f'almanac: plain {name}')}"
        page.run_wrapped("pages/prepare", query, plain, page.instant)
        page.run_wrapped("pages/collect", query, plain, page.instant)
        columns = self._described(name)
        key = self.product.keys if name == ENTITIES else self.definitions.groups[name].key
        return differing_rows(
            self.cursor,
            f"(FROM {self.table(name)} WHERE {quote(_PAGE)} = {timestamp_literal(page.instant)})",
            plain,
            key=key,
            exact=[column for column in columns if column not in approximate],
            close=[column for column in columns if column in approximate],
        )

    def _fill(self, as_of: datetime) -> None:
        """Compute what is left of a page; if it fails on the data, that is this page's matter alone."""
        try:
            self._fill_the_plain_way(as_of)
        except RunFailed as error:
            self.failed[as_of] = str(error)

    def _fill_the_plain_way(self, as_of: datetime) -> None:
        if all(name in self._done and (name, as_of) not in self._left for name, _ in self._queries()):
            return
        with self._page(as_of) as page:
            for name, query in self._queries():
                if name not in self._done or (name, as_of) in self._left:
                    page.run_wrapped("pages/collect", query, self.table(name), as_of)
                if name in self._read_by_others:
                    page.show_rows_of(name, self.table(name))

    def _described(self, name: str) -> dict[str, str]:
        rows = self.cursor.execute(f"DESCRIBE {self.table(name)}").fetchall()
        return {str(row[0]): str(row[1]) for row in rows if row[0] != _PAGE}

    def _columns(self) -> dict[str, str]:
        """Give the SQL of every column of the feature pages besides keys and times, by its name."""
        entities = self._described(ENTITIES)
        where = self.product.entities.where
        missing = [key for key in self.product.keys if key not in entities]
        if missing:
            raise DefinitionError(f"{where}: the keys {missing} are not among its columns: {', '.join(entities)}.")
        owners = dict.fromkeys(entities, where)
        columns = {
            name: _storable(f"entities.{quote(name)}", kind)
            for name, kind in entities.items()
            if name not in self.product.keys
        }
        for index, use in enumerate(self.product.header.features):
            group = self.definitions.groups[use.group]
            for name, kind in self._described(use.group).items():
                if name in group.key:
                    continue
                shown = use.prefix + name
                if shown in owners:
                    raise DefinitionError(
                        f"{self.product.yaml_where}: the column `{shown}` comes from {owners[shown]} and from"
                        f" {group.file.where}; rename one, or give the group a `prefix`."
                    )
                owners[shown] = group.file.where
                columns[shown] = _storable(f"use_{index}.{quote(name)}", kind)
        taken = sorted(set(owners) & set(PAGE_COLUMNS))
        if taken:
            raise DefinitionError(f"{owners[taken[0]]}: the column `{taken[0]}` is the suite's own; rename it.")
        return columns

    def _join(self, columns: dict[str, str], file: Path, n_pages: int) -> str:
        listed = ", ".join(f"{text} AS {quote(name)}" for name, text in columns.items())
        header = self.product.header
        if header.valid_until is not None:
            if header.valid_until not in columns:
                raise DefinitionError(
                    f"{self.product.yaml_where}: valid_until names `{header.valid_until}`, which is no column of"
                    f" {self.product.entities.where} or of a feature group."
                )
            valid_until = f"{columns[header.valid_until]}::TIMESTAMP"
        else:
            assert header.valid_for is not None
            valid_until = f"entities.{quote(_PAGE)} + INTERVAL {literal(duration_text(header.valid_for))}"
        return system_sql(
            "pages/join",
            keys=quote_all(self.product.keys, "entities."),
            valid_until=valid_until,
            columns=listed or "NULL AS no_features",
            entities=self.table(ENTITIES),
            joins="\n    ".join(self._join_of(index, use) for index, use in enumerate(header.features)),
            # Sorted by page, so that reading one page of a chunk skips the row groups of the others.
            order=f"ORDER BY entities.{quote(_PAGE)}" if n_pages > 1 else "",
            file=literal(str(file)),
        )

    def _join_of(self, index: int, use: FeatureUse) -> str:
        group = self.definitions.groups[use.group]
        entities = self._described(ENTITIES)
        conditions = [f"use_{index}.{quote(_PAGE)} = entities.{quote(_PAGE)}"]
        for key in group.key:
            column = use.on.get(key, key)
            if column not in entities:
                raise DefinitionError(
                    f"{self.product.yaml_where}: the feature group `{use.group}` is joined on `{column}`, which is no"
                    f" column of {self.product.entities.where}; select it there, or map it with `on`."
                )
            conditions.append(f"use_{index}.{quote(key)} = entities.{quote(column)}")
        return f"LEFT JOIN {self.table(use.group)} AS use_{index} ON {' AND '.join(conditions)}"

    def _types(self, file: Path) -> dict[str, str]:
        rows = self.cursor.execute("DESCRIBE SELECT * FROM read_parquet($1)", [str(file)]).fetchall()
        return {str(row[0]): str(row[1]) for row in rows}

    def _take_out(self, pages: Iterable[datetime]) -> None:
        """Leave pages out of the join, which has a row for each entity."""
        if listed := ", ".join(timestamp_literal(page) for page in pages):
            self.cursor.execute(f"DELETE FROM {self.table(ENTITIES)} WHERE {quote(_PAGE)} IN ({listed})")

    def _pages_with_repeated_keys(self, file: Path, counts: Mapping[datetime, int]) -> list[datetime]:
        """Find the pages that have more rows in the join than entities, and note why."""
        joined = dict(self.cursor.execute(system_sql("pages/staged"), [str(file)]).fetchall())
        wrong = [page for page, n_rows in joined.items() if n_rows != counts[page]]
        self.failed |= {page: self._explain_repeated_keys(page) for page in wrong}
        return wrong

    def _explain_repeated_keys(self, page: datetime) -> str:
        for use in self.product.header.features:
            group = self.definitions.groups[use.group]
            parts = {"keys": quote_all(group.key), "group": self.table(use.group), "as_of": timestamp_literal(page)}
            row = self.cursor.execute(system_sql("pages/repeated_keys", **parts)).fetchone()
            if row:
                return (
                    f"{group.file.where}: more than one row for the key {dict(zip(group.key, row, strict=True))};"
                    " a feature group has one row per key. Group by its key, or correct `key:`."
                )
        return f"{self.product.yaml_where}: the features' join changed the number of entities."


def _storable(text: str, kind: str) -> str:
    """Cast what Parquet cannot hold exactly: sums of integers are HUGEINT, and are kept as BIGINT."""
    return f"{text}::BIGINT" if kind in ("HUGEINT", "UHUGEINT") else text
