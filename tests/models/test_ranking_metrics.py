"""Figures of ranked lists against their definitions, list by list, and scikit-learn's where there are no ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from jobs.models.kinds.page_metrics import PAGE_METRICS, Scored, figure
from jobs.models.kinds.ranking_metrics import Floats, Lists, of_lists, ranking_metrics, ranks
from warehouse.label_kinds import KINDS


def drawn(seed: int, *, ties: bool) -> tuple[Floats, Floats, Lists]:
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(1, 120))
    scores = rng.integers(0, 4, n_rows) / 4 if ties else rng.permutation(n_rows) / n_rows
    lists = np.unique(rng.integers(0, 8, n_rows), return_inverse=True)[1]
    return (rng.random(n_rows) < 0.3) * 1.0, scores, Lists(lists, int(rng.integers(1, 9)))


def by_definition(labels: list[float], scores: list[float], top: int) -> dict[str, float] | None:
    """Give a list's figures, one entry after the other."""
    order = sorted(range(len(labels)), key=lambda place: (-scores[place], place))
    n_relevant = int(sum(labels))
    if not n_relevant:
        return None
    gain, hits, precisions = 0.0, 0, 0.0
    for rank, place in enumerate(order[:top], start=1):
        if labels[place]:
            hits += 1
            gain += 1 / math.log2(rank + 1)
            precisions += hits / rank
    n_best = min(n_relevant, top)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, n_best + 1))
    return {"ndcg": gain / best, "recall": hits / n_relevant, "map": precisions / n_best}


def means(labels: Floats, scores: Floats, lists: Lists) -> dict[str, float]:
    found = []
    for number in range(lists.of_row.max() + 1):
        own = lists.of_row == number
        found.append(by_definition(labels[own].tolist(), scores[own].tolist(), lists.top))
    told = [each for each in found if each is not None]
    return {name: float(np.mean([each[name] for each in told])) for name in ("ndcg", "recall", "map")} if told else {}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_figures_are_those_of_the_definition(seed: int, ties: bool) -> None:
    labels, scores, lists = drawn(seed, ties=ties)
    expected = means(labels, scores, lists)
    found = ranking_metrics(labels, scores, lists)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    rows = Scored(labels, scores, np.zeros(len(labels), np.int64), 1, (), lists)
    for name in KINDS["ranking"].metrics:
        assert figure(name, rows) == pytest.approx(expected.get(name, np.nan), abs=1e-12, nan_ok=True)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_figures_without_ties_are_those_of_scikit_learn(seed: int) -> None:
    labels, scores, lists = drawn(seed, ties=False)
    found = of_lists(labels, scores, lists)
    for number in range(lists.of_row.max() + 1):
        own, more = lists.of_row == number, lists.of_row.tolist().count(number)
        if labels[own].sum() == 0 or more < 2:
            continue
        expected = metrics.ndcg_score(labels[own][np.newaxis], scores[own][np.newaxis], k=lists.top, ignore_ties=True)
        assert found.ndcg[number] == pytest.approx(expected, abs=1e-12)
        whole = of_lists(labels[own], scores[own], Lists(np.zeros(more, np.int64), more))
        precision = metrics.average_precision_score(labels[own], scores[own])
        assert whole.map[0] == pytest.approx(precision, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_pages_that_count_several_times_are_lists_that_do(seed: int) -> None:
    labels, scores, lists = drawn(seed, ties=True)
    rng = np.random.default_rng(seed)
    page_of_list = rng.integers(0, 3, lists.of_row.max() + 1)
    counts = rng.integers(0, 3, 3)
    found = of_lists(labels, scores, lists)
    weights = np.where(np.isnan(found.ndcg), 0, counts[page_of_list])
    rows = Scored(labels, scores, page_of_list[lists.of_row], 3, (), lists)
    (drawn_again,) = PAGE_METRICS["ndcg"](rows)(counts[np.newaxis] * 1.0)
    expected = np.average(np.nan_to_num(found.ndcg), weights=weights) if weights.sum() else np.nan
    assert drawn_again == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_equal_scores_stand_in_the_order_of_their_rows() -> None:
    lists = Lists(np.array([1, 0, 1, 0, 1]), 2)
    assert ranks(np.array([0.5, 0.1, 0.9, 0.1, 0.5]), lists).tolist() == [2, 1, 1, 2, 3]
    assert lists.where(np.array([True, False, True, False, True])).of_row.tolist() == [0, 0, 0]


def test_an_order_by_chance_comes_to_what_is_said_of_it() -> None:
    rng = np.random.default_rng(5)
    labels, lists = np.array([1.0, 0, 0, 1, 0, 0, 0]), Lists(np.zeros(7, np.int64), 3)
    drawn_ndcg = [of_lists(labels, rng.permutation(7) * 1.0, lists).ndcg[0] for _ in range(4_000)]
    said = of_lists(labels, np.zeros(7), lists).ndcg_of_chance[0]
    assert np.mean(drawn_ndcg) == pytest.approx(said, abs=0.02)
