"""Figures of several classes against scikit-learn's, and of pages drawn again against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from jobs.models.kinds.class_metrics import by_class, class_calibration, class_metrics, predicted
from jobs.models.kinds.figures import Floats, Target
from jobs.models.kinds.page_metrics import PAGE_METRICS, Scored, figure
from warehouse.label_kinds import KINDS


def drawn(seed: int, n_rows: int, n_classes: int) -> tuple[Floats, Floats]:
    """Draw labels and probabilities; some of equal size, and some classes that do not occur."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, rng.integers(2, n_classes + 1), n_rows).astype(np.float64)
    labels[:2] = (0, 1)
    weights = rng.integers(0, 5, (n_rows, n_classes)) + np.where(rng.random((n_rows, 1)) < 0.5, 0.01, 1.0)
    return labels, weights / weights.sum(axis=1, keepdims=True)


def by_scikit_learn(labels: Floats, probabilities: Floats) -> dict[str, float]:
    places, said = range(probabilities.shape[1]), predicted(probabilities)
    areas = [metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in places if (labels == c).sum() > 0]
    return {
        "log_loss": metrics.log_loss(labels, probabilities, labels=list(places)),
        "accuracy": metrics.accuracy_score(labels, said),
        "macro_f1": metrics.f1_score(labels, said, average="macro", zero_division=0),
        "roc_auc": float(np.mean(areas)),
        "brier": float(((probabilities - np.eye(len(places))[labels.astype(int)]) ** 2).sum(axis=1).mean()),
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 200), st.integers(2, 6))
def test_figures_are_those_of_scikit_learn(seed: int, n_rows: int, n_classes: int) -> None:
    labels, probabilities = drawn(seed, n_rows, n_classes)
    expected = by_scikit_learn(labels, probabilities)
    found = class_metrics(labels, probabilities)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    rows = Scored(labels, probabilities, np.zeros(n_rows, np.int64), 1)
    on_pages = {name: figure(name, rows) for name in KINDS["multiclass"].metrics}
    assert on_pages == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pages_that_count_several_times_are_rows_that_do(seed: int) -> None:
    labels, probabilities = drawn(seed, 60, 4)
    rng = np.random.default_rng(seed)
    pages = rng.integers(0, 5, 60)
    counts = rng.integers(0, 3, 5)
    counts[pages[:2]] += 1
    again = np.repeat(np.arange(60), counts[pages])
    expected = by_scikit_learn(labels[again], probabilities[again])
    rows = Scored(labels, probabilities, pages, 5)
    for name, value in expected.items():
        (found,) = PAGE_METRICS[name](rows)(counts[np.newaxis].astype(np.float64))
        assert found == pytest.approx(value, abs=1e-12), name


def test_what_rows_of_each_class_were_taken_for_is_the_confusion_table() -> None:
    labels, probabilities = drawn(7, 300, 4)
    told = by_class(labels, probabilities, ["a", "b", "c", "d"])
    table = metrics.confusion_matrix(labels, predicted(probabilities), labels=range(4))
    assert [list(row["taken_for"].values()) for row in told] == table.tolist()
    precision, recall, f1, n_rows = metrics.precision_recall_fscore_support(
        labels, predicted(probabilities), labels=range(4), zero_division=0
    )
    for place, row in enumerate(told):
        assert (row["precision"] or 0.0) == pytest.approx(precision[place], abs=1e-12)
        assert (row["recall"] or 0.0) == pytest.approx(recall[place], abs=1e-12)
        assert (row["f1"] or 0.0, row["n_rows"]) == pytest.approx((f1[place], n_rows[place]), abs=1e-12)
    calibration = class_calibration(labels, probabilities, ["a", "b", "c", "d"])
    of_b = [row for row in calibration if row["class"] == "b"]
    weights = [row["n_rows"] for row in of_b]
    assert np.average([row["observed"] for row in of_b], weights=weights) == pytest.approx((labels == 1).mean())


def test_classes_that_a_version_has_not_seen_get_none_of_the_probability() -> None:
    target = Target("multiclass", ("a", "b", "c", "d"), ("d", "b"))
    assert target.scores(np.array([[0.25, 0.75]])).tolist() == [[0.0, 0.75, 0.0, 0.25]]
    assert np.isnan(target.unknown(2)).all()
    assert target.unknown(2).shape == (2, 4)
