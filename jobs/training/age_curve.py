"""What age costs: how the loss grows with the time since a version's cut-off, from versions judged on the same pages.

Pages differ more than versions do, so versions are compared page by page: the loss of a version on a page is the
page's own, plus a curve of the version's age that is 0 at age 0 and straight between its knots. Intervals come of
drawing blocks of pages anew (Kuensch, Annals of Statistics 1989), since neighbouring pages share a season and its
faults. What luck a single training had is not in them. Nothing here reads the lake.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Ages in days at which the curve may bend; where there are few versions, the first of them.
BENDS = (30.0, 90.0, 7.0, 180.0, 365.0)
#: So many pages have to be judged by versions that are older than a bend.
_FEWEST = 14
#: So many pages in turn are drawn together, so often.
BLOCK, DRAWS = 7, 500
_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with what holds it in 95 of 100 draws of the pages."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class AgeCurve:
    """The extra loss by age, compared with age 0.

    Attributes
    ----------
    knots
        Ages in days, ascending from 0, (n_knots,); the last is the oldest that was seen.
    extra
        The extra loss at each, (n_knots,).
    draws
        The same for each draw of the pages, (n_draws, n_knots).
    """

    knots: Floats
    extra: Floats
    draws: Floats

    def at(self, place: int) -> Estimate:
        """Give the extra loss at a knot."""
        return estimate(float(self.extra[place]), self.draws[:, place])

    def mean_to(self, age: float) -> tuple[float, Floats]:
        """Give the mean extra loss over the ages from 0 to `age`, and that of each draw.

        Beyond the oldest age that was seen the curve is taken to stay as it is there.
        """
        weights = _weights_of_mean(self.knots, age)
        return float(self.extra @ weights), np.asarray(self.draws @ weights, np.float64)

    def saved(self, every: float, instead_of: float) -> Estimate:
        """Give how much less loss there is a row if trainings come `every` so many days, `instead_of` so many."""
        (value, draws), (before, before_draws) = self.mean_to(every), self.mean_to(instead_of)
        return estimate(before - value, before_draws - draws)


def age_curve(ages: Floats, losses: Floats, seed: int = 0) -> AgeCurve | None:
    """Fit the curve; None where no two versions were judged on the same pages at different ages.

    Parameters
    ----------
    ages
        Of each version on each page in days, (n_versions, n_pages).
    losses
        The mean loss of each version on each page, NaN where it was not judged, (n_versions, n_pages).
    seed
        Of the draws.
    """
    known = np.isfinite(losses)
    shared = known.sum(axis=0) >= 2
    if not shared.any():
        return None
    ages, losses, known = ages[:, shared], losses[:, shared], known[:, shared]
    if ages[known].max() <= 0:
        return None
    places = _knots(ages[known], len(ages))
    left, right = _normal_equations(_hats(ages, places), losses, known)
    extra = _solved(left.sum(axis=0), right.sum(axis=0))
    counts = _draws(losses.shape[1], seed)
    draws = [_solved(np.tensordot(row, left, 1), row @ right) for row in counts]
    return AgeCurve(places, np.append(0.0, extra), np.column_stack([np.zeros(len(draws)), np.array(draws)]))


def _knots(ages: Floats, n_versions: int) -> Floats:
    """Choose where the curve may bend: as many bends as versions tell apart, each with enough pages behind it.

    n versions of one page differ in n - 1 ways, of which the oldest age takes one.
    """
    oldest = float(ages.max())
    told = [bend for bend in BENDS if bend < oldest and (ages > bend).sum() >= _FEWEST][: max(n_versions - 2, 0)]
    return np.array([0.0, *sorted(told), oldest], np.float64)


def _hats(ages: Floats, knots: Floats) -> Floats:
    """Give for each age how much of the value at each knot but the first it has, (n_versions, n_pages, n_knots - 1)."""
    basis = [np.interp(ages, knots, np.eye(len(knots))[place]) for place in range(1, len(knots))]
    return np.stack(basis, axis=-1)


def _normal_equations(hats: Floats, losses: Floats, known: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Give each page's part of the normal equations, its own level taken out: (n_pages, k, k) and (n_pages, k)."""
    weight = known.astype(np.float64)
    count = weight.sum(axis=0)
    filled = np.where(known, losses, 0.0)
    hats = hats * weight[..., None]
    hats = (hats - hats.sum(axis=0) / count[:, None]) * weight[..., None]
    filled = (filled - filled.sum(axis=0) / count) * weight
    return np.einsum("vpi,vpj->pij", hats, hats), np.einsum("vpi,vp->pi", hats, filled)


def _solved(left: Floats, right: Floats) -> Floats:
    # Of what no page tells the least is taken.
    return np.asarray(np.linalg.lstsq(left, right, rcond=1e-10)[0], np.float64)


def _draws(n_pages: int, seed: int) -> Floats:
    """Count how often each page is in each draw of blocks of pages, (n_draws, n_pages)."""
    random = np.random.default_rng(seed)
    block = min(BLOCK, n_pages)
    starts = random.integers(0, n_pages - block + 1, size=(DRAWS, -(-n_pages // block)))
    drawn = (starts[..., None] + np.arange(block)).reshape(DRAWS, -1)
    return np.stack([np.bincount(row, minlength=n_pages) for row in drawn]).astype(np.float64)


def _weights_of_mean(knots: Floats, age: float) -> Floats:
    """Give what each knot's value weighs in the mean over the ages from 0 to `age`."""
    if age <= 0:
        return np.asarray(np.eye(len(knots))[0], np.float64)
    points = np.unique(np.concatenate([knots[knots < age], [age]]))
    basis = np.stack([np.interp(points, knots, row) for row in np.eye(len(knots))])
    return np.asarray(np.trapezoid(basis, points, axis=1) / age, np.float64)


def paired(differences: Floats, seed: int = 0) -> Estimate | None:
    """Estimate a mean of differences, first of each page, then over pages; None where there is none.

    Parameters
    ----------
    differences
        Of each version on each page, NaN where it was not judged, (n_versions, n_pages).
    """
    known = np.isfinite(differences)
    seen = known.any(axis=0)
    if not seen.any():
        return None
    of_pages = np.nansum(differences[:, seen], axis=0) / known[:, seen].sum(axis=0)
    counts = _draws(len(of_pages), seed)
    return estimate(float(of_pages.mean()), np.asarray(counts @ of_pages / counts.sum(axis=1), np.float64))


def mean_of_draws(of_pages: Floats, weights: Floats, seed: int = 0) -> tuple[float, Floats]:
    """Give the weighted mean of figures of pages, and that of each draw of blocks of pages.

    Parameters
    ----------
    of_pages, weights
        In the order of the pages, (n_pages,).
    """
    counts = _draws(len(of_pages), seed) * weights
    value = float(of_pages @ weights / weights.sum())
    return value, np.asarray(counts @ of_pages / counts.sum(axis=1), np.float64)


def estimate(value: float, draws: Floats) -> Estimate:
    """Give a figure with the middle 95 of 100 of its draws."""
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(value, float(low), float(high))
