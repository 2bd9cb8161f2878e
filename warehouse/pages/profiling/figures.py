"""What profiles have of the columns of pages, as arrays, and the Arrow table that the ledger takes them from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warehouse.arrow_arrays import lists_array, numbers_array, texts_array
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import RowsOfPages
from warehouse.pages.profiles import CategoryCounts, NumberCounts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """What the profiles of a column have, of some pages: arrays `(n_pages,)`.

    Attributes
    ----------
    n_distinct
        -1 where there are too many to be told apart.
    low, high
        NaN where there is none.
    lengths
        How many bins or categories each page has.
    codes, counts
        The bins or categories of all pages one behind the other, and the rows in each.
    """

    n_rows: Integers
    n_missing: Integers
    n_distinct: Integers
    values_hash: Sequence[str | None]
    low: Floats
    high: Floats
    lengths: Integers
    codes: Integers | Sequence[str]
    counts: Integers
    n_other: Integers


def figures_of(counted: Sequence[NumberCounts | CategoryCounts]) -> Figures:
    """Give the figures of a column of pages that were counted each for itself."""
    import numpy as np

    every = [one.figures() for one in counted]
    is_category = bool(every) and "top_values" in every[0]
    codes = [code for one in every for code in one["top_values" if is_category else "bins"]]

    def integers(name: str, otherwise: int = 0) -> Integers:
        return np.array([otherwise if one.get(name) is None else one[name] for one in every], np.int64)

    def floats(name: str) -> Floats:
        return np.array([np.nan if one.get(name) is None else one[name] for one in every], np.float64)

    return Figures(
        n_rows=integers("n_rows"),
        n_missing=integers("n_missing"),
        n_distinct=integers("n_distinct", -1),
        values_hash=[one["values_hash"] for one in every],
        low=floats("low"),
        high=floats("high"),
        lengths=np.array([len(one["counts"]) for one in every], np.int64),
        codes=codes if is_category else np.array(codes, np.int64),
        counts=np.array([count for one in every for count in one["counts"]], np.int64),
        n_other=integers("n_other"),
    )


def profile_table(
    rows: RowsOfPages, pages: Sequence[PageRecord], centres: Sequence[float | None], figures: Sequence[Figures]
) -> pa.Table:
    """Give profiles as rows of `ledger.profiles`, page by page; centres and figures are of each profiled column."""
    import numpy as np
    import pyarrow as pa

    columns, n_pages = rows.profiled, len(pages)
    n_rows = n_pages * len(columns)
    lengths = np.array([one.lengths for one in figures])
    is_category = np.array([column.scale == "category" for column in columns])
    of_bins, of_texts = lengths * ~is_category[:, None], lengths * is_category[:, None]
    counts = np.concatenate([one.counts for one in figures])
    bins, texts = _codes(figures)

    def of_column(values: Sequence[str]) -> pa.Array:
        return texts_array(values, times=n_pages)

    def of_page(values: Sequence[str | None]) -> pa.Array:
        return texts_array(values, each=len(columns))

    def integers(name: str) -> Integers:
        return np.array([getattr(one, name) for one in figures]).T.ravel()

    def floats(values: Floats) -> pa.Array:
        return numbers_array(values, pa.float64(), ~np.isnan(values))

    def lists(elements: Integers, of: Integers) -> pa.Array:
        return lists_array(numbers_array(elements[_page_by_page(of)], pa.int64()), of.T.ravel())

    instants = np.repeat(np.array([page.as_of for page in pages], "datetime64[us]").view(np.int64), len(columns))
    n_distinct, hashes = integers("n_distinct"), [one.values_hash for one in figures]
    table = {
        "product": texts_array([rows.product.name], n_rows),
        "kind": texts_array([rows.kind], n_rows),
        "as_of": numbers_array(instants, pa.timestamp("us")),
        "column_name": of_column([column.name for column in columns]),
        "scale": of_column([column.scale for column in columns]),
        "run_id": of_page([page.run_id for page in pages]),
        "model_version": of_page([page.model_version for page in pages]),
        "n_rows": numbers_array(integers("n_rows"), pa.int64()),
        "n_missing": numbers_array(integers("n_missing"), pa.int64()),
        "n_distinct": numbers_array(n_distinct, pa.int64(), n_distinct >= 0),
        "values_hash": texts_array([of[place] for place in range(n_pages) for of in hashes]),
        "low": floats(np.array([one.low for one in figures]).T.ravel()),
        "high": floats(np.array([one.high for one in figures]).T.ravel()),
        "centre": floats(np.tile(np.array([np.nan if one is None else one for one in centres], np.float64), n_pages)),
        "bins": lists(bins, of_bins),
        "top_values": lists_array(
            texts_array([texts[place] for place in _page_by_page(of_texts).tolist()]), of_texts.T.ravel()
        ),
        "counts": lists(counts, lengths),
        "n_other": numbers_array(integers("n_other"), pa.int64()),
    }
    return pa.Table.from_arrays([*table.values()], [*table])


def _codes(figures: Sequence[Figures]) -> tuple[Integers, list[str]]:
    """Give the bins of all columns of numbers, and the categories of all others, column by column."""
    import numpy as np

    bins = [one.codes for one in figures if isinstance(one.codes, np.ndarray)]
    texts = [text for one in figures if not isinstance(one.codes, np.ndarray) for text in one.codes]
    return np.concatenate([np.zeros(0, np.int64), *bins]), texts


def _page_by_page(lengths: Integers) -> Integers:
    """Give the places of what lies column by column, in each page by page, in the order page by page.

    Parameters
    ----------
    lengths
        How much there is of each column and page: `(n_columns, n_pages)`.
    """
    import numpy as np

    starts = (np.cumsum(lengths) - lengths.ravel()).reshape(lengths.shape).T.ravel()
    lengths = lengths.T.ravel()
    return np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
