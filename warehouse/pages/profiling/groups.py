"""The values of a column counted by groups of rows that lie one behind the other, all groups at once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from warehouse.pages.profiles import (
    DROPPED_BITS,
    MAX_CATEGORIES,
    MAX_DISTINCT,
    N_MAGNITUDES,
    CategoryCounts,
    NumberCounts,
    ProfiledColumn,
    as_floats,
    hash_of,
)
from warehouse.pages.profiling.bin_table import BinTable, ends_of
from warehouse.pages.profiling.figures import Figures, figures_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: From so many rows of a group on, values are counted in a table of all bins, which takes a third of sorting them.
_COUNTED_IN_TABLE = 30_000
#: More different values than MAX_DISTINCT are looked for among so many before all are sorted for it.
_TRIED = 2 * MAX_DISTINCT
#: The categories of so many rows are counted by Python, which takes less than to import pyarrow's compute functions.
_COUNTED_HERE = 10_000
#: Categories are counted in a table of all groups by all values, unless that has more cells; then by sorting them.
_MOST_CELLS = 1 << 22


class Groups(Protocol):
    """What was counted of a column by groups of rows."""

    def of(self, group: int) -> Any:
        """Give what was counted of one group, to be added up with other rows of its page."""

    def figures(self, chosen: Flags) -> Figures:
        """Give what profiles have of those groups that are whole pages: `(n_groups,)`."""


@dataclass(frozen=True)
class EachCounted:
    """Groups that were counted each for itself."""

    each: Sequence[NumberCounts | CategoryCounts]

    def of(self, group: int) -> NumberCounts | CategoryCounts:
        """Give what was counted of one group."""
        return self.each[group]

    def figures(self, chosen: Flags) -> Figures:
        """Give what profiles have of some groups."""
        return figures_of([one for one, is_chosen in zip(self.each, chosen.tolist(), strict=True) if is_chosen])


@dataclass(frozen=True)
class NumberGroups:
    """Numbers that were sorted group by group.

    Attributes
    ----------
    n_rows, n_missing
        Of each group.
    bins, counts, of_bins
        The bins of all groups and the rows in each, and where those of each group begin, and of the last one end.
    distinct, of_values
        The different values of all groups, ascending in each; as bins.
    """

    centre: float | None
    n_rows: Integers
    n_missing: Integers
    bins: Integers
    counts: Integers
    of_bins: Integers
    distinct: Floats
    of_values: Integers

    def of(self, group: int) -> NumberCounts:
        """Give what was counted of one group."""
        n_rows, n_missing = int(self.n_rows[group]), int(self.n_missing[group])
        if n_rows == n_missing:
            return NumberCounts(self.centre, n_rows, n_missing)
        own = slice(*self.of_bins[group : group + 2].tolist())
        different = self.distinct[slice(*self.of_values[group : group + 2].tolist())]
        few = different if len(different) <= MAX_DISTINCT else None
        ends = ends_of(different)
        return NumberCounts(self.centre, n_rows, n_missing, self.bins[own], self.counts[own], few, *ends)

    def figures(self, chosen: Flags) -> Figures:
        """Give what profiles have of some groups."""
        import numpy as np

        lengths, n_values = np.diff(self.of_bins), np.diff(self.of_values)
        is_of = np.repeat(chosen, lengths)
        low, high = self._every_end()
        memory, bounds = self.distinct.astype("<f8", copy=False).view("u1").data, (8 * self.of_values).tolist()
        spans = [span for span, is_chosen in zip(itertools.pairwise(bounds), chosen.tolist(), strict=True) if is_chosen]
        most = 8 * MAX_DISTINCT
        return Figures(
            n_rows=self.n_rows[chosen],
            n_missing=self.n_missing[chosen],
            n_distinct=np.where(n_values > MAX_DISTINCT, -1, n_values)[chosen],
            values_hash=[hash_of(memory[start:end]) if 0 < end - start <= most else None for start, end in spans],
            low=low[chosen],
            high=high[chosen],
            lengths=lengths[chosen],
            codes=self.bins[is_of],
            counts=self.counts[is_of],
            n_other=np.zeros(np.count_nonzero(chosen), np.int64),
        )

    def _every_end(self) -> tuple[Floats, Floats]:
        """Give the least and the greatest finite value of each group, NaN where there is none."""
        import numpy as np

        low, high = np.full((2, len(self.n_rows)), np.nan)
        there = np.flatnonzero(np.diff(self.of_values))
        low[there], high[there] = self.distinct[self.of_values[there]], self.distinct[self.of_values[there + 1] - 1]
        for group in np.flatnonzero(np.isinf(low) | np.isinf(high)).tolist():
            ends = ends_of(self.distinct[self.of_values[group] : self.of_values[group + 1]])
            low[group], high[group] = (np.nan if end is None else end for end in ends)
        return low, high


@dataclass(frozen=True)
class CategoryGroups:
    """Categories of groups, in the order of their names in each.

    Attributes
    ----------
    names, group, code, rows
        All names, ascending; and the group, the place of the name and the rows of each that a group has.
    of_values
        Where those of each group begin, and those of the last one end.
    """

    n_rows: Integers
    names: npt.NDArray[Any]
    group: Integers
    code: Integers
    rows: Integers
    of_values: Integers

    def of(self, group: int) -> CategoryCounts:
        """Give what was counted of one group."""
        own = slice(*self.of_values[group : group + 2].tolist())
        there = dict(zip(self.names[self.code[own]].tolist(), self.rows[own].tolist(), strict=True))
        n_rows = int(self.n_rows[group])
        return CategoryCounts(n_rows, n_rows - sum(there.values()), Counter(there))

    def figures(self, chosen: Flags) -> Figures:
        """Give what profiles have of some groups: of equally frequent values the first by name."""
        import numpy as np

        order = np.lexsort((-self.rows, self.group))  # those of equal frequency stay in the order of their names
        is_top = np.arange(len(order)) - self.of_values[self.group] < MAX_CATEGORIES
        is_of = chosen[self.group]
        top, others = order[is_top & is_of], order[~is_top]
        n_values = np.diff(self.of_values)
        n_there, n_other = self._n_rows_of(slice(None)), self._n_rows_of(others)
        return Figures(
            n_rows=self.n_rows[chosen],
            n_missing=(self.n_rows - n_there)[chosen],
            n_distinct=np.where(n_values > MAX_DISTINCT, -1, n_values)[chosen],
            values_hash=self._hashes(np.flatnonzero(chosen)),
            low=np.full(np.count_nonzero(chosen), np.nan),
            high=np.full(np.count_nonzero(chosen), np.nan),
            lengths=np.minimum(n_values, MAX_CATEGORIES)[chosen],
            codes=self.names[self.code[top]].tolist(),
            counts=self.rows[top],
            n_other=n_other[chosen],
        )

    def _n_rows_of(self, places: Integers | slice) -> Integers:
        """Count the rows of each group that have some of the categories."""
        import numpy as np

        return np.bincount(self.group[places], self.rows[places], len(self.n_rows)).astype(np.int64)

    def _hashes(self, groups: Integers) -> list[str | None]:
        import numpy as np

        told = np.array([f"{len(name)}:{name}" for name in self.names], object)[self.code]
        spans = zip(self.of_values[groups].tolist(), self.of_values[groups + 1].tolist(), strict=True)
        return [
            hash_of("".join(told[start:end]).encode()) if 0 < end - start <= MAX_DISTINCT else None
            for start, end in spans
        ]


def counted_groups(
    column: ProfiledColumn,
    centre: float | None,
    values: pa.Array | Floats,
    order: Integers | None,
    starts: Integers,
    table: BinTable | None = None,
) -> Groups:
    """Count the values of a column by groups of its rows.

    Parameters
    ----------
    values
        Float64, or of categories text; NULL and NaN are missing.
    order
        In which order rows lie one behind the other by their groups; None: as they come.
    starts
        Where each group begins in that order, and where the last one ends: int64 `(n_groups + 1,)`.
    table
        What large groups are counted in.
    """
    if column.scale == "category":
        return counted_categories(values, order, starts)
    numbers = as_floats(values)
    return counted_numbers(numbers if order is None else numbers[order], starts, centre, table)


def counted_numbers(
    values: Floats, starts: Integers, centre: float | None, table: BinTable | None = None
) -> NumberGroups | EachCounted:
    """Count numbers by groups, NaN where missing; they may be sorted in place.

    Each group is sorted, so that rows of one value, and values of one bin, lie side by side, NaN at the end. Large
    groups with many different values are counted in a table of all bins.
    """
    import numpy as np

    n_groups = len(starts) - 1
    is_large = len(values) >= _COUNTED_IN_TABLE * n_groups
    if is_large and n_groups != 1:
        each = [
            counted_numbers(values[start:end], np.array([0, end - start]), centre, table).of(0)
            for start, end in itertools.pairwise(starts.tolist())
        ]
        return EachCounted(each)
    if is_large and _has_many(values):
        return EachCounted([(table or BinTable()).counted(values, centre)])
    return _sorted(values, starts, centre)


def _has_many(values: Floats) -> bool:
    """Tell whether more different values than are told apart stand among the first of some values."""
    import numpy as np

    return len(np.unique(values[:_TRIED], equal_nan=True)) > MAX_DISTINCT + 1


def _sorted(values: Floats, starts: Integers, centre: float | None) -> NumberGroups:
    import numpy as np

    values = values if values.flags.writeable else values.copy()
    for start, end in itertools.pairwise(starts.tolist()):
        values[start:end].sort()
    is_missing = np.isnan(values)
    n_rows = np.diff(starts)
    n_missing = np.diff(np.searchsorted(np.flatnonzero(is_missing), starts))
    found = np.flatnonzero(_is_new(values, starts) & ~is_missing)
    of_values = np.searchsorted(found, starts)
    distinct = values[found] + 0.0  # no negative zero
    # A distance from 0 is the value: 0.0 - centre would be -0.0 and give -0.0 of one that is 0 after all.
    places = (distinct + (0.0 - (centre or 0.0))).view(np.int64) >> DROPPED_BITS
    firsts = np.flatnonzero(_is_new(places, of_values))
    of_bins = np.searchsorted(firsts, of_values)
    bins, begins = places[firsts], found[firsts]
    ends = np.append(begins[1:], len(values))[: len(begins)]
    there = np.flatnonzero(np.diff(of_bins))
    ends[of_bins[there + 1] - 1] = (starts[1:] - n_missing)[there]
    bins = np.where(bins < 0, -1 - (bins + N_MAGNITUDES), bins)
    return NumberGroups(centre, n_rows, n_missing, bins, ends - begins, of_bins, distinct, of_values)


def _is_new(values: npt.NDArray[Any], starts: Integers) -> Flags:
    """Tell which values differ from the one before them, or begin a group."""
    import numpy as np

    is_new = np.empty(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    is_new[starts[:-1][np.diff(starts) > 0]] = True
    return is_new


def counted_categories(values: pa.Array, order: Integers | None, starts: Integers) -> CategoryGroups | EachCounted:
    """Count categories by groups: text, where NULL is missing."""
    import numpy as np

    n_groups = len(starts) - 1
    if len(values) <= _COUNTED_HERE and order is None:
        return EachCounted(
            [_counted(values.slice(start, end - start)) for start, end in itertools.pairwise(starts.tolist())]
        )
    encoded = values.dictionary_encode()
    names = np.array([*encoded.dictionary.to_pylist(), None], object)[:-1]
    by_name = np.argsort(names)
    numbers = np.empty(len(names) + 1, np.int64)
    numbers[by_name], numbers[-1] = np.arange(len(names)), len(names)  # what is missing is behind all names
    codes = numbers[encoded.indices.fill_null(len(names)).to_numpy()]
    n_codes = len(numbers)
    cells = np.repeat(np.arange(n_groups) * n_codes, np.diff(starts)) + (codes if order is None else codes[order])
    if n_groups * n_codes <= _MOST_CELLS:
        rows = np.bincount(cells, minlength=n_groups * n_codes)
        found = np.flatnonzero(rows)
        rows = rows[found]
    else:
        found, rows = np.unique(cells, return_counts=True)
    is_name = found % n_codes < len(names)
    found, rows = found[is_name], rows[is_name]
    group, code = found // n_codes, found % n_codes
    of_values = np.searchsorted(group, np.arange(n_groups + 1))
    return CategoryGroups(np.diff(starts), names[by_name], group, code, rows, of_values)


def _counted(values: pa.Array) -> CategoryCounts:
    own = Counter(values.to_pylist())
    n_missing = own.pop(None, 0)
    return CategoryCounts(len(values), n_missing, own)
