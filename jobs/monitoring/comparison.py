"""A column's distribution on a page beside its reference: both in the same bins, missing and new values among them.

Numbers stand in the deciles of page and reference together, of what lies within the reference's range; below and above
it, and missing, are bins of their own. Categories stand each for itself if it has 1 % of the reference's rows, and the
rest, new ones and missing are a bin each. So nothing that a page brings is left out of a distance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobs.monitoring import distances
from warehouse.pages.profiled_pages import Profile
from warehouse.pages.profiles import edges_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_N_BINS = 10
#: A category with less than this share of the reference's rows is counted with the rest.
_RARE = 0.01


@dataclass(frozen=True)
class Bin:
    """One bin: its name, and the rows of the page and of the reference in it."""

    name: str
    n_page: int
    n_reference: int


@dataclass(frozen=True)
class Comparison:
    """One column of a page beside its reference.

    A distance is None where it is not defined: without rows or a reference, where all rows of both are in one bin, and
    `ks` and `wasserstein` of categories. `by_chance` is the PSI to be expected of two samples of one distribution.
    `wasserstein` is in the column's unit, `wasserstein_scaled` in what would be the reference's standard deviation if
    it were normal (its inter-decile range / 2.563).
    """

    column: str
    scale: str
    n_rows: int
    missing: float | None
    missing_reference: float | None
    bins: list[Bin]
    psi: float | None = None
    by_chance: float | None = None
    js: float | None = None
    hellinger: float | None = None
    ks: float | None = None
    wasserstein: float | None = None
    wasserstein_scaled: float | None = None


def compare(page: Profile, reference: Sequence[Profile]) -> Comparison:
    """Compare a column of a page with earlier profiles of the same column, added up.

    Profiles under another centre, or of another scale, are of another series; they are left out.
    """
    alike = [one for one in reference if one.scale == page.scale and one.centre in (page.centre, None)]
    n_reference = sum(one.n_rows for one in alike)
    found: dict[str, Any] = {}
    if page.scale == "category":
        bins = _bins_of_categories(page, alike)
    else:
        bins, found = _compare_numbers(page, alike)
    missing = [Bin("missing", page.n_missing, sum(one.n_missing for one in alike))]
    bins = [one for one in [*bins, *missing] if one.n_page or one.n_reference]
    if page.n_rows and n_reference and len(bins) > 1:
        found |= _distances_of(bins, page.n_rows, n_reference)
    return Comparison(
        column=page.column_name,
        scale=page.scale,
        n_rows=page.n_rows,
        missing=page.n_missing / page.n_rows if page.n_rows else None,
        missing_reference=missing[0].n_reference / n_reference if n_reference else None,
        bins=bins,
        **found,
    )


def _distances_of(bins: Sequence[Bin], n_page: int, n_reference: int) -> dict[str, float]:
    import numpy as np

    page, reference = np.array([one.n_page for one in bins]), np.array([one.n_reference for one in bins])
    smoothed = distances.smoothed_shares(page), distances.smoothed_shares(reference)
    shares = page / n_page, reference / n_reference
    return {
        "psi": distances.population_stability_index(*smoothed),
        "by_chance": (len(bins) - 1) * (1 / n_page + 1 / n_reference),
        "js": distances.jensen_shannon_distance(*shares),
        "hellinger": distances.hellinger_distance(*shares),
    }


def _bins_of_categories(page: Profile, reference: Sequence[Profile]) -> list[Bin]:
    here = Counter(dict(zip(page.top_values, page.counts, strict=True)))
    there: Counter[str] = Counter()
    for one in reference:
        there.update(dict(zip(one.top_values, one.counts, strict=True)))
    n_reference = sum(one.n_rows for one in reference)
    others = sum(one.n_other for one in reference)
    frequent = [
        name for name, count in sorted(there.items(), key=lambda x: (-x[1], x[0])) if count >= _RARE * n_reference
    ]
    named = {*frequent}
    # Where the reference has values that are not told apart, a value may be one of those.
    is_rare = {name: name in there or others > 0 for name in here if name not in named}
    rare = sum(here[name] for name, known in is_rare.items() if known) + page.n_other
    new = sum(here[name] for name, known in is_rare.items() if not known)
    rest = sum(count for name, count in there.items() if name not in named) + others
    return [*(Bin(name, here[name], there[name]) for name in frequent), Bin("(rest)", rare, rest), Bin("(new)", new, 0)]


def _compare_numbers(page: Profile, reference: Sequence[Profile]) -> tuple[list[Bin], dict[str, float]]:
    import numpy as np

    bins, counts = np.array(page.bins, np.int64), np.array(page.counts, np.int64)
    others, totals = _totals(reference)
    united = np.union1d(bins, others)
    here, there = _placed(united, bins, counts), _placed(united, others, totals)
    if page.centre is None or not there.sum():
        return [Bin("(new)", int(here.sum()), 0)], {}
    within = (united >= others[0]) & (united <= others[-1])
    deciles = _deciles((here + there) * within)
    low, high = edges_of(united, page.centre)
    found = [Bin("(below)", int(here[united < others[0]].sum()), 0)]
    for decile in range(_N_BINS):
        chosen = np.flatnonzero(within & (deciles == decile))
        if len(chosen):
            name = f"{_named(low[chosen[0]], page.scale)} to {_named(high[chosen[-1]], page.scale)}"
            found.append(Bin(name, int(here[chosen].sum()), int(there[chosen].sum())))
    found.append(Bin("(above)", int(here[united > others[-1]].sum()), 0))
    return found, _along_the_scale((low + high) / 2, here, there) if here.sum() else {}


def _totals(reference: Sequence[Profile]) -> tuple[Integers, Integers]:
    """Give the bins of some profiles, and the rows of all of them in each."""
    import numpy as np

    bins = np.concatenate([np.empty(0, np.int64), *(np.array(one.bins, np.int64) for one in reference)])
    counts = np.concatenate([np.empty(0, np.int64), *(np.array(one.counts, np.int64) for one in reference)])
    others, places = np.unique(bins, return_inverse=True)
    totals = np.zeros(len(others), np.int64)
    np.add.at(totals, places, counts)
    return others, totals


def _placed(united: Integers, bins: Integers, counts: Integers) -> Integers:
    import numpy as np

    placed = np.zeros(len(united), np.int64)
    placed[np.searchsorted(united, bins)] = counts
    return placed


def _deciles(counts: Integers) -> Integers:
    """Tell into which tenth of all rows each bin falls, by the rows before it."""
    import numpy as np

    before = np.cumsum(counts) - counts
    deciles: Integers = np.minimum(before * _N_BINS // max(int(counts.sum()), 1), _N_BINS - 1)
    return deciles


def _along_the_scale(places: Floats, here: Integers, there: Integers) -> dict[str, float]:
    import numpy as np

    shares, reference = here / here.sum(), there / there.sum()
    found = {"ks": distances.kolmogorov_smirnov(shares, reference)}
    if not np.isfinite(places).all():
        return found
    found["wasserstein"] = distances.wasserstein_distance(places, shares, reference)
    cumulated = np.cumsum(reference)
    tenth, last = (places[np.searchsorted(cumulated, share)] for share in (0.1, 0.9))
    if last > tenth:
        found["wasserstein_scaled"] = found["wasserstein"] / float(last - tenth) * distances.DECILES_APART
    return found


def _named(value: float, scale: str) -> str:
    if scale == "number" or abs(value) > 1e11:
        return f"{value:.4g}"
    unit = timedelta(days=1) if scale == "days" else timedelta(seconds=1)
    try:
        instant = datetime.fromtimestamp(0, UTC) + value * unit
    except OverflowError:
        return f"{value:.4g}"
    return f"{instant:%Y-%m-%d}" if scale == "days" else f"{instant:%Y-%m-%d %H:%M}"
