"""Figures of quantiles against scikit-learn's and their definitions, and intervals that hold what they state."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.dummy import DummyRegressor

from jobs.models.kinds.figures import Floats, Target
from jobs.models.kinds.page_metrics import PAGE_METRICS, Scored, figure
from jobs.models.kinds.quantile_metrics import quantile_calibration, quantile_metrics
from jobs.models.quantile_models import ConformalQuantiles, newest, rank
from warehouse.label_kinds import KINDS, middle_of, quantile_name

LEVELS = (0.05, 0.5, 0.9)


def drawn(seed: int, n_rows: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-3, 4, n_rows) + np.where(rng.random(n_rows) < 0.5, 0.0, rng.normal(size=n_rows))
    return labels, np.sort(rng.integers(-4, 5, (n_rows, 3)) + rng.choice([0.0, 0.25], (n_rows, 3)), axis=1)


def by_definition(labels: Floats, quantiles: Floats) -> dict[str, float]:
    losses = [metrics.mean_pinball_loss(labels, q, alpha=level) for q, level in zip(quantiles.T, LEVELS, strict=True)]
    coverage = sum(low <= y <= high for y, (low, _, high) in zip(labels, quantiles, strict=True)) / len(labels)
    return {
        "pinball": float(np.mean(losses)),
        "mae": metrics.mean_absolute_error(labels, quantiles[:, 1]),
        "coverage_error": abs(coverage - 0.85),
        "width": sum(high - low for low, _, high in quantiles) / len(labels),
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 150))
def test_figures_are_those_of_the_definition(seed: int, n_rows: int) -> None:
    labels, quantiles = drawn(seed, n_rows)
    expected = by_definition(labels, quantiles)
    found = quantile_metrics(labels, quantiles, LEVELS)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    rows = Scored(labels, quantiles, np.zeros(n_rows, np.int64), 1, LEVELS)
    assert {name: figure(name, rows) for name in KINDS["quantiles"].metrics} == pytest.approx(expected, abs=1e-12)
    told = quantile_calibration(labels, quantiles, LEVELS)
    assert np.mean([row["pinball"] for row in told]) == pytest.approx(expected["pinball"], abs=1e-12)
    off = np.mean([abs(row["observed"] - row["predicted"]) for row in told])
    assert found["calibration_error"] == pytest.approx(off, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pages_that_count_several_times_are_rows_that_do(seed: int) -> None:
    labels, quantiles = drawn(seed, 60)
    rng = np.random.default_rng(seed)
    pages, counts = rng.integers(0, 5, 60), rng.integers(0, 3, 5)
    counts[pages[:1]] += 1
    again = np.repeat(np.arange(60), counts[pages])
    expected = by_definition(labels[again], quantiles[again])
    for name, value in expected.items():
        (found,) = PAGE_METRICS[name](Scored(labels, quantiles, pages, 5, LEVELS))(counts[np.newaxis] * 1.0)
        assert found == pytest.approx(value, abs=1e-12), name


def test_no_constant_does_better_than_the_quantiles_of_the_labels() -> None:
    labels, quantiles = drawn(3, 41)
    best = min(
        np.mean(
            [metrics.mean_pinball_loss(labels, np.full(41, c), alpha=q) for c, q in zip(three, LEVELS, strict=True)]
        )
        for three in itertools.combinations_with_replacement(np.unique(labels), 3)
    )
    assert quantile_metrics(labels, quantiles, LEVELS)["pinball_of_constants"] == pytest.approx(best, abs=1e-12)


def test_quantiles_that_cross_are_put_in_order_and_told() -> None:
    target = Target("quantiles", (), (), (0.1, 0.9), (0.1, 0.5, 0.9))
    predictions = np.array([[1.0, 2.0, 3.0], [3.0, 2.5, 2.0]])
    assert target.scores(predictions).tolist() == [[1.0, 3.0], [2.0, 3.0]]
    assert target.crossed(predictions).tolist() == [False, True]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_conformal_quantile_holds_what_it_states_of_one_row_more(level: float) -> None:
    # Of labels that are alike and continuous the share is known exactly: rank / (n + 1), see Lei et al.
    n = 39
    share = rank(level, n) / (n + 1)
    assert share >= level if level >= 0.5 else share <= level
    assert share == pytest.approx(level, abs=1 / (n + 1))
    rng = np.random.default_rng(1)
    below = np.sort(rng.normal(size=(4_000, n)), axis=1)[:, rank(level, n) - 1] >= rng.normal(size=4_000)
    assert below.mean() == pytest.approx(share, abs=0.03)


def test_intervals_hold_what_they_state_in_a_simulated_world() -> None:
    # A model that sees nothing, and noise unlike the normal: what is stated holds of pages to come all the same.
    rng = np.random.default_rng(7)
    n_pages, of_each = 120, 50
    covered = []
    for _ in range(20):
        x = rng.normal(size=n_pages * of_each)
        labels = x + rng.exponential(size=len(x)) ** 1.5
        pages = np.datetime64("2026-01-01", "us") + np.repeat(np.arange(n_pages), of_each) * np.timedelta64(1, "D")
        known = np.arange(len(x)) < 60 * of_each
        model = ConformalQuantiles(DummyRegressor(), [0.1, 0.5, 0.9])
        model.fit(x[known, np.newaxis], labels[known], pages[known])
        low, _, high = model.predict(x[~known, np.newaxis]).T
        covered.append(np.mean((labels[~known] >= low) & (labels[~known] <= high)))
    assert np.mean(covered) == pytest.approx(0.8, abs=0.015)


def test_what_gives_the_intervals_is_the_newest_whole_pages() -> None:
    pages = np.datetime64("2026-01-01", "us") + np.repeat(np.arange(5), [4, 4, 4, 4, 1]) * np.timedelta64(1, "D")
    assert newest(pages, 0.2).tolist() == [False] * 12 + [True] * 5
    assert not newest(pages[:4], 0.2).any()
    with pytest.raises(ValueError, match=r"quantiles 0.1 to 0.9 need 50"):
        ConformalQuantiles(DummyRegressor(), [0.1, 0.9]).fit(np.zeros((17, 1)), np.zeros(17), pages)


def test_fields_are_named_by_what_they_state() -> None:
    names = [quantile_name(each) for each in (0.001, 0.05, 0.1, 0.5, 0.975, 0.99)]
    assert names == ["q00_1", "q05", "q10", "q50", "q97_5", "q99"]
    assert [middle_of(each) for each in ((0.1, 0.5, 0.9), (0.5, 0.9), (0.1, 0.2, 0.9), (0.1, 0.9))] == [1, 0, 1, 0]
