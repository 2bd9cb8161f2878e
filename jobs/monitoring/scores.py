"""Scores: how far each page of a series is from the last pages of its season, all pages in one pass.

A score is the population stability index over deciles of page and reference together, within the reference's range,
with a bin below, one above and one for missing values; of categories each with 1 % of the reference's rows, the rest,
new ones and missing. Less its expectation for two samples of one distribution, so that small pages compare with large
ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from jobs.monitoring.distances import DECILES_APART
from jobs.monitoring.series import OTHERS, Series, rows_before

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

#: Fewer pages are no reference.
MIN_PAGES = 4
#: Of fewer rows the score is noise.
MIN_ROWS = 100
_N_BINS = 10
_RARE = 0.01


@dataclass(frozen=True)
class Reference:
    """What each page of a series is compared with: `counts` as those of the series, `n_pages` 0 where there is none."""

    counts: Integers
    n_rows: Integers
    n_missing: Integers
    n_pages: Integers

    def of(self, places: Integers | slice) -> Reference:
        """Give that of some pages."""
        return Reference(self.counts[places], self.n_rows[places], self.n_missing[places], self.n_pages[places])

    @cached_property
    def rows_before(self) -> Integers:
        """As that of a series: several figures are taken from it."""
        return rows_before(self.counts)


@dataclass(frozen=True)
class Scores:
    """How far each page is from its reference: float64 `(n_pages,)` each, NaN where it is not defined."""

    n_reference: Integers
    psi: Floats
    js: Floats
    w1: Floats
    ks: Floats
    missing_delta: Floats
    new_share: Floats
    out_of_range_share: Floats
    score: Floats

    def of(self, places: Integers | slice) -> Scores:
        """Give those of some pages."""
        return Scores(**{name: values[places] for name, values in vars(self).items()})


def sum_in_order(terms: Floats) -> Floats:
    """Add up each row from left to right.

    `sum` adds pairwise, so that a term of 0 more, as of a category that only a later page has, moves the last bit.
    """
    import numpy as np

    if not terms.shape[1]:
        return np.zeros(len(terms))
    total: Floats = np.cumsum(terms, axis=1)[:, -1]
    return total


def last_pages(series: Series, classes: Integers, *n_pages: int, least: int = MIN_PAGES) -> list[Reference]:
    """Add up the last pages of the same season before each page.

    Parameters
    ----------
    series
        Of one segment, or of several with the same pages, one behind the other.
    classes
        The season of each page.
    n_pages
        So many pages at most; for each number there is a reference.
    least
        With fewer of them there is no reference; of a segment those count that have rows of it.
    """
    import numpy as np

    kind = series.counts.dtype
    every = np.column_stack((series.counts, series.n_rows.astype(kind), series.n_missing.astype(kind)))
    of_series = every.reshape(-1, len(classes), every.shape[1]) if len(classes) else every[None]
    totals = [np.zeros_like(of_series) for _ in n_pages]
    found = [np.zeros(of_series.shape[:2], np.int64) for _ in n_pages]
    is_counted = (of_series[:, :, -2] > 0) | (series.segment is None)
    for season in np.unique(classes):
        places = np.flatnonzero(classes == season)
        ends = np.arange(len(places))
        cumulated = np.zeros((len(of_series), len(places) + 1, every.shape[1]), kind)
        np.cumsum(of_series[:, places], axis=1, dtype=kind, out=cumulated[:, 1:])
        n_counted = np.zeros((len(of_series), len(places) + 1), np.int64)
        np.cumsum(is_counted[:, places], axis=1, out=n_counted[:, 1:])
        for place, most in enumerate(n_pages):
            starts = np.maximum(ends - most, 0)
            totals[place][:, places] = cumulated[:, ends] - cumulated[:, starts]
            found[place][:, places] = n_counted[:, ends] - n_counted[:, starts]
    return [_reference(rows, n, least) for rows, n in zip(totals, found, strict=True)]


def _reference(totals: Integers, n_pages: Integers, least: int) -> Reference:
    is_too_few = n_pages < least
    totals[is_too_few], n_pages[is_too_few] = 0, 0
    of_all = totals.reshape(-1, totals.shape[2])
    return Reference(of_all[:, :-2], of_all[:, -2], of_all[:, -1], n_pages.ravel())


@dataclass(frozen=True)
class _Binned:
    """Page and reference in the same bins; `new` and `outside` are rows of the page."""

    page: Integers
    reference: Integers
    new: Integers
    outside: Integers


def _binned(series: Series, reference: Reference) -> _Binned:
    import numpy as np

    bins, others, new, outside = (
        _bins_of_categories(series, reference) if series.places is None else _bins_of_numbers(series, reference)
    )
    bins = np.column_stack((bins, series.n_missing))
    return _Binned(bins, np.column_stack((others, reference.n_missing)), new, outside)


def psi_and_score(series: Series, reference: Reference, binned: _Binned | None = None) -> tuple[Floats, Floats]:
    """Give the PSI of each page against its reference, and the PSI less what is to be expected by chance."""
    import numpy as np

    there = _binned(series, reference) if binned is None else binned
    n, m = series.n_rows, reference.n_rows
    is_used = (there.page + there.reference) > 0
    n_bins = is_used.sum(axis=1)
    is_judged = (n >= MIN_ROWS) & (m > 0) & (n_bins > 1)
    half = 0.5 * n_bins
    with np.errstate(divide="ignore", invalid="ignore"):
        page = (there.page + 0.5) / (n + half)[:, None]
        past = (there.reference + 0.5) / (m + half)[:, None]
        psi = sum_in_order(np.where(is_used, (page - past) * np.log(page / past), 0.0))
        score = psi - (n_bins - 1) * (1 / n + 1 / m)
    return np.where(is_judged, psi, np.nan), np.where(is_judged, score, np.nan)


def score_series(series: Series, reference: Reference) -> Scores:
    """Compare each page of a series with its reference."""
    import numpy as np

    n, m = series.n_rows, reference.n_rows
    binned = _binned(series, reference)
    psi, score = psi_and_score(series, reference, binned)
    is_known = (n > 0) & (m > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        js = _js(binned.page / n[:, None], binned.reference / m[:, None])
        ks, w1 = _along_the_scale(series, reference)
        missing = series.n_missing / n - reference.n_missing / m
        new, outside = binned.new / n, binned.outside / n

    def known(values: Floats) -> Floats:
        return np.where(is_known, values, np.nan)

    return Scores(
        n_reference=m,
        psi=psi,
        js=known(js),
        w1=known(w1),
        ks=known(ks),
        missing_delta=known(missing),
        new_share=known(new),
        out_of_range_share=known(outside),
        score=score,
    )


def _bins_of_numbers(series: Series, reference: Reference) -> tuple[Integers, Integers, Integers, Integers]:
    """Put counts into deciles of both together, within the reference's range, with what is below and above it."""
    import numpy as np

    there = reference.counts
    n_pages, n_codes = there.shape
    if not n_codes:
        nothing = np.zeros((n_pages, 1), np.int64)
        return nothing, nothing, nothing[:, 0], nothing[:, 0]
    is_there, rows = there > 0, np.arange(n_pages)
    first = np.where(is_there.any(axis=1), is_there.argmax(axis=1), n_codes)
    end = np.where(is_there.any(axis=1), n_codes - is_there[:, ::-1].argmax(axis=1), n_codes)
    own, others = series.rows_before, reference.rows_before
    # A decile begins with the first code that has k tenths of the rows of the range before it: all pages are looked up
    # at once, each in a stretch of numbers of its own.
    both = own + others
    begun = both[rows, first]
    wanted = begun[:, None] - (-np.arange(1, _N_BINS) * (both[rows, end] - begun)[:, None] // _N_BINS)
    apart = rows[:, None] * (int(both[:, -1].max()) + 1)
    found = np.searchsorted((both + apart).ravel(), (wanted + apart).ravel()).reshape(n_pages, -1)
    starts = np.clip(found - rows[:, None] * (n_codes + 1), first[:, None], end[:, None])
    edges = np.column_stack((first, starts, end))
    below, above = own[rows, first], own[:, -1] - own[rows, end]
    deciles, of_reference = (np.diff(counts[rows[:, None], edges], axis=1) for counts in (own, others))
    bins = np.column_stack((deciles, below, above))
    return bins, np.column_stack((of_reference, np.zeros((n_pages, 2), np.int64))), np.zeros_like(below), below + above


def _bins_of_categories(series: Series, reference: Reference) -> tuple[Integers, Integers, Integers, Integers]:
    """Put counts into frequent categories, each for itself, the rest, and new ones."""
    import numpy as np

    here, there = series.counts, reference.counts
    is_other = series.codes == OTHERS
    is_frequent = (there >= _RARE * reference.n_rows[:, None]) & (there > 0) & ~is_other
    # Where the reference has values that are not told apart, a value may be one of those.
    is_new = (there == 0) & ~((there * is_other).sum(axis=1) > 0)[:, None] & ~is_other
    frequent = is_frequent.any(axis=0)
    own, others = (np.where(is_frequent, counts, 0) for counts in (here, there))
    rest = (np.where(is_frequent | is_new, 0, here).sum(axis=1), np.where(is_frequent, 0, there).sum(axis=1))
    new = np.where(is_new, here, 0).sum(axis=1)
    bins = np.column_stack((own[:, frequent], rest[0], new))
    return bins, np.column_stack((others[:, frequent], rest[1], np.zeros_like(new))), new, np.zeros_like(new)


def _js(page: Floats, past: Floats) -> Floats:
    import numpy as np

    middle = (page + past) / 2
    parts = [sum_in_order(np.where(one > 0, one * np.log(one / middle), 0.0)) for one in (page, past)]
    js: Floats = np.sqrt(np.maximum((parts[0] + parts[1]) / 2, 0.0))
    return js


@dataclass(frozen=True)
class _Cells:
    """The bins of each page that have rows, one page after the other: arrays `(n_cells,)`, `begins` `(n_pages,)`."""

    pages: Integers
    codes: Integers
    places: Floats
    begins: Integers

    @classmethod
    def of(cls, counts: Integers, places: Floats) -> _Cells:
        import numpy as np

        pages, codes = np.nonzero(counts)
        return cls(pages, codes, places[codes], np.searchsorted(pages, np.arange(len(counts))))

    def quantile(self, cumulated: Floats, share: float) -> Floats:
        """Give, of each page, the place up to which this share of its rows lies; NaN where there is none."""
        import numpy as np

        with np.errstate(invalid="ignore"):
            is_before = ~(cumulated >= share - 1e-12)
        n_pages = len(self.begins)
        found = self.begins + np.bincount(self.pages[is_before], minlength=n_pages)
        is_known = found < np.append(self.begins[1:], len(self.pages))
        places: Floats = np.where(is_known, np.append(self.places, np.nan)[np.where(is_known, found, -1)], np.nan)
        return places


def _along_the_scale(series: Series, reference: Reference) -> tuple[Floats, Floats]:
    """Give the Kolmogorov-Smirnov distance, and the Wasserstein distance in the reference's standard deviation."""
    import numpy as np

    here, nothing = series.counts, np.full(len(series.counts), np.nan)
    if series.places is None or not here.shape[1]:
        return nothing, nothing
    # Bins without rows on both sides, which the series has for other pages, are passed over: they take no part.
    cells = _Cells.of(here + reference.counts, series.places)
    if not len(cells.pages):
        return nothing, nothing
    shares = []
    for before in (series.rows_before, reference.rows_before):
        shares.append(before[cells.pages, cells.codes + 1] / before[cells.pages, -1])
    apart = np.abs(shares[0] - shares[1])
    upper = np.append(cells.places[1:], np.inf)
    upper[np.append(cells.pages[1:] != cells.pages[:-1], True)] = np.inf
    with np.errstate(invalid="ignore"):
        steps = np.where(np.isfinite(upper), apart * (upper - cells.places), 0.0)
        low, high = (cells.quantile(shares[1], share) for share in (0.1, 0.9))
        moved = np.bincount(cells.pages, steps, len(here))
        is_infinite = np.bincount(cells.pages, ~np.isfinite(cells.places), len(here)) > 0
        scaled = np.where(~is_infinite & (high > low), moved / (high - low) * DECILES_APART, np.nan)
    has_cells = np.diff(np.append(cells.begins, len(cells.pages))) > 0
    nothing[has_cells] = np.maximum.reduceat(apart, cells.begins[has_cells])
    return nothing, scaled


def mean_of_values(series: Series) -> Floats:
    """Give the mean of the different values of each page, by the middles of their bins; NaN of categories."""
    import numpy as np

    if series.places is None:
        return np.full(len(series.pages), np.nan)
    where = np.where(np.isfinite(series.places), series.places, 0.0)
    is_there = series.counts > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = sum_in_order(np.where(is_there, where, 0.0)) / is_there.sum(axis=1)
    return mean


def log_spread(series: Series) -> Floats:
    """Give the logarithm of the inter-decile range of each page; NaN where that is 0, and of categories."""
    import numpy as np

    if series.places is None or not series.counts.shape[1]:
        return np.full(len(series.pages), np.nan)
    cells, before = _Cells.of(series.counts, series.places), series.rows_before
    with np.errstate(invalid="ignore", divide="ignore"):
        cumulated = before[cells.pages, cells.codes + 1] / before[cells.pages, -1]
        low, high = (cells.quantile(cumulated, share) for share in (0.1, 0.9))
        spread = high - low
        return np.where((spread > 0) & np.isfinite(spread), np.log(spread), np.nan)


def distance_from_before(
    values: Floats, classes: Integers, n_pages: int = 8, least: int = MIN_PAGES, *, of_known: bool = False
) -> Floats:
    """Give how far each page's value is from the median of those of the last pages of its season.

    A mean would keep what was wrong with one page for as long as that page is among the last, and flag the ones behind
    it. What is within its rounding is 0. There have to be `least` pages before, or with `of_known` values. The values
    may be of several series with the same pages, one behind the other.
    """
    import numpy as np

    if not len(classes):
        return np.full(len(values), np.nan)
    of_series = values.reshape(-1, len(classes))
    places, n_earlier = _last_of_season(np.ascontiguousarray(classes, np.int64).tobytes(), n_pages)
    before = np.column_stack((of_series, np.full(len(of_series), np.nan)))[:, places]
    is_known = np.isfinite(before)
    n_known = is_known.sum(axis=2)
    # The unknown ones come last.
    ordered = np.sort(np.where(is_known, before, np.inf), axis=2)
    low, high = np.maximum(n_known - 1, 0) // 2, np.minimum(n_known // 2, n_pages - 1)
    both = [np.take_along_axis(ordered, place[:, :, None], axis=2)[:, :, 0] for place in (low, high)]
    median = np.where(n_known > 0, (both[0] + both[1]) / 2, np.nan)
    with np.errstate(invalid="ignore"):
        distance = np.abs(of_series - median)
        distance[distance <= 1e-9 * np.abs(median)] = 0.0
    is_enough = n_known >= least if of_known else (n_known > 0) & (n_earlier >= least)
    return np.where(is_enough, distance, np.nan).ravel()


@lru_cache(maxsize=16)
def _last_of_season(classes: bytes, n_pages: int) -> tuple[Integers, Integers]:
    """Give the places of the last pages of each page's season before it, and how many earlier ones there are.

    Where there are fewer of them, a place is that behind the last page. `classes` are int64: `(n_all,)`; the places are
    `(n_all, n_pages)`, the oldest first.
    """
    import numpy as np

    seasons = np.frombuffer(classes, np.int64)
    last, n_earlier = np.full((len(seasons), n_pages), len(seasons)), np.zeros(len(seasons), np.int64)
    for season in np.unique(seasons):
        own = np.flatnonzero(seasons == season)
        padded = np.concatenate((np.full(n_pages, len(seasons)), own))
        last[own] = np.lib.stride_tricks.sliding_window_view(padded, n_pages)[: len(own)]
        n_earlier[own] = np.arange(len(own))
    return last, n_earlier


def repeats(values: Sequence[str | None]) -> Integers:
    """Give how many pages in turn have had the same set of values as the page before, up to each page."""
    import numpy as np

    runs = np.zeros(len(values), np.int64)
    for place in range(1, len(values)):
        if values[place] is not None and values[place] == values[place - 1]:
            runs[place] = runs[place - 1] + 1
    return runs
