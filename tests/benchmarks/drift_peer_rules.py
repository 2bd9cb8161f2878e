"""The rules by which other tools call a page drifted by default, on the same profiles, as far as their documents tell.

A reference is fixed there: the first pages. Distances are those of `jobs.monitoring.scores` (the Wasserstein distance
in inter-decile ranges / 2.563, which is about the standard deviation that Evidently divides by).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jobs.monitoring.scores import Reference, Scores, score_series
from jobs.monitoring.series import Series

#: The pages that are the reference; they are not judged.
FIRST = 28
RULES = ("PSI >= .2 in a column", "Evidently, a column", "Evidently, half of the columns", "NannyML, a column")


def _beside_the_first(one: Series) -> Scores:
    def tiled(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.repeat(values[:FIRST].sum(axis=0)[None], len(one.pages), axis=0)

    pages = np.full(len(one.pages), FIRST)
    return score_series(one, Reference(tiled(one.counts), tiled(one.n_rows), tiled(one.n_missing), pages))


def pages_called_drifted(series: Sequence[Series]) -> dict[str, int]:
    """Count the pages after the reference's that each of `RULES` calls drifted.

    Evidently 0.7 compares large references by the Wasserstein distance, of categories by Jensen-Shannon's, both >= .1,
    and calls a data set drifted with half of its columns. NannyML 0.13 alerts where Jensen-Shannon's distance lies
    outside of three standard deviations of that of the reference's own pages.
    """
    scores = [_beside_the_first(one) for one in series]
    js = np.array([one.js for one in scores])
    moved = [one.js / np.sqrt(np.log(2)) if s.places is None else one.w1 for s, one in zip(series, scores, strict=True)]
    drifted = np.nan_to_num(np.array(moved)) >= 0.1
    mean, deviation = js[:, :FIRST].mean(axis=1), js[:, :FIRST].std(axis=1)
    found = (
        (np.nan_to_num(np.array([one.psi for one in scores])) >= 0.2).any(axis=0),
        drifted.any(axis=0),
        drifted.mean(axis=0) >= 0.5,
        (np.abs(js - mean[:, None]) > 3 * deviation[:, None]).any(axis=0),
    )
    return {name: int(pages[FIRST:].sum()) for name, pages in zip(RULES, found, strict=True)}
