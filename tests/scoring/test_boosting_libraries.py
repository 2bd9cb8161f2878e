"""XGBoost and LightGBM models agree in every bit, each by its own rules of missing values and zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.scoring import check_parity, compile_model, estimator_input, estimator_scorer
from tests.scoring.models import almanac_pipeline, fitted, outcome, random_rows

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")


def assert_same_predictions(estimator: Any, rows: pa.Table) -> None:
    names = rows.column_names
    scorer = compile_model(estimator, names)
    assert scorer.kind.startswith("bitvector"), scorer.why
    report = check_parity(scorer, estimator, rows)
    assert report.equal, report.difference
    assert report.rows > rows.num_rows
    found, expected = scorer.predict(rows), estimator_scorer(estimator, names).predict(rows)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert scorer.predict(rows.slice(0, 0)).shape == (0, *expected.shape[1:])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("float32", [False, True])
def test_xgboost_classifiers(classes: int, float32: bool) -> None:
    rows = random_rows(2000, 5, float32=float32)
    model = xgboost.XGBClassifier(n_estimators=15, max_depth=6, n_jobs=1)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=classes)), rows)


@pytest.mark.parametrize("objective", ["reg:squarederror", "count:poisson", "reg:gamma", "reg:absoluteerror"])
def test_xgboost_regressors(objective: str) -> None:
    rows = random_rows(2000, 5)
    label = np.exp(outcome(rows, classes=0) / 4)
    model = xgboost.XGBRegressor(n_estimators=15, max_depth=4, objective=objective, n_jobs=1)
    assert_same_predictions(fitted(model, rows, label), rows)


def test_xgboost_forests_and_early_stopping() -> None:
    rows = random_rows(2000, 5)
    model = xgboost.XGBRFClassifier(n_estimators=10, max_depth=5, n_jobs=1)
    assert_same_predictions(fitted(model, rows, outcome(rows)), rows)
    stopping = xgboost.XGBClassifier(n_estimators=40, early_stopping_rounds=3, learning_rate=0.9, n_jobs=1)
    frame = np.random.default_rng(0).normal(size=(400, 5))
    label = np.random.default_rng(1).integers(0, 2, 400)
    stopping.fit(frame[:200], label[:200], eval_set=[(frame[200:], label[200:])], verbose=False)
    assert stopping.best_iteration < 39
    assert_same_predictions(stopping, rows)


def test_xgboost_categories_after_an_encoder() -> None:
    rows = random_rows(3000, 2, 2)
    model = xgboost.XGBClassifier(
        n_estimators=15,
        enable_categorical=True,
        feature_types=["c", "c", "q", "q"],
        max_cat_to_onehot=2,
        n_jobs=1,
    )
    pipeline = almanac_pipeline(rows, model, float("nan"))
    assert_same_predictions(fitted(pipeline, rows, outcome(rows)), rows)


@pytest.mark.parametrize("settings", [{"booster": "dart"}, {"booster": "gblinear"}, {"missing": 0.0}])
def test_xgboost_that_is_not_understood_scores_itself(settings: dict[str, Any]) -> None:
    rows = random_rows(300, 3, missing=0.0)
    model = xgboost.XGBClassifier(n_estimators=3, n_jobs=1, **settings)
    scorer = compile_model(fitted(model, rows, outcome(rows)), rows.column_names)
    assert scorer.kind == "estimator"
    assert "XGBoost" in scorer.why


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("settings", [{}, {"zero_as_missing": True}, {"use_missing": False}])
def test_lightgbm_classifiers(classes: int, settings: dict[str, Any]) -> None:
    rows = random_rows(2000, 5)
    model = lightgbm.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1, **settings)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=classes)), rows)


@pytest.mark.parametrize("objective", ["regression", "poisson", "gamma", "tweedie", "quantile", "huber"])
def test_lightgbm_regressors(objective: str) -> None:
    rows = random_rows(2000, 5)
    label = np.exp(outcome(rows, classes=0) / 4)
    model = lightgbm.LGBMRegressor(n_estimators=15, objective=objective, verbose=-1, n_jobs=1)
    assert_same_predictions(fitted(model, rows, label), rows)


def test_lightgbm_forests_and_one_against_all() -> None:
    rows = random_rows(2000, 5)
    forest = lightgbm.LGBMClassifier(
        n_estimators=9, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, verbose=-1, n_jobs=1
    )
    assert_same_predictions(fitted(forest, rows, outcome(rows)), rows)
    against_all = lightgbm.LGBMClassifier(n_estimators=9, objective="multiclassova", verbose=-1, n_jobs=1)
    assert_same_predictions(fitted(against_all, rows, outcome(rows, classes=3)), rows)


def test_lightgbm_categories_after_an_encoder() -> None:
    rows = random_rows(3000, 2, 2)
    pipeline = almanac_pipeline(rows, lightgbm.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1), -1)
    frame = estimator_input(rows, rows.column_names)
    pipeline.fit(frame, outcome(rows), model__categorical_feature=[0, 1])
    assert_same_predictions(pipeline, rows)


def test_numbers_as_categories_count_by_their_whole_part() -> None:
    rows = random_rows(3000, 2)
    kinds = np.random.default_rng(2).integers(0, 9, 3000).astype(np.float64)
    rows = rows.append_column("kind", pa.array(kinds))
    label = outcome(rows) ^ (kinds % 2 == 0)
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1)
    model.fit(estimator_input(rows, rows.column_names), label, categorical_feature=[2])
    assert_same_predictions(model, rows)
    halves = rows.set_column(2, "kind", pa.array(kinds - 0.5))
    scorer = compile_model(model, rows.column_names)
    np.testing.assert_array_equal(scorer.raw(halves), estimator_scorer(model, rows.column_names).raw(halves))


def test_lightgbm_that_is_not_understood_scores_itself() -> None:
    rows = random_rows(300, 3, missing=0.0)
    model = lightgbm.LGBMRegressor(n_estimators=3, linear_tree=True, verbose=-1, n_jobs=1)
    scorer = compile_model(fitted(model, rows, outcome(rows, classes=0)), rows.column_names)
    assert scorer.kind == "estimator"
    assert "linear" in scorer.why
