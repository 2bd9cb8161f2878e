"""The counts of the segments that one column makes of pages, batch by batch: sparse, all groups of rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warehouse.pages.profiles import ProfiledColumn, added_up, coarse_bins_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

#: A value with fewer rows on a page has no profile: its scores would be noise.
LEAST_ROWS = 100
#: Of the values of a column, so many have a profile of a page, those with the most rows.
MOST_SEGMENTS = 20
#: A column with more values on a page makes no segments of it, so that memory does not grow with the page.
MOST_VALUES = 200
#: So many categories are counted each for itself; the others are one.
MAX_CATEGORIES = 100
#: Of a column with more different categories over the segments of a page no segment has a profile. No batch of rows
#: has as many, so that it does not matter which pages are read together.
MOST_COUNTS = 200_000
#: A key is the number of a page, the code of a value of the segments' column, and a bin or category.
VALUE_BITS, BIN_BITS = 18, 25
ZERO = 1 << (BIN_BITS - 1)
#: Numbers of values and categories are given anew once there are more of them.
_MOST_NUMBERED = 1 << 17


def segment_name(column: str, value: str | None) -> str:
    """Name the rows of a page with a value of a column."""
    return f"{column} missing" if value is None else f"{column} = {value}"


@dataclass
class Sparse:
    """Rows by key, ascending: int64 `(n_keys,)` both."""

    keys: Any = None
    counts: Any = None

    def add(self, keys: Integers) -> None:
        """Count keys, one for each row, in any order; they are sorted in place."""
        import numpy as np

        if not len(keys):
            return
        keys.sort()
        firsts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        found, counts = keys[firsts], np.diff(np.append(firsts, len(keys)))
        if self.keys is None or not len(self.keys):
            self.keys, self.counts = found, counts
        else:
            self.keys, self.counts = added_up(self.keys, self.counts, found, counts)

    def of(self, pages: Integers, bits: int) -> tuple[Integers, Integers]:
        """Give the keys of some pages with their counts, and forget them; below the page a key has so many bits."""
        import numpy as np

        if self.keys is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        is_of = np.isin(self.keys >> bits, pages)
        found = self.keys[is_of], self.counts[is_of]
        self.keys, self.counts = self.keys[~is_of], self.counts[~is_of]
        return found


@dataclass
class Cut:
    """What is counted of the segments by one column."""

    name: str
    columns: Sequence[ProfiledColumn]
    centres: Sequence[float | None]
    #: Pages with too many values of this column, and by column, of too many categories.
    is_dropped: Flags
    is_over: dict[str, Flags] = field(default_factory=dict)
    values: dict[str | None, int] = field(default_factory=dict)
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: Sparse = field(default_factory=Sparse)
    counts: dict[str, Sparse] = field(default_factory=dict)
    missing: dict[str, Sparse] = field(default_factory=dict)

    def add(
        self, pages: Integers, order: Integers | None, is_whole: Flags, own: pa.Array, arrays: Sequence[pa.Array]
    ) -> None:
        """Count a batch.

        Parameters
        ----------
        pages
            The number of each row's page, ascending.
        order
            In which order the rows of the arrays are those of `pages`; None: as they come.
        is_whole
            By number of the page whether all of its rows are in this batch.
        own, arrays
            The values of this column, as text, and of the profiled columns.
        """
        import numpy as np

        encoded = own.dictionary_encode()
        local: Integers = encoded.indices.fill_null(-1).to_numpy().astype(np.int64) + 1
        local = local if order is None else local[order]
        n_local = len(encoded.dictionary) + 1
        united, group, n_rows = np.unique(pages * n_local + local, return_inverse=True, return_counts=True)
        page_of, local_of = united // n_local, united % n_local
        self.is_dropped |= np.bincount(page_of, minlength=len(is_whole)) > MOST_VALUES
        is_kept = ~self.is_dropped[page_of] & ~(is_whole[page_of] & (n_rows < LEAST_ROWS))
        if not is_kept.any():
            return
        codes = np.zeros(n_local, np.int64)
        for one in np.unique(local_of[is_kept]).tolist():
            value = encoded.dictionary[one - 1].as_py() if one else None
            codes[one] = self.values.setdefault(value, len(self.values))
        places = np.flatnonzero(is_kept[group])
        groups = ((page_of << VALUE_BITS) | codes[local_of])[group[places]]
        taken = places if order is None else order[places]
        self.rows.add(groups.copy())
        self._drop_pages_of_many_values()
        for column, centre, array in zip(self.columns, self.centres, arrays, strict=True):
            self._add_column(column, centre, groups, taken, array)

    def _drop_pages_of_many_values(self) -> None:
        import numpy as np

        n_values = np.bincount(self.rows.keys >> VALUE_BITS, minlength=len(self.is_dropped))
        self.is_dropped |= n_values > MOST_VALUES

    def _add_column(
        self, column: ProfiledColumn, centre: float | None, groups: Integers, taken: Integers, array: pa.Array
    ) -> None:
        import numpy as np

        if column.scale == "category":
            array = array.take(taken) if len(taken) < len(array) or (taken[1:] < taken[:-1]).any() else array
            encoded = array.dictionary_encode()
            known = self.categories.setdefault(column.name, {})
            codes = np.array([known.setdefault(one, len(known)) for one in encoded.dictionary.to_pylist()], np.int64)
            local = encoded.indices.fill_null(-1).to_numpy()
            is_missing = local < 0
            bins = codes[local[~is_missing]]
        else:
            values = array.to_numpy(zero_copy_only=False)[taken]  # NULL as NaN
            is_missing = np.isnan(values)
            bins = coarse_bins_of(values[~is_missing] if is_missing.any() else values, centre or 0.0) + ZERO
        there = groups
        if is_missing.any():
            there = groups[~is_missing]
            self.missing.setdefault(column.name, Sparse()).add(groups[is_missing])
        counts = self.counts.setdefault(column.name, Sparse())
        counts.add((there << BIN_BITS) + bins)
        if column.scale == "category" and counts.keys is not None and len(counts.keys) > MOST_COUNTS:
            self._give_up(column.name, counts)

    def _give_up(self, column: str, counts: Sparse) -> None:
        """Forget a text of which pages have too many categories over their segments."""
        import numpy as np

        pages = counts.keys >> (VALUE_BITS + BIN_BITS)
        many = np.bincount(pages, minlength=len(self.is_dropped)) > MOST_COUNTS
        self.is_over[column] = self.is_over.get(column, np.zeros(len(many), bool)) | many
        counts.of(np.flatnonzero(many), VALUE_BITS + BIN_BITS)

    def finish(self, pages: Integers) -> Chosen:
        """Choose the segments of pages of which all rows have come; what `columns_of` does not take is forgotten."""
        import numpy as np

        groups, n_rows = self.rows.of(pages, VALUE_BITS)
        names = list(self.values)
        chosen = list[int]()
        for page in pages.tolist():
            if self.is_dropped[page]:
                continue
            own = np.flatnonzero((groups >> VALUE_BITS == page) & (n_rows >= LEAST_ROWS)).tolist()
            own.sort(key=lambda one: (-n_rows[one], names[groups[one] & ((1 << VALUE_BITS) - 1)] or ""))
            chosen += own[:MOST_SEGMENTS]
        kept = np.sort(np.array(chosen, np.int64))
        codes = groups[kept] & ((1 << VALUE_BITS) - 1)
        segments = [segment_name(self.name, names[code]) for code in codes.tolist()]
        return Chosen(groups[kept], segments, groups[kept] >> VALUE_BITS, n_rows[kept])

    def forget_values(self) -> None:
        """Number anew the values of pages that go on, so that those of pages that are over take no memory."""
        if len(self.values) > _MOST_NUMBERED:
            used = _used(self.rows.keys, 0, VALUE_BITS)
            self.values = _renumbered(self.values, used)
            for sparse in (self.rows, *self.missing.values()):
                _renumber(sparse, used, 0, VALUE_BITS)
            for sparse in self.counts.values():
                _renumber(sparse, used, BIN_BITS, VALUE_BITS)
        for column, categories in self.categories.items():
            if len(categories) > _MOST_NUMBERED:
                used = _used(self.counts[column].keys, 0, BIN_BITS)
                self.categories[column] = _renumbered(categories, used)
                _renumber(self.counts[column], used, 0, BIN_BITS)


def _used(keys: Integers, shift: int, bits: int) -> Integers:
    """Give the numbers that stand in some bits of keys, ascending."""
    import numpy as np

    return np.unique((keys >> shift) & ((1 << bits) - 1))


def _renumbered(numbers: Mapping[Any, int], used: Integers) -> dict[Any, int]:
    names = list(numbers)
    return {names[old]: new for new, old in enumerate(used.tolist())}


def _renumber(sparse: Sparse, used: Integers, shift: int, bits: int) -> None:
    """Put the places of numbers among the used ones into the bits of keys, which stay in their order."""
    import numpy as np

    if sparse.keys is not None and len(sparse.keys):
        mask = ((1 << bits) - 1) << shift
        numbers = np.searchsorted(used, (sparse.keys & mask) >> shift)
        sparse.keys = (sparse.keys & ~mask) | (numbers << shift)


@dataclass(frozen=True)
class Chosen:
    """The segments of some pages that have a profile: `groups` ascend."""

    groups: Integers
    segments: list[str]
    pages: Integers
    n_rows: Integers

    def places(self, groups: Integers) -> tuple[Integers, Flags]:
        """Give where groups stand among them, and whether they do."""
        import numpy as np

        if not len(self.groups):
            return np.zeros(len(groups), np.int64), np.zeros(len(groups), bool)
        places = np.minimum(np.searchsorted(self.groups, groups), len(self.groups) - 1)
        return places, self.groups[places] == groups
