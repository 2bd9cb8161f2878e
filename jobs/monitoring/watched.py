"""What was found of a product's pages, and what the judgement of later pages needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.monitoring import acute, slow
from jobs.monitoring.scores import Scores
from jobs.monitoring.segments import Segments
from jobs.monitoring.series import Series

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Watched:
    """One series with what was found of it; arrays are of the watched pages: `(n_pages,)`.

    `score` and `slow_score` are distances of distinct values where `is_level` is true. `flags` are by rule; they
    count where `counts` is true. `bounds` are what `score`, `missing` and `spread` have to be over to be flagged, NaN
    while they are learning.
    """

    series: Series
    scores: Scores
    score: Floats
    slow_score: Floats
    is_level: Flags
    missing: Floats
    spread: Floats
    bounds: dict[str, Floats]
    flags: dict[str, Flags]
    is_learning: Flags
    counts: Flags


@dataclass(frozen=True)
class Watch:
    """What was found of a product.

    Attributes
    ----------
    start
        Where the watched pages begin in the list of all pages: places and arrays count from it.
    columns
        One for each series, in their order, of the pages that are judged now. Those of segments come last.
    evidence
        Slow drift, by series and page.
    volume
        Of each page whether its number of rows is unusual; `volume_change` is how far it is from those before, and
        `volume_bound` what that has to be over.
    flagged
        The pages with an acute finding in something that counts.
    segments
        What is acute in segments; None if there are none.
    """

    start: int
    columns: list[Watched]
    evidence: slow.Evidence
    volume: Flags
    volume_change: Floats
    volume_bound: Floats
    flagged: list[int]
    bound: float
    segments: Segments | None = None


@dataclass(frozen=True)
class Past:
    """What was judged of the pages before the first that is judged now; `[]` of one series is `(n_series, n_pool)`.

    Attributes
    ----------
    start, first
        The places of the first page of the pool and of the first page that is judged now, among all pages.
    rules
        By rule what it said of the pool's pages; `volume` and `segment` of the product: `(1, n_pool)`.
    slow_scores
        Of each series.
    sizes
        The rows of all pages before the first, -1 of those without profiles: `(first,)`.
    carried
        What the evidence has come to.
    """

    start: int
    first: int
    rules: dict[str, acute.Before]
    slow_scores: Floats
    sizes: Integers
    carried: slow.Carried
