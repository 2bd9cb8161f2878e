"""What takes a challenger out at once, after a single page, whatever the e-process says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from jobs.monitoring.performance.evidence import R_OF_VARIANCE, variance_to_r

#: The loss of a page may exceed the live version's by so many page standard deviations of that one's excess loss.
DEVIATIONS = 6.0
#: The mean prediction of a page may differ from the live version's by so much.
SHIFT = 0.1


@dataclass(frozen=True)
class Acute:
    """A challenger that is out at once: by which rule, on which page, and by how much more than it may."""

    rule: str
    page: datetime
    figure: float
    bound: float

    def words(self) -> str:
        """Say it to people."""
        what = (
            "loss exceeds the live version's"
            if self.rule == "loss"
            else "mean prediction differs from the live version's"
        )
        page = f"{self.page:%Y-%m-%d %H:%M}"
        return f"its {what} by {self.figure:.4g} on page {page}, where at most {self.bound:.4g} is borne"


def page_deviation(validation: Sequence[float], expected_variance: float) -> float:
    """Give the page standard deviation of the live version's excess loss.

    Parameters
    ----------
    validation
        The mean excess loss of each page that its validation held out.
    expected_variance
        The variance of a page's mean loss if its rows were independent, for a version with fewer than 5 such pages.

    The live version's pages are the measure, not differences of the arms, whose deviation is small where both are much
    alike: by 6 deviations of d, 13 to 73 % of equal arms were aborted in worlds of heavy tails or low gain.
    """
    return float(np.sqrt(variance_to_r(np.asarray(validation, np.float64), expected_variance) / R_OF_VARIANCE))


def acute_loss(page: datetime, loss: float, live_loss: float, deviation: float) -> Acute | None:
    """Judge one matured page by the mean losses of the challenger and of the live version on the same rows."""
    bound = DEVIATIONS * deviation
    return Acute("loss", page, loss - live_loss, bound) if loss - live_loss > bound else None


def acute_shift(page: datetime, mean: float, live_mean: float, bound: float = SHIFT) -> Acute | None:
    """Judge one page, with or without labels, by the mean predictions of the challenger and of the live version."""
    moved = abs(mean - live_mean)
    return Acute("shift", page, moved, bound) if moved > bound else None
