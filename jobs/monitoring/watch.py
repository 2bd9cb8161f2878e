"""Watching a product: what its profiles say of each page, from the first page to the last.

All of it is a function of profiles, seasons and weights alone, so that the pages of last year can be judged again
under other settings, and a backfilled year gets the answers that it would have had day by day. What is written of it,
and what becomes of alarms, is the matter of `jobs.monitoring.judging.judgements`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from jobs.monitoring import acute, slow
from jobs.monitoring.scores import (
    Reference,
    Scores,
    distance_from_before,
    last_pages,
    log_spread,
    mean_of_values,
    psi_and_score,
    repeats,
    score_series,
)
from jobs.monitoring.segments import SEGMENT, Segments, alike, halved, judged_segments, wholes_of
from jobs.monitoring.series import Series, stacked
from jobs.monitoring.watched import Past, Watch, Watched

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

#: The pages of the season that acute findings are judged by, and slow drift (as many where there is no season).
ACUTE_PAGES, SLOW_PAGES = 8, 4
#: A share of missing values may differ by so many of its standard errors by chance, and a score by so many of its own.
_STANDARD_ERRORS, _DEVIATIONS = 4.0, 6.0


def watch(
    series: Sequence[Series],
    n_pages: int,
    classes: Integers,
    weights: Callable[[Series], Floats],
    counted: Callable[[Series], Flags],
    bound: float,
    past: Past | None = None,
    parts: Iterable[Series] = (),
) -> Watch:
    """Judge the pages of a product, all of them or those behind others whose judgement stands.

    Parameters
    ----------
    series
        The profiles of its columns; behind a past, those that the judged pages are compared with and no older ones.
    n_pages
        How many pages there are.
    classes
        The season of each page.
    weights
        What a column's slow drift weighs on each page that is watched.
    counted
        On which pages acute findings in a column count: those whose version reads it.
    bound
        What the evidence of slow drift has to reach.
    past
        What was judged before, and stands.
    parts
        Those of its segments, one after the other, with the pages of the whole column's.
    """
    import numpy as np

    start, first = (past.start, past.first - past.start) if past is not None else (0, 0)
    has_season = len(np.unique(classes)) > 1
    series, found = list(series), []
    for group in chain([[one] for one in series], alike(parts)):
        found += _distances(group, start, first, n_pages, classes, has_season)
        series += [one.without_counts() for one in group if one.segment is not None]
    n_rows = _stacked([one.n_rows for one in found], n_pages - start)
    acutely = _acute(found, n_rows, first, past)
    changes, volume = _volume(series, n_pages, classes, past)
    slow_scores = _stacked([one.slow_score for one in found], n_pages - start)
    if past is not None:
        slow_scores[:, :first] = past.slow_scores
    p = slow.ranks(slow_scores, n_rows, first)
    weighed = _stacked([weights(one) for one in series], n_pages - start)
    telling, is_silent = _silent(series, found, n_pages - start)
    is_part = np.array([one.segment is not None for one in series], bool)
    weighed = halved(np.where(telling & ~is_silent, weighed, 0.0), ~np.isnan(p), is_part)
    evidence = slow.add_up(p, weighed, bound, first, past.carried if past else None)
    columns = [
        acutely.of(row, of, counted(one) & ~is_silent[row])
        for row, (one, of) in enumerate(zip(series, found, strict=True))
    ]
    segments = _segments(columns, found, n_rows, acutely, past)
    is_flagged = volume.flags[0] | _is_flagged(columns, segments, n_pages - start)
    flagged = [int(page) for page in np.flatnonzero(is_flagged) if page >= first]
    return Watch(start, columns, evidence, volume.flags[0], changes, volume.bound[0], flagged, bound, segments)


def _is_flagged(columns: Sequence[Watched], segments: Segments | None, n_pages: int) -> Flags:
    """Tell on which pages there is an acute finding in a column of the whole page, or in a segment."""
    import numpy as np

    is_flagged = np.zeros(n_pages, bool)
    for one in columns:
        if one.series.segment is None:
            is_flagged |= np.any(list(one.flags.values()), axis=0) & one.counts
    return is_flagged if segments is None else is_flagged | segments.flags.any(axis=0)


def _silent(series: Sequence[Series], found: Sequence[_Distances], n_pages: int) -> tuple[Flags, Flags]:
    """Tell where columns bear evidence, and where segments say nothing of theirs: `(n_series, n_pages)` both.

    That is where the column of the whole page tells of the day and not of rows.
    """
    import numpy as np

    telling = _stacked([one.tells_of_rows for one in found], n_pages)
    is_of_day = _stacked([one.is_level for one in found], n_pages)
    is_part = np.array([one.segment is not None for one in series], bool)
    return telling, is_part[:, None] & (is_of_day | ~telling)[wholes_of(series)]


def _segments(
    columns: Sequence[Watched], found: Sequence[_Distances], n_rows: Integers, acutely: _Acutely, past: Past | None
) -> Segments | None:
    """Judge what is acute in segments: of each series the largest distance over what it may be."""
    import numpy as np

    rows = [row for row, one in enumerate(columns) if one.series.segment is not None]
    before = past.rules.get(SEGMENT.name) if past is not None else None
    ratios = _stacked([acutely.ratio(row, found[row]) for row in rows], n_rows.shape[1])
    counts = _stacked([columns[row].counts for row in rows], n_rows.shape[1]).astype(bool)
    names = [str(columns[row].series.segment) for row in rows]
    return judged_segments(names, n_rows[np.array(rows, np.int64)], ratios, counts, before)


def _stacked(rows: Sequence[npt.NDArray[Any]], n_pages: int) -> npt.NDArray[Any]:
    import numpy as np

    return np.array(rows).reshape(len(rows), n_pages)


@dataclass(frozen=True)
class _Distances:
    """What the rules look at in one series: arrays of the watched pages, known of those that are judged now.

    `series` and `scores` are of the latter alone. `n_rows`, `runs` and `begins`, the series' first page, are known of
    the others too.
    """

    series: Series
    scores: Scores
    score: Floats
    score_by_chance: Floats
    slow_score: Floats
    is_level: Flags
    missing: Floats
    missing_by_chance: Floats
    spread: Floats
    tells_of_rows: Flags
    n_rows: Integers
    runs: Integers
    begins: int


def _near(classes: Integers, first: int) -> tuple[Integers, int]:
    """Choose of a series the pages from `first` on and the last ones of their seasons; tell how many these are."""
    import numpy as np

    before = np.arange(first)
    chosen = (
        [before[classes[:first] == season][-ACUTE_PAGES:] for season in np.unique(classes[first:])] if first else []
    )
    near = np.sort(np.concatenate(chosen)) if chosen else before[:0]
    return np.concatenate((near, np.arange(first, len(classes)))), len(near)


def _level(one: Series, first: int) -> Floats:
    """Give how far the mean of the different values of each page from `first` on is from that of the last pages."""
    import numpy as np

    since = max(0, first - ACUTE_PAGES)
    last = one.of(slice(since, None))
    return distance_from_before(mean_of_values(last), np.zeros(len(last.pages), np.int64))[first - since :]


def _by_chance(part: Series, reference: Reference, scores: Scores) -> tuple[Floats, Floats]:
    """Give what the score of each page, and the change of its share of missing values, may be by chance."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        before = reference.n_missing / reference.n_rows
        # The deviation of a PSI of k bins by chance is sqrt(2 (k - 1)) (1/n + 1/N), its mean (k - 1) (1/n + 1/N).
        width = 1 / part.n_rows + 1 / reference.n_rows
        of_score = _DEVIATIONS * np.sqrt(2 * (scores.psi - scores.score) * width)
        of_missing = np.sqrt(np.maximum(before * (1 - before), 1 / part.n_rows) / part.n_rows)
        return of_score, _STANDARD_ERRORS * of_missing


def _distances(
    group: Sequence[Series], start: int, first: int, n_pages: int, classes: Integers, has_season: bool
) -> list[_Distances]:
    """Look at series that are alike (`jobs.monitoring.segments.alike`) all at once: one behind the other."""
    import numpy as np

    of_all, n_series, pages = replace(stacked(group)), len(group), group[0].pages  # what is added up of it goes with it
    places, is_part = pages - start, of_all.segment is not None
    from_here = int(np.searchsorted(places, first))
    of_each = np.arange(n_series)[:, None] * len(pages)

    part = of_all.of((of_each + np.arange(from_here, len(pages))).ravel()) if from_here else of_all
    few = acute.is_page_level(group[0].n_distinct, group[0].counts, from_here)  # segments tell of no different values
    is_level = np.tile(few[from_here:], n_series) & (of_all.places is not None)
    # What is compared are the pages that are judged and the last ones before them.
    near, new = _near(classes[pages], from_here)
    one, own = of_all.of((of_each + near).ravel()) if from_here else of_all, classes[pages][near]
    of_new = (np.arange(n_series)[:, None] * len(near) + np.arange(new, len(near))).ravel() if new else slice(None)
    eight, *more = [
        each.of(of_new) for each in last_pages(one, own, ACUTE_PAGES, *([SLOW_PAGES] if has_season else []))
    ]
    scores = score_series(part, eight)
    slowly = psi_and_score(part, more[0])[1] if more else scores.score
    level = _level(of_all, from_here) if is_level.any() else scores.score
    score_by_chance, missing_by_chance = _by_chance(part, eight, scores)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = one.n_missing / one.n_rows

    def everywhere(values: npt.NDArray[Any], nothing: float = np.nan) -> npt.NDArray[Any]:
        """Put values of the newest pages of the series where these stand among the watched pages."""
        values = values.reshape(n_series, -1)
        spread_out = np.full((n_series, n_pages - start), nothing, values.dtype)
        there = places[len(places) - values.shape[1] :]
        spread_out[:, there[there >= 0]] = values[:, there >= 0]
        return spread_out

    missing = distance_from_before(shares, own, of_known=is_part)[of_new]
    spread = distance_from_before(log_spread(one), own, of_known=is_part)[of_new]
    found: dict[str, Any] = {
        "score": everywhere(np.where(is_level, level, scores.score)),
        "score_by_chance": everywhere(score_by_chance),
        "slow_score": everywhere(np.where(is_level, level, slowly)),
        "is_level": everywhere(is_level, False),
        "missing": everywhere(missing),
        "missing_by_chance": everywhere(missing_by_chance),
        "spread": everywhere(np.where(is_level, np.nan, spread)),
        "tells_of_rows": everywhere(np.tile(_tells_of_rows(group[0])[from_here:], n_series), False),
        "n_rows": everywhere(of_all.n_rows, 0),
        "runs": everywhere(np.tile(repeats(list(group[0].values)), n_series), 0),
    }
    begins, n_judged = max(int(places[0]), 0) if len(places) else 0, len(pages) - from_here
    return [
        _Distances(
            replace(_judged(each, from_here, is_part), pages=places[from_here:]),
            scores.of(slice(row * n_judged, (row + 1) * n_judged)),
            begins=begins,
            **{name: values[row] for name, values in found.items()},
        )
        for row, each in enumerate(group)
    ]


def _judged(one: Series, first: int, is_part: bool) -> Series:
    return one.without_counts().of(slice(first, None)) if is_part else one.of(slice(first, None))


@dataclass(frozen=True)
class _Acutely:
    """What the rules say of each series and watched page."""

    shape: acute.Found
    level: acute.Found
    missing: acute.Found
    spread: acute.Found
    stale: Flags

    def of(self, row: int, one: _Distances, counts: Flags) -> Watched:
        import numpy as np

        rules = {"shape": self.shape, "level": self.level, "missing": self.missing, "spread": self.spread}
        flags = {name: found.flags[row] for name, found in rules.items()} | {acute.STALE: self.stale[row]}
        bounds = {name: found.bound[row] for name, found in rules.items()}
        learning = np.isnan(bounds["shape"]) & np.isnan(bounds["level"]) & np.isnan(bounds["missing"])
        score = np.where(one.is_level, bounds.pop("level"), bounds.pop("shape"))
        return Watched(
            one.series,
            one.scores,
            one.score,
            one.slow_score,
            one.is_level,
            one.missing,
            one.spread,
            {"score": score, **bounds},
            flags,
            learning,
            counts,
        )

    def ratio(self, row: int, one: _Distances) -> Floats:
        """Give the largest distance of a series over its bound, and over what it may be by chance."""
        import numpy as np

        rules = (
            (one.score, self.shape.bound[row], one.score_by_chance),
            (one.missing, self.missing.bound[row], one.missing_by_chance),
            (one.spread, self.spread.bound[row], np.zeros_like(one.spread)),
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [distance / np.maximum(bound, np.nan_to_num(floor)) for distance, bound, floor in rules]
        largest: Floats = np.fmax.reduce(ratios)
        return largest


def _acute(found: Sequence[_Distances], n_rows: Integers, first: int, past: Past | None) -> _Acutely:
    import numpy as np

    def stacked(name: str) -> npt.NDArray[Any]:
        return _stacked([getattr(one, name) for one in found], n_rows.shape[1])

    def judged(rule: acute.Rule, distances: Floats, floor: Floats | None = None) -> acute.Found:
        return acute.judge(rule, distances, n_rows, floor, past.rules[rule.name] if past else None)

    score, is_level = stacked("score"), stacked("is_level").astype(bool)
    begins = np.array([one.begins for one in found], np.int64)
    return _Acutely(
        judged(acute.SHAPE, np.where(is_level, np.nan, score), stacked("score_by_chance")),
        judged(acute.LEVEL, np.where(is_level, score, np.nan)),
        judged(acute.MISSING, stacked("missing"), stacked("missing_by_chance")),
        judged(acute.SPREAD, stacked("spread")),
        acute.stale(stacked("runs").astype(np.int64), begins, first),
    )


def _volume(series: Sequence[Series], n_pages: int, classes: Integers, past: Past | None) -> tuple[Floats, acute.Found]:
    """Flag pages whose number of rows differs from the last pages of their season far more than before."""
    import numpy as np

    start, first = (past.start, past.first) if past is not None else (0, 0)
    sizes = np.full(n_pages, -1, np.int64)
    for one in reversed(series):  # the first has the last word: rows of feature pages before those of predictions
        if one.segment is None:
            sizes[one.pages] = one.n_rows
    if past is not None:
        sizes[:first] = past.sizes
    known = np.where(sizes < 0, np.nan, np.log(np.maximum(sizes, 0.5)))
    distance = distance_from_before(known, classes)[start:]
    before = past.rules[acute.VOLUME.name] if past is not None else None
    return distance, acute.judge(acute.VOLUME, distance[None], sizes[None, start:], before=before)


def _tells_of_rows(one: Series) -> Flags:
    """Tell where a column bears evidence: not where its pool has one value a page, as functions of as_of have."""
    import numpy as np

    padded = np.concatenate((np.zeros(acute.POOL, np.int64), np.where(one.n_distinct < 0, 2, one.n_distinct)))
    telling: Flags = np.lib.stride_tricks.sliding_window_view(padded, acute.POOL + 1).max(axis=1) > 1
    return telling
