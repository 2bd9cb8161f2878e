"""Profiles of segments: how the values of each column are spread over the rows with one value of another column.

They are counted from the batches that the page's own profiles are counted from, all groups of rows at once. Counts are
as those of `warehouse.pages.profiles`, in bins four times as wide. Which values have a profile follows from the page
alone: those with enough rows, and of these the largest. The others are told of by the profile of the whole page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warehouse.arrow_arrays import registered_once
from warehouse.lake.lake import Commit
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import Centres, RowsOfPages
from warehouse.pages.profiles import ProfiledColumn
from warehouse.pages.profiling.cuts import BIN_BITS, MAX_CATEGORIES, VALUE_BITS, ZERO, Chosen, Cut, Sparse, coded
from warehouse.pages.profiling.segments_by import segments_by
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]


class SegmentCounts:
    """The counts of the segments of pages whose rows come batch by batch; `tables` are of the pages that are whole."""

    def __init__(self, rows: RowsOfPages, centres: Centres) -> None:
        """Begin; `centres` are what the bins of the columns count from."""
        import numpy as np

        self._rows = rows
        self._pages = sorted(rows.pages, key=lambda one: one.as_of)
        self._instants = np.array([one.as_of for one in self._pages], "datetime64[us]")
        self._of_columns = [centres.get((rows.kind, column.name)) for column in rows.profiled]
        self._by = segments_by(rows.product, rows.kind, rows.columns)
        columns, n_pages = rows.profiled, len(self._pages)
        self._cuts = [Cut(name, columns, self._of_columns, np.zeros(n_pages, bool)) for name in self._by]
        self.tables = list["pa.Table"]()

    @property
    def sql(self) -> list[str]:
        """SQL of what has to be read besides: what makes segments, as text."""
        return [*self._by.values()]

    def add(
        self,
        instants: npt.NDArray[Any],
        order: Integers | None,
        whole: Sequence[bool],
        arrays: Sequence[pa.Array | npt.NDArray[np.float64]],
        own: Sequence[pa.Array],
    ) -> None:
        """Count a batch.

        Parameters
        ----------
        instants
            The page of each row, ascending.
        order
            In which order the rows of the arrays are those of `instants`; None: as they come.
        whole
            Of each of these pages whether all of its rows are in this batch.
        arrays, own
            The values of the profiled columns, and those that `sql` reads.
        """
        import numpy as np

        pages = np.searchsorted(self._instants, instants)
        is_whole = np.zeros(len(self._pages), bool)
        is_whole[np.unique(pages)] = whole
        groups = [cut.groups_of(pages, order, is_whole, one) for cut, one in zip(self._cuts, own, strict=True)]
        if not any(groups):
            return
        for column, centre, array in zip(self._rows.profiled, self._of_columns, arrays, strict=True):
            values = coded(column, centre, array)
            for cut, one in zip(self._cuts, groups, strict=True):
                if one is not None:
                    cut.add(column, one, values)

    def finish(self, pages: Sequence[PageRecord]) -> None:
        """Write down pages of which all rows have come."""
        import numpy as np

        numbers = np.searchsorted(self._instants, np.array([one.as_of for one in pages], "datetime64[us]"))
        for cut in self._cuts:
            chosen = cut.finish(np.sort(numbers))
            self.tables.append(self._of_cut(cut, chosen, numbers))
            of_all = self._of_rows(chosen)
            for column, centre in zip(cut.columns, cut.centres, strict=True):
                self.tables.append(self._of_column(cut, chosen, of_all, column, centre, numbers))
            cut.forget_values()

    def _of_cut(self, cut: Cut, chosen: Chosen, numbers: Integers) -> pa.Table:
        """Tell that a page was cut into segments, and how many of its rows are in none that has a profile."""
        import numpy as np

        pages = np.sort(numbers)
        n_rows = np.array([self._pages[page].n_rows for page in pages.tolist()], np.int64)
        own = np.bincount(chosen.pages, chosen.n_rows, len(self._pages)).astype(np.int64)[pages]
        nothing = np.zeros(len(pages), np.int64)
        of = Chosen(pages, [cut.name] * len(pages), pages, n_rows)
        return self._table(self._of_rows(of), None, "category", None, nothing, n_rows - own)

    def _of_column(
        self,
        cut: Cut,
        chosen: Chosen,
        of: dict[str, pa.Array],
        column: ProfiledColumn,
        centre: float | None,
        numbers: Integers,
    ) -> pa.Table:
        import numpy as np

        nothing = Sparse()
        keys, counts = cut.counts.get(column.name, nothing).of(numbers, VALUE_BITS + BIN_BITS)
        missing, n_missing = cut.missing.get(column.name, nothing).of(numbers, VALUE_BITS)
        over = cut.is_over.get(column.name)
        if over is not None:
            kept = np.flatnonzero(~over[chosen.pages])
            segments = [chosen.segments[one] for one in kept.tolist()]
            chosen = Chosen(chosen.groups[kept], segments, chosen.pages[kept], chosen.n_rows[kept])
            of = self._of_rows(chosen)
        of_missing = np.zeros(len(chosen.groups), np.int64)
        places, is_chosen = chosen.places(missing)
        of_missing[places[is_chosen]] = n_missing[is_chosen]
        places, is_chosen = chosen.places(keys >> BIN_BITS)
        places, counts = places[is_chosen], counts[is_chosen]
        codes = keys[is_chosen] & ((1 << BIN_BITS) - 1)
        if column.scale != "category":
            lists = places, codes - ZERO, counts
            return self._table(of, column.name, column.scale, centre, of_missing, None, *lists)
        names = np.array(list(cut.categories.get(column.name, ())), object)
        texts = names[codes]
        order = np.lexsort((texts.astype(str), -counts, places))
        places, texts, counts = places[order], texts[order], counts[order]
        starts = np.searchsorted(places, np.arange(len(chosen.groups)))
        is_top = np.arange(len(places)) - starts[places] < MAX_CATEGORIES
        others = np.bincount(places[~is_top], counts[~is_top], len(chosen.groups)).astype(np.int64)
        lists = places[is_top], texts[is_top], counts[is_top]
        return self._table(of, column.name, column.scale, None, of_missing, others, *lists)

    def _of_rows(self, chosen: Chosen) -> dict[str, pa.Array]:
        """Give what the profiles of all columns of some segments have alike."""
        import pyarrow as pa

        n_rows, pages = len(chosen.groups), [self._pages[page] for page in chosen.pages.tolist()]
        return {
            "product": pa.repeat(pa.scalar(self._rows.product.name), n_rows),
            "kind": pa.repeat(pa.scalar(self._rows.kind), n_rows),
            "as_of": pa.array([page.as_of for page in pages], pa.timestamp("us")),
            "segment": pa.array(chosen.segments, pa.string()),
            "run_id": pa.array([page.run_id for page in pages], pa.string()),
            "model_version": pa.array([page.model_version for page in pages], pa.string()),
            "n_rows": pa.array(chosen.n_rows, pa.int64()),
        }

    @staticmethod
    def _table(
        of: dict[str, pa.Array],
        column: str | None,
        scale: str,
        centre: float | None,
        n_missing: Integers,
        n_other: Integers | None,
        places: Integers | None = None,
        codes: npt.NDArray[Any] | None = None,
        counts: Integers | None = None,
    ) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        n_rows = len(of["segment"])
        lengths = np.bincount(places, minlength=n_rows) if places is not None else np.zeros(n_rows, np.int64)
        offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
        empty, is_category = pa.array(np.zeros(n_rows + 1), pa.int32()), scale == "category"
        integers, texts = pa.array([], pa.int64()), pa.array([], pa.string())
        bins = integers if codes is None or is_category else pa.array(codes, pa.int64())
        names = texts if codes is None or not is_category else pa.array(codes.tolist(), pa.string())
        numbers = integers if counts is None else pa.array(counts, pa.int64())
        return pa.table(
            {
                **of,
                "column_name": pa.repeat(pa.scalar(column, pa.string()), n_rows),
                "scale": pa.repeat(pa.scalar(scale), n_rows),
                "n_missing": pa.array(n_missing, pa.int64()),
                "centre": pa.repeat(pa.scalar(centre, pa.float64()), n_rows),
                "bins": pa.ListArray.from_arrays(empty if is_category else offsets, bins),
                "top_values": pa.ListArray.from_arrays(offsets if is_category else empty, names),
                "counts": pa.ListArray.from_arrays(offsets, numbers),
                "n_other": pa.array(n_other if n_other is not None else np.zeros(n_rows, np.int64), pa.int64()),
            }
        )


def segment_counts(rows: RowsOfPages, centres: Centres) -> SegmentCounts | None:
    """Give what counts the segments of pages; None where product.yaml names nothing that makes any of them."""
    is_cut = rows.pages and segments_by(rows.product, rows.kind, rows.columns)
    return SegmentCounts(rows, centres) if is_cut else None


def append_segment_profiles(commit: Commit, tables: Sequence[pa.Table], published: Sequence[PageRecord]) -> None:
    """Append the profiles of the segments of those pages that were published, inside a commit."""
    import pyarrow as pa

    tables = [table for table in tables if table.num_rows]
    if not tables or not published:
        return
    there = {"kind": [one.kind for one in published], "as_of": [one.as_of for one in published]}
    pages = pa.table(there, pa.schema({"kind": pa.string(), "as_of": pa.timestamp("us")}))
    with (
        registered_once(commit.connection, "new_profiles", pa.concat_tables(tables)),
        registered_once(commit.connection, "published_now", pages),
    ):
        commit.execute(system_sql("profiles/append_segments"))
