"""How good predictions were, against labels: the figures that the ledger keeps and `evaluate` prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def binary_metrics(labels: Floats, probabilities: Floats) -> dict[str, float]:
    """Score probabilities against labels of 0 and 1, both of shape (n_rows,).

    ROC AUC is left out where only one class occurs. `calibration_error` is the expected calibration error over
    ten equally large groups (Naeini et al., AAAI 2015). `log_loss_of_base_rate` and `brier_of_base_rate` are those of
    always saying the base rate of these very rows: the best that a constant can do.
    """
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    rate = float(labels.mean())
    figures = {
        "n_rows": float(len(labels)),
        "base_rate": rate,
        "mean_probability": float(probabilities.mean()),
        "log_loss": float(log_loss(labels, probabilities, labels=[0, 1])),
        "log_loss_of_base_rate": float(log_loss(labels, np.full_like(labels, rate), labels=[0, 1])),
        "brier": float(brier_score_loss(labels, probabilities, pos_label=1)),
        "brier_of_base_rate": rate * (1 - rate),
        "calibration_error": calibration_error(labels, probabilities),
    }
    if 0 < rate < 1:
        figures["roc_auc"] = float(roc_auc_score(labels, probabilities))
    return figures


def regression_metrics(labels: Floats, predictions: Floats) -> dict[str, float]:
    """Score predicted numbers against labels, both of shape (n_rows,).

    `rmse_of_mean` is that of always saying the mean of these very rows: the best that a constant can do.
    """
    error = predictions - labels
    spread = float(((labels - labels.mean()) ** 2).mean())
    return {
        "n_rows": float(len(labels)),
        "mean_label": float(labels.mean()),
        "mean_prediction": float(predictions.mean()),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "rmse_of_mean": float(np.sqrt(spread)),
        "r2": float(1 - (error**2).mean() / spread) if spread else float("nan"),
    }


def calibration_table(labels: Floats, probabilities: Floats, groups: int = 10) -> list[dict[str, Any]]:
    """Cut the rows into equally large groups by probability: what was predicted, and what came."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, groups) if len(part)]
    return [
        {
            "from": float(probabilities[part[0]]),
            "to": float(probabilities[part[-1]]),
            "predicted": float(probabilities[part].mean()),
            "observed": float(labels[part].mean()),
            "n_rows": len(part),
        }
        for part in parts
    ]


def calibration_error(labels: Floats, probabilities: Floats) -> float:
    """Give the expected calibration error over ten equally large groups (Naeini et al., AAAI 2015)."""
    table = calibration_table(labels, probabilities)
    total = sum(row["n_rows"] for row in table)
    return float(sum(row["n_rows"] * abs(row["predicted"] - row["observed"]) for row in table) / total)
