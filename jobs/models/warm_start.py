"""Stateful training: an estimator that has learnt goes on with rows that it has not seen, where that is sound.

Each kind has one function, in plain sight. Histogram gradient boosting is not among them: scikit-learn documents its
`warm_start` for the same data only, the bins and the score that it continues from belong to the rows of the first
fit, and continued on new rows it was measured to be much worse than either version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse.errors import RunFailed, UsageError

Floats = npt.NDArray[np.float64]
#: From a fitted model, new rows, their labels, and how many they are for each row that it has learnt from.
Continue = Callable[[Any, Any, Floats, float], Any]

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
    if name.startswith("HistGradientBoosting"):
        raise UsageError(f"{_REASON}.")
    way = WAYS.get(name) or (_partial_fit if hasattr(model, "partial_fit") else None)
    if way is None:
        raise UsageError(
            f"{name} cannot be continued: it has no partial_fit, and is none of {', '.join(WAYS)}. Train a stateless"
            " version."
        )
    try:
        return way(model, rows, labels, share)
    except (ValueError, TypeError, AttributeError) as error:
        raise RunFailed(f"{name} could not go on with the new rows: {error}. Train a stateless version.") from error


def _more(n_trees: int, share: float) -> int:
    return max(1, round(n_trees * share))


def _partial_fit(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    return model.partial_fit(rows, labels)


def _more_trees_of_a_forest(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    """Grow trees on the new rows beside those that are there; each votes alike."""
    model.set_params(warm_start=True, n_estimators=model.n_estimators + _more(model.n_estimators, share))
    fitted = model.fit(rows, labels)
    return fitted.set_params(warm_start=False)


def _boost_from_predictions(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    """Boost on from what the model says; it stays inside, frozen, as what the new one begins with."""
    from sklearn.base import clone
    from sklearn.frozen import FrozenEstimator

    following = clone(model).set_params(init=FrozenEstimator(model), n_estimators=_more(model.n_estimators, share))
    return following.fit(rows, labels)


def _boost_lightgbm(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    from lightgbm import Booster
    from sklearn.base import clone

    following = clone(model).set_params(n_estimators=_more(model.booster_.num_trees(), share))
    following.fit(rows, labels, init_model=model.booster_)
    # Without what it was begun with, which its trees include; it could not be stored.
    following._Booster = Booster(model_str=following.booster_.model_to_string())
    return following


def _boost_xgboost(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    from sklearn.base import clone

    booster = model.get_booster()
    following = clone(model).set_params(n_estimators=_more(booster.num_boosted_rounds(), share))
    return following.fit(rows, labels, xgb_model=booster)


#: By class name. What has `partial_fit` (SGD, naive Bayes, MLP, ...) goes on with that.
WAYS: dict[str, Continue] = {
    "RandomForestClassifier": _more_trees_of_a_forest,
    "RandomForestRegressor": _more_trees_of_a_forest,
    "ExtraTreesClassifier": _more_trees_of_a_forest,
    "ExtraTreesRegressor": _more_trees_of_a_forest,
    "GradientBoostingClassifier": _boost_from_predictions,
    "GradientBoostingRegressor": _boost_from_predictions,
    "LGBMClassifier": _boost_lightgbm,
    "LGBMRegressor": _boost_lightgbm,
    "XGBClassifier": _boost_xgboost,
    "XGBRegressor": _boost_xgboost,
}
