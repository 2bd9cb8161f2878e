"""How good quantiles were: pinball loss, how many labels lay within the outermost two, and how wide these are apart.

Quantiles are (n_rows, n_quantiles), in the ascending order of `levels`, such as 0.1, 0.5 and 0.9. What is predicted is
the median, or the middle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse.label_kinds import middle_of

Floats = npt.NDArray[np.float64]


def quantile_metrics(labels: Floats, quantiles: Floats, levels: Sequence[float]) -> dict[str, float]:
    """Score quantiles against labels, (n_rows,).

    `pinball` is the mean over the quantiles (Koenker and Bassett, Econometrica 1978), `mae` that of what is predicted.
    `coverage` is the share of labels from the lowest quantile to the highest, both included, beside `coverage_stated`;
    `coverage_error` is by how much they differ, `width` how far the two are apart on average. `calibration_error` is
    the mean over the quantiles of how far the share of labels up to each is from what it states.
    `pinball_of_constants` is that of always saying the quantiles of these very rows: the best that constants can do.
    """
    is_within = within(labels, quantiles)
    stated = levels[-1] - levels[0]
    constants = np.quantile(labels, levels, method="inverted_cdf")
    return {
        "n_rows": float(len(labels)),
        "mean_label": float(labels.mean()),
        "mean_prediction": float(quantiles[:, middle_of(levels)].mean()),
        "pinball": float(pinball(labels, quantiles, levels).mean()),
        "pinball_of_constants": float(pinball(labels, np.tile(constants, (len(labels), 1)), levels).mean()),
        "mae": float(np.abs(quantiles[:, middle_of(levels)] - labels).mean()),
        "coverage": float(is_within.mean()),
        "coverage_stated": stated,
        "coverage_error": float(abs(is_within.mean() - stated)),
        "width": float(width(quantiles).mean()),
        "calibration_error": quantile_calibration_error(labels, quantiles, levels),
    }


def pinball(labels: Floats, quantiles: Floats, levels: Sequence[float]) -> Floats:
    """Give each row's pinball loss, (n_rows,): the mean over its quantiles."""
    above = labels[:, np.newaxis] - quantiles
    taus = np.asarray(levels, np.float64)
    return np.asarray(np.maximum(taus * above, (taus - 1) * above).mean(axis=1), np.float64)


def within(labels: Floats, quantiles: Floats) -> Floats:
    """Give 1 for each row whose label lies between the outermost quantiles, or on one; else 0."""
    return np.asarray((labels >= quantiles[:, 0]) & (labels <= quantiles[:, -1]), np.float64)


def width(quantiles: Floats) -> Floats:
    """Give how far the outermost quantiles of each row are apart."""
    return np.asarray(quantiles[:, -1] - quantiles[:, 0], np.float64)


def quantile_calibration(labels: Floats, quantiles: Floats, levels: Sequence[float]) -> list[dict[str, Any]]:
    """Give of each quantile what it states and the share of labels up to it, with its pinball loss."""
    return [
        {
            "quantile": level,
            "n_rows": len(labels),
            "predicted": level,
            "observed": float((labels <= quantiles[:, place]).mean()),
            "pinball": float(pinball(labels, quantiles[:, [place]], [level]).mean()),
        }
        for place, level in enumerate(levels)
    ]


def quantile_calibration_error(labels: Floats, quantiles: Floats, levels: Sequence[float]) -> float:
    """Give the mean over the quantiles of how far the share of labels up to each is from what it states."""
    reached = (labels[:, np.newaxis] <= quantiles).mean(axis=0)
    return float(np.abs(reached - np.asarray(levels)).mean())
