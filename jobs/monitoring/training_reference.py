"""The second reference: pages beside those that their version was trained on. It is for reading, and alarms nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.monitoring.scores import Reference, Scores, score_series
from jobs.monitoring.series import Series

if TYPE_CHECKING:
    from warehouse.ledger.records import ModelRecord

TRAINING = "training"


def beside_training(
    series: Series, pages: Sequence[datetime], versions: Sequence[ModelRecord | None]
) -> Iterator[tuple[Series, Scores]]:
    """Compare the pages of each version with all pages that it was trained on.

    Parameters
    ----------
    series
        A column of feature pages.
    pages
        All pages of the product.
    versions
        The version in effect on each of them; None where there was none.

    Yields
    ------
    tuple
        The part of the series that a version writes, and how far each of its pages is from the version's training.
    """
    import numpy as np

    known = {one.version: one for one in versions if one is not None}
    for name, version in known.items():
        if version.first_page is None or version.last_page is None:
            continue
        of_version = [
            place
            for place, page in enumerate(series.pages)
            if (live := versions[page]) is not None and live.version == name
        ]
        of_training = [
            place for place, page in enumerate(series.pages) if version.first_page <= pages[page] <= version.last_page
        ]
        if not of_version or not of_training:
            continue
        part = _rows_of(series, of_version)
        n_pages = np.full(len(of_version), len(of_training))
        totals = [getattr(series, each)[of_training].sum(axis=0) for each in ("counts", "n_rows", "n_missing")]
        counts, n_rows, n_missing = (np.tile(one, (len(of_version), *[1] * np.ndim(one))) for one in totals)
        yield part, score_series(part, Reference(counts, n_rows.ravel(), n_missing.ravel(), n_pages))


def _rows_of(series: Series, places: Sequence[int]) -> Series:
    arrays = ("pages", "counts", "n_rows", "n_missing", "n_distinct", "values")
    chosen = {name: getattr(series, name)[list(places)] for name in arrays}
    return replace(series, **chosen, run_ids=[series.run_ids[place] for place in places])
