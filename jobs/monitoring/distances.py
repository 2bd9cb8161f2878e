"""Distances between two distributions, for people to read.

They are PSI, Jensen-Shannon, Hellinger, Kolmogorov-Smirnov and Wasserstein.

The first three compare shares of bins, whatever the bins are; the last two compare cumulated shares along a scale.
`jobs.monitoring.comparison` says what the bins of two profiles are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Shares = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]

#: An inter-decile range of a normal distribution is so many standard deviations.
DECILES_APART = 2.563


def smoothed_shares(counts: Counts) -> Shares:
    """Give shares in which no bin is empty: half a row is added to each (Jeffreys)."""
    shares: Shares = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def population_stability_index(shares: Shares, reference: Shares) -> float:
    """Give the PSI: the sum of (p - q) ln(p / q). No share may be zero."""
    import numpy as np

    return float(np.sum((shares - reference) * np.log(shares / reference)))


def jensen_shannon_distance(shares: Shares, reference: Shares) -> float:
    """Give the square root of the Jensen-Shannon divergence in natural units: 0 to 0.83 (divide by it for base 2)."""
    import numpy as np

    middle = (shares + reference) / 2
    halves = (_relative_entropy(shares, middle) + _relative_entropy(reference, middle)) / 2
    return float(np.sqrt(max(halves, 0.0)))


def _relative_entropy(shares: Shares, reference: Shares) -> float:
    import numpy as np

    there = shares > 0
    return float(np.sum(shares[there] * np.log(shares[there] / reference[there])))


def hellinger_distance(shares: Shares, reference: Shares) -> float:
    """Give the Hellinger distance: 0 to 1."""
    import numpy as np

    return float(np.sqrt(np.sum((np.sqrt(shares) - np.sqrt(reference)) ** 2) / 2))


def kolmogorov_smirnov(shares: Shares, reference: Shares) -> float:
    """Give the largest difference of the cumulated shares, of bins in the order of their scale."""
    import numpy as np

    return float(np.max(np.abs(np.cumsum(shares) - np.cumsum(reference))))


def wasserstein_distance(places: Shares, shares: Shares, reference: Shares) -> float:
    """Give the area between the cumulated shares: by how much values have to move on average.

    Parameters
    ----------
    places
        Where on the scale each bin is taken to lie, ascending and finite.
    """
    import numpy as np

    apart = np.abs(np.cumsum(shares) - np.cumsum(reference))[:-1]
    return float(np.sum(apart * np.diff(places)))
