"""A kind of label is whole: what its record names is there, and its figures can be worked out."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.models.kinds.figures import FIGURES
from jobs.models.kinds.page_metrics import PAGE_METRICS
from jobs.models.kinds.ranking_metrics import Lists
from warehouse.label_kinds import COLUMNS_OF_KINDS, KINDS
from warehouse.lake.registry import columns_of_pages, prediction_columns
from warehouse.system_sql import SQL_ROOT

PREDICTIONS = {"binary": np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]), "regression": np.array([1.0, 2.5, 3.0])}
PREDICTIONS["multiclass"] = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
LABELS = {"binary": np.array([0.0, 1.0, 1.0]), "regression": np.array([1.5, 2.0, 4.0])}
LABELS["multiclass"] = np.array([0.0, 2.0, 2.0])
PREDICTIONS["quantiles"] = np.array([[0.5, 1.0, 2.0], [1.5, 2.5, 2.6], [2.0, 3.0, 3.5]])
LABELS["quantiles"] = LABELS["regression"]
PREDICTIONS["ranking"] = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
LABELS["ranking"] = LABELS["binary"]
NAMES = {"ranking": Lists(np.array([0, 0, 0]), 2), "multiclass": ("a", "b", "c"), "quantiles": (0.1, 0.5, 0.9)}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_names_is_there(name: str) -> None:
    kind = KINDS[name]
    assert kind.score in kind.columns
    assert kind.loss in kind.metrics
    assert set(kind.metrics) <= set(PAGE_METRICS)
    assert (SQL_ROOT / f"system/evaluate/{name}.sql").exists()
    assert all((SQL_ROOT / f"system/audit/{check}.sql").exists() for check in kind.checks)
    assert set(kind.columns) <= set(prediction_columns(kind.columns))


@pytest.mark.parametrize("name", KINDS)
def test_the_figures_of_a_kind_have_its_metrics_and_its_baseline(name: str) -> None:
    kind, figures = KINDS[name], FIGURES[name]
    found = figures.metrics(LABELS[name], figures.scores(PREDICTIONS[name]), NAMES.get(name, ()))
    assert {*kind.metrics, kind.baseline} <= found.keys()
    assert found[kind.baseline] > 0
    assert (figures.calibration_error is not None) == kind.is_calibrated


def test_no_key_may_bear_the_name_of_a_column_that_a_kind_brings() -> None:
    assert set(COLUMNS_OF_KINDS) <= set(columns_of_pages())
