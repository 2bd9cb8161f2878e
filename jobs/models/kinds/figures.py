"""What is worked out for each kind of label: scores of predictions, metrics, and what a single column tells.

`warehouse.label_kinds` has what each kind is called and which columns, gates and checks it brings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.metrics import binary_metrics, regression_metrics

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
        From labels and scores, (n_rows,) each, to figures by name.
    needs_two_classes
        Whether nothing can be learnt where all labels are the same.
    tells_nothing
        Whether some labels are too few, or too much alike, to say how well a column foretells them.
    alone
        From labels and a column's own prediction of them to the measure `LabelKind.alone`.
    """

    scores: Callable[[npt.NDArray[Any]], Floats]
    metrics: Callable[[Floats, Floats], dict[str, float]]
    needs_two_classes: bool
    tells_nothing: Callable[[Floats], bool]
    alone: Callable[[Floats, Floats], float]


def _of_the_ones(predictions: npt.NDArray[Any]) -> Floats:
    return np.asarray(predictions[:, 1], np.float64)


def _as_they_are(predictions: npt.NDArray[Any]) -> Floats:
    return np.asarray(predictions, np.float64)


def _few_of_a_class(labels: Floats) -> bool:
    return bool(min(labels.sum(), len(labels) - labels.sum()) < _FEWEST)


def _few_or_equal(labels: Floats) -> bool:
    return len(labels) < _FEWEST or bool(np.ptp(labels) == 0)


def _roc_auc(labels: Floats, said: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, said))


def _r2(labels: Floats, said: Floats) -> float:
    return float(1 - np.sum((labels - said) ** 2) / np.sum((labels - labels.mean()) ** 2))


#: By the names of `warehouse.label_kinds.KINDS`.
FIGURES: Mapping[str, Figures] = {
    "binary": Figures(_of_the_ones, binary_metrics, True, _few_of_a_class, _roc_auc),
    "regression": Figures(_as_they_are, regression_metrics, False, _few_or_equal, _r2),
}
