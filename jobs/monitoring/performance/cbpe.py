"""What probabilities themselves expect of a metric, without a label.

If a probability of .2 comes true in one of five cases, the number of hits, the entropy and the ranking of a page can be
foretold from its probabilities alone (confidence-based performance estimation, as NannyML calls it). Whether they do
come true is what `excess` measures afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: As scikit-learn's log loss does, a probability of 0 or 1 is taken as this far from it.
TINY = float(np.finfo(np.float64).eps)


def expected_metrics(probabilities: Floats, threshold: float = 0.5) -> dict[str, float]:
    """Estimate the metrics of a binary label from probabilities, (n_rows,), that are taken at their word.

    `log_loss` is the mean entropy and `brier` the mean of p (1 - p). A row is taken for a one if its probability is
    above the threshold, or reaches it. What is not defined, as the ROC AUC of no row, is left out.
    """
    p = np.sort(probabilities)[::-1]
    n_rows, hits = len(p), float(p.sum())
    if n_rows == 0:
        return {}
    figures = {"log_loss": float(entropy(p).mean()), "brier": float((p * (1 - p)).mean())}
    taken = p >= threshold
    true_positives, false_positives = float(p[taken].sum()), float((1 - p[taken]).sum())
    false_negatives, true_negatives = float(p[~taken].sum()), float((1 - p[~taken]).sum())
    found = {
        "accuracy": (true_positives + true_negatives, n_rows),
        "precision": (true_positives, true_positives + false_positives),
        "recall": (true_positives, true_positives + false_negatives),
        "specificity": (true_negatives, true_negatives + false_positives),
        "f1": (2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        "roc_auc": (_expected_wins(p), hits * (n_rows - hits)),
        "average_precision": (float((p * np.cumsum(p) / np.arange(1, n_rows + 1)).sum()), hits),
    }
    return figures | {name: float(top / bottom) for name, (top, bottom) in found.items() if bottom > 0}


def entropy(probabilities: Floats) -> Floats:
    """Give the log loss that each probability expects, (n_rows,)."""
    p = np.clip(probabilities, TINY, 1 - TINY)
    found: Floats = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    return found


def _expected_wins(descending: Floats) -> float:
    """Give how many pairs of a one and a zero are expected to be in the right order, equal ones counting half."""
    values, counts = np.unique(descending, return_counts=True)
    ones, zeros = values * counts, (1 - values) * counts
    below = np.cumsum(zeros) - zeros
    return float((ones * (below + zeros / 2)).sum())


def expected_class_metrics(probabilities: Floats) -> dict[str, float]:
    """Estimate the metrics of a label with classes from probabilities, (n_rows, n_classes)."""
    if len(probabilities) == 0:
        return {}
    p = probabilities[np.lexsort(probabilities.T)]
    areas = [expected_metrics(column).get("roc_auc") for column in p.T]
    known = [area for area in areas if area is not None]
    figures = {
        "log_loss": float(class_entropy(p).mean()),
        "brier": float((p * (1 - p)).sum(axis=1).mean()),
        "accuracy": float(p.max(axis=1).mean()),
    }
    return figures | ({"roc_auc": float(np.mean(known))} if known else {})


def class_entropy(probabilities: Floats) -> Floats:
    """Give the log loss that the probabilities of each row's classes expect, (n_rows,)."""
    p = np.clip(probabilities, TINY, 1 - TINY)
    found: Floats = -(probabilities * np.log(p)).sum(axis=1)
    return found


#: By the names of `warehouse.label_kinds.KINDS`; the other kinds have no probabilities.
EXPECTED: Mapping[str, Callable[[Floats], dict[str, float]]] = {
    "binary": expected_metrics,
    "multiclass": expected_class_metrics,
}
