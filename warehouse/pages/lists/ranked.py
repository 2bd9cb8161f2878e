"""Ranked lists: of all candidates that were scored the first of each list are kept, and nothing else is written.

Most candidates of a long list are far from being listed, and sorting them is what ranking would cost. So the score of
each list's last entry is found first, by a heap for each list, and what lies below it is left out. What is left is
sorted, on disk where it has to be, and streams by, list after list: ranks are counted from where a list began.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt

from warehouse.definitions import Product
from warehouse.definitions.product import Ranking
from warehouse.system_sql import literal, parquet, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

#: About how many scores are in the heaps of lists at a time, 8 bytes each in each thread.
HEAPED_AT_A_TIME = 4_000_000
#: Rows of the batches in which what is listed is given.
BATCH_ROWS = 65_536
_BEGINS, _ROW = "almanac: begins", "file_row_number"


def scored_file(file: Path) -> Path:
    """Give the file of all candidates with their scores, of lists that are to be written to `file`."""
    return file.with_suffix(".scored.parquet")


class RankedLists:
    """The lists of some pages on their way into one file.

    Attributes
    ----------
    scored
        The file of all candidates, each with its score, which whoever scores them writes. It may be written again with
        the listed rows alone, and more columns, to be ranked again.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        product: Product,
        ranking: Ranking,
        file: Path,
        kept: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Begin; in `kept`, (n_rows,) of the file as it is ranked first, what is listed is noted."""
        self._cursor, self._product, self._ranking, self._file = cursor, product, ranking, file
        self._kept = kept
        self.scored = scored_file(file)

    def cut(self) -> None:
        """Leave out of what was scored what is certainly not listed, where that is much."""
        n_rows, n_lists = self._sizes()
        if 2 * n_lists * self._ranking.top <= n_rows:
            self._leave_out_the_rest(n_lists)

    def _sizes(self) -> tuple[int, int]:
        """Count what was scored, exactly, and its lists, about."""
        count = f"SELECT count(*), approx_count_distinct((as_of, {quote_all(self._ranking.keys)}))"
        row = self._cursor.execute(f"{count} FROM {self._of(self.scored)}").fetchone()
        return row or (0, 0)

    def _leave_out_the_rest(self, n_lists: int) -> None:
        """Write what was scored again, without what is certainly not listed."""
        scored, bounds = self._of(self.scored), []
        n_parts = n_lists * self._ranking.top // HEAPED_AT_A_TIME + 1
        for part in range(n_parts):
            bounds.append(self._file.with_suffix(f".bounds-{part:05}.parquet"))
            statement = system_sql(
                "pages/list_bounds",
                list=quote_all(self._ranking.keys),
                score=quote(self._product.score_column),
                top=str(self._ranking.top),
                scored=scored,
                n_parts=str(n_parts),
                part=str(part),
                file=literal(str(bounds[-1])),
            )
            self._cursor.execute(statement)
        left = self._file.with_suffix(".left.parquet")
        by = [quote(name) for name in ("as_of", *self._ranking.keys)]
        statement = system_sql(
            "pages/within_bounds",
            scored=scored,
            bounds=self._of(*bounds),
            same_list=" AND ".join(f"scored.{name} IS NOT DISTINCT FROM bounds.{name}" for name in by),
            score=quote(self._product.score_column),
            file=literal(str(left)),
        )
        self._cursor.execute(statement)
        left.replace(self.scored)
        for file in bounds:
            file.unlink()

    def listed(self) -> pa.RecordBatchReader:
        """Give the listed rows of what was scored, list by list, with their `rank`, from 1 on."""
        import pyarrow as pa

        others = [key for key in self._product.keys if key not in self._ranking.keys]
        # DuckDB sorts a short key in half the time: what is the same on all rows is left out of it.
        by = [quote(name) for name in ([] if self._is_one_page() else ["as_of"]) + list(self._ranking.keys)]
        begins = " OR ".join(f"{name} IS DISTINCT FROM lag({name}) OVER ()" for name in by)
        order = [*by, f"{quote(self._product.score_column)} DESC", *(quote(key) for key in others)]
        parts = {"begins": begins, "scored": self._of(self.scored), "order": ", ".join(order)}
        ranked = self._cursor.execute(system_sql("pages/ranked", **parts)).to_arrow_reader(BATCH_ROWS)
        own = [field for field in ranked.schema if field.name not in (_BEGINS, _ROW)]
        schema = pa.schema([*own, pa.field("rank", pa.int64())])
        return pa.RecordBatchReader.from_batches(schema, self._ranked(ranked, schema))

    def _is_one_page(self) -> bool:
        asked = f"SELECT min(as_of) = max(as_of) FROM {self._of(self.scored)}"
        return self._cursor.execute(asked).fetchone() == (True,)

    def _ranked(self, ranked: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        from warehouse.arrow_rows import chosen_rows

        n_before = 0
        for batch in ranked:
            ranks = _ranks(batch.column(_BEGINS).to_numpy(zero_copy_only=False), n_before)
            n_before = int(ranks[-1]) if len(ranks) else n_before
            is_listed = ranks <= self._ranking.top
            if self._kept is not None:
                self._kept[batch.column(_ROW).to_numpy()[is_listed]] = True
            yield chosen_rows(batch.append_column("rank", pa.array(ranks)).select(schema.names), is_listed)
        self._kept = None

    def listed_of(self, features: str) -> str:
        """Give SQL of those rows of a relation of feature pages that are listed."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file, keys = self._file.with_suffix(".listed.parquet"), ["as_of", *self._product.keys]
        listed = self.listed()
        schema = pa.schema([listed.schema.field(name) for name in keys])
        with pq.ParquetWriter(file, schema, compression="lz4") as writer:
            for batch in listed:
                writer.write_batch(batch.select(keys))
        return f"(FROM {features} SEMI JOIN {parquet([file])} AS listed USING ({quote_all(keys)}))"

    @staticmethod
    def _of(*files: Path) -> str:
        return f"{parquet(files)[:-1]}, file_row_number = true)"


def _ranks(begins: npt.NDArray[np.bool_], n_before: int) -> npt.NDArray[np.int64]:
    """Count rows from where their list begins; the first list of a batch may have had some rows in those before."""
    places: npt.NDArray[Any] = np.arange(len(begins), dtype=np.int64)
    began = np.maximum.accumulate(np.where(begins, places, -1 - n_before)) if len(begins) else places
    return np.asarray(places - began + np.where(began < 0, 0, 1), np.int64)
