"""How good probabilities of several classes were: figures over all rows, by class, and how they were calibrated.

Labels are codes, (n_rows,): places in the order that the classes are declared. Probabilities are (n_rows, n_classes).
What is predicted is the likeliest class, of equal ones the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.models.kinds.metrics import calibration_error, calibration_table

Floats = npt.NDArray[np.float64]
_TINY = float(np.finfo(np.float64).eps)


def class_metrics(labels: Floats, probabilities: Floats) -> dict[str, float]:
    """Score probabilities of classes.

    `log_loss` clips as scikit-learn does. `macro_f1` is the mean over the classes that occur, in labels or in what was
    predicted. `roc_auc` is the mean, over the classes that occur beside others, of each against the rest. `brier` is
    the sum over classes. `calibration_error` is the mean over classes (classwise ECE, Kull et al., NeurIPS 2019).
    `log_loss_of_base_rates` and `accuracy_of_most_frequent` are those of always saying how frequent the classes are
    among these very rows: the best that a constant can do.
    """
    n_rows, n_classes = probabilities.shape
    codes = labels.astype(np.int64)
    is_label = np.eye(n_classes)[codes]
    rates = is_label.mean(axis=0)
    said = np.clip(probabilities[np.arange(n_rows), codes], _TINY, 1 - _TINY)
    common = np.sort(rates[rates > 0])
    figures = {
        "n_rows": float(n_rows),
        "log_loss": float(-np.log(said).mean()),
        "log_loss_of_base_rates": float(-(common * np.log(common)).sum()),
        "accuracy": float((predicted(probabilities) == codes).mean()),
        "accuracy_of_most_frequent": float(rates.max()),
        "macro_f1": macro_f1(codes, predicted(probabilities), n_classes),
        "brier": float(((probabilities - is_label) ** 2).sum(axis=1).mean()),
        "calibration_error": class_calibration_error(labels, probabilities),
    }
    areas = [row["roc_auc"] for row in by_class(labels, probabilities, range(n_classes)) if row["roc_auc"] is not None]
    return {**figures, "roc_auc": float(np.mean(areas))} if areas else figures


def predicted(probabilities: Floats) -> npt.NDArray[np.int64]:
    """Give the place of each row's likeliest class, of equal ones the first."""
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def macro_f1(codes: npt.NDArray[np.int64], said: npt.NDArray[np.int64], n_classes: int) -> float:
    """Give the mean of the F1 of each class that occurs in either."""
    found = []
    for code in range(n_classes):
        hit, either = int(((codes == code) & (said == code)).sum()), int((codes == code).sum() + (said == code).sum())
        if either:
            found.append(2 * hit / either)
    return float(np.mean(found))


def class_calibration_error(labels: Floats, probabilities: Floats) -> float:
    """Give the mean over classes of the expected calibration error of each against the rest."""
    errors = [calibration_error((labels == code) * 1.0, each) for code, each in enumerate(probabilities.T)]
    return float(np.mean(errors))


def class_calibration(labels: Floats, probabilities: Floats, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Cut the rows into equally large groups by the probability of each class: what was predicted, and what came."""
    return [
        {"class": name, **row}
        for code, name in enumerate(classes)
        for row in calibration_table((labels == code) * 1.0, probabilities[:, code])
    ]


def by_class(labels: Floats, probabilities: Floats, classes: Sequence[Any]) -> list[dict[str, Any]]:
    """Give each class's rows, precision, recall, F1, ROC AUC against the rest, and what its rows were taken for.

    ROC AUC is None where the class is the only one, or does not occur; so are precision and recall without rows.
    """
    from sklearn.metrics import roc_auc_score

    said, codes = predicted(probabilities), labels.astype(np.int64)
    rows = []
    for code, name in enumerate(classes):
        own, taken = codes == code, said == code
        n_own, n_taken, hit = int(own.sum()), int(taken.sum()), int((own & taken).sum())
        both = 0 < n_own < len(labels)
        rows.append(
            {
                "class": name,
                "n_rows": n_own,
                "mean_probability": float(probabilities[:, code].mean()),
                "precision": hit / n_taken if n_taken else None,
                "recall": hit / n_own if n_own else None,
                "f1": 2 * hit / (n_own + n_taken) if n_own + n_taken else None,
                "roc_auc": float(roc_auc_score(own, probabilities[:, code])) if both else None,
                "taken_for": {str(other): int((own & (said == place)).sum()) for place, other in enumerate(classes)},
            }
        )
    return rows
