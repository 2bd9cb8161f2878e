"""CUPED: the difference of two arms' means on a page, less what their units would have differed in anyway.

Where predictions change the outcome, arms are compared by split, and their units differ by chance. What was predicted
for every unit by one and the same version, whoever served it, was there before the outcome and correlates with it:
its difference, times a slope, is taken away [Deng, Xu, Kohavi and Walker 2013]. The variance that is left is
1 - correlation^2 of what it was.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ArmSums:
    """Sums over the units of one arm on one page: of the outcome y, of the covariate x, and of their products."""

    n: int
    y: float
    yy: float
    x: float
    xx: float
    xy: float

    @classmethod
    def of(cls, y: Floats, x: Floats) -> ArmSums:
        """Add up the outcomes and covariates (n_units,) of an arm."""
        return cls(len(y), *(float(one.sum()) for one in (y, y * y, x, x * x, x * y)))

    def beside(self, other: ArmSums) -> ArmSums:
        """Put the units of two arms together."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return ArmSums(*(one + another for one, another in pairs))

    def variance_y(self) -> float:
        """Give the variance of the outcome."""
        return (self.yy - self.y * self.y / self.n) / (self.n - 1)

    def variance_x(self) -> float:
        """Give the variance of the covariate."""
        return (self.xx - self.x * self.x / self.n) / (self.n - 1)

    def covariance(self) -> float:
        """Give their covariance."""
        return (self.xy - self.x * self.y / self.n) / (self.n - 1)


@dataclass(frozen=True)
class Adjusted:
    """The challenger's mean less the live version's, adjusted.

    `narrowed` is the share of the variance that the covariate took away. `standard_error` is that of independent rows:
    it says how noisy a page is, and decides nothing.
    """

    difference: float
    standard_error: float
    slope: float
    narrowed: float


def adjusted_difference(arm: ArmSums, live: ArmSums) -> Adjusted | None:
    """Compare two arms on one page; None where either has fewer than two units.

    The slope is that of the units of both arms together. Without variance in the covariate it is 0, and the difference
    is that of the means.
    """
    if min(arm.n, live.n) < 2:
        return None
    both = arm.beside(live)
    # Constant but for rounding: the sums are of doubles.
    slope = both.covariance() / both.variance_x() if both.variance_x() > 1e-12 * both.xx / both.n else 0.0
    difference = (arm.y / arm.n - slope * arm.x / arm.n) - (live.y / live.n - slope * live.x / live.n)
    plain = arm.variance_y() / arm.n + live.variance_y() / live.n
    left = sum(
        (one.variance_y() + slope * slope * one.variance_x() - 2 * slope * one.covariance()) / one.n
        for one in (arm, live)
    )
    return Adjusted(difference, max(left, 0.0) ** 0.5, slope, 1 - left / plain if plain > 0 else 0.0)
