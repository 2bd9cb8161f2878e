"""Series: the profiles of one column, page by page, side by side as a table of counts.

Pages are in the order of the grid, whatever order they were made in. Profiles under another centre, of another scale,
or, of predictions, of another version are another series: nothing is compared or added up across them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb

from warehouse.pages.profiles import edges_of
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: A column with at most so many values a page may tell of the day, not of rows.
FEW = 10
#: The code of values of a category that are not told apart.
OTHERS = "\x00others"
#: On a page with more categories than that, those with less than this share of its rows are not told apart: a column
#: of names that never come again would else make a table of all names by all pages.
_MANY, _SMALL = 200, 0.005
_MOST_OF_INT32 = 1 << 31
#: Of the segments of all pages the profiles of so many columns are held at a time.
_COLUMNS_AT_A_TIME = 16


@dataclass(frozen=True)
class Series:
    """The profiles of one column, of the pages that have one.

    Attributes
    ----------
    kind, column, scale, version
        What it is of; `version` of predictions only.
    pages
        Places of the pages in the list of all pages, ascending: `(n_pages,)`.
    counts
        Rows by bin or category: `(n_pages, n_codes)`, int32 where no sum of them is larger.
    codes
        The bins, ascending, or the categories: `(n_codes,)`.
    places
        Where on the scale each bin lies, float64 `(n_codes,)`; None of categories.
    n_rows, n_missing, n_distinct
        Of each page, int64 `(n_pages,)`; `n_distinct` is -1 where there are more than profiles count.
    values
        The hash of the set of different values of each page, as an object array of text or None.
    run_ids
        The publication of each page.
    centre
        What the bins count from; None of categories, and where no page has a value.
    segment
        The part of the pages that it is of; None: all of their rows.
    """

    kind: str
    column: str
    scale: str
    version: str | None
    pages: Integers
    counts: Integers
    codes: npt.NDArray[Any]
    places: Floats | None
    n_rows: Integers
    n_missing: Integers
    n_distinct: Integers
    values: npt.NDArray[Any]
    run_ids: Sequence[str]
    centre: float | None = None
    segment: str | None = None

    def of(self, places: Sequence[int] | Integers | slice) -> Series:
        """Give the series of some of its pages, by their places in it."""
        arrays = ("pages", "counts", "n_rows", "n_missing", "n_distinct", "values")
        chosen = {name: getattr(self, name)[places] for name in arrays}
        run_ids = self.run_ids[places] if isinstance(places, slice) else [self.run_ids[place] for place in places]
        return replace(self, **chosen, run_ids=run_ids)

    @cached_property
    def rows_before(self) -> Integers:
        """How many rows of each page lie before each code, and at the end all of them: `(n_pages, n_codes + 1)`."""
        return rows_before(self.counts)

    def without_counts(self) -> Series:
        """Give the series without the rows by bin or category, which take most of its memory."""
        return replace(self, counts=self.counts[:, :0].copy(), codes=self.codes[:0], places=None)


def rows_before(counts: Integers) -> Integers:
    """Add up the rows of each page from its first code on, as `Series.rows_before` has them."""
    import numpy as np

    before = np.zeros((len(counts), counts.shape[1] + 1), counts.dtype)
    np.cumsum(counts, axis=1, dtype=counts.dtype, out=before[:, 1:])
    return before


def read_series(connection: duckdb.DuckDBPyConnection, product: str, *of: Any, **chosen: Any) -> list[Series]:
    """Read the profiles of a product's published pages, as `series_one_by_one` says."""
    return list(series_one_by_one(connection, product, *of, **chosen))


def series_one_by_one(
    connection: duckdb.DuckDBPyConnection,
    product: str,
    pages: Sequence[datetime],
    known_at: datetime | None = None,
    chosen: Sequence[datetime] | None = None,
    columns: Sequence[tuple[str, str]] | None = None,
    counted: Sequence[datetime] | None = None,
    parts: str | None = None,
) -> Iterator[Series]:
    """Read the profiles of a product's published pages, or of those that were published at an instant.

    The counts of one series after the other are put side by side, since those of all segments take much memory.

    Parameters
    ----------
    pages
        All published pages.
    chosen
        The pages whose profiles are read; all by default.
    counted
        The pages whose counts are read, of others only where they are few; those of all by default.
    columns
        The columns that are read, each with the kind of its pages; all by default.
    parts
        SQL of which segments are read, instead of pages as wholes.
    """
    import numpy as np

    if parts is not None and chosen is None and columns is None:
        for some in _columns_of_segments(connection, product):
            yield from series_one_by_one(connection, product, pages, known_at, None, some, counted, parts)
        return
    conditions, values = ["TRUE"], list[Any]([product, known_at])
    if chosen is not None:
        values.append(list(chosen))
        conditions.append(f"as_of IN (SELECT unnest(${len(values)}::TIMESTAMP[]))")
    if columns is not None:
        values.append([f"{kind} {column}" for kind, column in columns])
        conditions.append(f"kind || ' ' || column_name IN (SELECT unnest(${len(values)}::VARCHAR[]))")
        # Files are sorted by columns: what lies beyond the first and the last one is passed over.
        values += [ends((column for _, column in columns), default="") for ends in (min, max)]
        conditions.append(f"column_name BETWEEN ${len(values) - 1} AND ${len(values)}")
    has_counts = "TRUE"
    if counted is not None:
        values.append(list(counted))
        has_counts = f"as_of IN (SELECT unnest(${len(values)}::TIMESTAMP[])) OR n_distinct <= {FEW}"
    whole = system_sql("monitoring/whole_pages") if parts is None else None
    profiles = f"({whole or system_sql('monitoring/parts_of_pages', is_of_columns=str(parts))})"
    query = {"chosen": " AND ".join(conditions), "has_counts": has_counts, "profiles": profiles}
    table = _read(connection, values, **query)
    if not table.num_rows:
        return
    places = np.searchsorted(
        np.array(pages, "datetime64[us]"), table.column("as_of").to_numpy().astype("datetime64[us]")
    )
    starts = _where_series_begin(table)
    for start, end in zip(starts, [*starts[1:], table.num_rows], strict=True):
        yield _one(table.slice(start, end - start), places[start:end])


def _read(connection: duckdb.DuckDBPyConnection, values: Sequence[Any], **query: str) -> pa.Table:
    """Read profiles, series by series."""
    import numpy as np

    # To look for centres among the other profiles of all columns takes as long as all else that is read.
    for counts_from in ("centre", system_sql("monitoring/centre_of_others")):
        sql = system_sql("monitoring/series", counts_from=counts_from, **query)
        table = connection.execute(sql, values).to_arrow_table().combine_chunks()
        is_known = ~np.isnan(table.column("centre").to_numpy())
        if is_known.all() or not is_known.any():
            break
        columns = table.column("column_name").to_numpy()
        if not set(columns[is_known].tolist()) & set(columns[~is_known].tolist()):  # those of categories have none
            break
    return table


def _columns_of_segments(connection: duckdb.DuckDBPyConnection, product: str) -> Iterator[list[tuple[str, str]]]:
    """Give the columns that segments have profiles of, each with the kind of its pages, so many at a time."""
    query = "SELECT DISTINCT kind, column_name FROM ledger.segment_profiles WHERE product = $1 ORDER BY ALL"
    every = [(kind, column) for kind, column in connection.execute(query, [product]).fetchall() if column]
    for start in range(0, len(every), _COLUMNS_AT_A_TIME):
        yield every[start : start + _COLUMNS_AT_A_TIME]


def _where_series_begin(rows: pa.Table) -> list[int]:
    """Give the places of rows, which come series by series, that are not of the series of the row before."""
    import numpy as np

    is_first = np.zeros(rows.num_rows, bool)
    is_first[0] = True
    for name in ("kind", "column_name", "segment", "scale", "model_version"):
        codes = rows.column(name).combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
        is_first[1:] |= codes[1:] != codes[:-1]
    centres = rows.column("centre").to_numpy()  # NULL as NaN
    is_first[1:] |= (centres[1:] != centres[:-1]) & ~(np.isnan(centres[1:]) & np.isnan(centres[:-1]))
    return np.flatnonzero(is_first).tolist()


def _one(rows: pa.Table, pages: Integers) -> Series:
    scale = rows.column("scale")[0].as_py()
    codes, offsets = _flat(rows, "top_values" if scale == "category" else "bins")
    counts, _ = _flat(rows, "counts")
    found = series_of(
        kind=rows.column("kind")[0].as_py(),
        column=rows.column("column_name")[0].as_py(),
        scale=scale,
        version=rows.column("model_version")[0].as_py(),
        pages=pages,
        codes=codes,
        counts=counts,
        offsets=offsets,
        centre=rows.column("centre")[0].as_py(),
        n_rows=_values(rows, "n_rows"),
        n_missing=_values(rows, "n_missing"),
        n_distinct=_values(rows, "n_distinct"),
        n_other=_values(rows, "n_other"),
        values=_values(rows, "values_hash"),
        run_ids=rows.column("run_id").to_pylist(),
    )
    return replace(found, segment=rows.column("segment")[0].as_py())


def _flat(rows: pa.Table, name: str) -> tuple[npt.NDArray[Any], Integers]:
    """Give the elements of a column of lists one after the other, and where each list begins and the last one ends."""
    import numpy as np

    lists = rows.column(name).combine_chunks()
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    elements = lists.flatten().to_numpy(zero_copy_only=False)
    return elements, np.concatenate(([0], np.cumsum(np.nan_to_num(lengths)))).astype(np.int64)


def _values(rows: pa.Table, name: str) -> npt.NDArray[Any]:
    return rows.column(name).to_numpy()  # type: ignore[no-any-return]


def series_of(
    *,
    kind: str,
    column: str,
    scale: str,
    version: str | None,
    pages: Integers,
    codes: npt.NDArray[Any],
    counts: Integers,
    offsets: Integers,
    centre: float | None,
    n_rows: Integers,
    n_missing: Integers,
    n_distinct: Integers,
    n_other: Integers,
    values: npt.NDArray[Any],
    run_ids: Sequence[str],
) -> Series:
    """Put the sparse counts of pages side by side.

    Parameters
    ----------
    codes, counts
        The bins or categories of all pages one after the other, and the rows in each.
    offsets
        Where each page begins in them, and where the last one ends: `(n_pages + 1,)`.
    n_other
        Rows of each page with categories that are not told apart.
    """
    import numpy as np

    of_page = np.repeat(np.arange(len(pages)), np.diff(offsets))
    if scale == "category":
        is_small = (np.diff(offsets) > _MANY)[of_page] & (counts < _SMALL * n_rows[of_page])
        n_other = n_other + np.bincount(of_page[is_small], counts[is_small], len(pages)).astype(np.int64)
        codes, counts, of_page = codes[~is_small], counts[~is_small], of_page[~is_small]
    united, places = _numbered(codes)
    # No sum of rows is larger than that of all pages: half of the bytes do for most.
    table = np.zeros((len(pages), len(united)), np.int32 if int(n_rows.sum()) < _MOST_OF_INT32 else np.int64)
    table[of_page, places] = counts
    if n_other.any():  # of categories alone
        united, table = np.append(united, OTHERS), np.column_stack((table, n_other.astype(table.dtype)))
    where = None if scale == "category" else middles_of(united.astype(np.int64), centre)
    return Series(
        kind,
        column,
        scale,
        version,
        pages,
        table,
        united,
        where,
        n_rows,
        n_missing,
        n_distinct,
        values,
        run_ids,
        centre,
    )


def stacked(series: Sequence[Series]) -> Series:
    """Put series of one column with the same pages one behind the other, in the bins or categories of all of them."""
    import numpy as np

    one, n_pages = series[0], len(series[0].pages)
    if len(series) == 1:
        return one
    if one.places is None:
        names = {name for each in series for name in each.codes.tolist()}
        listed = [*sorted(names - {OTHERS}), *(names & {OTHERS})]
        numbers = {name: place for place, name in enumerate(listed)}
        united: npt.NDArray[Any] = np.array(listed, object)
        own = [np.array([numbers[name] for name in each.codes.tolist()], np.int64) for each in series]
    else:
        united = np.unique(np.concatenate([each.codes.astype(np.int64) for each in series]))
        own = [np.searchsorted(united, each.codes) for each in series]
    kind = np.result_type(*(each.counts for each in series))
    counts = np.zeros((len(series), n_pages, len(united)), kind)
    for row, (each, places) in enumerate(zip(series, own, strict=True)):
        counts[row][:, places] = each.counts
    names_of_arrays = ("pages", "n_rows", "n_missing", "n_distinct", "values")
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in series]) for name in names_of_arrays
    }
    return replace(
        one,
        counts=counts.reshape(len(series) * n_pages, len(united)),
        codes=united,
        places=None if one.places is None else middles_of(united, one.centre),
        run_ids=[run for each in series for run in each.run_ids],
        **arrays,
    )


def _numbered(codes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Integers]:
    """Give the different bins or categories, ascending, and the place of each code among them."""
    import numpy as np

    if codes.dtype.kind not in "iu":
        listed = codes.tolist()
        names = sorted(set(listed))
        numbers = {name: place for place, name in enumerate(names)}
        return np.array(names, object), np.array([numbers[one] for one in listed], np.int64)
    if not len(codes):
        return codes, np.zeros(0, np.int64)
    # A table of all bins takes less than to sort the codes of all pages.
    least = int(codes.min())
    is_there = np.zeros(int(codes.max()) - least + 1, bool)
    is_there[codes - least] = True
    united: Integers = np.flatnonzero(is_there) + least
    return united, (np.cumsum(is_there) - 1)[codes - least]


def middles_of(bins: Integers, centre: float | None) -> Floats:
    """Give the middle of each bin, as a value of the column."""
    low, high = edges_of(bins, centre or 0.0)
    return (low + high) / 2
