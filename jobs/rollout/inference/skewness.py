"""Evidence where pages are skewed: the sum of the pages as it is to count.

The e-value of `e_process` is bounded where x is as likely to lie so far above its mean as below. Where most pages are a
little good and a few very bad, a series looks better than it is until the bad ones come. S is then lessened: with t the
mean of x in its standard errors and g the skewness of the pages so far,

    t' = ((1 + a t)^3 - 1) / (3 a) + a / 2,   a = share g / (3 sqrt(n)),

the transformation that takes skewness out of a studentised mean [Hall 1992, Journal of the Royal Statistical Society B
54, 221-228]. Beyond t = 3.5 it takes away no more than there: it is an expansion for means near what the bound asks,
and would hide what is plain. t' rises with t, so that evidence still rises with the mean; skewness the other way adds
nothing.

How much of it is taken out is a balance that was simulated (docs/rollout_statistics.md): few pages show less skewness
than there is, and what is taken out costs power where pages are skewed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Of evidence that takes a challenger out. By symmetry alone 9 % of equal ones were, where few pages were very good.
OF_WORSE = 1.0
#: Of evidence that lets it go on: more would leave half a deviation to less than 80 % of skewed worlds.
OF_GOOD = 0.1
_FARTHEST = 3.5


def skewness(x: Floats) -> Floats:
    """Give the skewness of each series `(n_series, n_pages)` up to each page, 0 where it does not vary."""
    y = x - x[:, :1]
    n = np.arange(1, x.shape[1] + 1)
    first, second, third = ((y**power).cumsum(axis=1) / n for power in (1, 2, 3))
    variance = second - first**2
    moment = third - 3 * first * second + 2 * first**3
    found: Floats = np.zeros_like(y)
    np.divide(moment, np.maximum(variance, 0.0) ** 1.5, out=found, where=variance > 1e-12 * second)
    return found


def lessened(s: Floats, v: Floats, n: Floats | float, skew: Floats | float, share: float) -> Floats:
    """Give S as it is to count: less where x is skewed to the left, as it is elsewhere.

    Parameters
    ----------
    s, v, n, skew
        Of x: the sum, the sum of squares, the number and the skewness; they broadcast.
    share
        How much of the skewness is taken out.
    """
    spread = v - s * s / np.maximum(n, 1)
    counts = (s > 0) & (skew < 0) & (spread > 1e-12 * v)
    t = s / np.sqrt(np.where(counts, spread, 1.0))
    a = np.where(counts, share * skew / (3 * np.sqrt(np.maximum(n, 1))), -1.0)
    near = np.minimum(t, _FARTHEST)
    less = ((1 + a * near) ** 3 - 1) / (3 * a) + a / 2 + (t - near)
    found: Floats = np.where(counts, less * np.sqrt(v / (1 + less * less / np.maximum(n, 1))), s)
    return found
