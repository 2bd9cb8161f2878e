"""The loss of each prediction, and the loss that was to be expected of it, by kind of label.

Probabilities say themselves what loss to expect. Of a predicted number a model of the errors that validation made says
it: the mean squared error of held-out rows with predictions like it (direct loss estimation, as NannyML calls it).
Either way, rows of another kind than before move loss and expectation alike, and their difference stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.quantile_metrics import pinball
from jobs.monitoring.performance.cbpe import EXPECTED, TINY, class_entropy, entropy

Floats = npt.NDArray[np.float64]
#: The errors of numbers are averaged in at most so many bins of equally many held-out rows, of no fewer than the least.
_BINS, _FEWEST = 20, 50
#: The kinds of label whose loss is that of single rows.
KINDS_JUDGED = ("binary", "multiclass", "regression", "quantiles")


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
    """Mean losses of held-out rows, by bins of what was predicted: a number, or the middle one of quantiles.

    Attributes
    ----------
    edges
        Between the bins, (n_bins - 1,), ascending.
    losses, squares, absolute
        The mean loss, the mean of its square, and the mean absolute error of each bin, (n_bins,).
    """

    edges: Floats
    losses: Floats
    squares: Floats
    absolute: Floats

    def loss(self, scores: Floats) -> Floats:
        """Give the loss to be expected of each row."""
        return np.asarray(self.losses[self._bins(scores)], np.float64)

    def variance(self, scores: Floats) -> Floats:
        """Give the variance that losses of held-out rows like these had."""
        places = self._bins(scores)
        return np.asarray(np.maximum(self.squares[places] - self.losses[places] ** 2, 0.0), np.float64)

    def metrics(self, scores: Floats) -> dict[str, float]:
        """Give the errors to be expected of a page."""
        if len(scores) == 0:
            return {}
        places = np.sort(self._bins(scores))
        loss = float(self.losses[places].mean())
        own = {"pinball": loss} if scores.ndim == 2 else {"rmse": float(np.sqrt(loss))}
        return {"mae": float(self.absolute[places].mean()), **own}

    def _bins(self, scores: Floats) -> npt.NDArray[np.int64]:
        return np.asarray(np.searchsorted(self.edges, _middle(scores), side="right"), np.int64)


def _middle(scores: Floats) -> Floats:
    """Give the number that stands for a row: of quantiles the middle one."""
    return scores if scores.ndim == 1 else np.asarray(scores[:, scores.shape[1] // 2], np.float64)


def of_residuals(labels: Floats, scores: Floats, loss: Floats) -> OfResiduals | None:
    """Learn what losses are to be expected from those of held-out rows; None of too few of them."""
    n_bins = min(_BINS, len(labels) // _FEWEST)
    if n_bins < 1:
        return None
    said = _middle(scores)
    edges = np.unique(np.quantile(said, np.arange(1, n_bins) / n_bins))
    order = np.lexsort((labels, said))
    places, errors = np.searchsorted(edges, said[order], side="right"), np.abs(said - labels)[order]
    counts = np.bincount(places, minlength=len(edges) + 1)

    def mean_of(values: Floats) -> Floats:
        # Where many predictions are equal, a bin may be left without a row.
        sums = np.bincount(places, values, minlength=len(counts))
        return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), values.mean()), np.float64)

    own = loss[order]
    return OfResiduals(np.asarray(edges, np.float64), mean_of(own), mean_of(own**2), mean_of(errors))


def losses(labels: Floats, scores: Floats, kind: str, levels: Sequence[float] = ()) -> Floats:
    """Give the loss of each prediction, (n_rows,).

    It is the log loss of probabilities, the squared error of numbers, and of quantiles, of which `levels` says the
    levels, the mean pinball loss.
    """
    if kind == "binary":
        p = np.clip(scores, TINY, 1 - TINY)
        found: Floats = -np.where(labels == 1, np.log(p), np.log1p(-p))
        return found
    if kind == "multiclass":
        said = scores[np.arange(len(labels)), labels.astype(np.int64)]
        of_classes: Floats = -np.log(np.clip(said, TINY, 1 - TINY))
        return of_classes
    if kind == "quantiles":
        return pinball(labels, scores, levels)
    if kind not in KINDS_JUDGED:
        raise ValueError(f"the loss of a {kind} is not known row by row")
    squared: Floats = (scores - labels) ** 2
    return squared


def expectation(
    kind: str, labels: Floats | None, scores: Floats | None, levels: Sequence[float] = ()
) -> Expectation | None:
    """Give what is to be expected of a version's predictions; None where nothing says it.

    Parameters
    ----------
    labels, scores
        What its validation held out, None where there is none.
    """
    if kind in EXPECTED:
        return OfProbabilities(kind)
    if labels is None or scores is None:
        return None
    return of_residuals(labels, scores, losses(labels, scores, kind, levels))
