"""Pipelines compile whole: encoders, imputers and scalers before trees, linear and calibrated models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from jobs.scoring import check_parity, compile_model, estimator_input, estimator_scorer
from tests.scoring.models import fitted, outcome, random_rows
from warehouse.errors import ScoringFailed


def assert_agrees(estimator: Any, rows: pa.Table, kind: str = "bitvector") -> None:
    names = rows.column_names
    scorer = compile_model(estimator, names)
    assert scorer.kind.startswith(kind), scorer.why
    report = check_parity(scorer, estimator, rows)
    assert report.equal, report.difference
    assert report.rows > rows.num_rows
    found, expected = scorer.predict(rows), estimator_scorer(estimator, names).predict(rows)
    assert found.dtype == expected.dtype
    if report.tolerance_ulp == 0:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert scorer.predict(rows.slice(0, 0)).shape == (0, *expected.shape[1:])


def trees() -> Any:
    return HistGradientBoostingClassifier(max_iter=12, random_state=1)


SCALERS = [StandardScaler(), MinMaxScaler(clip=True), MaxAbsScaler(), RobustScaler(), MinMaxScaler((-3, 7))]


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("scaler", SCALERS, ids=lambda scaler: type(scaler).__name__)
def test_scalers_before_trees(scaler: Any, float32: bool) -> None:
    rows = random_rows(1500, 4, float32=float32)
    assert_agrees(fitted(make_pipeline(scaler, trees()), rows, outcome(rows)), rows)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("indicator", [False, True])
def test_imputers_before_a_forest(strategy: str, indicator: bool) -> None:
    rows = random_rows(1500, 4)
    fill = -7.5 if strategy == "constant" else None
    imputer = SimpleImputer(strategy=strategy, fill_value=fill, add_indicator=indicator)
    forest = RandomForestClassifier(n_estimators=8, max_leaf_nodes=30, random_state=1)
    assert_agrees(fitted(make_pipeline(imputer, forest), rows, outcome(rows)), rows)


def test_steps_one_after_another() -> None:
    rows = random_rows(1500, 4, float32=True)
    steps = make_pipeline(SimpleImputer(), StandardScaler(), make_pipeline(MinMaxScaler(), RobustScaler()), trees())
    assert_agrees(fitted(steps, rows, outcome(rows)), rows)


def side_by_side(text: Any, numbers: Any, model: Any, remainder: str = "drop") -> Pipeline:
    parts = ColumnTransformer([("text", text, ["t0", "t1"]), ("numbers", numbers, ["x0", "x1"])], remainder=remainder)
    return Pipeline([("parts", parts), ("model", model)])


@pytest.mark.parametrize("remainder", ["drop", "passthrough"])
@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
@pytest.mark.parametrize("sparse", [False, True])
def test_one_hot_encoder_beside_scaled_numbers(drop: str | None, sparse: bool, remainder: str) -> None:
    rows = random_rows(1500, 3, 2)
    encoder = OneHotEncoder(handle_unknown="ignore", drop=drop, sparse_output=sparse)
    pipeline = side_by_side(encoder, StandardScaler(), trees(), remainder)
    pipeline.set_params(parts__sparse_threshold=0)
    assert_agrees(fitted(pipeline, rows, outcome(rows)), rows)


def test_imputed_text_then_codes() -> None:
    rows = random_rows(1500, 3, 2)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    text = make_pipeline(SimpleImputer(missing_values=None, strategy="most_frequent"), encoder)
    assert_agrees(fitted(side_by_side(text, "passthrough", trees()), rows, outcome(rows)), rows)


def test_codes_that_are_scaled() -> None:
    rows = random_rows(1500, 3, 2)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    text = make_pipeline(encoder, StandardScaler())
    assert_agrees(fitted(side_by_side(text, SimpleImputer(), trees()), rows, outcome(rows)), rows)


def test_numbers_as_categories() -> None:
    rows = random_rows(1500, 1).append_column("kind", pa.array(np.random.default_rng(0).integers(0, 9, 1500) / 4))
    for encoder in (OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder()):
        parts = ColumnTransformer([("kind", encoder, ["kind"])], remainder="passthrough", sparse_threshold=0)
        assert_agrees(fitted(Pipeline([("parts", parts), ("model", trees())]), rows, outcome(rows)), rows)


def test_an_unknown_category_is_refused_where_the_encoder_refuses_it() -> None:
    rows = random_rows(600, 2, 2, missing=0.0)
    for encoder in (OrdinalEncoder(), OneHotEncoder(sparse_output=False)):
        pipeline = fitted(side_by_side(encoder, "passthrough", trees()), rows, outcome(rows))
        assert_agrees(pipeline, rows)
        strange = rows.set_column(2, "t0", pa.array(["oak"] * 599 + ["palm"]))
        with pytest.raises(ScoringFailed, match=r"'palm'.*'t0'"):
            compile_model(pipeline, rows.column_names).predict(strange)


@pytest.mark.parametrize(
    "model", [LinearRegression(), Ridge(), ElasticNet(0.01)], ids=lambda model: type(model).__name__
)
def test_linear_regression(model: Any) -> None:
    rows = random_rows(1500, 4, missing=0.0)
    assert_agrees(fitted(model, rows, outcome(rows, classes=0)), rows, "linear")


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_with_everything_before_it(classes: int) -> None:
    rows = random_rows(1500, 3, 2)
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    model = LogisticRegression(max_iter=500)
    pipeline = side_by_side(OneHotEncoder(handle_unknown="ignore", sparse_output=False), numbers, model)
    assert_agrees(fitted(pipeline, rows, outcome(rows, classes=classes)), rows, "linear")


def test_linear_models_refuse_what_the_estimator_refuses() -> None:
    rows = random_rows(300, 2, missing=0.0)
    scorer = compile_model(fitted(LinearRegression(), rows, outcome(rows, classes=0)), rows.column_names)
    for value in (None, np.nan, np.inf):
        with pytest.raises(ScoringFailed, match="'x1' in row 7"):
            scorer.predict(rows.set_column(1, "x1", pa.array([0.0] * 7 + [value] + [0.0] * 292)))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("ensemble", [False, True])
def test_calibrated_trees(method: str, ensemble: bool, classes: int) -> None:
    rows = random_rows(1500, 3)
    model = CalibratedClassifierCV(trees(), method=method, ensemble=ensemble, cv=2)
    assert_agrees(fitted(model, rows, outcome(rows, classes=classes)), rows)


def test_calibrated_forests_and_pipelines() -> None:
    rows = random_rows(1500, 3)
    forest = make_pipeline(SimpleImputer(), RandomForestClassifier(5, max_leaf_nodes=12, random_state=0))
    calibrated = CalibratedClassifierCV(forest, cv=2)
    assert_agrees(fitted(calibrated, rows, outcome(rows)), rows)
    frame = estimator_input(rows, rows.column_names)
    prefit = CalibratedClassifierCV(FrozenEstimator(fitted(trees(), rows, outcome(rows))))
    assert_agrees(prefit.fit(frame, outcome(rows)), rows)


def test_what_is_not_understood_scores_itself_with_the_reason() -> None:
    rows = random_rows(400, 3, missing=0.0)
    for estimator, reason in (
        (make_pipeline(PCA(2), trees()), "PCA"),
        (KNeighborsClassifier(), "KNeighborsClassifier"),
        (make_pipeline(StandardScaler().set_output(transform="polars"), trees()), "frames"),
        (make_pipeline(OneHotEncoder(max_categories=3, sparse_output=False), trees()), "infrequent"),
    ):
        scorer = compile_model(fitted(estimator, rows, outcome(rows)), rows.column_names)
        assert scorer.kind == "estimator"
        assert reason in scorer.why
        np.testing.assert_array_equal(
            scorer.predict(rows), estimator.predict_proba(estimator_input(rows, rows.column_names))
        )


def test_regressors_behind_a_pipeline_give_their_raw_prediction() -> None:
    rows = random_rows(800, 3)
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=10)
    pipeline = fitted(make_pipeline(StandardScaler(), model), rows, np.exp(outcome(rows, classes=0) / 4))
    assert_agrees(pipeline, rows)
    scorer = compile_model(pipeline, rows.column_names)
    np.testing.assert_allclose(np.exp(scorer.raw(rows)), scorer.predict(rows))


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_coefficient_that_is_a_little_off_is_found(calibrated: bool) -> None:
    rows = random_rows(800, 3, missing=0.0)
    model = LogisticRegression()
    estimator = CalibratedClassifierCV(model, cv=2) if calibrated else model
    fitted(estimator, rows, outcome(rows))
    scorer = compile_model(estimator, rows.column_names)
    assert check_parity(scorer, estimator, rows).equal
    linear = estimator.calibrated_classifiers_[0].estimator if calibrated else estimator
    linear.coef_ = linear.coef_ * (1 + 1e-13)
    report = check_parity(scorer, estimator, rows)
    assert not report.equal
    assert report.tolerance_ulp == 8
