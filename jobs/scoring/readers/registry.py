"""Which models are understood: what reads their trees, and how a raw prediction becomes what people read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import Floats
from jobs.scoring.kernels.ensemble import Ensemble
from jobs.scoring.readers.hist_gradient import read_hist_gradient_boosting
from jobs.scoring.readers.lightgbm import LightGBMLink, read_lightgbm
from jobs.scoring.readers.trees import read_decision_tree, read_forest, read_gradient_boosting
from jobs.scoring.readers.xgboost import XGBoostLink, read_xgboost
from jobs.scoring.steps.columns import Block

Reader = Callable[[Any, Block], Ensemble]
Link = Callable[[Floats], Floats]


def _hist_probabilities(model: Any) -> Link:
    return lambda raw: np.asarray(model._loss.predict_proba(raw))


def _hist_prediction(model: Any) -> Link:
    return lambda raw: np.asarray(model._loss.link.inverse(raw.ravel()))


def _as_it_is(model: Any) -> Link:
    return (lambda raw: raw) if hasattr(model, "classes_") else np.ravel


def _loss_probabilities(model: Any) -> Link:
    return lambda raw: np.asarray(model._loss.predict_proba(raw.ravel() if raw.shape[1] == 1 else raw))


READERS: dict[tuple[str, str], tuple[Reader, Callable[[Any], Link]]] = {
    ("sklearn", "HistGradientBoostingClassifier"): (read_hist_gradient_boosting, _hist_probabilities),
    ("sklearn", "HistGradientBoostingRegressor"): (read_hist_gradient_boosting, _hist_prediction),
    ("sklearn", "RandomForestClassifier"): (read_forest, _as_it_is),
    ("sklearn", "RandomForestRegressor"): (read_forest, _as_it_is),
    ("sklearn", "ExtraTreesClassifier"): (read_forest, _as_it_is),
    ("sklearn", "ExtraTreesRegressor"): (read_forest, _as_it_is),
    ("sklearn", "DecisionTreeClassifier"): (read_decision_tree, _as_it_is),
    ("sklearn", "DecisionTreeRegressor"): (read_decision_tree, _as_it_is),
    ("sklearn", "ExtraTreeClassifier"): (read_decision_tree, _as_it_is),
    ("sklearn", "ExtraTreeRegressor"): (read_decision_tree, _as_it_is),
    ("sklearn", "GradientBoostingClassifier"): (read_gradient_boosting, _loss_probabilities),
    ("sklearn", "GradientBoostingRegressor"): (read_gradient_boosting, _as_it_is),
    ("xgboost", "XGBClassifier"): (read_xgboost, XGBoostLink),
    ("xgboost", "XGBRegressor"): (read_xgboost, XGBoostLink),
    ("xgboost", "XGBRFClassifier"): (read_xgboost, XGBoostLink),
    ("xgboost", "XGBRFRegressor"): (read_xgboost, XGBoostLink),
    ("lightgbm", "LGBMClassifier"): (read_lightgbm, LightGBMLink),
    ("lightgbm", "LGBMRegressor"): (read_lightgbm, LightGBMLink),
}
"""By library and class name: what reads the model's trees, and what makes its link from raw (n, n_outputs).
"""


def reader_of(model: Any) -> tuple[Reader, Callable[[Any], Link]] | None:
    """Return what reads a model, None if nothing does. Subclasses may predict otherwise, so none is taken."""
    return READERS.get((type(model).__module__.partition(".")[0], type(model).__name__))
