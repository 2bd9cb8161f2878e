"""Profiles: how the values of each column of a page are spread, as sparse counts that can be added up.

A number falls into a bin of its distance from the column's centre: sign, exponent and five bits of the mantissa of the
IEEE double, so that a bin is at most 3.2 % of the distance wide. All counts are integers: the profiles of parts of a
page, added up, are bit for bit that of the page, in whatever order and on however many threads the parts were read.
Which pages are profiled, and where profiles are kept, is the matter of `warehouse.pages.profiled_pages`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from warehouse.system_sql import quote

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: The bits of a double that tell its bin are all but the lower 47 bits of the mantissa; that leaves so many magnitudes.
DROPPED_BITS = 47
_MAGNITUDE, N_MAGNITUDES = (1 << 63) - 1, 1 << (63 - DROPPED_BITS)
#: The bin of infinity.
INFINITY = 0x7FF << 5
#: So many different values of a column are told apart on a page; of more neither number nor hash is given.
MAX_DISTINCT = 10_000
#: So many categories are counted each for itself; the others are one.
MAX_CATEGORIES = 1_000
#: So many values are put into the table at a time, which take no memory that has to be asked for.
AT_A_TIME = 16_384
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


def as_floats(values: pa.Array | Floats) -> Floats:
    """Give values of an Arrow array of float64, NULL as NaN; to the values of one without NULL nothing can be written.

    Arrow's own way to do it takes as long as all that is counted of them. What is given as floats stays what it is.
    """
    import numpy as np

    if isinstance(values, np.ndarray):
        return values
    if not len(values):
        return np.empty(0)
    found = np.frombuffer(values.buffers()[1], np.float64, len(values), 8 * values.offset)
    # What Arrow has made itself could be written, and counting sorts what it may write.
    found.flags.writeable = False
    if not values.null_count:
        return found
    return np.where(is_there(values), found, np.nan)


def is_there(values: pa.Array) -> Flags:
    """Tell which values of an Arrow array that has NULL are not NULL."""
    import numpy as np

    until = values.offset + len(values)
    bits = np.unpackbits(np.frombuffer(values.buffers()[0], np.uint8, -(-until // 8)), bitorder="little")
    return bits[values.offset : until].view(bool)


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
            "values_hash": hash_of(self.distinct.astype("<f8").data) if few and len(self.distinct) else None,
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


#: Two sets of values have the same hash once in four billion; it is compared with that of the page before alone, and
#: stands in each row, where it does not compress.
_HASH_CHARACTERS = 8


def hash_of(values: bytes | memoryview) -> str:
    """Tell one set of values from another."""
    return hashlib.sha256(values).hexdigest()[:_HASH_CHARACTERS]


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
            "values_hash": hash_of("".join([f"{len(name)}:{name}" for name in names]).encode()) if few else None,
            "top_values": top,
            "counts": [self.values[name] for name in top],
            "n_other": sum(self.values[name] for name in listed[MAX_CATEGORIES:]),
        }
