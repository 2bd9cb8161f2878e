"""The loss of each prediction, and the loss that was to be expected of it, by kind of label.

Probabilities say themselves what loss to expect. Of a predicted number a model of the errors that validation made says
it: the mean squared error of held-out rows with predictions like it (direct loss estimation, as NannyML calls it).
Either way, rows of another kind than before move loss and expectation alike, and their difference stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jobs.monitoring.performance.cbpe import EXPECTED, TINY, class_entropy, entropy

Floats = npt.NDArray[np.float64]
#: The errors of numbers are averaged in at most so many bins of equally many held-out rows, of no fewer than the least.
_BINS, _FEWEST = 20, 50


class Expectation(Protocol):
    """What is to be expected of predictions of one version."""

    def loss(self, scores: Floats) -> Floats:
        """Give the loss that each prediction expects, (n_rows,)."""
        ...

    def variance(self, scores: Floats) -> Floats:
        """Give the variance of each prediction's loss, if it is right, (n_rows,)."""
        ...

    def metrics(self, scores: Floats) -> dict[str, float]:
        """Give the metrics that a page's predictions expect, by name."""
        ...


@dataclass(frozen=True)
class OfProbabilities:
    """Probabilities taken at their word; `kind` is binary or multiclass."""

    kind: str

    def loss(self, scores: Floats) -> Floats:
        """Give each row's entropy."""
        return entropy(scores) if scores.ndim == 1 else class_entropy(scores)

    def variance(self, scores: Floats) -> Floats:
        """Give the variance of the log loss under the probabilities."""
        p = np.clip(np.column_stack([scores, 1 - scores]) if scores.ndim == 1 else scores, TINY, 1 - TINY)
        return np.asarray((p * np.log(p) ** 2).sum(axis=1) - self.loss(scores) ** 2, np.float64)

    def metrics(self, scores: Floats) -> dict[str, float]:
        """Give what `jobs.monitoring.performance.cbpe` estimates."""
        return EXPECTED[self.kind](scores)


@dataclass(frozen=True)
class OfResiduals:
    """Mean squared and absolute errors of held-out rows, by bins of what was predicted.

    Attributes
    ----------
    edges
        Between the bins, (n_bins - 1,), ascending.
    squared, absolute
        (n_bins,).
    """

    edges: Floats
    squared: Floats
    absolute: Floats

    def loss(self, scores: Floats) -> Floats:
        """Give the squared error to be expected of each row."""
        return np.asarray(self.squared[self._bins(scores)], np.float64)

    def variance(self, scores: Floats) -> Floats:
        """Give the variance of a squared error of normal errors, which is twice the square of its mean."""
        return 2 * self.loss(scores) ** 2

    def metrics(self, scores: Floats) -> dict[str, float]:
        """Give the errors to be expected of a page."""
        if len(scores) == 0:
            return {}
        places = self._bins(np.sort(scores))
        return {"mae": float(self.absolute[places].mean()), "rmse": float(np.sqrt(self.squared[places].mean()))}

    def _bins(self, scores: Floats) -> npt.NDArray[np.int64]:
        return np.asarray(np.searchsorted(self.edges, scores, side="right"), np.int64)


def of_residuals(labels: Floats, scores: Floats) -> OfResiduals | None:
    """Learn what errors are to be expected from held-out rows; None of too few of them."""
    n_bins = min(_BINS, len(labels) // _FEWEST)
    if n_bins < 1:
        return None
    edges = np.unique(np.quantile(scores, np.arange(1, n_bins) / n_bins))
    order = np.lexsort((labels, scores))
    errors, places = (scores - labels)[order], np.searchsorted(edges, scores[order], side="right")
    counts = np.bincount(places, minlength=len(edges) + 1)

    def mean_of(values: Floats) -> Floats:
        # Where many predictions are equal, a bin may be left without a row.
        sums = np.bincount(places, values, minlength=len(counts))
        return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), values.mean()), np.float64)

    return OfResiduals(np.asarray(edges, np.float64), mean_of(errors**2), mean_of(np.abs(errors)))


def losses(labels: Floats, scores: Floats, kind: str) -> Floats:
    """Give the loss of each prediction, (n_rows,): log loss of probabilities, squared error of numbers."""
    if kind == "binary":
        p = np.clip(scores, TINY, 1 - TINY)
        found: Floats = -np.where(labels == 1, np.log(p), np.log1p(-p))
        return found
    if kind == "multiclass":
        said = scores[np.arange(len(labels)), labels.astype(np.int64)]
        of_classes: Floats = -np.log(np.clip(said, TINY, 1 - TINY))
        return of_classes
    squared: Floats = (scores - labels) ** 2
    return squared


def expectation(kind: str, labels: Floats | None, scores: Floats | None) -> Expectation | None:
    """Give what is to be expected of a version's predictions; None where nothing says it.

    Parameters
    ----------
    labels, scores
        What its validation held out, None where there is none.
    """
    if kind in EXPECTED:
        return OfProbabilities(kind)
    if kind == "regression" and labels is not None and scores is not None:
        return of_residuals(labels, scores)
    return None
