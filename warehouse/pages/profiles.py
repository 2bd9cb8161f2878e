"""Profiles: how the values of each column of a page are spread, as sparse counts that can be added up.

A number falls into a bin of its distance from the column's centre: sign, exponent and five bits of the mantissa of the
IEEE double, so that a bin is at most 3.2 % of the distance wide. All counts are integers: the profiles of parts of a
page, added up, are bit for bit that of the page, in whatever order and on however many threads the parts were read.
Which pages are profiled, and where profiles are kept, is the matter of `warehouse.pages.profiled_pages`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from warehouse.system_sql import quote

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

#: The bits of a double that tell its bin are all but the lower 47 bits of the mantissa; that leaves so many magnitudes.
DROPPED_BITS = 47
_MAGNITUDE, _N_MAGNITUDES = (1 << 63) - 1, 1 << (63 - DROPPED_BITS)
#: The bin of infinity.
INFINITY = 0x7FF << 5
#: So many different values of a column are told apart on a page; of more neither number nor hash is given.
MAX_DISTINCT = 10_000
#: So many categories are counted each for itself; the others are one.
MAX_CATEGORIES = 1_000
#: From so many rows of a page on, values are counted in a table of all bins, which takes a third of sorting them.
_COUNTED_IN_TABLE = 30_000
#: So many values are put into the table at a time, which take no memory that has to be asked for.
AT_A_TIME = 16_384
#: More different values than MAX_DISTINCT are looked for among so many before all are sorted for it.
_TRIED = 2 * MAX_DISTINCT
#: The categories of so many rows are counted by Python, which takes less than to import pyarrow's compute functions.
_COUNTED_HERE = 10_000
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBERS = {*_INTEGERS, *(f"U{name}" for name in _INTEGERS), "FLOAT", "DOUBLE"}


@dataclass(frozen=True)
class ProfiledColumn:
    """A column as it is profiled: its name, its scale (number, days, seconds or category), and SQL of its values."""

    name: str
    scale: str
    sql: str


def profiled_columns(types: Mapping[str, str], left_out: Collection[str]) -> list[ProfiledColumn]:
    """Tell how the columns of a page are profiled.

    Lists, structs, maps and binary values have no distribution that could be drawn, and are left out, as is what is
    `left_out`, none of a page's values, such as its keys; in capital or small letters. `types` are those of DuckDB.
    """
    omitted = {name.lower() for name in left_out}
    found = [_profiled(name, kind) for name, kind in types.items() if name.lower() not in omitted]
    return [column for column in found if column is not None]


def is_number(kind: str) -> bool:
    """Tell whether a DuckDB type is one of numbers, and not of lists of them."""
    return kind in _NUMBERS or (kind.startswith("DECIMAL(") and kind.endswith(")"))


def _profiled(name: str, kind: str) -> ProfiledColumn | None:
    column = quote(name)
    if kind.endswith("]"):  # lists are named after what is in them
        return None
    if is_number(kind):
        return ProfiledColumn(name, "number", f"CAST({column} AS DOUBLE)")
    if kind == "DATE":
        return ProfiledColumn(name, "days", f"CASE WHEN isfinite({column}) THEN epoch({column}) / 86400 END")
    if kind.startswith("TIMESTAMP"):
        return ProfiledColumn(name, "seconds", f"CASE WHEN isfinite({column}) THEN epoch({column}) END")
    if kind in ("VARCHAR", "BOOLEAN", "UUID") or kind.startswith("ENUM"):
        return ProfiledColumn(name, "category", f"CAST({column} AS VARCHAR)")
    return None


def bins_of(values: Floats, centre: float) -> Integers:
    """Give the bin of each value: ascending with the values, 0 at the centre, negative below it.

    `values` are float64, none of them NaN, and `centre` is what is counted from.
    """
    import numpy as np

    distance = values - centre + 0.0  # no negative zero
    bits = distance.view(np.int64)
    magnitude = (bits & _MAGNITUDE) >> DROPPED_BITS
    return np.where(bits < 0, -1 - magnitude, magnitude)


def as_floats(values: pa.Array) -> Floats:
    """Give values of an Arrow array of float64, NULL as NaN; to the values of one without NULL nothing can be written.

    Arrow's own way to do it takes as long as all that is counted of them.
    """
    import numpy as np

    if not len(values):
        return np.empty(0)
    is_valid, data = values.buffers()
    found = np.frombuffer(data, np.float64, len(values), 8 * values.offset)
    # What Arrow has made itself could be written, and counting sorts what it may write.
    found.flags.writeable = False
    if not values.null_count:
        return found
    until = values.offset + len(values)
    bits = np.unpackbits(np.frombuffer(is_valid, np.uint8, -(-until // 8)), bitorder="little")
    return np.where(bits[values.offset : until].view(bool), found, np.nan)


def edges_of(bins: Integers, centre: float) -> tuple[Floats, Floats]:
    """Give the lower and the upper end of each bin, as values of the column."""
    import numpy as np

    magnitude = np.where(bins < 0, -1 - bins, bins)
    near = (magnitude << DROPPED_BITS).view(np.float64)
    far = (np.minimum(magnitude + 1, INFINITY) << DROPPED_BITS).view(np.float64)
    return np.where(bins < 0, centre - far, centre + near), np.where(bins < 0, centre - near, centre + far)


@cache
def _empty(kind: str) -> Any:
    import numpy as np

    return np.empty(0, kind)


@dataclass
class NumberCounts:
    """The counts of one column of numbers; `distinct` is None once there are more than MAX_DISTINCT values."""

    centre: float | None
    n_rows: int = 0
    n_missing: int = 0
    bins: Any = field(default_factory=lambda: _empty("int64"))
    counts: Any = field(default_factory=lambda: _empty("int64"))
    distinct: Any = field(default_factory=lambda: _empty("float64"))
    low: float | None = None
    high: float | None = None

    def merge(self, other: NumberCounts) -> None:
        """Add the counts of other rows of the page, or of another page, under the same centre."""
        import numpy as np

        self.n_rows += other.n_rows
        self.n_missing += other.n_missing
        self.low = min((x for x in (self.low, other.low) if x is not None), default=None)
        self.high = max((x for x in (self.high, other.high) if x is not None), default=None)
        self.bins, self.counts = added_up(self.bins, self.counts, other.bins, other.counts)
        if self.distinct is not None and other.distinct is not None:
            both = np.union1d(self.distinct, other.distinct) if len(self.distinct) else other.distinct
            self.distinct = both if len(both) <= MAX_DISTINCT else None
        else:
            self.distinct = None

    def figures(self) -> dict[str, Any]:
        """Give what a profile has of them."""
        few = self.distinct is not None
        return {
            "n_rows": self.n_rows,
            "n_missing": self.n_missing,
            "n_distinct": len(self.distinct) if few else None,
            "values_hash": _hash(self.distinct.astype("<f8").tobytes()) if few and len(self.distinct) else None,
            "low": self.low,
            "high": self.high,
            "centre": self.centre,
            "bins": self.bins.tolist(),
            "counts": self.counts.tolist(),
        }


def added_up(bins: Integers, counts: Integers, more: Integers, more_counts: Integers) -> tuple[Integers, Integers]:
    """Add up two sparse counts, whose bins ascend."""
    import numpy as np

    if not len(bins):
        return more, more_counts
    if np.array_equal(bins, more):
        return bins, counts + more_counts
    united = np.union1d(bins, more)
    total = np.zeros(len(united), np.int64)
    total[np.searchsorted(united, bins)] = counts
    total[np.searchsorted(united, more)] += more_counts
    return united, total


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


@dataclass
class CategoryCounts:
    """The counts of one column of categories, each value exactly while a page is read."""

    n_rows: int = 0
    n_missing: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def merge(self, other: CategoryCounts) -> None:
        """Add the counts of other rows of the page."""
        self.n_rows += other.n_rows
        self.n_missing += other.n_missing
        self.values.update(other.values)

    def figures(self) -> dict[str, Any]:
        """Give what a profile has of them: the most frequent values, of equally frequent ones the first by name."""
        names = sorted(self.values)
        listed = sorted(names, key=self.values.__getitem__, reverse=True)  # those of equal frequency stay in order
        top, few = listed[:MAX_CATEGORIES], 0 < len(listed) <= MAX_DISTINCT
        return {
            "n_rows": self.n_rows,
            "n_missing": self.n_missing,
            "n_distinct": len(listed) if len(listed) <= MAX_DISTINCT else None,
            "values_hash": _hash("".join([f"{len(name)}:{name}" for name in names]).encode()) if few else None,
            "top_values": top,
            "counts": [self.values[name] for name in top],
            "n_other": sum(self.values[name] for name in listed[MAX_CATEGORIES:]),
        }


def counted_categories(values: pa.Array, starts: Sequence[int]) -> list[CategoryCounts]:
    """Count the values of groups of rows that lie one behind the other: text, where NULL is missing."""
    import numpy as np

    groups, bounds = [], list(itertools.pairwise(starts))
    if len(values) <= _COUNTED_HERE:
        for start, end in bounds:
            own = Counter(values.slice(start, end - start).to_pylist())
            n_missing = own.pop(None, 0)
            groups.append(CategoryCounts(end - start, n_missing, own))
        return groups
    encoded = values.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(names)).to_numpy()
    for start, end in bounds:
        found, rows = np.unique(codes[start:end], return_counts=True)
        there = dict(zip([names[one] for one in found.tolist() if one < len(names)], rows.tolist(), strict=False))
        groups.append(CategoryCounts(end - start, end - start - sum(there.values()), Counter(there)))
    return groups


def counted_groups(
    values: Floats, starts: Integers, centre: float | None, table: BinTable | None = None
) -> list[NumberCounts]:
    """Count the values of groups of rows that lie one behind the other.

    Each group is sorted, so that rows of one bin, and of one value, lie side by side, NaN at the end; all groups are
    then looked at together. Large groups with many different values are counted in a table of all bins.

    Parameters
    ----------
    values
        Float64 `(n_rows,)`, NaN where missing; they may be sorted in place.
    starts
        Where each group begins, and where the last one ends: int64 `(n_groups + 1,)`.
    table
        What large groups are counted in.
    """
    import numpy as np

    if not len(values):
        return [NumberCounts(centre) for _ in starts[1:]]
    if len(values) >= _COUNTED_IN_TABLE * (len(starts) - 1):
        if len(starts) > 2:
            each = (values[start:end] for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
            return [counted_groups(one, np.array([0, len(one)]), centre, table)[0] for one in each]
        if _has_many(values):
            return [(table or BinTable()).counted(values, centre)]
    values = values if values.flags.writeable else values.copy()
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        values[start:end].sort()
    values += 0.0  # no negative zero
    is_missing = np.isnan(values)
    # A distance from 0 is the value: 0.0 - centre would be -0.0 and give -0.0 of one that is 0 after all.
    places = (values + (0.0 - (centre or 0.0))).view(np.int64) >> DROPPED_BITS
    firsts = _where_new(places, starts)
    counts = np.diff(np.append(firsts, len(values)))
    is_bin = ~is_missing[firsts]
    firsts, counts = firsts[is_bin], counts[is_bin]
    bins = places[firsts]
    bins = np.where(bins < 0, -1 - (bins + _N_MAGNITUDES), bins)
    found = _where_new(values, starts, ~is_missing)
    distinct = values[found]
    of_bins, of_values = np.searchsorted(firsts, starts), np.searchsorted(found, starts)
    if len(starts) == 2:
        n_missing = [int(np.count_nonzero(is_missing))]
    else:
        n_missing = np.diff(np.concatenate(([0], np.cumsum(is_missing)))[starts]).tolist()
    of_bins, of_values, groups = of_bins.tolist(), of_values.tolist(), []
    for place, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        there = end - n_missing[place]
        if there == start:
            groups.append(NumberCounts(centre, end - start, end - start))
            continue
        own = slice(of_bins[place], of_bins[place + 1])
        different = distinct[of_values[place] : of_values[place + 1]]
        few = different if len(different) <= MAX_DISTINCT else None
        ends = _ends(values[start:there])
        groups.append(NumberCounts(centre, end - start, n_missing[place], bins[own], counts[own], few, *ends))
    return groups


def _has_many(values: Floats) -> bool:
    """Tell whether more different values than are told apart stand among the first of some values."""
    import numpy as np

    return len(np.unique(values[:_TRIED], equal_nan=True)) > MAX_DISTINCT + 1


class BinTable:
    """A table of all bins, which is empty between two uses: a new one would take longer to make than to fill."""

    def __init__(self) -> None:
        """Begin without rows."""
        import numpy as np

        self._rows = np.zeros(2 * _N_MAGNITUDES, np.int64)
        self.n_rows, self._ends = 0, list[float]()

    def add(self, values: Floats, centre: float | None) -> None:
        """Count values, NaN where missing, whose different ones are not told apart."""
        import numpy as np

        for start in range(0, len(values), AT_A_TIME):
            places = (values[start : start + AT_A_TIME] + (0.0 - (centre or 0.0))).view(np.int64)
            places >>= DROPPED_BITS
            places += _N_MAGNITUDES
            np.add.at(self._rows, places, 1)
        self.n_rows += len(values)
        self._ends = [one for one in (*self._ends, *_ends_of(values)) if one is not None]

    def counted(self, values: Floats, centre: float | None) -> NumberCounts:
        """Count values of which no others are in the table."""
        self.add(values, centre)
        return self.taken(centre)

    def taken(self, centre: float | None) -> NumberCounts:
        """Give what was counted from a centre, as `counted_groups` does, and begin anew."""
        import numpy as np

        found = np.flatnonzero(self._rows)
        rows = self._rows[found]
        self._rows[found] = 0
        is_bin = (found & (_N_MAGNITUDES - 1)) <= INFINITY  # NaN lies beyond infinity
        found, rows = found[is_bin], rows[is_bin]
        n_rows, n_missing, ends = self.n_rows, self.n_rows - int(rows.sum()), self._ends
        self.n_rows, self._ends = 0, []
        if n_missing == n_rows:
            return NumberCounts(centre, n_rows, n_missing)
        # Below the centre, the further away the greater the place.
        n_below = int(np.searchsorted(found, _N_MAGNITUDES))
        bins = np.concatenate((-1 - found[:n_below][::-1], found[n_below:] - _N_MAGNITUDES))
        counts = np.concatenate((rows[:n_below][::-1], rows[n_below:]))
        least, most = min(ends, default=None), max(ends, default=None)
        return NumberCounts(centre, n_rows, n_missing, bins, counts, None, least, most)


def _where_new(values: npt.NDArray[Any], starts: Integers, counts: npt.NDArray[np.bool_] | None = None) -> Integers:
    """Give the places of the values that differ from the one before them or begin a group, of those that count."""
    import numpy as np

    is_new = np.empty(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=is_new[1:])
    is_new[starts[:-1][starts[:-1] < len(values)]] = True
    return np.flatnonzero(is_new if counts is None else is_new & counts)


def _ends(values: Floats) -> tuple[float, float] | tuple[None, None]:
    """Give the least and the greatest of the values that are finite, of values that ascend."""
    low, high = float(values[0]), float(values[-1])
    return (low, high) if isfinite(low) and isfinite(high) else _ends_of(values)


def _ends_of(values: Floats) -> tuple[float, float] | tuple[None, None]:
    """Give the least and the greatest of the values that are finite, of values in any order; none of 0 is negative."""
    import numpy as np

    low, high = float(np.fmin.reduce(values)) + 0.0, float(np.fmax.reduce(values)) + 0.0
    if isfinite(low) and isfinite(high):
        return low, high
    finite = values[np.isfinite(values)]
    return (float(finite.min()) + 0.0, float(finite.max()) + 0.0) if len(finite) else (None, None)
