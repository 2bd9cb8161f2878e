"""A table of all bins, in which the values of large groups of rows are counted: it takes a third of sorting them."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from warehouse.pages.profiles import AT_A_TIME, DROPPED_BITS, INFINITY, N_MAGNITUDES, NumberCounts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


class BinTable:
    """A table of all bins, which is empty between two uses: a new one would take longer to make than to fill."""

    def __init__(self) -> None:
        """Begin without rows."""
        import numpy as np

        self._rows = np.zeros(2 * N_MAGNITUDES, np.int64)
        self.n_rows, self._ends = 0, list[float]()

    def add(self, values: Floats, centre: float | None) -> None:
        """Count values, NaN where missing, whose different ones are not told apart."""
        import numpy as np

        for start in range(0, len(values), AT_A_TIME):
            places = (values[start : start + AT_A_TIME] + (0.0 - (centre or 0.0))).view(np.int64)
            places >>= DROPPED_BITS
            places += N_MAGNITUDES
            np.add.at(self._rows, places, 1)
        self.n_rows += len(values)
        self._ends = [one for one in (*self._ends, *ends_of(values)) if one is not None]

    def counted(self, values: Floats, centre: float | None) -> NumberCounts:
        """Count values of which no others are in the table."""
        self.add(values, centre)
        return self.taken(centre)

    def taken(self, centre: float | None) -> NumberCounts:
        """Give what was counted from a centre, as `warehouse.pages.profiling.groups` does, and begin anew."""
        import numpy as np

        found = np.flatnonzero(self._rows)
        rows = self._rows[found]
        self._rows[found] = 0
        is_bin = (found & (N_MAGNITUDES - 1)) <= INFINITY  # NaN lies beyond infinity
        found, rows = found[is_bin], rows[is_bin]
        n_rows, n_missing, ends = self.n_rows, self.n_rows - int(rows.sum()), self._ends
        self.n_rows, self._ends = 0, []
        if n_missing == n_rows:
            return NumberCounts(centre, n_rows, n_missing)
        # Below the centre, the further away the greater the place.
        n_below = int(np.searchsorted(found, N_MAGNITUDES))
        bins = np.concatenate((-1 - found[:n_below][::-1], found[n_below:] - N_MAGNITUDES))
        counts = np.concatenate((rows[:n_below][::-1], rows[n_below:]))
        least, most = min(ends, default=None), max(ends, default=None)
        return NumberCounts(centre, n_rows, n_missing, bins, counts, None, least, most)


def ends_of(values: Floats) -> tuple[float, float] | tuple[None, None]:
    """Give the least and the greatest of the values that are finite, of values in any order; none of 0 is negative."""
    import numpy as np

    low, high = float(np.fmin.reduce(values)) + 0.0, float(np.fmax.reduce(values)) + 0.0
    if isfinite(low) and isfinite(high):
        return low, high
    finite = values[np.isfinite(values)]
    return (float(finite.min()) + 0.0, float(finite.max()) + 0.0) if len(finite) else (None, None)
