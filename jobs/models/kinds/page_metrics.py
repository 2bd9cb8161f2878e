"""Metrics as functions of how often each page counts, so that pages can be drawn again cheaply.

Predictions of one page resemble each other (one evening's storm delays them all), so what is uncertain about a
metric is which pages came along, not which rows. The bootstrap therefore draws pages, with replacement (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8), the same ones for both sides of a comparison. Every
metric here is reduced once to sums of each page (ROC AUC to sums of each pair of pages), after which a thousand
draws are one product of matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.class_metrics import predicted
from jobs.models.kinds.quantile_metrics import pinball, width, within
from jobs.models.kinds.ranking_metrics import Lists, of_lists
from warehouse.label_kinds import middle_of

Floats = npt.NDArray[np.float64]
#: From how often each page counts, (n_draws, n_pages), to the metric of each draw, (n_draws,).
OfCounts = Callable[[Floats], Floats]

DRAWS = 1_000
#: As scikit-learn's log loss does, a probability of 0 or 1 is taken as this far from it.
_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Scored:
    """Predictions beside labels: `labels` and `scores` (n_rows,), `pages` (n_rows,) numbers each row's page from 0.

    Of several classes labels are their places, and scores (n_rows, n_classes). Of quantiles, which `quantiles` names,
    scores are (n_rows, n_quantiles). Of ranked lists `lists` tells which row is of which.
    """

    labels: Floats
    scores: Floats
    pages: npt.NDArray[np.int64]
    n_pages: int
    quantiles: tuple[float, ...] = ()
    lists: Lists | None = None

    def where(self, chosen: npt.NDArray[np.bool_]) -> Scored:
        """Give some of the rows; the pages keep their numbers, and one may be left with no row."""
        lists = self.lists.where(chosen) if self.lists else None
        scores = self.scores[chosen]
        return replace(self, labels=self.labels[chosen], scores=scores, pages=self.pages[chosen], lists=lists)


def _page_sums(rows: Scored, values: Floats) -> Floats:
    return np.asarray(np.bincount(rows.pages, weights=values, minlength=rows.n_pages), np.float64)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(bottom > 0, top / bottom, np.nan))


def _mean_over(values: Callable[[Scored], Floats]) -> Callable[[Scored], OfCounts]:
    """Reduce to the mean over rows of what is worked out for each."""

    def reduce(rows: Scored) -> OfCounts:
        sums, sizes = _page_sums(rows, values(rows)), _page_sums(rows, np.ones_like(rows.labels))
        return lambda counts: _ratio(counts @ sums, counts @ sizes)

    return reduce


def _mean_of(loss: Callable[[Floats, Floats], Floats]) -> Callable[[Scored], OfCounts]:
    return _mean_over(lambda rows: loss(rows.labels, rows.scores))


def _log_loss(labels: Floats, scores: Floats) -> Floats:
    if scores.ndim == 2:
        said = scores[np.arange(len(labels)), labels.astype(np.int64)]
        return -np.log(np.clip(said, _TINY, 1 - _TINY))
    clipped = np.clip(scores, _TINY, 1 - _TINY)
    return -np.where(labels == 1, np.log(clipped), np.log1p(-clipped))


def _squared(labels: Floats, scores: Floats) -> Floats:
    return (scores - labels) ** 2


def _brier(labels: Floats, scores: Floats) -> Floats:
    if scores.ndim == 1:
        return _squared(labels, scores)
    is_label = np.eye(scores.shape[1])[labels.astype(np.int64)]
    return np.asarray(((scores - is_label) ** 2).sum(axis=1), np.float64)


def _hit(labels: Floats, scores: Floats) -> Floats:
    return np.asarray(predicted(scores) == labels, np.float64)


def _macro_f1(rows: Scored) -> OfCounts:
    """Reduce to hits, and rows of either side, of each class on each page."""
    said, n_classes = predicted(rows.scores), rows.scores.shape[1]
    hits, either = [], []
    for code in range(n_classes):
        own, taken = rows.labels == code, said == code
        hits.append(_page_sums(rows, (own & taken) * 2.0))
        either.append(_page_sums(rows, own * 1.0 + taken))
    of_hits, of_either = np.column_stack(hits), np.column_stack(either)
    return lambda counts: _mean_of_known(_ratio(counts @ of_hits, counts @ of_either))


def _mean_of_known(values: Floats) -> Floats:
    """Give the mean of each row's values that are known; NaN where none is."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1) * 1.0)


def _mean_roc_auc(rows: Scored) -> OfCounts:
    """Reduce to each class against the rest, whose mean is taken over those that are defined."""
    of_each = [
        _roc_auc(Scored((rows.labels == code) * 1.0, rows.scores[:, code], rows.pages, rows.n_pages))
        for code in range(rows.scores.shape[1])
    ]
    return lambda counts: _mean_of_known(np.column_stack([of_counts(counts) for of_counts in of_each]))


def _of_each_list(name: str) -> Callable[[Scored], OfCounts]:
    """Reduce to the mean over the lists in which something was relevant, each of which is of one page."""

    def reduce(rows: Scored) -> OfCounts:
        assert rows.lists is not None, "figures of ranked lists are asked of a ranking"
        values = getattr(of_lists(rows.labels, rows.scores, rows.lists), name)
        pages = np.zeros(len(values), np.int64)
        pages[rows.lists.of_row] = rows.pages
        told = ~np.isnan(values)
        return mean_of_values(values[told], pages[told], rows.n_pages)

    return reduce


def mean_of_values(values: Floats, pages: npt.NDArray[np.int64], n_pages: int) -> OfCounts:
    """Reduce values, (n_values,), each of the page that `pages` numbers, to their mean."""
    sums = np.bincount(pages, values, n_pages)
    sizes = np.bincount(pages, minlength=n_pages) * 1.0
    return lambda counts: _ratio(counts @ sums, counts @ sizes)


def _absolute_error(rows: Scored) -> Floats:
    said = rows.scores[:, middle_of(rows.quantiles)] if rows.quantiles else rows.scores
    return np.abs(said - rows.labels)


def _coverage_error(rows: Scored) -> OfCounts:
    of_share = _mean_over(lambda rows: within(rows.labels, rows.scores))(rows)
    stated = rows.quantiles[-1] - rows.quantiles[0]
    return lambda counts: np.abs(of_share(counts) - stated)


def _rmse(rows: Scored) -> OfCounts:
    of_squares = _mean_of(_squared)(rows)
    return lambda counts: np.sqrt(of_squares(counts))


def _r2(rows: Scored) -> OfCounts:
    sizes = _page_sums(rows, np.ones_like(rows.labels))
    sums, squares = _page_sums(rows, rows.labels), _page_sums(rows, rows.labels**2)
    errors = _page_sums(rows, _squared(rows.labels, rows.scores))

    def of_counts(counts: Floats) -> Floats:
        spread = counts @ squares - _ratio((counts @ sums) ** 2, counts @ sizes)
        return 1 - _ratio(counts @ errors, spread)

    return of_counts


def _roc_auc(rows: Scored) -> OfCounts:
    """Reduce to wins[p, q]: how often a positive of page p outranks a negative of page q, a tie being half a win."""
    if rows.scores.ndim == 2:
        return _mean_roc_auc(rows)
    positive = rows.labels == 1
    scores, places = rows.scores[positive], rows.pages[positive]
    wins = np.zeros((rows.n_pages, rows.n_pages))
    for page in range(rows.n_pages):
        others = np.sort(rows.scores[~positive & (rows.pages == page)])
        below = np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")
        wins[:, page] = np.bincount(places, weights=below / 2, minlength=rows.n_pages)
    positives, negatives = _page_sums(rows, positive * 1.0), _page_sums(rows, ~positive * 1.0)

    def of_counts(counts: Floats) -> Floats:
        won = np.einsum("dp,pq,dq->d", counts, wins, counts, optimize=True)
        return _ratio(won, (counts @ positives) * (counts @ negatives))

    return of_counts


#: By the names that gates and comparisons use.
PAGE_METRICS: dict[str, Callable[[Scored], OfCounts]] = {
    "roc_auc": _roc_auc,
    "log_loss": _mean_of(_log_loss),
    "brier": _mean_of(_brier),
    "accuracy": _mean_of(_hit),
    "macro_f1": _macro_f1,
    "mae": _mean_over(_absolute_error),
    "pinball": _mean_over(lambda rows: pinball(rows.labels, rows.scores, rows.quantiles)),
    "coverage_error": _coverage_error,
    "ndcg": _of_each_list("ndcg"),
    "recall": _of_each_list("recall"),
    "map": _of_each_list("map"),
    "width": _mean_over(lambda rows: width(rows.scores)),
    "rmse": _rmse,
    "r2": _r2,
}


def figure(metric: str, rows: Scored) -> float:
    """Work out a metric over all rows; NaN where it is not defined, as ROC AUC of one class."""
    return float(PAGE_METRICS[metric](rows)(np.ones((1, rows.n_pages)))[0])


@dataclass(frozen=True)
class Difference:
    """By how much one side's metric exceeds the other's, and the interval that holds so much of the draws."""

    value: float
    low: float
    high: float


def paired_difference(metric: str, ours: Scored, theirs: Scored, confidence: float, seed: int) -> Difference:
    """Compare two predictions of the same rows: ours minus theirs, with a percentile interval over drawn pages.

    Parameters
    ----------
    ours, theirs
        Of the same rows, in the same order.
    confidence
        Such as 0.95: the share of the draws that lies between `low` and `high`.
    seed
        Makes the draws, hence the interval, the same each time.
    """
    left, right = PAGE_METRICS[metric](ours), PAGE_METRICS[metric](theirs)
    return drawn_difference(left, right, ours.n_pages, confidence, seed)


def drawn_difference(left: OfCounts, right: OfCounts, n_pages: int, confidence: float, seed: int) -> Difference:
    """Compare a metric of two sides on the same pages: left minus right; see `paired_difference`."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_pages, np.full(n_pages, 1 / n_pages), size=DRAWS).astype(np.float64)
    everything = np.ones((1, n_pages))
    drawn = left(counts) - right(counts)
    # A draw without a positive, say, has no ROC AUC; the others are what there is.
    drawn = drawn[~np.isnan(drawn)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
    return Difference(float((left(everything) - right(everything))[0]), float(low), float(high))
