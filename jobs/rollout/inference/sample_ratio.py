"""Sample ratio: whether the arms have as many units as their shares say, by an e-value that may be looked at any time.

Units that go to an arm are a draw from the shares; a Dirichlet mixture about them gives the e-value [Lindon and Malek
2022]. Rows that are lost in one arm, or in one arm of one segment, make every comparison of the arms' means wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

#: The concentration of the mixture about the shares.
CONCENTRATION = 100.0
#: At this e-value arms are taken to have lost rows: at most one in so many rollouts is told so wrongly.
ALARM = 1_000.0


@dataclass(frozen=True)
class SampleRatio:
    """Counts of units by arm beside what their shares say; `segment` is None for all of them together."""

    counts: Mapping[str, int]
    shares: Mapping[str, float]
    e: float
    segment: str | None = None
    bound: float = ALARM

    @property
    def alarm(self) -> bool:
        """Whether rows were lost."""
        return self.e >= self.bound

    def words(self) -> str:
        """Say it to people."""
        total = sum(self.counts.values())
        parts = [f"{arm} {count:,} for {self.shares[arm] * total:,.0f}" for arm, count in self.counts.items()]
        where = f" in {self.segment}" if self.segment else ""
        return f"the arms' units{where} do not have the ratio of their shares ({', '.join(parts)}; e = {self.e:.3g})"


def log_ratio_e(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Give the logarithm of the e-value against "units come by their shares"; arms without a share do not count."""
    from scipy.special import gammaln

    arms = [arm for arm in shares if shares[arm] > 0]
    n = np.array([counts.get(arm, 0) for arm in arms], np.float64)
    theta = np.array([shares[arm] for arm in arms], np.float64)
    if len(arms) < 2 or not n.sum():
        return 0.0
    theta /= theta.sum()
    a = CONCENTRATION * theta
    mixed = gammaln(a.sum()) - gammaln(a.sum() + n.sum()) + (gammaln(a + n) - gammaln(a)).sum()
    return float(mixed - (n * np.log(theta)).sum())


def sample_ratio(
    counts: Mapping[str, int], shares: Mapping[str, float], segment: str | None = None, n_segments: int = 1
) -> SampleRatio:
    """Hold counts against shares.

    Parameters
    ----------
    counts
        Units by version, each unit once in a stage: rows of one unit move together, so rows are no draws.
    shares
        Of buckets, as `Assignment.shares` gives them. Units of an arm that has no share are an alarm by themselves.
    n_segments
        How many segments of the same units are held against them besides: the bound is so many times as high.
    """
    stray = any(count and not shares.get(arm) for arm, count in counts.items())
    e = np.inf if stray else float(np.exp(min(log_ratio_e(counts, shares), 700.0)))
    complete = {arm: counts.get(arm, 0) for arm in {**shares, **counts}}
    return SampleRatio(complete, {**dict.fromkeys(complete, 0.0), **shares}, e, segment, ALARM * n_segments)
