"""Histogram gradient boosting compiles, with the pipeline before it, and agrees in every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from jobs.scoring import check_parity, compile_model, estimator_input, estimator_scorer, ready_scorer
from tests.scoring.models import almanac_pipeline, fitted, outcome, random_rows
from warehouse.errors import ScoringFailed


def assert_same_predictions(estimator: Any, rows: pa.Table) -> None:
    names = rows.column_names
    scorer = compile_model(estimator, names)
    reference = estimator_scorer(estimator, names)
    assert scorer.kind.startswith("bitvector")
    report = check_parity(scorer, estimator, rows)
    assert report.equal, report.difference
    assert report.rows > rows.num_rows
    np.testing.assert_array_equal(scorer.predict(rows), reference.predict(rows))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("float32", [False, True])
def test_classifiers(classes: int, float32: bool) -> None:
    rows = random_rows(3000, 6, float32=float32)
    model = HistGradientBoostingClassifier(max_iter=20, random_state=1)
    assert_same_predictions(fitted(model, rows, outcome(rows, classes=classes)), rows)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "gamma", "poisson", "quantile"])
def test_regressors_with_every_loss(loss: str) -> None:
    rows = random_rows(2000, 4)
    label = np.exp(outcome(rows, classes=0) / 4)
    quantile = 0.7 if loss == "quantile" else None
    model = HistGradientBoostingRegressor(loss=loss, quantile=quantile, max_iter=15, random_state=1)
    assert_same_predictions(fitted(model, rows, label), rows)


@pytest.mark.parametrize("unknown_value", [-1, float("nan")])
@pytest.mark.parametrize("categorical", [True, False])
def test_the_pipeline_that_training_makes(unknown_value: float, categorical: bool) -> None:
    rows = random_rows(4000, 4, 3)
    places = [0, 1, 2] if categorical else None
    model = HistGradientBoostingClassifier(max_iter=25, categorical_features=places, random_state=1)
    pipeline = fitted(almanac_pipeline(rows, model, unknown_value), rows, outcome(rows))
    assert_same_predictions(pipeline, rows)


def test_text_and_numbers_as_the_models_own_categories() -> None:
    rows = random_rows(3000, 3, 1, missing=0.0)
    rows = rows.append_column("kind", pa.array(np.random.default_rng(1).integers(0, 12, 3000)))
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features=["t0"], random_state=1)
    assert_same_predictions(fitted(model, rows, outcome(rows)), rows)
    numbers = rows.drop_columns(["t0"])
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features=["kind"], random_state=1)
    assert_same_predictions(fitted(model, numbers, outcome(rows)), numbers)


@pytest.mark.parametrize("leaves", [2, 31, 32, 33, 64, 65, 200, 500])
def test_trees_of_any_size(leaves: int) -> None:
    rows = random_rows(6000, 5)
    model = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=leaves, min_samples_leaf=2, random_state=1)
    estimator = fitted(model, rows, outcome(rows))
    assert_same_predictions(estimator, rows)
    expected = "bitvector-32" if leaves <= 32 else "bitvector-64" if leaves <= 64 else "bitvector-wide"
    assert compile_model(estimator, rows.column_names).kind == expected


def test_trees_of_one_leaf_give_the_base() -> None:
    rows = random_rows(100, 2)
    model = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=100)
    assert_same_predictions(fitted(model, rows, outcome(rows)), rows)


def test_what_batches_look_like_does_not_matter() -> None:
    rows = random_rows(20_000, 4, 1)
    model = HistGradientBoostingClassifier(max_iter=10, categorical_features=[0], random_state=1)
    pipeline = fitted(almanac_pipeline(rows, model), rows, outcome(rows))
    scorer = compile_model(pipeline, rows.column_names)
    expected = scorer.raw(rows)
    np.testing.assert_array_equal(scorer.raw(rows.to_batches()[0].slice(37, 5001)), expected[37:5038])
    uneven = pa.concat_tables([rows.slice(0, 1), rows.slice(1, 0), rows.slice(1, 9998), rows.slice(9999)])
    np.testing.assert_array_equal(scorer.raw(uneven), expected)
    coded = rows.set_column(4, "t0", rows.column("t0").dictionary_encode())
    np.testing.assert_array_equal(scorer.raw(coded.select(["t0", "x3", "x2", "x1", "x0"])), expected)
    assert scorer.raw(rows.slice(0, 0)).shape == (0,)
    assert scorer.predict(rows.slice(0, 0)).shape == (0, 2)


def test_garbage_under_the_validity_bitmap_is_not_seen() -> None:
    rows = random_rows(500, 2, missing=0.0)
    model = fitted(HistGradientBoostingClassifier(max_iter=10), rows, outcome(rows))
    scorer = compile_model(model, rows.column_names)
    mask = np.random.default_rng(3).random(500) < 0.5
    loud = pa.array(np.full(500, 1e9), mask=mask)
    quiet = pa.array(np.where(mask, np.nan, 1e9))
    expected = model.decision_function(
        estimator_input(rows.set_column(0, "x0", pa.chunked_array([quiet])), rows.column_names)
    )
    np.testing.assert_array_equal(scorer.raw(rows.set_column(0, "x0", loud)), expected)


def test_a_column_that_is_missing_or_of_another_type_is_refused() -> None:
    rows = random_rows(300, 2)
    scorer = compile_model(fitted(HistGradientBoostingClassifier(max_iter=3), rows, outcome(rows)), ["x0", "x1"])
    with pytest.raises(ScoringFailed, match="'x1'"):
        scorer.predict(rows.drop_columns(["x1"]))
    with pytest.raises(ScoringFailed, match="refused"):
        scorer.predict(rows.set_column(1, "x1", pa.array(["a"] * 300)))


def test_a_scorer_that_disagrees_is_not_used() -> None:
    rows = random_rows(500, 2)
    model = fitted(HistGradientBoostingClassifier(max_iter=5), rows, outcome(rows))
    scorer, report = ready_scorer(model, rows.column_names, rows)
    assert scorer.kind == "bitvector-32"
    assert report is not None
    assert report.equal

    def one_unit_off(frame: Any) -> Any:
        raw = HistGradientBoostingClassifier.decision_function(model, frame)
        return np.where(frame["x0"].to_numpy() > 1.0, np.nextafter(raw, 9.0), raw)

    model.decision_function = one_unit_off
    with pytest.warns(UserWarning, match="does not agree"):
        chosen, refused = ready_scorer(model, rows.column_names, rows)
    assert chosen.kind == "estimator"
    assert "does not agree" in chosen.why
    assert refused is not None
    assert not refused.equal
    assert refused.difference is not None
    assert "x0=" in refused.difference
    assert "1 units" in refused.difference


def test_a_scorer_whose_probabilities_disagree_is_not_used() -> None:
    rows = random_rows(500, 2)
    model = fitted(HistGradientBoostingClassifier(max_iter=5), rows, outcome(rows))

    def one_unit_off(frame: Any) -> Any:
        found = HistGradientBoostingClassifier.predict_proba(model, frame)
        return np.where(frame["x0"].to_numpy()[:, np.newaxis] > 1.0, np.nextafter(found, 9.0), found)

    model.predict_proba = one_unit_off
    with pytest.warns(UserWarning, match="of the predictions, the estimator gives"):
        chosen, report = ready_scorer(model, rows.column_names, rows)
    assert chosen.kind == "estimator"
    assert report is not None
    assert not report.equal
