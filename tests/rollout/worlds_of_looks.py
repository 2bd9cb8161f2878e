"""Worlds in which the truth about a challenger is known: series of page differences of standard deviation 1."""

from __future__ import annotations

import os

import numpy as np

#: 100 trials in each run of the tests; ALMANAC_ROLLOUT_TRIALS=1000 makes those whose figures docs/rollouts.md gives.
N_TRIALS = int(os.environ.get("ALMANAC_ROLLOUT_TRIALS", "100"))
N_PAGES = 60
#: The page standard deviation of the live version's own excess loss, in those of a difference of two versions.
LIVE_DEVIATION = 2.0


def independent(rng: np.random.Generator, n_trials: int) -> np.ndarray:
    return rng.normal(size=(n_trials, N_PAGES))


def heavy(rng: np.random.Generator, n_trials: int) -> np.ndarray:
    return rng.standard_t(3, size=(n_trials, N_PAGES)) / 3**0.5


def correlated(rng: np.random.Generator, n_trials: int, rho: float = 0.5) -> np.ndarray:
    found = rng.normal(size=(n_trials, N_PAGES))
    for page in range(1, N_PAGES):
        found[:, page] = rho * found[:, page - 1] + (1 - rho**2) ** 0.5 * found[:, page]
    return found


def skewed(rng: np.random.Generator, n_trials: int) -> np.ndarray:
    """Most pages a little better than the mean, some much worse."""
    return rng.exponential(size=(n_trials, N_PAGES)) - 1


def lognormal(rng: np.random.Generator, n_trials: int, sigma: float = 0.75) -> np.ndarray:
    """Skewed with a heavier tail than an exponential: skewness 3.3."""
    found = rng.lognormal(0, sigma, (n_trials, N_PAGES)) - np.exp(sigma**2 / 2)
    return found / (np.exp(sigma**2) * (np.exp(sigma**2) - 1)) ** 0.5


WORLDS = {"independent": independent, "heavy": heavy, "correlated": correlated, "skewed": skewed}


def slack(limit: float, n_trials: int) -> float:
    """Give how far from a limit a share may lie by chance: nowhere in 1,000 trials, two standard errors in fewer."""
    return 0.0 if n_trials >= 1_000 else float(2 * (limit * (1 - limit) / n_trials) ** 0.5)


def rows_of(rng: np.random.Generator, n_rows: int = 2_000, day: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Give one page: a calibrated model's probabilities, and labels, with an effect of the day that it does not see."""
    logit = rng.normal(-1.5, 1.2, n_rows)
    came = rng.random(n_rows) < 1 / (1 + np.exp(-(logit + rng.normal(0, day))))
    return 1 / (1 + np.exp(-logit)), came


def log_loss(p: np.ndarray, came: np.ndarray) -> float:
    return float(-np.where(came, np.log(p), np.log1p(-p)).mean())


def excess_of(p: np.ndarray, came: np.ndarray) -> float:
    return log_loss(p, came) + float((p * np.log(p) + (1 - p) * np.log1p(-p)).mean())
