"""Profiles counted of the rows of pages, batch by batch: a page is told once all of its rows have come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import duckdb

from warehouse.errors import RunFailed
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import Centres, RowsOfPages
from warehouse.pages.profiles import CategoryCounts, NumberCounts, as_floats
from warehouse.pages.profiling.bin_table import BinTable
from warehouse.pages.profiling.figures import Figures, figures_of, profile_table
from warehouse.pages.profiling.file_values import batches_of
from warehouse.pages.profiling.groups import counted_groups
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]

#: Rows that are read at a time.
BATCH_ROWS = 122_880


class Parts(Protocol):
    """What is counted of parts of pages, as the rows of the pages come batch by batch."""

    @property
    def sql(self) -> list[str]:
        """SQL of what has to be read besides."""

    def add(
        self,
        instants: npt.NDArray[Any],
        order: npt.NDArray[np.int64] | None,
        whole: Sequence[bool],
        arrays: Sequence[pa.Array | Floats],
        own: Sequence[pa.Array],
    ) -> None:
        """Count a batch: the page of each row, ascending, and whether all rows of each page are in it."""

    def finish(self, pages: Sequence[PageRecord]) -> None:
        """Write down pages of which all rows have come."""


def profile_rows(
    cursor: duckdb.DuckDBPyConnection, rows: RowsOfPages, centres: Centres, parts: Parts | None = None
) -> Iterator[pa.Table]:
    """Profile pages in one pass over their rows, as rows of the ledger; a page without rows has a profile of nothing.

    Parameters
    ----------
    cursor
        Where the rows can be read.
    rows, centres
        What is profiled, and what the bins of its columns count from.
    parts
        What is counted of parts of the pages besides.

    Raises
    ------
    RunFailed
        If a page holds more rows than its publication had.
    """
    columns = rows.profiled
    if not columns or not rows.pages:
        return
    more = parts.sql if parts is not None else []
    pages = PageCounts(rows, centres, parts)
    if rows.files:
        for one in batches_of(cursor, rows, more, BATCH_ROWS):
            yield from pages.add(one.instants, one.arrays, one.more)
        yield from pages.rest()
        return
    read = [*(column.sql for column in columns), *more]
    values = ", ".join(f"{one} AS c{place}" for place, one in enumerate(read))
    for each in rows.passes():
        query = system_sql("profiles/values", values=values, rows=rows.relation, pages=each.listed)
        for batch in cursor.execute(query).to_arrow_reader(BATCH_ROWS):
            arrays = batch.columns[1:]
            yield from pages.add(batch.column(0), arrays[: len(columns)], arrays[len(columns) :])
    yield from pages.rest()


class PageCounts:
    """The counts of pages whose rows come batch by batch: each page is told once all of its rows have come."""

    def __init__(self, rows: RowsOfPages, centres: Centres, parts: Parts | None = None) -> None:
        """Begin; `centres` are what the bins of the columns count from, and `parts` are counted besides."""
        self._rows, self.columns, self._parts = rows, rows.profiled, parts
        self._centres = [centres.get((rows.kind, column.name)) for column in self.columns]
        self._table = BinTable()
        # Of a page that goes on through many batches, a table of each column with many values, to be added up once.
        self._tables: dict[int, BinTable] = {}
        self._tabled: datetime | None = None
        # Pages lie one behind the other, but for those that others have replaced in part. Of a page that is not in one
        # batch as a whole, what has come is kept.
        self._left = {page.as_of: page for page in rows.pages}
        self._n_left = {page.as_of: page.n_rows for page in rows.pages}
        self._counts: dict[datetime, list[Any]] = {}

    def add(
        self, instants: pa.Array, arrays: Iterable[pa.Array | Floats], more: Sequence[pa.Array] = ()
    ) -> Iterator[pa.Table]:
        """Count a batch. Gives what is whole now.

        Parameters
        ----------
        instants
            The pages of its rows.
        arrays
            Their values as `columns` has them, which are taken one after the other where no parts are counted.
        more
            What the parts read besides.

        Raises
        ------
        RunFailed
            If a page holds more rows than its publication had.
        """
        import numpy as np

        if not len(instants):
            return
        of_rows = instants.to_numpy(zero_copy_only=False).astype("datetime64[us]")
        order = np.argsort(of_rows, kind="stable") if (of_rows[1:] < of_rows[:-1]).any() else None
        of_rows = of_rows if order is None else of_rows[order]
        firsts = np.flatnonzero(np.concatenate(([True], of_rows[1:] != of_rows[:-1])))
        starts = np.append(firsts, len(of_rows))
        there = [self._known(page) for page in of_rows[firsts].tolist()]
        n_here = dict(zip(there, np.diff(starts).tolist(), strict=True))
        is_whole = [page not in self._counts and self._n_left[page] == n_rows for page, n_rows in n_here.items()]
        if self._parts is not None:
            arrays = list(arrays)
            self._parts.add(of_rows, order, is_whole, arrays, more)
        whole = self._counted(arrays, there, np.array(is_whole), order, starts)
        began = [page for page in there if page in self._counts]
        for page in began:
            self._n_left[page] -= n_here[page]
        yield from self._whole([self._left.pop(page) for page in began if self._n_left[page] == 0])
        ended = [self._left.pop(page) for page, is_one in zip(there, is_whole, strict=True) if is_one]
        yield from self._whole(ended, whole)

    def _counted(
        self,
        arrays: Iterable[pa.Array | Floats],
        there: Sequence[datetime],
        is_whole: npt.NDArray[np.bool_],
        order: npt.NDArray[np.int64] | None,
        starts: npt.NDArray[np.int64],
    ) -> list[Figures]:
        """Give the figures of those pages that are whole, and add up what was counted of the others."""
        parts = [(place, there[place]) for place in (~is_whole).nonzero()[0].tolist()]
        for _, page in parts:
            self._counts.setdefault(page, self._new_counts())
        figures = []
        for place, (column, centre, array) in enumerate(zip(self.columns, self._centres, arrays, strict=True)):
            if len(there) == len(parts) == 1 and getattr(self._counts[there[0]][place], "distinct", False) is None:
                self._table_of(there[0], place).add(as_floats(array), centre)
                continue
            groups = counted_groups(column, centre, array, order, starts, self._table)
            for group, page in parts:
                own, one = self._counts[page], groups.of(group)
                if own[place].n_rows:
                    own[place].merge(one)
                else:
                    own[place] = one
            if len(parts) < len(there):
                figures.append(groups.figures(is_whole))
        return figures

    def _table_of(self, page: datetime, place: int) -> BinTable:
        """Give the table of a column of a page; those of another page are added up first."""
        if self._tabled != page:
            self._add_up_tables()
            self._tabled = page
        return self._tables.setdefault(place, BinTable())

    def _add_up_tables(self) -> None:
        for place, table in self._tables.items():
            if self._tabled is not None and table.n_rows:
                self._counts[self._tabled][place].merge(table.taken(self._centres[place]))
        self._tabled = None

    def _whole(self, pages: Sequence[PageRecord], figures: Sequence[Figures] | None = None) -> Iterator[pa.Table]:
        """Give the profiles of pages of which all rows have come, whose figures are given or have been added up."""
        if not pages:
            return
        if self._parts is not None:
            self._parts.finish(pages)
        if self.columns:
            figures = self._added_up(pages) if figures is None else figures
            yield profile_table(self._rows, pages, self._centres, figures)

    def _added_up(self, pages: Sequence[PageRecord]) -> list[Figures]:
        if any(page.as_of == self._tabled for page in pages):
            self._add_up_tables()
        counts = [self._counts.pop(page.as_of, []) or self._new_counts() for page in pages]
        return [figures_of(of_column) for of_column in zip(*counts, strict=True)]

    def _known(self, page: datetime) -> datetime:
        if page not in self._left:
            raise RunFailed(
                f"{self._rows.product.name}: the page {page} of {self._rows.kind} holds more rows than the ledger"
                " tells; see `almanac doctor --deep`."
            )
        return page

    def _new_counts(self) -> list[Any]:
        return [
            CategoryCounts() if column.scale == "category" else NumberCounts(centre)
            for column, centre in zip(self.columns, self._centres, strict=True)
        ]

    def rest(self) -> Iterator[pa.Table]:
        """Give the profiles of the pages of which rows are lacking; those without any have one too, of nothing."""
        yield from self._whole(list(self._left.values()))
