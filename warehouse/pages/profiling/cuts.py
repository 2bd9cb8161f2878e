"""The counts of the segments that one column makes of pages, batch by batch: sparse, all groups of rows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warehouse.pages.profiles import AT_A_TIME, INFINITY, ProfiledColumn, added_up, as_floats

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
#: Rows are counted in a table of all groups by all bins, unless that has more cells; then by sorting them.
_MOST_CELLS = 1 << 22
#: The bits of a double that are left of a bin that is four of a page's, and how many magnitudes that leaves.
_DROPPED_BITS = 49
_N_MAGNITUDES = 1 << (63 - _DROPPED_BITS)


def segment_name(column: str, value: str | None) -> str:
    """Name the rows of a page with a value of a column."""
    return f"{column} missing" if value is None else f"{column} = {value}"


@dataclass
class Sparse:
    """Rows by key, ascending: int64 `(n_keys,)` both."""

    keys: Any = None
    counts: Any = None

    def add(self, keys: Integers, counts: Integers) -> None:
        """Add rows by key, ascending."""
        if not len(keys):
            return
        if self.keys is None or not len(self.keys):
            self.keys, self.counts = keys, counts
        else:
            self.keys, self.counts = added_up(self.keys, self.counts, keys, counts)

    def of(self, pages: Integers, bits: int) -> tuple[Integers, Integers]:
        """Give the keys of some pages with their counts, and forget them; below the page a key has so many bits."""
        import numpy as np

        if self.keys is None:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        is_of = np.isin(self.keys >> bits, pages)
        found = self.keys[is_of], self.counts[is_of]
        self.keys, self.counts = self.keys[~is_of], self.counts[~is_of]
        return found


@dataclass(frozen=True)
class Coded:
    """The values of a column in a batch of rows.

    Attributes
    ----------
    places
        Of each row the place of its bin or category: int64 `(n_rows,)`.
    codes
        The bins, or the categories, that places stand for; bins ascend.
    is_missing
        Which of them are no values.
    """

    places: Integers
    codes: Sequence[Any] | Integers
    is_missing: Flags


def coded(column: ProfiledColumn, centre: float | None, array: Any) -> Coded:
    """Tell the bin or category of each value, of an Arrow array, or of numbers as float64."""
    import numpy as np

    if column.scale == "category":
        encoded = array.dictionary_encode()
        names = [*encoded.dictionary.to_pylist(), None]
        places = encoded.indices.fill_null(len(names) - 1).to_numpy().astype(np.int64)
        return Coded(places, names, np.arange(len(names)) == len(names) - 1)
    values = as_floats(array)
    found, is_there = np.empty(len(values), np.int16), np.zeros(2 * _N_MAGNITUDES, bool)
    parts = [slice(start, start + AT_A_TIME) for start in range(0, len(values), AT_A_TIME)]
    for part in parts:
        bits = (values[part] + (0.0 - (centre or 0.0))).view(np.int64)
        bits >>= _DROPPED_BITS
        bits &= 2 * _N_MAGNITUDES - 1  # from the middle on, magnitudes below the centre
        is_there[bits] = True
        found[part] = bits
    above, below = np.flatnonzero(is_there[:_N_MAGNITUDES]), np.flatnonzero(is_there[_N_MAGNITUDES:])[::-1]
    numbers = np.zeros(2 * _N_MAGNITUDES, np.int64)
    numbers[below + _N_MAGNITUDES], numbers[above] = np.arange(len(below)), np.arange(len(above)) + len(below)
    places = np.empty(len(values), np.int64)
    for part in parts:
        places[part] = numbers[found[part]]
    codes = np.concatenate((-1 - (below << 2), above << 2))
    return Coded(places, codes, np.concatenate((below, above)) > INFINITY >> 2)  # NaN lies beyond infinity


@dataclass(frozen=True)
class Groups:
    """The rows of a batch by segment: of each row the place of its group, behind the last where it is in none."""

    places: Integers
    keys: Integers

    def counted(self, values: Coded) -> tuple[Integers, Integers, Integers]:
        """Count rows by group and code: the places of both, ascending, and how many rows have them."""
        import numpy as np

        n_codes, n_groups = len(values.codes), len(self.keys)
        cells = self.places * n_codes + values.places
        if (n_groups + 1) * n_codes <= _MOST_CELLS:
            rows = np.bincount(cells, minlength=(n_groups + 1) * n_codes)[: n_groups * n_codes]
            found = np.flatnonzero(rows)
            rows = rows[found]
        else:
            found, rows = np.unique(cells[self.places < n_groups], return_counts=True)
        return found // n_codes, found % n_codes, rows


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

    def groups_of(self, pages: Integers, order: Integers | None, is_whole: Flags, own: pa.Array) -> Groups | None:
        """Tell the segment of each row of a batch, and count its rows; None if there is none with a profile.

        Parameters
        ----------
        pages
            The number of each row's page, ascending.
        order
            In which order the rows of the arrays are those of `pages`; None: as they come.
        is_whole
            By number of the page whether all of its rows are in this batch.
        own
            The values of this column, as text, as they come.
        """
        import numpy as np

        encoded = own.dictionary_encode()
        local: Integers = encoded.indices.fill_null(-1).to_numpy().astype(np.int64) + 1
        local = local if order is None else local[order]
        n_local = len(encoded.dictionary) + 1
        united, group, n_rows = np.unique(pages * n_local + local, return_inverse=True, return_counts=True)
        page_of, local_of = united // n_local, united % n_local
        self.is_dropped |= np.bincount(page_of, minlength=len(is_whole)) > MOST_VALUES
        kept = np.flatnonzero(~self.is_dropped[page_of] & ~(is_whole[page_of] & (n_rows < LEAST_ROWS)))
        if not len(kept):
            return None
        codes = np.zeros(n_local, np.int64)
        for one in np.unique(local_of[kept]).tolist():
            value = encoded.dictionary[one - 1].as_py() if one else None
            codes[one] = self.values.setdefault(value, len(self.values))
        keys = (page_of[kept] << VALUE_BITS) | codes[local_of[kept]]
        ascending = np.argsort(keys)
        keys, kept = keys[ascending], kept[ascending]
        self.rows.add(keys, n_rows[kept])
        self._drop_pages_of_many_values()
        numbers = np.full(len(united), len(kept))
        numbers[kept] = np.arange(len(kept))
        places = numbers[group]
        if order is not None:
            places[order] = places.copy()
        return Groups(places, keys)

    def _drop_pages_of_many_values(self) -> None:
        import numpy as np

        n_values = np.bincount(self.rows.keys >> VALUE_BITS, minlength=len(self.is_dropped))
        self.is_dropped |= n_values > MOST_VALUES

    def add(self, column: ProfiledColumn, groups: Groups, values: Coded) -> None:
        """Count the values of a column in a batch by segment."""
        import numpy as np

        group, code, rows = groups.counted(values)
        is_missing = values.is_missing[code]
        if is_missing.any():
            n_missing = np.bincount(group[is_missing], rows[is_missing], len(groups.keys)).astype(np.int64)
            lacking = np.flatnonzero(n_missing)
            self.missing.setdefault(column.name, Sparse()).add(groups.keys[lacking], n_missing[lacking])
            group, code, rows = group[~is_missing], code[~is_missing], rows[~is_missing]
        counts = self.counts.setdefault(column.name, Sparse())
        if column.scale != "category":
            counts.add((groups.keys[group] << BIN_BITS) + np.asarray(values.codes)[code] + ZERO, rows)
            return
        known, numbers = self.categories.setdefault(column.name, {}), np.zeros(len(values.codes), np.int64)
        for one in np.unique(code).tolist():
            numbers[one] = known.setdefault(values.codes[one], len(known))
        keys = (groups.keys[group] << BIN_BITS) + numbers[code]
        ascending = np.argsort(keys)
        counts.add(keys[ascending], rows[ascending])
        if counts.keys is not None and len(counts.keys) > MOST_COUNTS:
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
