"""Stateful training: an estimator that has learnt goes on with rows that it has not seen, where that is sound.

Each kind has one function, in the record of its library (`jobs.models.libraries`). Histogram gradient boosting is not
among them: scikit-learn documents its `warm_start` for the same data only, the bins and the score that it continues
from belong to the rows of the first fit, and continued on new rows it was measured to be much worse than either
version.
"""

from __future__ import annotations

from typing import Any

from jobs.models.libraries import CONTINUES
from jobs.models.libraries.library import Floats
from warehouse.errors import RunFailed, UsageError

_REASON = (
    "histogram gradient boosting cannot be continued: scikit-learn's warm_start is for the same rows only, and on new"
    " ones it was measured to be much worse. Train a stateless version, or take gradient_boosting, lightgbm or xgboost"
)


def require_sound(estimator: str) -> None:
    """Refuse early what is known not to be continued, by its name in product.yaml.

    Raises
    ------
    UsageError
        With the reason.
    """
    if estimator.startswith("hist_gradient_boosting"):
        raise UsageError(f"{_REASON}.")


def continued(estimator: Any, rows: Any, labels: Floats, share: float) -> Any:
    """Let a fitted estimator, or the model at the end of a pipeline, learn new rows; the steps before stay as fitted.

    Parameters
    ----------
    estimator
        As loaded from its artifact; it is changed.
    rows, labels
        What it has not seen, (n_rows, n_features) and (n_rows,).
    share
        How many new rows there are for each that it has learnt from: tree ensembles grow by as much.

    Raises
    ------
    UsageError
        If this kind of model cannot be continued.
    RunFailed
        If it refuses the rows.
    """
    steps = getattr(estimator, "steps", None)
    if steps is None:
        return _continue_model(estimator, rows, labels, share)
    for _, step in steps[:-1]:
        rows = step.transform(rows)
    name, model = steps[-1]
    steps[-1] = (name, _continue_model(model, rows, labels, share))
    return estimator


def _continue_model(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    name = type(model).__name__
    if name == "QuantileModels":
        model.estimators_ = [_continue_model(each, rows, labels, share) for each in model.estimators_]
        return model
    if name.startswith("HistGradientBoosting"):
        raise UsageError(f"{_REASON}.")
    way = CONTINUES.get(name) or (_partial_fit if hasattr(model, "partial_fit") else None)
    if way is None:
        raise UsageError(
            f"{name} cannot be continued: it has no partial_fit, and is none of {', '.join(CONTINUES)}. Train a"
            " stateless version."
        )
    try:
        return way(model, rows, labels, share)
    except (ValueError, TypeError, AttributeError) as error:
        raise RunFailed(f"{name} could not go on with the new rows: {error}. Train a stateless version.") from error


def _partial_fit(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    return model.partial_fit(rows, labels)
