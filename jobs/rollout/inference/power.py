"""Power: after how many pages a difference of so much would be seen, by the very evidence that will decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jobs.monitoring.performance.evidence import R_OF_VARIANCE, log_e
from jobs.rollout.inference.e_process import LEAST, Floats, Rules, paths

#: Pages of the past are drawn in stretches of so many, so that neighbours stay neighbours.
STRETCH = 7
_FARTHEST = 10_000


@dataclass(frozen=True)
class PowerRow:
    """A difference, the share of simulated rollouts that saw it within `at_most` pages, and the median page of those.

    `difference` is the distance from the margin. `median_page` is None where fewer than half of them saw it.
    """

    difference: float
    decided: float
    median_page: int | None


def first_pages(differences: Floats, rules: Rules) -> tuple[Floats, Floats]:
    """Give, of each series `(n_series, n_pages)`, the page of the first abort and of the first evidence to go on.

    Counted from 1, infinite where there is none.
    """
    found = paths(differences[:, : rules.at_most], rules.margin)
    return _first(found.log_worse, rules.bound), _first(found.log_good, rules.bound)


def _first(logs: Floats, bound: float) -> Floats:
    reached = logs >= np.log(bound)
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def power(
    history: Sequence[float], differences: Sequence[float], rules: Rules, n_trials: int = 1_000, seed: int = 1
) -> list[PowerRow]:
    """Simulate rollouts from pages of the past.

    Parameters
    ----------
    history
        Differences of two versions by page, in the order of the grid; their mean is taken away.
    differences
        How far from the margin the truth is assumed to lie, in the figure's unit.

    Returns
    -------
    list of PowerRow
        One for each difference; empty where the past has fewer than 9 pages.
    """
    past = np.asarray(history, np.float64)
    if len(past) < LEAST:
        return []
    rng = np.random.default_rng(seed)
    stretch = min(STRETCH, len(past))
    starts = rng.integers(0, len(past), (n_trials, -(-rules.at_most // stretch)))
    places = (starts[:, :, None] + np.arange(stretch)) % len(past)
    drawn = (past - past.mean())[places].reshape(n_trials, -1)[:, : rules.at_most]
    rows = []
    for difference in differences:
        first = first_pages(drawn + rules.margin - difference, rules)[1]
        decided = float(np.isfinite(first).mean())
        rows.append(PowerRow(float(difference), decided, int(np.median(first)) if decided > 0.5 else None))
    return rows


def pages_until(mean: float, variance: float, bound: float) -> int | None:
    """Give after how many pages the evidence reaches `bound` if each goes as the mean and variance say; None: never."""
    n = np.arange(LEAST, _FARTHEST, dtype=np.float64)
    r = R_OF_VARIANCE * max(variance, mean * mean / 20, 1e-300)
    reached = log_e(n * mean, n * (variance + mean * mean), r) >= np.log(bound)
    return int(n[reached.argmax()]) if reached.any() else None
