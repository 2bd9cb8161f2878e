"""How many pages are made and committed together: as many as a memory budget holds.

A batch's rows stand in memory several times over: in the tables of its feature groups, in their join, and in the
file that is being written. What a page has of them is taken from the pages that the ledger has, and from the
batches made so far; where it has none, from a look at two pages. Pages whose features are there already stream past,
and stand in memory not at all: of these a batch takes many more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from warehouse.definitions import Product
from warehouse.lake.lake import table_columns
from warehouse.ledger import records as ledger

if TYPE_CHECKING:
    from warehouse.batching.batch import Batch

#: Bytes that a batch's tables may take, unless told otherwise.
MEMORY_BUDGET = 1536 * 2**20
#: The same of lists, whose candidates are many.
LISTS_MEMORY_BUDGET = 256 * 2**20
#: What one value of one row is reckoned at, its copies included: 330,000 rows of 40 and of 134 columns took 27 and 28.
_BYTES_PER_VALUE = 32
#: No more than this, so that a kill costs little, and a daily run that waits for a batch does not wait long.
MAX_PAGES = 512
#: Rows of a batch whose features are all there already; a kill costs the seconds that scoring them takes.
ROWS_THAT_STREAM = 10_000_000
#: So many pages while nothing is known of their size.
_FIRST_PAGES = 32


@dataclass
class BatchSize:
    """The size of the next batch.

    Parameters
    ----------
    n_columns
        Columns of a feature page; 0 if not known yet.
    rows_per_page
        Rows of a page, on average; None if not known yet.
    fixed
        This many pages, whatever they weigh.
    budget
        Bytes that a batch's tables may take.
    """

    n_columns: int
    rows_per_page: float | None
    fixed: int | None = None
    budget: int = MEMORY_BUDGET

    @property
    def is_known(self) -> bool:
        """Whether there is anything to estimate from."""
        return self.fixed is not None or self.rows_per_page is not None

    def pages(self) -> int:
        """Give how many pages the next batch computes, at least one."""
        if self.fixed is not None:
            return self.fixed
        if self.rows_per_page is None:
            return _FIRST_PAGES
        bytes_per_page = max(1.0, self.rows_per_page * max(1, self.n_columns) * _BYTES_PER_VALUE)
        return int(min(MAX_PAGES, max(1, self.budget // bytes_per_page)))

    def pages_in_all(self) -> int:
        """Give how many pages the next batch has, counting those whose features are there already."""
        if self.fixed is not None:
            return self.fixed
        if self.rows_per_page is None:
            return _FIRST_PAGES
        streaming = int(min(MAX_PAGES, ROWS_THAT_STREAM // max(1.0, self.rows_per_page)))
        return max(self.pages(), streaming)

    def learn(self, n_pages: int, n_rows: int) -> None:
        """Take a finished batch into account; one of larger pages counts at once, one of smaller ones by half."""
        if n_pages == 0:
            return
        found = n_rows / n_pages
        before = self.rows_per_page
        self.rows_per_page = found if before is None or found > before else (before + found) / 2

    def look_ahead(self, batch: Batch, pages: Sequence[datetime]) -> None:
        """Learn from the entities of two pages that are not made yet, while nothing else is known.

        Where that cannot be told without making them, or there is none on either, rows stay unknown, and columns are
        known.
        """
        n_rows, self.n_columns = batch.shape_of([sorted(pages)[len(pages) // 2], max(pages)])
        self.rows_per_page = max(n_rows, default=0) or None


def batch_size(connection: duckdb.DuckDBPyConnection, product: Product, fixed: int | None = None) -> BatchSize:
    """Give the size of a product's batches by what the lake has of it; `fixed` is what was asked for, if anything."""
    columns = table_columns(connection, "features", product.name)
    # Where only a part of the candidates is kept, a look at the entities tells how many there are.
    rows = None if product.keeps_part or fixed is not None else ledger.rows_per_page(connection, product.name)
    return BatchSize(len(columns), rows, fixed, MEMORY_BUDGET if product.ranking is None else LISTS_MEMORY_BUDGET)
