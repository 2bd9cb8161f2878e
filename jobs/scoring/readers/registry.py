"""Which models are understood: what reads their trees, and what reads how a raw prediction becomes a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobs.scoring.kernels.ensemble import Ensemble
from jobs.scoring.kernels.links import Link
from jobs.scoring.readers.hist_gradient import hist_gradient_link, read_hist_gradient_boosting
from jobs.scoring.readers.lightgbm import lightgbm_link, read_lightgbm
from jobs.scoring.readers.onnx import onnx_link, read_onnx
from jobs.scoring.readers.trees import (
    gradient_boosting_link,
    link_as_it_is,
    read_decision_tree,
    read_forest,
    read_gradient_boosting,
)
from jobs.scoring.readers.xgboost import XGBoostLink, read_xgboost, xgboost_link
from jobs.scoring.steps.columns import Block

Reader = Callable[[Any, Block], Ensemble]
ReadLink = Callable[[Any], Link | XGBoostLink]


READERS: dict[tuple[str, str], tuple[Reader, ReadLink]] = {
    ("sklearn", "HistGradientBoostingClassifier"): (read_hist_gradient_boosting, hist_gradient_link),
    ("sklearn", "HistGradientBoostingRegressor"): (read_hist_gradient_boosting, hist_gradient_link),
    ("sklearn", "RandomForestClassifier"): (read_forest, link_as_it_is),
    ("sklearn", "RandomForestRegressor"): (read_forest, link_as_it_is),
    ("sklearn", "ExtraTreesClassifier"): (read_forest, link_as_it_is),
    ("sklearn", "ExtraTreesRegressor"): (read_forest, link_as_it_is),
    ("sklearn", "DecisionTreeClassifier"): (read_decision_tree, link_as_it_is),
    ("sklearn", "DecisionTreeRegressor"): (read_decision_tree, link_as_it_is),
    ("sklearn", "ExtraTreeClassifier"): (read_decision_tree, link_as_it_is),
    ("sklearn", "ExtraTreeRegressor"): (read_decision_tree, link_as_it_is),
    ("sklearn", "GradientBoostingClassifier"): (read_gradient_boosting, gradient_boosting_link),
    ("sklearn", "GradientBoostingRegressor"): (read_gradient_boosting, link_as_it_is),
    ("xgboost", "XGBClassifier"): (read_xgboost, xgboost_link),
    ("xgboost", "XGBRegressor"): (read_xgboost, xgboost_link),
    ("xgboost", "XGBRanker"): (read_xgboost, xgboost_link),
    ("xgboost", "XGBRFClassifier"): (read_xgboost, xgboost_link),
    ("xgboost", "XGBRFRegressor"): (read_xgboost, xgboost_link),
    ("lightgbm", "LGBMClassifier"): (read_lightgbm, lightgbm_link),
    ("lightgbm", "LGBMRanker"): (read_lightgbm, lightgbm_link),
    ("lightgbm", "LGBMRegressor"): (read_lightgbm, lightgbm_link),
}
"""By library and class name: what reads the model's trees, and what reads its link."""

#: The same of formats that no library has estimators for: by the names of our own, which hold such a file.
OF_FORMATS: dict[str, tuple[Reader, ReadLink]] = {
    "jobs.models.libraries.onnx_trees.OnnxClassifier": (read_onnx, onnx_link),
    "jobs.models.libraries.onnx_trees.OnnxRegressor": (read_onnx, onnx_link),
}


def reader_of(model: Any) -> tuple[Reader, ReadLink] | None:
    """Return what reads a model, None if nothing does. Subclasses may predict otherwise, so none is taken."""
    module, name = type(model).__module__, type(model).__name__
    return OF_FORMATS.get(f"{module}.{name}") or READERS.get((module.partition(".")[0], name))
