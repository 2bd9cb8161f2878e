"""Fairness: fairlearn's figures, a disparity that was put there, as monitor and as gate."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from jobs.models.gates import Judged, judge
from jobs.models.kinds.fairness import DIFFERENCE, RATIO, VALUE, Tally, named
from jobs.models.kinds.page_metrics import Scored
from jobs.monitoring.evaluate import evaluate
from jobs.pages.predict import predict_pages
from jobs.suite import Suite
from tests.command_line import said
from tests.conftest import PRODUCT, reopened
from tests.lakes import rows
from warehouse.definitions.gates import FairnessBound, GateSettings
from warehouse.errors import DefinitionError, UsageError


def world(apart: float = 0.0, n_pages: int = 40, seed: int = 3) -> tuple[np.ndarray, ...]:
    """Pages, group, age, labels and probabilities; those of `f` are too low by `apart` in log-odds."""
    rng = np.random.default_rng(seed)
    pages = np.repeat(np.arange(n_pages), 200)
    gender, age = rng.choice(["f", "m"], len(pages)), rng.choice(["18 to 29", "30 to 64", "65 on"], len(pages))
    z = rng.normal(0, 1.5, len(pages)) + rng.normal(0, 0.4, n_pages)[pages]
    y = (rng.random(len(pages)) < 1 / (1 + np.exp(-z))) * 1.0
    return pages, gender, age, y, 1 / (1 + np.exp(-(z - apart * (gender == "f"))))


def tallied(pages: np.ndarray, groups: np.ndarray, y: np.ndarray, p: np.ndarray, kind: str = "binary") -> Tally:
    tally = Tally(kind, 0.5)
    for part in np.array_split(np.unique(pages), 3):
        chosen = np.isin(pages, part)
        tally.add(pages[chosen] - part[0], groups[chosen], y[chosen], p[chosen])
    return tally


def test_figures_are_fairlearns_by_columns_and_their_combinations() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fairlearn = pytest.importorskip("fairlearn.metrics")
        from sklearn.metrics import accuracy_score, brier_score_loss, mean_absolute_error, mean_squared_error
    pages, gender, age, y, p = world(0.5)
    own: dict[str, Callable[..., Any]] = {
        "selection_rate": fairlearn.selection_rate,
        "true_positive_rate": fairlearn.true_positive_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
        "accuracy": accuracy_score,
    }
    of_scores = {"mean_prediction": fairlearn.mean_prediction, "brier": brier_score_loss}
    of_numbers = {"mean_prediction": fairlearn.mean_prediction, "mae": mean_absolute_error, "mse": mean_squared_error}
    for columns in ([gender], [age], [gender, age]):
        groups = named([column.astype(object) for column in columns])
        for kind, metrics, said_is in (
            ("binary", own, p >= 0.5),
            ("binary", of_scores, p),
            ("regression", of_numbers, p),
        ):
            figures = {
                (f.metric, f.statistic, f.group): f.figure for f in tallied(pages, groups, y, p, kind).figures(1)
            }
            frame = fairlearn.MetricFrame(
                metrics=metrics, y_true=y, y_pred=said_is * 1.0, sensitive_features=np.array(groups)
            )
            for metric in metrics:
                for group, value in frame.by_group[metric].items():
                    assert figures[metric, VALUE, group] == pytest.approx(value, abs=1e-12)
                assert figures[metric, DIFFERENCE, None] == pytest.approx(frame.difference()[metric], abs=1e-12)
                assert figures[metric, RATIO, None] == pytest.approx(frame.ratio()[metric], abs=1e-12)
        figures = {(f.metric, f.statistic, f.group): f.figure for f in tallied(pages, groups, y, p).figures(1)}
        given = {"y_true": y, "y_pred": (p >= 0.5) * 1.0, "sensitive_features": np.array(groups)}
        parity = fairlearn.demographic_parity_difference(**given)
        assert figures["selection_rate", DIFFERENCE, None] == pytest.approx(parity, abs=1e-12)
        odds = fairlearn.equalized_odds_difference(**given)
        assert figures["equalized_odds", DIFFERENCE, None] == pytest.approx(odds, abs=1e-12)


def test_a_disparity_that_is_there_is_found_and_one_that_is_not_lies_within_the_interval() -> None:
    def figure(apart: float, metric: str, seed: int = 3) -> Any:
        pages, gender, _, y, p = world(apart, seed=seed)
        found = tallied(pages, gender, y, p).figures(1)
        return next(f for f in found if (f.metric, f.statistic, f.group) == (metric, VALUE, "f"))

    # Women are said less than comes: by so much that zero lies outside.
    assert figure(0.8, "mean_error").high < -0.05
    even = [figure(0.0, "mean_error", seed) for seed in range(20)]
    assert sum(one.low <= 0 <= one.high for one in even) >= 17
    # A day's effect moves all rows of a page: rows by themselves would give half the width.
    pages, gender, _, y, p = world(0.0)
    as_rows = tallied(np.arange(len(pages)), gender, y, p).figures(1)
    by_rows = next(f for f in as_rows if (f.metric, f.group) == ("base_rate", "f"))
    by_pages = figure(0.0, "base_rate")
    assert by_pages.high - by_pages.low > 1.3 * (by_rows.high - by_rows.low)


def test_a_small_group_takes_no_part_and_what_is_not_defined_is_left_out() -> None:
    pages = np.repeat(np.arange(10), 50)
    groups = np.where(np.arange(500) < 5, "few", np.where(np.arange(500) % 2, "a", "b"))
    y, p = (np.arange(500) % 2) * 1.0, np.full(500, 0.7)
    figures = {(f.metric, f.statistic, f.group): f for f in tallied(pages, groups, y, p).figures(100)}
    assert figures["accuracy", DIFFERENCE, None].figure == 1.0
    assert ("true_positive_rate", VALUE, "b") not in figures
    assert ("true_positive_rate", DIFFERENCE, None) not in figures
    assert figures["selection_rate", VALUE, "few"].n_rows == 5
    assert not Tally("binary", 0.5).figures(1)


def test_a_gate_judges_how_far_groups_lie_apart() -> None:
    gates = GateSettings(
        fairness=[FairnessBound(by=["gender"], metric="selection_rate", difference=0.05, ratio=0.9)], parity=False
    )
    for apart, passed in ((0.0, True), (1.0, False)):
        pages, gender, _, y, p = world(apart)
        judged = Judged(Scored(y, p, pages, 40), None, None, {"gender": gender.astype(object)}, None, None)
        results = judge(gates, "binary", judged)
        assert [one.gate for one in results] == [f"fairness.gender.selection_rate.{s}" for s in ("difference", "ratio")]
        assert [one.passed for one in results] == [passed, passed]
        assert all(one.low is not None and one.low <= (one.figure or 0) <= (one.high or 0) + 1e-9 for one in results)
    few = GateSettings(
        fairness=[FairnessBound(by=["gender"], metric="brier", ratio=0.9, min_rows=10_000)], parity=False
    )
    (result,) = judge(few, "binary", judged)
    assert not result.passed
    assert "min_rows" in result.message


def test_the_monitor_compares_groups_by_columns_of_feature_pages_and_their_combination(trained: Suite) -> None:
    file = trained.root / f"sql/products/{PRODUCT}/product.yaml"
    asked = 'monitor: {segments: [depot], cold: "parcels = 1", fairness: {by: [depot, parcels], min_rows: 20}}\n'
    file.write_text(file.read_text() + asked)
    suite = reopened(trained)
    product = suite.definitions.product(PRODUCT)
    predict_pages(
        suite,
        product,
        product.pages_between(product.grid.latest(suite.clock()).replace(day=1, month=3), suite.clock())[:6],
    )
    shown = json.loads(said(suite.root, "monitor", PRODUCT, "--by", "depot", "--json"))
    assert {one["by_columns"] for one in shown["fairness"]} == {"depot", "parcels", "depot, parcels"}
    assert {one["depot"] for one in shown["performance"]["segments"]} == {
        name for (name,) in rows(suite, "SELECT DISTINCT depot FROM features.late_order")
    }
    cold = json.loads(said(suite.root, "monitor", PRODUCT, "--by", "cold", "--json"))
    assert {one["cold"] for one in cold["performance"]["segments"]} == {"true", "false"}
    outcomes = "predictions.late_order_outcomes"
    known = f"FROM {outcomes} JOIN features.late_order USING (as_of, order_id) WHERE label IS NOT NULL"
    counts = dict(rows(suite, f"SELECT parcels = 1, count(*) {known} GROUP BY ALL"))
    judged = "SELECT segment_value = 'true', sum(n_labelled)::BIGINT FROM ledger.performance"
    assert dict(rows(suite, f"{judged} WHERE segment = 'cold' GROUP BY ALL")) == counts
    groups = {one["group"]: one for one in evaluate(suite, PRODUCT, datetime(2026, 3, 1), suite.clock()).groups}
    assert {name: one["n_rows"] for name, one in groups.items()} == {
        "all": sum(counts.values()),
        "cold: true": counts[True],
        "cold: false": counts[False],
    }
    by_hand = evaluate(suite, PRODUCT, datetime(2026, 3, 1), suite.clock(), by="parcels").groups
    (one_parcel,) = (one for one in by_hand if str(one["group"]) == "1")
    assert {**one_parcel, "group": "cold: true"} == groups["cold: true"]
    file.write_text(file.read_text().replace("parcels = 1", "no_such = 1"))
    with pytest.raises(UsageError, match="`no_such = 1` cannot be asked of feature pages"):
        evaluate(reopened(suite), PRODUCT, datetime(2026, 3, 1), suite.clock())
    file.write_text(file.read_text().replace("no_such = 1", "now() > known"))
    with pytest.raises(DefinitionError, match="now"):
        reopened(suite)
    file.write_text(file.read_text().replace("now() > known", "parcels = 1"))
    there = rows(suite, "SELECT count(*), count(DISTINCT snapshot_id) FROM ledger.fairness")
    assert there[0][1] == 1
    assert "how far groups lie apart" in said(suite.root, "monitor", PRODUCT)
    assert rows(suite, "SELECT count(*), count(DISTINCT snapshot_id) FROM ledger.fairness") == there
    rate = (
        "SELECT figure FROM ledger.fairness WHERE metric = 'base_rate' AND by_columns = 'depot' AND group_values = $1"
    )
    own = (
        "SELECT avg(label) FROM predictions.late_order_outcomes JOIN features.late_order USING (as_of, order_id)"
        " WHERE depot = $1"
    )
    one = rows(suite, "SELECT min(depot) FROM features.late_order")[0][0]
    assert rows(suite, rate, [one])[0][0] == pytest.approx(rows(suite, own, [one])[0][0], abs=1e-12)
    file.write_text(file.read_text() + "gates: {fairness: [{by: [depot], metric: mae, difference: 1}]}\n")
    with pytest.raises(DefinitionError, match="names the metric `mae`"):
        reopened(suite)
