"""What interleaved lists say on a page: how much more of the outcome fell to the live version's picks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.models.arms.team_draft import CHALLENGER, LIVE

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Credit:
    """One page: `difference` is positive where the challenger did worse, None where no list gave credit.

    It is the mean of (live - challenger) / (live + challenger) over the `n_lists` lists in which either got credit.
    """

    difference: float | None
    n_lists: int
    live: float
    challenger: float


def credit_of(lists: Integers, place: Integers, team: Integers, outcome: Floats, top: int) -> Credit:
    """Credit outcomes to the teams of a page's lists.

    Parameters
    ----------
    lists, place, team
        (n_rows,), as `draft` took and gave them.
    outcome
        (n_rows,), what came of the row: clicks, revenue; not negative, NaN where nothing is known of it.
    top
        Outcomes of places up to this one count.
    """
    counts = (place <= top) & ~np.isnan(outcome)
    n_lists = int(lists.max(initial=-1)) + 1
    by_team = [
        np.bincount(lists[counts & (team == one)], outcome[counts & (team == one)], minlength=n_lists)
        for one in (LIVE, CHALLENGER)
    ]
    total = by_team[0] + by_team[1]
    told = total > 0
    sums = float(by_team[0].sum()), float(by_team[1].sum())
    if not told.any():
        return Credit(None, 0, *sums)
    return Credit(float(((by_team[0] - by_team[1])[told] / total[told]).mean()), int(told.sum()), *sums)
