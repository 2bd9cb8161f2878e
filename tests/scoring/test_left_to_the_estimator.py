"""What a reader does not understand is left to the estimator: no model that can predict ends in an error here.

Every model that has a reader is fitted in every odd way that it accepts: no trees, trees without a split, several
targets, several quantiles, labels of one class. What is compiled of them predicts what the estimator does.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from jobs.scoring import compile_model, estimator_scorer
from jobs.scoring.readers import registry
from tests.scoring.models import fitted, outcome, random_rows
from warehouse.errors import ScoringFailed

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

ROWS = random_rows(300, 3, missing=0)
NUMBER = outcome(ROWS, classes=0)
TWO, THREE = outcome(ROWS), outcome(ROWS, classes=3)
#: What is to be predicted: an array (n_rows,) or (n_rows, n_targets).
TARGETS: dict[str, Any] = {
    "number": np.exp(NUMBER / 4),
    "constant": np.full(300, 2.0),
    "two numbers": np.column_stack([NUMBER, -NUMBER]),
    "two classes": TWO,
    "one class": np.zeros(300, int),
    "three classes": THREE,
    "two labels": np.column_stack([TWO, 1 - TWO]),
}
#: Odd settings; a model takes those that it has parameters for.
SETTINGS: dict[str, dict[str, Any]] = {
    "few trees": {"n_estimators": 3, "max_iter": 3, "max_depth": 3},
    "no trees": {"n_estimators": 0},
    "no splits": {"n_estimators": 2, "max_iter": 2, "min_samples_leaf": 299, "min_child_weight": 1e9},
    "quantiles": {"n_estimators": 2, "objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]},
    "one quantile": {"n_estimators": 2, "objective": "reg:quantileerror", "quantile_alpha": [0.5]},
    "vector leaves": {"n_estimators": 2, "multi_strategy": "multi_output_tree", "tree_method": "hist"},
    "hinge": {"n_estimators": 2, "objective": "binary:hinge"},
    "margins": {"n_estimators": 2, "objective": "binary:logitraw"},
    "ranking": {"n_estimators": 2, "objective": "rank:pairwise"},
    "several trees a round": {"n_estimators": 2, "num_parallel_tree": 3},
    "dropping trees": {"n_estimators": 3, "booster": "dart", "boosting_type": "dart"},
    "a forest": {"n_estimators": 3, "boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "linear": {"n_estimators": 2, "booster": "gblinear", "linear_tree": True},
    "no missing values": {"n_estimators": 2, "missing": 0.0},
}


def models() -> dict[str, type]:
    """Give every class that has a reader."""
    import sklearn.ensemble
    import sklearn.tree

    homes = {"sklearn": (sklearn.ensemble, sklearn.tree), "xgboost": (xgboost,), "lightgbm": (lightgbm,)}
    return {
        name: next(getattr(home, name) for home in homes[library] if hasattr(home, name))
        for library, name in registry.READERS
    }


def fitted_models(model: type, setting: str) -> list[tuple[str, Any]]:
    """Fit a model in one odd way to each kind of target that it takes."""
    settings = SETTINGS[setting]
    taken = {*model().get_params(), *_passed_on(model)}
    if setting not in ("few trees", "no splits") and not set(settings) - {"n_estimators"} <= taken:
        return []
    found = []
    for name, target in TARGETS.items():
        try:
            made = model(**{key: value for key, value in settings.items() if key in taken})
            if "n_jobs" in made.get_params():
                made.set_params(n_jobs=1)
            found.append((name, fitted(made, ROWS, target)))
        except (
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            xgboost.core.XGBoostError,
            lightgbm.basic.LightGBMError,
        ):
            continue  # the library itself refuses such a model
    return found


def _passed_on(model: type) -> set[str]:
    return {"linear_tree", "bagging_freq", "bagging_fraction"} if model.__module__.startswith("lightgbm") else set()


@pytest.mark.parametrize("name", models())
def test_a_model_is_compiled_exactly_or_left_to_the_estimator(name: str) -> None:
    tried = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for setting in SETTINGS:
            for target, estimator in fitted_models(models()[name], setting):
                case = f"{name}, {setting}, {target}"
                scorer = compile_model(estimator, ROWS.column_names)
                assert "could not be read" not in scorer.why, f"{case}: {scorer.why}"
                expected = _answer(estimator_scorer(estimator, ROWS.column_names))
                np.testing.assert_array_equal(_answer(scorer), expected, case)
                tried += 1
    assert tried >= 3


def _answer(scorer: Any) -> Any:
    """Give predictions, or None where the model itself refuses."""
    try:
        return scorer.predict(ROWS)
    except (ValueError, ScoringFailed):
        return None


def test_a_reader_that_fails_leaves_the_model_to_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new version of a library would make it, whose format has changed."""

    def read(model: Any, block: Any) -> Any:
        raise KeyError("gbtree_model_param")

    _, link = registry.READERS["xgboost", "XGBRegressor"]
    monkeypatch.setitem(registry.READERS, ("xgboost", "XGBRegressor"), (read, link))
    estimator = fitted(xgboost.XGBRegressor(n_estimators=2, n_jobs=1), ROWS, NUMBER)
    scorer = compile_model(estimator, ROWS.column_names)
    assert scorer.kind == "estimator"
    assert "XGBRegressor could not be read (KeyError: 'gbtree_model_param')" in scorer.why
    np.testing.assert_array_equal(scorer.predict(ROWS), estimator_scorer(estimator, ROWS.column_names).predict(ROWS))
