"""The profiles of staged pages: made before the commit that publishes them, and written in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.lake.lake import Commit
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import (
    Centres,
    RowsOfPages,
    centres_of,
    columns_without_centre,
    new_centres,
    record_centres,
)
from warehouse.pages.profiling.appended import append_profiles
from warehouse.pages.profiling.file_values import medians_of_files
from warehouse.pages.profiling.in_passing import InPassing
from warehouse.pages.profiling.page_counts import BATCH_ROWS, profile_rows
from warehouse.pages.profiling.segments import append_segment_profiles, segment_counts
from warehouse.pages.publishing import StagedRows
from warehouse.system_sql import parquet

if TYPE_CHECKING:
    import pyarrow as pa


class StagedProfiles:
    """The profiles of staged pages, on their way into the commit that publishes them."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        product: Product,
        staged: Sequence[StagedRows],
        passed: Collection[datetime],
        known: Centres,
        passing: InPassing | None = None,
    ) -> None:
        """Profile those of the staged pages that passed; `known` are the centres that the ledger had.

        `passing` has counted the staged feature pages already, if all of their rows have passed.

        Raises
        ------
        RunFailed
            If the staged rows cannot be read, or memory does not suffice.
        """
        self._cursor, self._product = cursor, product
        features = passing.profiles() if passing is not None else None
        self._rows = [self._rows_of(one, passed) for one in staged if features is None or one.kind != "features"]
        self._taken = list(features or ())
        self._taken_segments = list(passing.segments) if passing is not None and features is not None else []
        self._segments = list["pa.Table"]()
        self._known, self._new = known, Centres()
        try:
            for rows in self._rows:
                there = {**known, **self._new}
                given = medians_of_files(rows, columns_without_centre(rows, there))
                self._new |= new_centres(cursor, rows, there, given)
            self._profiles = self._profiled()
        except duckdb.Error as error:
            raise RunFailed(
                f"{product.name}: the pages could not be profiled: {error}. Nothing was published."
            ) from error

    def _rows_of(self, staged: StagedRows, passed: Collection[datetime]) -> RowsOfPages:
        pages = [page for page in staged.pages if page.as_of in passed]
        if staged.held is not None:
            # What is in memory is read in a third of the time that the file takes.
            return RowsOfPages(self._product, staged.kind, staged.held, staged.columns, pages, BATCH_ROWS)
        return RowsOfPages(self._product, staged.kind, parquet(staged.files), staged.columns, pages, files=staged.files)

    def _profiled(self) -> list[pa.Table]:
        centres, profiled = {**self._new, **self._known}, list(self._taken)
        self._segments = list(self._taken_segments)
        for rows in self._rows:
            parts = segment_counts(rows, centres)
            profiled += profile_rows(self._cursor, rows, centres, parts)
            self._segments += parts.tables if parts is not None else ()
        return profiled

    def settle_centres(self, commit: Commit, run_id: str, now: datetime) -> None:
        """Record new centres, before the staged files are moved; what another run has recorded meanwhile holds."""
        if not self._new:
            return
        meanwhile = centres_of(commit.connection, self._product.name)
        if any(self._new[key] != meanwhile[key] for key in self._new.keys() & meanwhile.keys()):
            self._known = meanwhile
            self._profiles = self._profiled()
        record_centres(commit, self._product.name, self._new, meanwhile, run_id, now)

    def write(self, commit: Commit, published: Sequence[PageRecord]) -> None:
        """Write the profiles of those pages that were published after all."""
        append_profiles(commit, self._profiles, published)
        append_segment_profiles(commit, self._segments, published)
