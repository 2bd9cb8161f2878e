"""Validation in time: which pages are held out, and what the model that predicts them may have seen.

A fold has a cut-off. Its model is trained on the pages before the cut-off, and of those only on the labels that
were known at the cut-off; it predicts the pages from the cut-off on, up to the next fold's. Shuffled folds would
let a model learn from tomorrow's page of the same storm, and from labels that nobody had yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np


@dataclass(frozen=True)
class Fold:
    """One fold: its model is trained as of `cutoff`, and predicts the pages with cutoff <= as_of < until."""

    cutoff: datetime
    until: datetime


def time_ordered_folds(pages: Sequence[datetime], until: datetime, count: int, share: float) -> list[Fold]:
    """Cut the newest pages into folds, oldest first.

    Parameters
    ----------
    pages
        `as_of` of every page, ascending, naive UTC.
    until
        The label cut-off of the version: after the last page.
    count
        How many folds; fewer where there are fewer pages to hold out.
    share
        The share of the pages that the folds hold out together; at least one page is, and one is not.
    """
    held_out = min(max(1, round(len(pages) * share)), len(pages) - 1)
    if held_out < 1:
        return []
    parts = [part for part in np.array_split(np.arange(len(pages) - held_out, len(pages)), count) if len(part)]
    starts = [pages[int(part[0])] for part in parts]
    return [Fold(start, end) for start, end in zip(starts, [*starts[1:], until], strict=True)]
