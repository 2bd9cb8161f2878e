"""Contributions are those that the libraries give themselves, and shap's where it is installed (`pip install shap`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.scoring import compile_model
from jobs.scoring.reasons.explainer import Explainer
from jobs.scoring.reasons.players import make_players

NAMES = list("abcdef")


def rows_and_target(missing: float = 0.1) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 6))
    target = (rows[:, 0] + rows[:, 1] * rows[:, 2] + rng.normal(size=600) > 0).astype(int)
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows, target


def explained(model: Any, rows: Any) -> tuple[Explainer, Any]:
    batch = pa.table([pa.array(np.ascontiguousarray(column)) for column in rows.T], names=NAMES)
    explainer = Explainer(compile_model(model, NAMES), make_players(NAMES), batch, at_rate=True)
    return explainer, explainer.explain(batch)


def test_those_of_lightgbm_are_its_own() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rows, target = rows_and_target()
    model = lightgbm.LGBMClassifier(n_estimators=30, num_leaves=15, verbose=-1, n_jobs=1).fit(rows, target)
    expected = model.booster_.predict(rows, pred_contrib=True)
    explainer, given = explained(model, rows)
    np.testing.assert_allclose(given, expected[:, :-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(explainer.base, expected[:, -1], rtol=0, atol=1e-10)


def test_those_of_categorical_splits_and_of_infinities_are_lightgbms() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rows, target = rows_and_target()
    rng = np.random.default_rng(1)
    rows[:, 4], rows[:, 5] = rng.integers(0, 3, len(rows)), rng.integers(0, 12, len(rows))
    rows[::7, 5], rows[::11, 0], rows[1::11, 1] = np.nan, np.inf, -np.inf
    target = target ^ (np.nan_to_num(rows[:, 5]) % 3 == 1)
    model = lightgbm.LGBMClassifier(n_estimators=30, num_leaves=15, min_child_samples=3, verbose=-1, n_jobs=1)
    model.fit(rows, target, categorical_feature=[4, 5])
    assert model.booster_.trees_to_dataframe()["decision_type"].eq("==").any(), "no split by categories"
    rows[:5, 5] = 99
    expected = model.booster_.predict(rows, pred_contrib=True)
    explainer, given = explained(model, rows)
    np.testing.assert_allclose(given, expected[:, :-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(explainer.base, expected[:, -1], rtol=0, atol=1e-10)
    assert explainer.explain(pa.table({name: pa.array([], pa.float64()) for name in NAMES})).shape == (0, 6)


def of_classes(model: Any, rows: Any) -> tuple[Explainer, Any, Any]:
    """Explain each row by the class that is predicted of it; give these classes too."""
    batch = pa.table([pa.array(np.ascontiguousarray(column)) for column in rows.T], names=NAMES)
    explainer = Explainer(compile_model(model, NAMES), make_players(NAMES), batch, at_rate=True, by_class=True)
    said = model.predict(rows).astype(np.int64)
    assert explainer.check([batch])[1] < 1e-9
    return explainer, explainer.explain(batch, said), said


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_of_several_classes_are_explained_by_the_one_predicted_as_lightgbm_does(n_classes: int) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rows, target = rows_and_target()
    target = target + (np.nan_to_num(rows[:, 3]) > 0.5) if n_classes == 3 else target
    model = lightgbm.LGBMClassifier(n_estimators=15, num_leaves=9, verbose=-1, n_jobs=1).fit(rows, target)
    expected = model.booster_.predict(rows, pred_contrib=True).reshape(len(rows), -1, len(NAMES) + 1)
    if n_classes == 2:
        # LightGBM gives one number, of the second class; the first's is its opposite.
        expected = np.concatenate([-expected, expected], axis=1)
    explainer, given, said = of_classes(model, rows)
    assert len(np.unique(said)) == n_classes
    own = expected[np.arange(len(rows)), said]
    np.testing.assert_allclose(given, own[:, :-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(np.array(explainer.bases)[said], own[:, -1], rtol=0, atol=1e-10)


def test_rows_of_several_classes_add_up_for_linear_models_forests_and_calibrated_ones() -> None:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    rows, target = rows_and_target(missing=0)
    target = target + (rows[:, 3] > 0.5)
    forest = ExtraTreesClassifier(n_estimators=5, max_depth=4, random_state=0)
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=2)
    for model in (LogisticRegression(), forest, calibrated):
        explainer, given, said = of_classes(model.fit(rows, target), rows)
        assert len(explainer.bases) == 3
        if isinstance(model, ExtraTreesClassifier):
            np.testing.assert_allclose(
                explainer.raw_of(given, said), model.predict_proba(rows).max(axis=1), rtol=0, atol=1e-12
            )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_calibrated_model_has_the_mean_of_its_classifiers_contributions() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.calibration import CalibratedClassifierCV

    rows, target = rows_and_target()
    model = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=7, verbose=-1, n_jobs=1)
    calibrated = CalibratedClassifierCV(model, method="isotonic", cv=3).fit(rows, target)
    parts = [part.estimator.booster_.predict(rows, pred_contrib=True) for part in calibrated.calibrated_classifiers_]
    expected = np.mean(parts, axis=0)
    explainer, given = explained(calibrated, rows)
    np.testing.assert_allclose(given, expected[:, :-1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(explainer.base, expected[:, -1], rtol=0, atol=1e-10)


def test_those_of_xgboost_are_its_own_as_far_as_float32_goes() -> None:
    xgboost = pytest.importorskip("xgboost")
    rows, target = rows_and_target()
    model = xgboost.XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1).fit(rows, target)
    expected = model.get_booster().predict(xgboost.DMatrix(rows), pred_contribs=True)
    explainer, given = explained(model, rows)
    np.testing.assert_allclose(given, expected[:, :-1], rtol=0, atol=1e-4)
    np.testing.assert_allclose(explainer.base, expected[:, -1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    [
        "HistGradientBoostingClassifier",
        "GradientBoostingClassifier",
        "RandomForestClassifier",
        "ExtraTreesClassifier",
        "RandomForestRegressor",
        "HistGradientBoostingRegressor",
    ],
)
def test_those_of_scikit_learn_are_shaps(name: str) -> None:
    shap = pytest.importorskip("shap")
    import sklearn.ensemble

    rows, target = rows_and_target(missing=0.1 if name.startswith("Hist") else 0.0)
    settings = {"max_iter": 20} if name.startswith("Hist") else {"n_estimators": 10, "max_depth": 6}
    model = getattr(sklearn.ensemble, name)(random_state=0, **settings).fit(rows, target)
    expected = np.asarray(shap.TreeExplainer(model).shap_values(rows, check_additivity=False))
    expected = expected[..., 1] if expected.ndim == 3 else expected
    _, given = explained(model, rows)
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-10)
