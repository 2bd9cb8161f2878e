"""The loss of pages whose labels have not come: what their predictions expect, and how far off that was so far.

The unit is the page: a storm that nobody foresaw delays them all. So the half-width over k pages is c times the
standard deviation of the page's excess loss over sqrt(k); as if rows were independent it would cover one week in four
on a year of flights. c is 2, and follows what came: a stretch of k pages that lay outside widens it, one that lay
inside narrows it again, so that nine in ten are covered in the long run whatever the world does (quantile tracking:
Gibbs and Candes 2021; Angelopoulos, Candes and Tibshirani 2023). A stretch of a week or longer counts whole, a shorter
one by its pages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Stretches that may lie outside, how many pages count whole, and how narrow the interval may become.
_OUTSIDE, _WHOLE, _LEAST = 0.1, 7, 2.0
#: A standard deviation of fewer pages than this says nothing.
FEWEST = 5


@dataclass(frozen=True)
class Estimate:
    """Mean loss of some pages, and the interval that nine in ten such stretches lie in."""

    value: float
    low: float
    high: float


def estimate(expected: Floats, sizes: Floats, past: Floats) -> Estimate | None:
    """Estimate the mean loss of pages without labels; None where fewer than 5 pages have shown their excess.

    Parameters
    ----------
    expected, sizes
        Each page's expected loss and rows, (n_pages,).
    past
        The mean excess loss of the version's pages so far, in order: validation's, then matured ones.
    """
    if len(past) < FEWEST or not sizes.sum():
        return None
    n_pages = len(expected)
    value = float((expected * sizes).sum() / sizes.sum())
    half = width(past, n_pages) * float(np.std(past, ddof=1)) / float(np.sqrt(n_pages))
    return Estimate(value, max(value - half, 0.0), value + half)


def width(past: Floats, n_pages: int) -> float:
    """Give c, from the stretches of so many pages before, counted back from the newest."""
    c, first, rate = _LEAST, len(past) % n_pages, min(1.0, n_pages / _WHOLE)
    for end in range(first + n_pages, len(past) + 1, n_pages):
        before = past[: end - n_pages]
        if len(before) < FEWEST:
            continue
        spread = float(np.std(before, ddof=1)) / float(np.sqrt(n_pages))
        outside = abs(float(past[end - n_pages : end].mean())) > c * spread
        c = max(_LEAST, c * float(np.exp(rate * (outside - _OUTSIDE))))
    return c
