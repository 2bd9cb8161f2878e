"""Watching a product: what its profiles say of each page, from the first page to the last.

All of it is a function of profiles, seasons and weights alone, so that the pages of last year can be judged again
under other settings, and a backfilled year gets the answers that it would have had day by day. What is written of it,
and what becomes of alarms, is the matter of `jobs.monitoring.judgements`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.monitoring import acute, slow
from jobs.monitoring.scores import (
    Scores,
    distance_from_before,
    last_pages,
    log_spread,
    mean_of_values,
    psi_and_score,
    repeats,
    score_series,
)
from jobs.monitoring.series import Series

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


@dataclass(frozen=True)
class Watched:
    """One series with what was found of it; arrays are of all pages of the product: `(n_pages,)`.

    `score` and `slow_score` are distances of distinct values where `is_level` is true. `flags` are by rule; they
    count where `counts` is true.
    """

    series: Series
    scores: Scores
    score: Floats
    slow_score: Floats
    is_level: Flags
    flags: dict[str, Flags]
    is_learning: Flags
    counts: Flags


@dataclass(frozen=True)
class Watch:
    """What was found of a product.

    Attributes
    ----------
    columns
        One for each series, in their order.
    evidence
        Slow drift, by series and page.
    volume
        Of each page whether its number of rows is unusual.
    flagged
        The pages with an acute finding in something that counts.
    """

    columns: list[Watched]
    evidence: slow.Evidence
    volume: Flags
    flagged: list[int]
    bound: float


def watch(
    series: Sequence[Series],
    n_pages: int,
    classes: Integers,
    weights: Callable[[Series], Floats],
    counted: Callable[[Series], Flags],
    bound: float,
) -> Watch:
    """Judge all pages of a product.

    Parameters
    ----------
    series
        The profiles of its columns.
    n_pages
        How many pages there are.
    classes
        The season of each page.
    weights
        What a column's slow drift weighs on each page.
    counted
        On which pages acute findings in a column count: those whose version reads it.
    bound
        What the evidence of slow drift has to reach.
    """
    import numpy as np

    has_season = len(np.unique(classes)) > 1
    found = [_distances(one, n_pages, classes, has_season) for one in series]
    shape = (len(series), n_pages)
    n_rows = np.zeros(shape, np.int64)
    for row, one in enumerate(series):
        n_rows[row, one.pages] = one.n_rows
    flags = _acute(series, found, n_rows)
    volume = _volume(n_rows, classes)
    slow_scores = np.array([one.slow_score for one in found]).reshape(shape)
    p = slow.ranks(slow_scores, n_rows)
    weighed = np.array([weights(one) for one in series]).reshape(shape)
    evidence = slow.add_up(p, np.where(_tells_of_rows(series, found, n_pages), weighed, 0.0), bound)
    columns, is_flagged = [], volume.copy()
    for row, (one, of) in enumerate(zip(series, found, strict=True)):
        mine = {name: each[row] for name, each in flags.items() if name != "learning"}
        counts, learning = counted(one), flags["learning"][row]
        columns.append(Watched(one, of.scores, of.score, of.slow_score, of.is_level, mine, learning, counts))
        is_flagged |= np.any(list(mine.values()), axis=0) & counts
    return Watch(columns, evidence, volume, [int(page) for page in np.flatnonzero(is_flagged)], bound)


@dataclass(frozen=True)
class _Distances:
    """What the rules look at in one series, over all pages."""

    scores: Scores
    score: Floats
    score_by_chance: Floats
    slow_score: Floats
    is_level: Flags
    missing: Floats
    missing_by_chance: Floats
    spread: Floats
    runs: Integers


def _distances(one: Series, n_pages: int, classes: Integers, has_season: bool) -> _Distances:
    import numpy as np

    own = classes[one.pages]
    eight = last_pages(one, own, ACUTE_PAGES)
    scores = score_series(one, eight)
    slowly = psi_and_score(one, last_pages(one, own, SLOW_PAGES))[1] if has_season else scores.score
    is_level = acute.is_page_level(one.n_distinct, one.counts) & (one.places is not None)
    level = distance_from_before(mean_of_values(one), np.zeros_like(own))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = one.n_missing / one.n_rows
        before = eight.n_missing / eight.n_rows
        # The deviation of a PSI of k bins by chance is sqrt(2 (k - 1)) (1/n + 1/N), its mean (k - 1) (1/n + 1/N).
        width = 1 / one.n_rows + 1 / eight.n_rows
        score_by_chance = _DEVIATIONS * np.sqrt(2 * (scores.psi - scores.score) * width)
        by_chance = np.sqrt(np.maximum(before * (1 - before), 1 / one.n_rows) / one.n_rows)

    def everywhere(values: npt.NDArray[np.generic], nothing: float = np.nan) -> npt.NDArray[np.generic]:
        spread_out = np.full(n_pages, nothing, values.dtype)
        spread_out[one.pages] = values
        return spread_out

    return _Distances(
        scores,
        everywhere(np.where(is_level, level, scores.score)),  # type: ignore[arg-type]
        everywhere(score_by_chance),  # type: ignore[arg-type]
        everywhere(np.where(is_level, level, slowly)),  # type: ignore[arg-type]
        everywhere(is_level, False),  # type: ignore[arg-type]
        everywhere(distance_from_before(shares, own)),  # type: ignore[arg-type]
        everywhere(_STANDARD_ERRORS * by_chance),  # type: ignore[arg-type]
        everywhere(np.where(is_level, np.nan, distance_from_before(log_spread(one), own))),  # type: ignore[arg-type]
        everywhere(repeats(list(one.values)), 0),  # type: ignore[arg-type]
    )


def _acute(series: Sequence[Series], found: Sequence[_Distances], n_rows: Integers) -> dict[str, Flags]:
    import numpy as np

    def stacked(name: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(one, name) for one in found]).reshape(n_rows.shape)

    score, is_level = stacked("score"), stacked("is_level").astype(bool)
    shape = acute.judge(acute.SHAPE, np.where(is_level, np.nan, score), n_rows, stacked("score_by_chance"))
    level = acute.judge(acute.LEVEL, np.where(is_level, score, np.nan), n_rows)
    missing = acute.judge(acute.MISSING, stacked("missing"), n_rows, stacked("missing_by_chance"))
    begins = np.array([one.pages[0] if len(one.pages) else 0 for one in series], np.int64)
    return {
        "shape": shape.flags,
        "level": level.flags,
        "missing": missing.flags,
        "spread": acute.judge(acute.SPREAD, stacked("spread"), n_rows).flags,
        acute.STALE: acute.stale(stacked("runs").astype(np.int64), begins),
        "learning": np.isnan(shape.largest) & np.isnan(level.largest) & np.isnan(missing.largest),
    }


def _volume(n_rows: Integers, classes: Integers) -> Flags:
    """Flag pages whose number of rows differs from the last pages of their season far more than before."""
    import numpy as np

    sizes = n_rows.max(axis=0) if len(n_rows) else np.zeros(n_rows.shape[1], np.int64)
    distance = distance_from_before(np.log(np.maximum(sizes, 0.5)), classes)
    flags: Flags = acute.judge(acute.VOLUME, distance[None], sizes[None]).flags[0]
    return flags


def _tells_of_rows(series: Sequence[Series], found: Sequence[_Distances], n_pages: int) -> Flags:
    """Tell where a column bears evidence: not where each page has had one value, as functions of as_of have."""
    import numpy as np

    telling = np.zeros((len(series), n_pages), bool)
    for row, one in enumerate(series):
        most = np.maximum.accumulate(np.where(one.n_distinct < 0, 2, one.n_distinct))
        telling[row, one.pages] = most > 1
    return telling
