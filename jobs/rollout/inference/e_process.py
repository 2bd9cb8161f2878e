"""The e-process of a rollout: evidence that a challenger is worse, or not worse, that may be looked at after each page.

A page's figure is d, how much worse the challenger did on it than the live version (positive is worse). With
x = d - margin (or margin - d), S = sum of x and V = sum of x^2, the one-sided self-normalised e-value

    e = 2 Phi(S / sqrt(V + r)) sqrt(r / (V + r)) exp(S^2 / (2 (V + r)))

speaks against "the mean of x is at most 0" [de la Pena 1999; Howard et al. 2021]. It is bounded for symmetric x that
are uncorrelated given the past. Where x is skewed against it S is lessened (`skewness`); where neighbouring pages are
alike, x is the mean of 3 or of 7 pages. r is 5 times the variance of x. All of these come from the pages up to the
look; the whole recipe is simulated in `tests/rollout/test_worlds_of_looks.py`, with figures in docs/rollouts.md.

Every function is vectorised over series `(n_series, n_pages)`, in the order of the grid: a rollout has one, a
simulation a thousand. What stands at a page depends on the pages up to it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.monitoring.performance.evidence import R_OF_VARIANCE, log_e
from jobs.rollout.inference.skewness import OF_GOOD, OF_WORSE, lessened, skewness

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Fewer pages, or blocks of pages, decide nothing: V grows with S, so hardly any effect could reach the bound anyway.
LEAST = 9
#: Pages are taken in blocks of so many, from such an autocorrelation on. A third of its standard error is added to the
#: estimate: by the estimate alone, 5 % of equal arms were aborted where neighbouring pages correlate by .5.
BLOCKS = ((1, -np.inf), (3, 0.15), (7, 0.6))
_UPPER = 1 / 3
#: The variance is taken for at least this share of the mean square: differences that are all the same are evidence too.
_LEAST_VARIANCE = 1 / 20


@dataclass(frozen=True)
class Rules:
    """What a rollout decides by; it stays while the rollout goes on.

    Attributes
    ----------
    margin
        A challenger may be worse by so much.
    alpha
        The chance of aborting one that is no worse than that, and that of promoting one that is: of all challengers.
    n_challengers, n_guardrails
        Among which alpha is divided: as many as the rollout began with.
    at_most
        After so many matured pages an undecided rollout ends, and the live version stays.
    """

    margin: float = 0.0
    alpha: float = 0.05
    n_challengers: int = 1
    n_guardrails: int = 0
    at_most: int = 60

    @property
    def bound(self) -> float:
        """The e-value at which a challenger is aborted, or may advance."""
        return self.n_challengers / self.alpha

    @property
    def guardrail_bound(self) -> float:
        """The e-value at which a guardrail aborts a challenger."""
        return self.bound * max(1, self.n_guardrails)


@dataclass(frozen=True)
class Paths:
    """Evidence after each page: arrays `(n_series, n_pages)`.

    `log_worse` speaks for "worse than the margin", `log_good` for "not as bad as the margin". `s`, `v` and `skewness`
    are of d - margin over `n_used` whole blocks of `block` pages.
    """

    log_worse: Floats
    log_good: Floats
    s: Floats
    v: Floats
    r: Floats
    mean: Floats
    n_used: Integers
    block: Integers
    autocorrelation: Floats
    skewness: Floats


def paths(differences: Floats, margin: float) -> Paths:
    """Give the evidence after each page of each series `(n_series, n_pages)`, NaN-free."""
    d = np.asarray(differences, np.float64)
    raw = autocorrelation(d)
    n = np.arange(1, d.shape[1] + 1)
    upper = raw + (1 + _UPPER * np.sqrt(n)) / n
    block = np.select([upper > least for _, least in reversed(BLOCKS)], [size for size, _ in reversed(BLOCKS)])
    by_size = [_of_blocks(d, margin, size, raw) for size, _ in BLOCKS]
    chosen = [block == size for size, _ in BLOCKS]
    s, v, r, mean, skew, used = (
        np.asarray(np.select(chosen, [one[place] for one in by_size]), np.float64) for place in range(6)
    )
    worse, good = (
        np.where(used >= LEAST, log_e(lessened(sign * s, v, used, sign * skew, share), v, r), -np.inf)
        for sign, share in ((1.0, OF_WORSE), (-1.0, OF_GOOD))
    )
    return Paths(worse, good, s, v, r, mean, used.astype(np.int64), block.astype(np.int64), raw, skew)


def autocorrelation(d: Floats) -> Floats:
    """Give the lag-1 autocorrelation of each series up to each page, 0 where it does not vary."""
    x = d - d[:, :1]
    n = np.arange(1, d.shape[1] + 1)
    total = x.cumsum(axis=1)
    mean = total / n
    products = np.zeros_like(x)
    products[:, 1:] = (x[:, 1:] * x[:, :-1]).cumsum(axis=1)
    common = products - mean * (2 * total - x[:, :1] - x) + (n - 1) * mean**2
    square = (x * x).cumsum(axis=1) - n * mean**2
    found: Floats = np.divide(common, square, out=np.zeros_like(x), where=square > 1e-12 * (x * x).cumsum(axis=1))
    return found


def _of_blocks(d: Floats, margin: float, size: int, raw: Floats) -> tuple[Floats, ...]:
    """Give S, V, r, mean and skewness of d, and the number of blocks, after each page, with blocks of `size` pages."""
    n_series, n_pages = d.shape
    n_blocks = n_pages // size
    means = d[:, : n_blocks * size].reshape(n_series, n_blocks, size).mean(axis=2)
    x = means - margin
    s, v, total = x.cumsum(axis=1), (x * x).cumsum(axis=1), means.cumsum(axis=1)
    count = np.arange(1, n_blocks + 1)
    ends = count * size - 1
    variance = _variance(d)[:, ends] * _of_mean(raw[:, ends], size)
    r = np.maximum(R_OF_VARIANCE * np.maximum(variance, _LEAST_VARIANCE * v / count), 1e-300)
    filled = np.arange(1, n_pages + 1) // size
    each = (s, v, r, total / count, skewness(means))
    s, v, r, mean, skew = (np.pad(one, ((0, 0), (1, 0)))[:, filled] for one in each)
    return s, v, np.maximum(r, 1e-300), mean, skew, np.broadcast_to(filled, d.shape)


def _variance(d: Floats) -> Floats:
    """Give the variance of the pages up to each page, 0 at the first."""
    x = d - d[:, :1]
    n = np.arange(1, d.shape[1] + 1)
    square = (x * x).cumsum(axis=1) - x.cumsum(axis=1) ** 2 / n
    found: Floats = np.maximum(square, 0.0) / np.maximum(n - 1, 1)
    return found


def _of_mean(raw: Floats, size: int) -> Floats:
    """Give the variance of a mean of `size` neighbours as a share of that of one page, autocorrelation falling off."""
    rho = np.clip(raw, 0.0, 0.95)
    weights = np.arange(size - 1, 0, -1) / size
    lags = np.arange(1, size)
    found: Floats = (1 + 2 * (weights * rho[..., None] ** lags).sum(axis=-1)) / size
    return found


@dataclass(frozen=True)
class Evidence:
    """What the matured pages say at one look.

    Attributes
    ----------
    n_pages, n_used
        Matured pages, and how many whole blocks of `block` pages they make.
    block, autocorrelation
        Pages are taken in blocks of so many, since neighbouring pages have so much in common.
    r, s, v, skewness
        Of d - margin over the blocks.
    mean, low, high
        Of d, with its confidence sequence: each side is wrong, at any look, with the level's chance at most. None
        where the pages are too few to bound it.
    e_worse, e_good
        Evidence for "worse than the margin", and for "not as bad as the margin".
    bound
        What they have to reach.
    """

    n_pages: int
    n_used: int
    block: int
    autocorrelation: float
    r: float
    s: float
    v: float
    skewness: float
    mean: float | None
    low: float | None
    high: float | None
    e_worse: float
    e_good: float
    bound: float

    @property
    def worse(self) -> bool:
        """Whether the challenger is worse than the margin."""
        return self.e_worse >= self.bound

    @property
    def good(self) -> bool:
        """Whether it is not as bad as the margin."""
        return self.e_good >= self.bound


def evidence_of(differences: Sequence[float], margin: float, bound: float) -> Evidence:
    """Give what the matured pages of one challenger say, at the newest of them.

    Parameters
    ----------
    differences
        d of each matured page in the order of the grid; positive is worse.
    """
    n_pages = len(differences)
    if not n_pages:
        return Evidence(0, 0, 1, 0.0, 0.0, 0.0, 0.0, 0.0, None, None, None, 1.0, 1.0, bound)
    found = paths(np.asarray([differences], np.float64), margin)
    used = int(found.n_used[0, -1])
    s, v, r, mean, skew = (float(each[0, -1]) for each in (found.s, found.v, found.r, found.mean, found.skewness))
    low = high = None
    if used >= LEAST:
        spread = max(v - s * s / used, 0.0)
        below = _half_width(used, spread, r, bound, skew, OF_WORSE)
        above = _half_width(used, spread, r, bound, -skew, OF_GOOD)
        low, high = None if below is None else mean - below, None if above is None else mean + above
    e_worse, e_good = (float(np.exp(np.clip(each[0, -1], -700, 700))) for each in (found.log_worse, found.log_good))
    if used < LEAST:
        e_worse = e_good = 1.0
    shown = float(found.autocorrelation[0, -1])
    return Evidence(
        n_pages,
        used,
        int(found.block[0, -1]),
        shown,
        r,
        s,
        v,
        skew,
        mean if used else None,
        low,
        high,
        e_worse,
        e_good,
        bound,
    )


def _half_width(n: int, spread: float, r: float, bound: float, skew: float, share: float) -> float | None:
    """Give how far from the mean a value must lie for the e-value against it to reach the bound, None if none does.

    With x = d - m and q = (mean - m)^2, V is the spread about the mean plus n q. The e-value rises with q at first, and
    falls where V outweighs everything: the least q is looked for among many, and then between two of them.
    """

    def reaches(q: Floats) -> npt.NDArray[np.bool_]:
        s, v = n * np.sqrt(q), spread + n * q
        found: npt.NDArray[np.bool_] = log_e(lessened(s, v, n, skew, share), v, r) >= np.log(bound)
        return found

    tried = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 500) * (spread + r)])
    for _ in range(6):
        reached = reaches(tried)
        if not reached.any():
            return None
        place = max(1, int(reached.argmax()))
        tried = np.linspace(tried[place - 1], tried[place], 60)
    return float(np.sqrt(tried[-1]))
