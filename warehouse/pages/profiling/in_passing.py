"""Profiles of feature pages, taken of the batches that go to the scorer.

To read a staged file again costs more than to count what is in it. Where all rows that are scored belong to pages
made in the same batch, and every column's centre is known, the file is read once; everywhere else, and where scoring
was given up, the staged file is profiled by itself (`warehouse.pages.profiled_pages`), with the same rows. Of ranked
lists those candidates are counted that are kept, as they are written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from warehouse.definitions import Product
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import Centres, RowsOfPages
from warehouse.pages.profiling.page_counts import PageCounts
from warehouse.pages.profiling.segments import segment_counts
from warehouse.pages.publishing import StagedRows
from warehouse.system_sql import parquet, quote

if TYPE_CHECKING:
    import pyarrow as pa

#: Columns of these types are read for the scorer as they are profiled, and those of these are made so by Arrow as they
#: are by DuckDB.
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_AS_THEY_ARE = ("DOUBLE", "VARCHAR")
_CAST_ALIKE = frozenset((*(f"{sign}{name}" for sign in ("", "U") for name in _INTEGERS), "FLOAT"))


class InPassing:
    """What is counted of the rows of staged pages while they are read for something else."""

    def __init__(self, rows: RowsOfPages, centres: Centres) -> None:
        """Begin; every column's centre has to be among `centres`."""
        self._centres = centres
        self._begin(rows)

    def _begin(self, rows: RowsOfPages) -> None:
        self._rows, self._parts = rows, segment_counts(rows, self._centres)
        self._pages = PageCounts(rows, self._centres, self._parts)
        self._n_left = sum(page.n_rows for page in rows.pages)
        self._found = list["pa.Table"]()

    @property
    def can_count_kept(self) -> bool:
        """Whether all that is counted can be had of the rows as they are written."""
        kinds = {self._rows.columns[column.name] for column in self._pages.columns}
        return not self._sql_of_parts and kinds <= {*_AS_THEY_ARE, *_CAST_ALIKE}

    def kept(self, pages: Sequence[PageRecord], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Count what is kept of the pages, and nothing else; each batch is counted as it is handed on.

        Parameters
        ----------
        pages
            The pages as they will be, with the numbers of rows that are kept.
        batches
            These rows, of all columns.
        """
        from warehouse.arrow_rows import as_doubles

        self._begin(replace(self._rows, pages=pages))
        kinds = self._rows.columns
        for batch in batches:
            self._n_left -= batch.num_rows
            columns = [(batch.column(one.name), kinds[one.name]) for one in self._pages.columns]
            read = [column if kind in _AS_THEY_ARE else as_doubles(column) for column, kind in columns]
            self._found += self._pages.add(batch.column("as_of"), read)
            yield batch

    def sql_of_more(self, wanted: Collection[str]) -> str:
        """Give SQL of what has to be read beside columns that are wanted anyway: a list that begins with a comma."""
        names = self._names(wanted)
        more = [
            f", {column.sql} AS {quote(name)}"
            for name, column in zip(names, self._pages.columns, strict=True)
            if name != column.name
        ]
        more += [f", {one} AS {quote(self._of_part(place))}" for place, one in enumerate(self._sql_of_parts)]
        return "".join(more)

    @property
    def _sql_of_parts(self) -> list[str]:
        return self._parts.sql if self._parts is not None else []

    @staticmethod
    def _of_part(place: int) -> str:
        return f"almanac: segment {place}"

    @property
    def segments(self) -> Sequence[pa.Table]:
        """The profiles of the segments of the pages that `profiles` gives."""
        return self._parts.tables if self._parts is not None else ()

    def _names(self, wanted: Collection[str]) -> list[str]:
        return [
            one.name if one.name in wanted and self._rows.columns[one.name] in _AS_THEY_ARE else f"almanac: {one.name}"
            for one in self._pages.columns
        ]

    def counted(self, reader: pa.RecordBatchReader, wanted: Sequence[str]) -> Passing:
        """Give the wanted columns of what `sql_of_more` was read with; each batch is counted as it is handed on."""
        import pyarrow as pa

        schema = pa.schema([reader.schema.field(name) for name in wanted])
        return Passing(schema, self._passing(reader, wanted))

    def _passing(self, reader: pa.RecordBatchReader, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        names, more = self._names(wanted), [self._of_part(place) for place in range(len(self._sql_of_parts))]
        for batch in reader:
            self._n_left -= batch.num_rows
            self._found += self._pages.add(
                batch.column("as_of"), [batch.column(one) for one in names], [batch.column(one) for one in more]
            )
            yield batch.select(list(wanted))

    def profiles(self) -> list[pa.Table] | None:
        """Give the profiles of all pages; None if not all of their rows have passed."""
        return [*self._found, *self._pages.rest()] if self._n_left == 0 else None


@dataclass(frozen=True)
class Passing:
    """Batches that are counted as they are handed on, of the columns of `schema`."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Go through them, once."""
        return self.batches


def in_passing(product: Product, staged: Sequence[StagedRows], n_pages: int, centres: Centres) -> InPassing | None:
    """Give what profiles feature pages on their way to the scorer; None where the staged file has to be read for it.

    Of ranked lists it waits for what is kept.

    Parameters
    ----------
    staged
        What was staged of the batch.
    n_pages
        How many pages are scored: they are all to be among the staged ones.
    centres
        What the ledger has of the product.
    """
    if len(staged) != 1 or len(staged[0].pages) != n_pages:
        return None
    (one,) = staged
    rows = RowsOfPages(product, one.kind, parquet(one.files), one.columns, one.pages)
    knows_all = all(column.scale == "category" or (one.kind, column.name) in centres for column in rows.profiled)
    found = InPassing(rows, centres) if knows_all else None
    return found if found is None or product.ranking is None or found.can_count_kept else None
