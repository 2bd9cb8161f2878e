"""Forests, single trees and gradient boosting of scikit-learn agree in every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

from jobs.scoring import check_parity, compile_model, estimator_scorer
from tests.scoring.models import fitted, outcome, random_rows
from warehouse.errors import ScoringFailed


def assert_same_predictions(estimator: Any, rows: pa.Table, kind: str = "bitvector") -> None:
    names = rows.column_names
    scorer = compile_model(estimator, names)
    assert scorer.kind.startswith(kind), scorer.why
    report = check_parity(scorer, estimator, rows)
    assert report.equal, report.difference
    assert report.rows > rows.num_rows
    reference = estimator_scorer(estimator, names)
    np.testing.assert_array_equal(scorer.predict(rows), reference.predict(rows))


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("forest", [RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier])
def test_classifiers(forest: Any, classes: int, missing: float) -> None:
    rows = random_rows(1500, 4, missing=missing)
    model = forest(max_leaf_nodes=20, random_state=1)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=classes)), rows)


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("forest", [RandomForestRegressor, ExtraTreesRegressor, DecisionTreeRegressor])
def test_regressors(forest: Any, float32: bool) -> None:
    rows = random_rows(1500, 4, missing=0.0, float32=float32)
    model = forest(max_leaf_nodes=40, random_state=1)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=0)), rows)


@pytest.mark.parametrize("float32", [False, True])
def test_unpruned_trees_are_walked(float32: bool) -> None:
    rows = random_rows(6000, 4, missing=0.1, float32=float32)
    noise = np.random.default_rng(1).integers(0, 2, rows.num_rows)
    model = RandomForestClassifier(n_estimators=7, random_state=1)
    assert_same_predictions(fitted(model, rows, noise), rows, "traversal")
    single = ExtraTreeClassifier(random_state=1)
    assert_same_predictions(fitted(single, rows, noise), rows, "traversal")


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("init", [None, "zero", DummyClassifier(strategy="most_frequent")])
def test_gradient_boosting_classifiers(init: Any, classes: int) -> None:
    rows = random_rows(1500, 4, missing=0.0)
    model = GradientBoostingClassifier(n_estimators=12, init=init, random_state=1)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=classes)), rows)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
def test_gradient_boosting_regressors(loss: str) -> None:
    rows = random_rows(1500, 4, missing=0.0)
    model = GradientBoostingRegressor(n_estimators=12, loss=loss, random_state=1)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=0)), rows)


def test_what_cannot_be_exact_scores_itself_with_the_reason() -> None:
    rows = random_rows(500, 3, missing=0.0)
    model = GradientBoostingClassifier(n_estimators=3, init=LogisticRegression())
    scorer = compile_model(fitted(model, rows, outcome(rows)), rows.column_names)
    assert scorer.kind == "estimator"
    assert "LogisticRegression" in scorer.why
    two = np.stack([outcome(rows, classes=0), outcome(rows, classes=0, seed=1)], axis=1)
    scorer = compile_model(fitted(RandomForestRegressor(3), rows, two), rows.column_names)
    assert scorer.kind == "estimator"
    assert "2 outputs" in scorer.why


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.5e38, -1e300])
def test_values_that_the_estimator_refuses_are_refused(value: float) -> None:
    rows = random_rows(500, 2, missing=0.0)
    model = fitted(GradientBoostingRegressor(n_estimators=3), rows, outcome(rows, classes=0))
    scorer = compile_model(model, rows.column_names)
    with pytest.raises(ScoringFailed, match="x1"):
        scorer.predict(rows.set_column(1, "x1", pa.array([0.0] * 499 + [value])))
