"""Whatever the data and the model: what is compiled agrees with the estimator in every bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn import ensemble, linear_model, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

from jobs.models.quantile_models import ConformalQuantiles, QuantileModels
from jobs.scoring import check_parity, compile_model, estimator_input, estimator_scorer
from tests.scoring.models import almanac_pipeline, fitted

EXAMPLES = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def numbers(draw: st.DrawFn, n_rows: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A column: smooth, coarse, constant, heavy-tailed, tiny, huge or whole, some of it around zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.sampled_from(["normal", "coarse", "constant", "cauchy", "tiny", "huge", "whole", "zeros"]))
    drawn = rng.normal(size=n_rows)
    return {
        "normal": drawn,
        "coarse": drawn.round(1),
        "constant": np.full(n_rows, 3.25),
        "cauchy": rng.standard_cauchy(n_rows),
        "tiny": drawn * 1e-36,
        "huge": drawn * 1e30,
        "whole": rng.integers(-3, 300, n_rows).astype(np.float64),
        "zeros": np.where(rng.random(n_rows) < 0.7, rng.choice([0.0, -0.0], n_rows), drawn),
    }[shape]


@st.composite
def tables(draw: st.DrawFn, *, missing: bool, texts: bool = False) -> tuple[pa.Table, Any]:
    """Rows, and a number for each that depends on them."""
    n_rows = draw(st.integers(30, 400))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    float32 = draw(st.booleans())
    columns: dict[str, pa.Array] = {}
    score = rng.normal(size=n_rows)
    # One float32 column alone reaches scikit-learn as memory that it may not write, which some of it cannot take.
    for place in range(draw(st.integers(2, 5))):
        values = draw(numbers(n_rows))
        score = score + np.argsort(np.argsort(values)) / n_rows
        if missing:
            values = np.where(rng.random(n_rows) < 0.1, np.nan, values)
        nulls = rng.random(n_rows) < 0.1 if missing and draw(st.booleans()) else np.zeros(n_rows, np.bool_)
        columns[f"x{place}"] = pa.array(values.astype(np.float32) if float32 else values, mask=nulls)
    if texts:
        words = rng.choice(["a", "b", "c", "", "?", "émeu"], n_rows)
        score = score + (words == "b")
        columns["t0"] = pa.array(words, mask=rng.random(n_rows) < 0.1)
    return pa.table(columns), score


def classes_of(score: Any, n_classes: int) -> Any:
    return np.digitize(score, np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1]))


def assert_agrees(estimator: Any, rows: pa.Table) -> None:
    scorer = compile_model(estimator, rows.column_names)
    assert scorer.kind != "estimator", scorer.why
    report = check_parity(scorer, estimator, rows)
    assert report.equal, report.difference
    assert report.rows >= rows.num_rows
    if report.tolerance_ulp == 0:
        reference = estimator_scorer(estimator, rows.column_names)
        np.testing.assert_array_equal(scorer.predict(rows), reference.predict(rows))


def _lightgbm(**parameters: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=2, verbose=-1, n_jobs=1, **parameters)


def _xgboost(**parameters: Any) -> Any:
    return pytest.importorskip("xgboost").XGBClassifier(n_estimators=5, n_jobs=1, **parameters)


def _lightgbm_regressor(**parameters: Any) -> Any:
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMRegressor(
        objective="quantile", n_estimators=4, min_child_samples=2, verbose=-1, n_jobs=1, **parameters
    )


def _xgboost_regressor(**parameters: Any) -> Any:
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBRegressor(objective="reg:quantileerror", n_estimators=4, n_jobs=1, **parameters)


TAKE_MISSING: dict[str, Callable[[int, int], Any]] = {
    "hist": lambda leaves, seed: ensemble.HistGradientBoostingClassifier(
        max_iter=5, max_leaf_nodes=leaves, min_samples_leaf=1, random_state=seed
    ),
    "forest": lambda leaves, seed: ensemble.RandomForestClassifier(5, max_leaf_nodes=leaves, random_state=seed),
    "extra": lambda leaves, seed: ensemble.ExtraTreesClassifier(5, max_leaf_nodes=leaves, random_state=seed),
    "tree": lambda leaves, seed: tree.DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=seed),
    "xgboost": lambda leaves, seed: _xgboost(max_leaves=leaves, max_depth=0, tree_method="hist", seed=seed),
    "lightgbm": lambda leaves, seed: _lightgbm(num_leaves=leaves, random_state=seed, zero_as_missing=seed % 2 == 0),
}
REFUSE_MISSING: dict[str, Callable[[int, int], Any]] = {
    "gradient boosting": lambda leaves, seed: ensemble.GradientBoostingClassifier(
        n_estimators=5, max_depth=None, max_leaf_nodes=leaves, random_state=seed
    ),
}
QUANTILES: dict[str, Callable[[int, int], tuple[Any, str]]] = {
    "hist": lambda leaves, seed: (
        ensemble.HistGradientBoostingRegressor(
            loss="quantile", max_iter=4, max_leaf_nodes=leaves, min_samples_leaf=1, random_state=seed
        ),
        "quantile",
    ),
    "gradient boosting": lambda leaves, seed: (
        ensemble.GradientBoostingRegressor(
            loss="quantile", n_estimators=3, max_depth=None, max_leaf_nodes=leaves, random_state=seed
        ),
        "alpha",
    ),
    "lightgbm": lambda leaves, seed: (_lightgbm_regressor(num_leaves=leaves, random_state=seed), "alpha"),
    "xgboost": lambda leaves, seed: (_xgboost_regressor(max_leaves=leaves, max_depth=0, seed=seed), "quantile_alpha"),
}
LINEAR: dict[str, Callable[[float], Any]] = {
    "least squares": lambda strength: linear_model.LinearRegression(),
    "ridge": lambda strength: linear_model.Ridge(strength),
    "lasso": lambda strength: linear_model.Lasso(strength / 100, tol=1e-2),
    "elastic net": lambda strength: linear_model.ElasticNet(strength / 100, tol=1e-2),
}
REGRESSORS: dict[str, Callable[[int, int], Any]] = {
    "hist": lambda leaves, seed: ensemble.HistGradientBoostingRegressor(
        max_iter=5, max_leaf_nodes=leaves, min_samples_leaf=1, random_state=seed
    ),
    "forest": lambda leaves, seed: ensemble.RandomForestRegressor(5, max_leaf_nodes=leaves, random_state=seed),
    "extra": lambda leaves, seed: ensemble.ExtraTreesRegressor(5, max_leaf_nodes=leaves, random_state=seed),
    "tree": lambda leaves, seed: tree.DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=seed),
    "gradient boosting": lambda leaves, seed: ensemble.GradientBoostingRegressor(
        n_estimators=5, max_depth=None, max_leaf_nodes=leaves, random_state=seed
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", TAKE_MISSING)
@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 90), seed=st.integers(0, 99), n_classes=st.integers(2, 4))
def test_classifiers_that_take_missing_values(
    name: str, data: st.DataObject, leaves: int, seed: int, n_classes: int
) -> None:
    rows, score = data.draw(tables(missing=True))
    assert_agrees(fitted(TAKE_MISSING[name](leaves, seed), rows, classes_of(score, n_classes)), rows)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", REFUSE_MISSING)
@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 90), seed=st.integers(0, 99), n_classes=st.integers(2, 4))
def test_classifiers_that_refuse_missing_values(
    name: str, data: st.DataObject, leaves: int, seed: int, n_classes: int
) -> None:
    rows, score = data.draw(tables(missing=False))
    assert_agrees(fitted(REFUSE_MISSING[name](leaves, seed), rows, classes_of(score, n_classes)), rows)


@pytest.mark.parametrize("name", REGRESSORS)
@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 90), seed=st.integers(0, 99))
def test_regressors(name: str, data: st.DataObject, leaves: int, seed: int) -> None:
    rows, score = data.draw(tables(missing=False))
    assert_agrees(fitted(REGRESSORS[name](leaves, seed), rows, score), rows)


@pytest.mark.parametrize("name", QUANTILES)
@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 60), seed=st.integers(0, 99))
def test_one_model_for_each_quantile(name: str, data: st.DataObject, leaves: int, seed: int) -> None:
    rows, score = data.draw(tables(missing=False))
    model, parameter = QUANTILES[name](leaves, seed)
    assert_agrees(fitted(QuantileModels(model, [0.05, 0.5, 0.9], parameter), rows, score), rows)


@pytest.mark.parametrize("name", REGRESSORS)
@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 60), seed=st.integers(0, 99))
def test_intervals_beside_one_model(name: str, data: st.DataObject, leaves: int, seed: int) -> None:
    rows, score = data.draw(tables(missing=False))
    pages = np.datetime64("2026-01-01", "us") + np.arange(rows.num_rows) // 10 * np.timedelta64(1, "D")
    model = ConformalQuantiles(REGRESSORS[name](leaves, seed), [0.45, 0.5, 0.55])
    frame = estimator_input(rows, rows.column_names)
    assume(len(score) >= 100)
    assert_agrees(model.fit(frame, score, pages), rows)


@pytest.mark.parametrize("name", ["hist", "lightgbm", "xgboost"])
@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 40), seed=st.integers(0, 99), unknown=st.sampled_from([-1, np.nan]))
def test_the_pipeline_that_training_makes(
    name: str, data: st.DataObject, leaves: int, seed: int, unknown: float
) -> None:
    rows, score = data.draw(tables(missing=True, texts=True))
    model = TAKE_MISSING[name](leaves, seed)
    if name == "hist":
        model.set_params(categorical_features=[0])
    assert_agrees(fitted(almanac_pipeline(rows, model, unknown), rows, classes_of(score, 2)), rows)


@EXAMPLES
@given(data=st.data(), leaves=st.integers(2, 40), seed=st.integers(0, 99))
def test_scaled_and_imputed_columns(data: st.DataObject, leaves: int, seed: int) -> None:
    rows, score = data.draw(tables(missing=True))
    for before in (StandardScaler(), make_pipeline(SimpleImputer(add_indicator=True), RobustScaler())):
        pipeline = make_pipeline(before, TAKE_MISSING["hist"](leaves, seed))
        assert_agrees(fitted(pipeline, rows, classes_of(score, 2)), rows)


def encoded(rows: pa.Table, model: Any) -> Any:
    """A linear model behind what it needs: numbers imputed and scaled, text one column a category."""
    texts = [name for name in rows.column_names if pa.types.is_string(rows.schema.field(name).type)]
    numbers = [name for name in rows.column_names if name not in texts]
    parts = [("numbers", make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), numbers)]
    if texts:
        parts.append(("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts))
    return make_pipeline(ColumnTransformer(parts), model)


def logistic(strength: float) -> Any:
    return linear_model.LogisticRegression(C=strength, max_iter=100, tol=1e-2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::scipy.linalg.LinAlgWarning")
@pytest.mark.parametrize("name", LINEAR)
@EXAMPLES
@given(data=st.data(), strength=st.floats(0.01, 10), texts=st.booleans())
def test_linear_models(name: str, data: st.DataObject, strength: float, texts: bool) -> None:
    rows, score = data.draw(tables(missing=texts, texts=texts))
    assert_agrees(fitted(encoded(rows, LINEAR[name](strength)), rows, score), rows)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_classes", [2, 3, 4])
@EXAMPLES
@given(data=st.data(), strength=st.floats(0.01, 10), texts=st.booleans())
def test_logistic_models(n_classes: int, data: st.DataObject, strength: float, texts: bool) -> None:
    rows, score = data.draw(tables(missing=texts, texts=texts))
    assert_agrees(fitted(encoded(rows, logistic(strength)), rows, classes_of(score, n_classes)), rows)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("inner", ["trees", "logistic"])
@settings(EXAMPLES, max_examples=6)
@given(data=st.data(), n_classes=st.integers(2, 3), in_pipeline=st.booleans(), together=st.booleans())
def test_calibrated_models(
    inner: str, method: str, data: st.DataObject, n_classes: int, in_pipeline: bool, together: bool
) -> None:
    """Calibrated over a pipeline, or a pipeline that ends in a calibrated model."""
    rows, score = data.draw(tables(missing=True, texts=True))
    model = TAKE_MISSING["hist"](15, 0) if inner == "trees" else logistic(1.0)
    calibrate = functools.partial(CalibratedClassifierCV, method=method, ensemble=together, cv=2)
    estimator = encoded(rows, calibrate(model)) if in_pipeline else calibrate(encoded(rows, model))
    assert_agrees(fitted(estimator, rows, classes_of(score, n_classes)), rows)
