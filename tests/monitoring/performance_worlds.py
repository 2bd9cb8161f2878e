"""Worlds of known truth: pages with a day's effect, whose probabilities are right until something changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jobs.monitoring.performance.cbpe import entropy
from jobs.monitoring.performance.losses import losses

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
Of = Callable[[int], float]


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def page(
    rng: np.random.Generator, n_rows: int = 300, day: float = 0.3, mean: float = -1.5, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of one page: the day's effect moves all its labels, and nobody can foresee it."""
    z = rng.normal(mean, 1.2, n_rows)
    p = (logistic(z[:, None] + day * _NODES) * _WEIGHTS).sum(axis=1) / _WEIGHTS.sum()
    y = (rng.random(n_rows) < logistic(z + rng.normal(0, day) + shift)) * 1.0
    return p, y


def excess(rng: np.random.Generator, n_pages: int, day: float = 0.3, mean: Of | None = None, shift: Of | None = None):
    """The mean excess log loss of each page of a world."""
    found = []
    for n in range(n_pages):
        p, y = page(rng, day=day, mean=mean(n) if mean else -1.5, shift=shift(n) if shift else 0.0)
        found.append(float((losses(y, p, "binary") - entropy(p)).mean()))
    return np.array(found)
