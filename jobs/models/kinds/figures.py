"""What is worked out for each kind of label: scores of predictions, metrics, and what a single column tells.

`warehouse.label_kinds` has what each kind is called and which columns, gates and checks it brings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.class_metrics import class_calibration, class_calibration_error, class_metrics
from jobs.models.kinds.metrics import binary_metrics, calibration_error, calibration_table, regression_metrics
from jobs.models.kinds.quantile_metrics import quantile_calibration, quantile_calibration_error, quantile_metrics
from jobs.models.kinds.ranking_metrics import ranking_metrics

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
#: Fewer labels of one kind than this tell nothing.
_FEWEST = 20


@dataclass(frozen=True)
class Figures:
    """How predictions of one kind become figures.

    Attributes
    ----------
    scores
        From what `Scorer.predict` returns to one number a row: what the page has, and what metrics are taken of.
    metrics
        From labels and scores to figures by name; of quantiles it has to be told which they are, of lists which row is
        of which.
    needs_two_classes
        Whether nothing can be learnt where all labels are the same.
    calibration
        From labels, scores and the names of what is told apart (classes, or quantiles) to a table: what was
        predicted, and what came; by class or quantile where there are several.
    calibration_error
        From the same to how far these are apart; None of a kind that states nothing of the sort.
    tells_nothing
        Whether some labels are too few, or too much alike, to say how well a column foretells them.
    alone
        From labels and a column's own prediction of them to the measure `LabelKind.alone`.
    """

    scores: Callable[[npt.NDArray[Any]], Floats]
    metrics: Callable[[Floats, Floats, Any], dict[str, float]]
    calibration: Callable[[Floats, Floats, Sequence[Any]], list[dict[str, Any]]]
    calibration_error: Callable[[Floats, Floats, Sequence[Any]], float] | None
    needs_two_classes: bool
    tells_nothing: Callable[[Floats], bool]
    alone: Callable[[Floats, Floats], float]


def _of_the_ones_or_as_they_are(predictions: npt.NDArray[Any]) -> Floats:
    # A rule gives a score, a classifier two probabilities.
    return _of_the_ones(predictions) if predictions.ndim == 2 else _as_they_are(predictions)


def _of_the_ones(predictions: npt.NDArray[Any]) -> Floats:
    return np.asarray(predictions[:, 1], np.float64)


def _as_they_are(predictions: npt.NDArray[Any]) -> Floats:
    return np.asarray(predictions, np.float64)


def _alike(of: Callable[[Floats, Floats], T]) -> Callable[[Floats, Floats, Sequence[Any]], T]:
    """Let a function of labels and scores be asked as one that is told names, too."""

    def asked(labels: Floats, scores: Floats, names: Sequence[Any]) -> T:
        return of(labels, scores)

    return asked


def _no_table(labels: Floats, scores: Floats) -> list[dict[str, Any]]:
    return []


def _few_of_each(labels: Floats) -> bool:
    _, counts = np.unique(labels, return_counts=True)
    return bool((counts >= _FEWEST).sum() < 2)


def _few_of_a_class(labels: Floats) -> bool:
    return bool(min(labels.sum(), len(labels) - labels.sum()) < _FEWEST)


def _few_or_equal(labels: Floats) -> bool:
    return len(labels) < _FEWEST or bool(np.ptp(labels) == 0)


def _roc_auc(labels: Floats, said: Floats) -> float:
    """Give the share of pairs of a one and a nought in which more is said of the one; of equals, half."""
    # What a single column says are few values: counted, they take a tenth of sklearn's time.
    _, codes = np.unique(said, return_inverse=True)
    ones = np.bincount(codes, weights=labels)
    noughts = np.bincount(codes) - ones
    below = np.cumsum(noughts) - noughts
    return float(ones @ (below + noughts / 2) / (ones.sum() * noughts.sum()))


def _r2(labels: Floats, said: Floats) -> float:
    return float(1 - np.sum((labels - said) ** 2) / np.sum((labels - labels.mean()) ** 2))


def _best_roc_auc(labels: Floats, said: Floats) -> float:
    """Give the largest ROC AUC of one class against the others, of what is said of each, (n_rows, n_classes)."""
    both = [code for code in range(said.shape[1]) if 0 < (labels == code).sum() < len(labels)]
    return max((_roc_auc((labels == code) * 1.0, said[:, code]) for code in both), default=0.0)


#: By the names of `warehouse.label_kinds.KINDS`.
FIGURES: Mapping[str, Figures] = {
    "binary": Figures(
        _of_the_ones,
        _alike(binary_metrics),
        _alike(calibration_table),
        _alike(calibration_error),
        needs_two_classes=True,
        tells_nothing=_few_of_a_class,
        alone=_roc_auc,
    ),
    "multiclass": Figures(
        _as_they_are,
        _alike(class_metrics),
        class_calibration,
        _alike(class_calibration_error),
        needs_two_classes=True,
        tells_nothing=_few_of_each,
        alone=_best_roc_auc,
    ),
    "regression": Figures(
        _as_they_are,
        _alike(regression_metrics),
        _alike(_no_table),
        None,
        needs_two_classes=False,
        tells_nothing=_few_or_equal,
        alone=_r2,
    ),
    "ranking": Figures(
        _of_the_ones_or_as_they_are,
        ranking_metrics,
        _alike(_no_table),
        None,
        needs_two_classes=True,
        tells_nothing=_few_of_a_class,
        alone=_roc_auc,
    ),
    "quantiles": Figures(
        _as_they_are,
        quantile_metrics,
        quantile_calibration,
        quantile_calibration_error,
        needs_two_classes=False,
        tells_nothing=_few_or_equal,
        alone=_r2,
    ),
}


@dataclass(frozen=True)
class Target:
    """What predictions are of: a kind of label, its classes or quantiles as declared, and those that a version learnt.

    A version gives the classes that it has never seen no probability: theirs is 0. It has learnt every quantile that
    is declared (`jobs.models.columns.requirements.unmet`), and may have learnt others.
    """

    kind: str
    classes: tuple[str, ...] = ()
    learnt: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    learnt_quantiles: tuple[float, ...] = ()

    @property
    def parts(self) -> tuple[Any, ...]:
        """What the columns of two-dimensional scores are of."""
        return self.classes or self.quantiles

    def scores(self, predictions: npt.NDArray[Any]) -> Floats:
        """Give what metrics are taken of: (n_rows,), or (n_rows, n_parts) in the order of what is declared.

        Quantiles that cross are put in order, which makes none of them worse (Chernozhukov et al., Econometrica 2010).
        """
        found = FIGURES[self.kind].scores(predictions)
        if self.quantiles:
            return np.sort(found[:, [self.learnt_quantiles.index(each) for each in self.quantiles]], axis=1)
        if not self.classes or self.learnt == self.classes:
            return found
        wide = np.zeros((len(found), len(self.classes)))
        wide[:, [self.classes.index(name) for name in self.learnt]] = found
        return wide

    def unknown(self, n_rows: int) -> Floats:
        """Give scores of rows of which nothing is known: NaN."""
        return np.full((n_rows, len(self.parts)) if self.parts else n_rows, np.nan)

    def crossed(self, predictions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Tell of each row whether its quantiles cross, as the model gives them; None do of another kind."""
        if not self.quantiles:
            return np.zeros(len(predictions), np.bool_)
        return np.asarray((np.diff(predictions, axis=1) < 0).any(axis=1))


def scores_of(held_out: pa.Table) -> Floats:
    """Read the column `score` of what was held out: (n_rows,), or (n_rows, n_classes)."""
    import pyarrow as pa

    column = held_out.column("score").combine_chunks()
    if not pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_numpy(), np.float64)
    return np.asarray(column.flatten().to_numpy(), np.float64).reshape(len(column), column.type.list_size)
