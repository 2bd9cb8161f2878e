"""Which values of an input column the model tells apart.

A tree ensemble tests a column at finitely many places, so each column falls into finitely many bins, and a
row is to the trees no more than one bin per column. For numbers the bins are intervals (lowest, b0], (b0,
b1], ..., (bK-1, highest], for text they are the known categories and all others; null and NaN have a bin to
themselves. The breakpoints are found in the column's own type and before any scaling, by asking the model's
own arithmetic, so that the decision at every node is the estimator's, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.ensemble import F64, Feature, Values

SIGNED: dict[str, type[np.signedinteger[Any]]] = {"float64": np.int64, "float32": np.int32}


def _to_ordered(values: Values) -> Values:
    """Map floats to integers of the same order; -0.0 and 0.0 are neighbours."""
    integers = SIGNED[values.dtype.name]
    bits = values.view(integers)
    return np.where(bits < 0, np.iinfo(integers).min - bits - 1, bits).astype(integers)


def _from_ordered(order: Values, dtype: np.dtype[Any]) -> Values:
    """Undo `_to_ordered`."""
    integers = SIGNED[dtype.name]
    bits = np.where(order < 0, np.iinfo(integers).min - order - 1, order).astype(integers)
    return bits.view(dtype)


def highest_at_most(feature: Feature, limits: F64, dtype: np.dtype[Any], n_steps: int | None = None) -> Values:
    """Return, for each limit, the highest column value x with feature(x) <= limit, found by bisection.

    Parameters
    ----------
    feature
        Non-decreasing over the numbers, from minus to plus infinity.
    limits
        (n,) none of them NaN.
    dtype
        The column's type, float64 or float32.
    n_steps
        Only the feature's first steps.

    Returns
    -------
    numpy.ndarray
        (n,) of `dtype`; NaN where even minus infinity is above the limit.
    """
    ends = _to_ordered(np.array([-np.inf, np.inf], dtype))
    low = np.full(len(limits), ends[0])
    high = np.full(len(limits), ends[1])

    def holds(order: Values) -> npt.NDArray[np.bool_]:
        return np.asarray(feature(_from_ordered(order, dtype), n_steps) <= limits)

    nowhere = ~holds(low)
    everywhere = holds(high)
    for _ in range(np.iinfo(ends.dtype).bits):
        # The halves are added apart: their sum would overflow.
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        passes = holds(middle)
        low = np.where(passes, middle, low)
        high = np.where(passes, high, middle)
    found = np.where(everywhere, ends[1], low).astype(ends.dtype)
    answer = _from_ordered(found, dtype)
    answer[nowhere] = np.nan
    return answer


def round_down(limits: F64, dtype: np.dtype[Any]) -> Values:
    """Return the highest values of `dtype` that are <= the limits."""
    with np.errstate(over="ignore"):
        rounded = limits.astype(dtype)
    too_high = rounded.astype(np.float64) > limits
    return np.where(too_high, np.nextafter(rounded, dtype.type(-np.inf)), rounded).astype(dtype)


def last_passing(feature: Feature, limits: F64, dtype: np.dtype[Any]) -> Values:
    """Return the highest column value at which each test `feature <= limit` passes; see `highest_at_most`."""
    if feature.steps:
        return highest_at_most(feature, limits, dtype)
    return round_down(limits, dtype)


@dataclass(frozen=True)
class ColumnBins:
    """The bins of one input column.

    Parameters
    ----------
    column
        Its position among the scorer's features.
    kind
        "float64", "float32" or "text".
    breakpoints
        Numbers: (K,) ascending, of the column's type. Empty for text.
    domain
        Text: the K known categories. Empty for numbers.
    refused
        (K + 2,): bins of which the estimator refuses the values.
    """

    column: int
    kind: str
    breakpoints: Values
    domain: tuple[str, ...]
    refused: npt.NDArray[np.bool_]

    @property
    def n_places(self) -> int:
        """Return K, the number of breakpoints or known categories."""
        return len(self.domain) if self.kind == "text" else len(self.breakpoints)

    @property
    def size(self) -> int:
        """Return the number of bins, K + 2. The last is that of null and NaN, for text the one before of
        others.
        """
        return self.n_places + 2

    def samples(self) -> Values:
        """Return one value of each bin, (K + 2,)."""
        return _samples(self.kind, self.breakpoints, self.domain)


def _samples(kind: str, breakpoints: Values, domain: tuple[str, ...]) -> Values:
    if kind == "text":
        unseen = "".join(("?", *domain))
        return np.array([*domain, unseen, None], dtype=object)
    dtype = np.dtype(kind)
    # The value of an interval is its upper end, since that is in it.
    return np.concatenate([breakpoints, np.array([np.inf, np.nan], dtype)]).astype(dtype)


def _refused(samples: Values, features: Sequence[Feature]) -> npt.NDArray[np.bool_]:
    """Say which of the bins' values fail a check of some feature."""
    refused = np.zeros(len(samples), np.bool_)
    for feature in features:
        for check in feature.checks:
            values = feature(samples, check.after).astype(np.float64)
            refused |= np.isinf(values)
            if not check.nan_passes:
                refused |= np.isnan(values)
    return refused


def _ends_of_finite(feature: Feature, dtype: np.dtype[Any]) -> list[Values]:
    """Return the column values after which a check of the feature changes its answer."""
    limits = np.array([-np.inf, np.finfo(np.float64).max])
    # Codes of categories are finite, and the steps that make them are not monotone.
    checks = [check for check in feature.checks if feature.points is None or check.after == 0]
    return [highest_at_most(feature, limits, dtype, check.after) for check in checks]


def numeric_bins(column: int, kind: str, features: Sequence[Feature], passing: Sequence[Values]) -> ColumnBins:
    """Return the bins of a column of numbers.

    Parameters
    ----------
    column, kind
        Its position, and "float64" or "float32".
    features
        All of the model's features that are made of it.
    passing
        Arrays of column values after which some test changes its answer; NaN among them is skipped.
    """
    dtype = np.dtype(kind)
    places = list(passing)
    for feature in features:
        places += _ends_of_finite(feature, dtype)
        if feature.points is not None:
            with np.errstate(over="ignore"):
                points = np.array(feature.points, np.float64)
                exact = points[points.astype(dtype).astype(np.float64) == points].astype(dtype)
            places += [exact, np.nextafter(exact, dtype.type(-np.inf))]
    breakpoints = np.unique(np.concatenate([np.zeros(0, dtype), *places]).astype(dtype))
    # Above the highest number there is nothing to tell apart, and NaN stands for nowhere.
    breakpoints = breakpoints[breakpoints < np.inf]
    refused = _refused(_samples(kind, breakpoints, ()), features)
    return ColumnBins(column, kind, breakpoints, (), refused)


def text_bins(column: int, features: Sequence[Feature]) -> ColumnBins:
    """Return the bins of a column of text: every category that some feature knows."""
    domain = tuple(sorted({p for feature in features for p in feature.points or () if isinstance(p, str)}))
    refused = _refused(_samples("text", np.zeros(0), domain), features)
    return ColumnBins(column, "text", np.zeros(0), domain, refused)
