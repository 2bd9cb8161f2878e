"""Evidence that loss is higher than it should be, which may be looked at after each page.

The figure of a page is d, its mean excess loss less a margin. Against "the mean of d is at most 0" speaks, from a start
s on, the one-sided self-normalised e-value of the half-normal mixture (de la Pena 1999; Howard et al. 2021)

    e = 2 Phi(S / sqrt(V + r)) sqrt(r / (V + r)) exp(S^2 / (2 (V + r))),   S = sum of d, V = sum of d^2 since s.

Since nobody knows when a change begins, the evidence is the sum over all starts (Shiryaev and Roberts; Shin, Ramdas
and Rinaldo 2023). Under the null, with d symmetric, it stays below a bound of B pages for B pages on average.
A page that is far off adds to V too, so that a storm weighs little, however large it is. So does loss that is a
thousand times too large from one page on: a page multiplies the evidence by exp(1/2) at most. Four pages in turn that
are each further off than pages ever are by chance begin an alarm by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Evidence that falls under this share of the bound without its three largest pages is "the work of few pages". A shift
#: that goes on leaves .3 to .4 of it, and however far above r it lies, more than exp(-3 / 2), which is .223.
FEW = 0.2
#: So many pages in turn, each more than so many standard deviations of a page's excess above the margin, are far off.
FAR_OFF, IN_TURN = 6.0, 4
#: An alarm is over when so many pages have passed with evidence under this share of the bound.
CLOSES_AFTER, CLOSES_UNDER = 28, 0.1
#: Where gates name no margin, excess up to this share of the expected loss is no worry. Without any margin the null is
#: met by every calibrated model, and each year brings its false alarm.
MARGIN = 0.015
#: r is so many times the variance of a page's excess.
R_OF_VARIANCE = 5.0


def log_e(s: Floats | float, v: Floats | float, r: Floats | float) -> Floats:
    """Give the logarithm of the one-sided e-value of sums S and V, arrays that broadcast."""
    from scipy.special import log_ndtr

    root = np.sqrt(v + r)
    found: Floats = np.log(2.0) + 0.5 * np.log(r / (v + r)) + s * s / (2 * (v + r)) + log_ndtr(s / root)
    return found


def evidence_of(d: Floats, r: float) -> float:
    """Give the evidence after the last of some pages, summed over all starts among them."""
    return float(np.exp(np.minimum(_logs(d, r), 700)).sum()) if len(d) else 0.0


def _logs(d: Floats, r: float) -> Floats:
    return log_e(np.cumsum(d[::-1]), np.cumsum(d[::-1] ** 2), r)


@dataclass(frozen=True)
class Step:
    """The evidence after one page.

    Attributes
    ----------
    evidence
        Summed over the starts since the last alarm. It is under the bound where pages that are far off begin one.
    without_largest, without_three
        What it would be without the page, or the three pages, that it owes most to; None while it is small.
    largest_share
        The share of the evidence that goes with that page, 0 to 1.
    alarm
        Whether an alarm begins here.
    is_open
        Whether one is open after this page.
    """

    evidence: float
    without_largest: float | None
    without_three: float | None
    largest_share: float | None
    alarm: bool
    is_open: bool


def steps(excess: Sequence[float], r: float, margin: float, bound: float) -> list[Step]:
    """Go through the pages of one version in the order of the grid.

    Parameters
    ----------
    excess
        The mean excess loss of each matured page.
    r
        See `variance_to_r`; known before the first page.
    margin
        Excess up to here is no worry.
    bound
        The evidence at which an alarm begins: pages a year / false alarms a year.
    """
    d = np.asarray(excess, np.float64) - margin
    found: list[Step] = []
    is_far = d > FAR_OFF * np.sqrt(r / R_OF_VARIANCE)
    start, quiet, n_far, is_open = 0, 0, 0, False
    for place in range(len(d)):
        own = d[start : place + 1]
        evidence = evidence_of(own, r)
        n_far = n_far + 1 if is_far[place] else 0
        alarm = evidence >= bound or (n_far >= IN_TURN and not is_open)
        small = evidence < max(bound * CLOSES_UNDER, 1.0)
        owed: tuple[float | None, float | None, float | None] = (None, None, None)
        if not small:
            owed = _without(own, r, evidence)
        quiet = quiet + 1 if small and not n_far else 0
        if alarm:
            is_open, quiet, start = True, 0, place + 1
        elif quiet >= CLOSES_AFTER:
            is_open = False
        found.append(Step(evidence, owed[0], owed[1], owed[2], alarm, is_open))
    return found


def _without(d: Floats, r: float, evidence: float) -> tuple[float, float, float]:
    """Take away, one after the other, the pages that the evidence owes most to."""
    left, found = d, list[float]()
    for _ in range(min(3, len(d))):
        rest = [evidence_of(np.delete(left, place), r) for place in np.argsort(-left)[:5]]
        found.append(min(rest))
        left = np.delete(left, np.argsort(-left)[int(np.argmin(rest))])
    return found[0], found[-1], float(np.clip(1 - found[0] / evidence, 0.0, 1.0))


def says_too_little(validation: Floats) -> bool:
    """Tell whether validation held out too few pages to say how much they differ."""
    return len(validation) < 5


def variance_to_r(validation: Floats, expected_variance: float) -> float:
    """Give r: from the excess of validation pages, or, of a version with fewer than 5, from what is expected.

    Parameters
    ----------
    validation
        The mean excess loss of each page that validation held out.
    expected_variance
        The variance of the first page's mean loss if its rows were independent. A page has a day's effect too, which
        made it 9 to 25 times as large where it was measured; 9 times is taken.
    """
    variance = 9 * expected_variance if says_too_little(validation) else float(np.var(validation))
    return R_OF_VARIANCE * max(variance, 1e-12)
