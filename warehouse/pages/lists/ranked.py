"""Ranked lists: of all candidates that were scored the first of each list are kept, and nothing else is written.

Most candidates of a long list are far from being listed, and sorting them is what ranking would cost. So the score of
each list's last entry is found first, by a heap for each list, and what lies below it is left out. All rows of a list
that are left are needed to rank it, and lists lie in any order: so they are gone through several times, each time for
the lists of one part of all hashes. Memory holds the keys and scores of one part, or its heaps, however many there are.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.definitions import Product
from warehouse.definitions.product import Ranking
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

#: About how many rows are ranked at a time: some 100 bytes of memory each.
ROWS_AT_A_TIME = 1_500_000
#: About how many scores are in the heaps of lists at a time, 8 bytes each in each thread.
HEAPED_AT_A_TIME = 4_000_000


def scored_file(file: Path) -> Path:
    """Give the file of all candidates with their scores, of lists that are to be written to `file`."""
    return file.with_suffix(".scored.parquet")


class RankedLists:
    """The lists of some pages on their way into one file.

    Attributes
    ----------
    scored
        The file of all candidates, each with its score, which whoever scores them writes. Once they are ranked, it
        may be written again with the listed rows alone, and more columns, to be ranked again.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, product: Product, ranking: Ranking, file: Path) -> None:
        self._cursor, self._product, self._ranking, self._file = cursor, product, ranking, file
        self.scored = scored_file(file)
        self._parts: list[Path] = []

    def rank(self) -> None:
        """Find the first of each list among what was scored."""
        n_rows, n_lists = self._sizes()
        if 2 * n_lists * self._ranking.top <= n_rows:
            self._leave_out_the_rest(n_lists)
            n_rows, _ = self._sizes()
        self._parts = []
        n_parts = n_rows // ROWS_AT_A_TIME + 1
        for part in range(n_parts):
            self._parts.append(self._file.with_suffix(f".listed-{part:05}.parquet"))
            statement = system_sql(
                "pages/ranked",
                list=quote_all(self._ranking.keys),
                keys=quote_all(self._product.keys),
                score=quote(self._product.score_column),
                top=str(self._ranking.top),
                scored=self._of(self.scored),
                n_parts=str(n_parts),
                part=str(part),
                file=literal(str(self._parts[-1])),
            )
            self._cursor.execute(statement)

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

    def listed_of(self, features: str) -> str:
        """Give SQL of those rows of a relation of feature pages that are listed."""
        keys = f"as_of, {quote_all(self._product.keys)}"
        return f"(FROM {features} SEMI JOIN {self._of(*self._parts)} AS listed USING ({keys}))"

    def write(self) -> dict[datetime, int]:
        """Write the listed rows with their ranks, list by list, and count them by page."""
        statement = system_sql(
            "pages/listed",
            scored=self._of(self.scored),
            listed=self._of(*self._parts),
            list=quote_all(self._ranking.keys, "scored."),
            file=literal(str(self._file)),
        )
        self._cursor.execute(statement)
        for file in (self.scored, *self._parts):
            file.unlink()
        return dict(self._cursor.execute(system_sql("pages/staged"), [exact_path(self._file)]).fetchall())

    @staticmethod
    def _of(*files: Path) -> str:
        listed = ", ".join(literal(exact_path(file)) for file in files)
        return f"read_parquet([{listed}], file_row_number = true)"
