"""Calibration slope and intercept of the last pages, with intervals that take the page as the unit.

The labels are regressed on the log-odds of the probabilities: a slope of 1 and an intercept of 0 is calibrated, a slope
below 1 is too sure of itself (Cox 1958). Rows of one page share a day, so that the variance is that of page sums
(Liang and Zeger 1986): on a year of flights 6.6 times the standard error of independent rows. They are for reading;
nothing is decided by them. Rows come counted in narrow bins of log-odds, which keeps memory flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Over so many matured pages, the judged one the last; fewer than the least tell nothing.
PAGES, FEWEST = 20, 8


@dataclass(frozen=True)
class Calibration:
    """Slope and intercept, each with the ends of its 95 % interval."""

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    intercept_low: float
    intercept_high: float


def calibration_of(pages: npt.NDArray[np.int64], log_odds: Floats, n_rows: Floats, ones: Floats) -> Calibration | None:
    """Fit the labels of some pages.

    Parameters
    ----------
    pages
        The page of each bin, (n_bins,), any numbers.
    log_odds, n_rows, ones
        Each bin's mean log-odds, rows, and labels of 1.

    Returns
    -------
    None of fewer than 8 pages, of labels that are all equal, and where the fit does not converge.
    """
    _, places = np.unique(pages, return_inverse=True)
    n_pages = int(places.max()) + 1 if len(places) else 0
    if n_pages < FEWEST or not 0 < ones.sum() < n_rows.sum():
        return None
    x = np.column_stack([np.ones_like(log_odds), log_odds])
    fitted = _fit(x, n_rows, ones)
    if fitted is None:
        return None
    beta, inverse = fitted
    scores = x * (ones - n_rows * _logistic(x @ beta))[:, None]
    sums = np.zeros((n_pages, 2))
    np.add.at(sums, places, scores)
    variance = inverse @ (sums.T @ sums) @ inverse * n_pages / (n_pages - 1)
    from scipy.stats import t

    half = t.ppf(0.975, n_pages - 1) * np.sqrt(np.diag(variance))
    low, high = beta - half, beta + half
    return Calibration(*(float(value) for value in (beta[1], low[1], high[1], beta[0], low[0], high[0])))


def _fit(x: Floats, n_rows: Floats, ones: Floats) -> tuple[Floats, Floats] | None:
    """Give the coefficients by Newton's method, and the inverse of the information."""
    beta = np.array([0.0, 1.0])
    for _ in range(50):
        p = _logistic(x @ beta)
        information = (x * (n_rows * p * (1 - p))[:, None]).T @ x
        if np.linalg.cond(information) > 1e12:
            return None
        inverse = np.asarray(np.linalg.inv(information), np.float64)
        step = inverse @ (x.T @ (ones - n_rows * p))
        beta = beta + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-10:
            return beta, inverse
    return None


def _logistic(x: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-x))
    return found
