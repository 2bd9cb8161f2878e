"""How good ranked lists were: what is relevant should be among the first of its list, and early there.

Rows are candidates: labels of 0 and 1, scores, and of each row the number of its list. Within a list rows stand in the
order of their scores, the largest first, those of equal scores in the order in which they are given, which is that of
their keys. Lists in which nothing was relevant say nothing of the order, and are left out of means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lists:
    """Which list each row is of, (n_rows,), numbered from 0 without a gap, and how many of each are shown."""

    of_row: Places
    top: int

    def where(self, chosen: npt.NDArray[np.bool_]) -> Lists:
        """Give some of the rows, with their lists numbered anew."""
        return Lists(np.unique(self.of_row[chosen], return_inverse=True)[1].astype(np.int64), self.top)


@dataclass(frozen=True)
class OfLists:
    """Figures of each list, (n_lists,): NaN where nothing in it was relevant."""

    ndcg: Floats
    recall: Floats
    map: Floats
    ndcg_of_chance: Floats


def ranks(scores: Floats, lists: Lists) -> Places:
    """Give each row's rank within its list, from 1 on, (n_rows,)."""
    order = np.lexsort((-scores, lists.of_row))
    sizes = np.bincount(lists.of_row)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    found = np.empty(len(scores), np.int64)
    found[order] = np.arange(len(scores)) - starts + 1
    return found


def of_lists(labels: Floats, scores: Floats, lists: Lists) -> OfLists:
    """Work out each list's figures among its first `lists.top` rows.

    `ndcg` is the discounted cumulative gain over that of the best order (Järvelin and Kekäläinen, TOIS 2002), `recall`
    the share of what was relevant that is shown, `map` the average precision, over as many as can be shown.
    `ndcg_of_chance` is what an order by chance comes to in the mean.
    """
    n_lists, top = int(lists.of_row.max(initial=-1)) + 1, lists.top
    rank = ranks(scores, lists)
    hit = (labels > 0) & (rank <= top)
    gains = np.where(hit, 1 / np.log2(rank + 1.0), 0.0)
    relevant = np.bincount(lists.of_row, labels > 0, n_lists)
    sizes = np.bincount(lists.of_row, minlength=n_lists)
    shown = np.minimum(relevant, top).astype(np.int64)
    best = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, top + 2)))])
    with np.errstate(invalid="ignore", divide="ignore"):
        ndcg = np.bincount(lists.of_row, gains, n_lists) / np.where(shown > 0, best[shown], np.nan)
        recall = np.bincount(lists.of_row, hit, n_lists) / np.where(relevant > 0, relevant, np.nan)
        precision = np.bincount(lists.of_row, np.where(hit, _hits_so_far(hit, rank, lists) / rank, 0.0), n_lists)
        by_chance = relevant / sizes * best[np.minimum(sizes, top)] / np.where(shown > 0, best[shown], np.nan)
        return OfLists(ndcg, recall, precision / np.where(shown > 0, shown, np.nan), by_chance)


def _hits_so_far(hit: npt.NDArray[np.bool_], rank: Places, lists: Lists) -> Floats:
    """Give of each row how many of its list's first rows, up to itself, were hits."""
    order = np.lexsort((rank, lists.of_row))
    running = np.cumsum(hit[order])
    sizes = np.bincount(lists.of_row)
    ends = np.cumsum(sizes) - 1
    before = np.repeat(np.concatenate([[0], running[ends[:-1]]]) if len(ends) else np.zeros(0), sizes)
    found = np.empty(len(hit))
    found[order] = running - before
    return found


def ranking_metrics(labels: Floats, scores: Floats, lists: Lists) -> dict[str, float]:
    """Give the means over the lists in which something was relevant, and how many lists there are."""
    found = of_lists(labels, scores, lists)
    told = ~np.isnan(found.ndcg)
    figures = {
        "n_rows": float(len(labels)),
        "n_lists": float(len(told)),
        "n_lists_with_relevant": float(told.sum()),
        "base_rate": float((labels > 0).mean()),
    }
    if not told.any():
        return figures
    names = ("ndcg", "recall", "map", "ndcg_of_chance")
    return figures | {name: float(getattr(found, name)[told].mean()) for name in names}
