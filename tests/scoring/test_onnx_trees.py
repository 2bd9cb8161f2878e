"""Tree ensembles in ONNX are compiled to onnxruntime's bits, or left to it with the reason."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.models.libraries.onnx_trees import OnnxClassifier, OnnxRegressor, read_onnx
from jobs.scoring import estimator_input, ready_scorer
from jobs.scoring.compiled import CompiledScorer
from tests.effort import times
from tests.models.onnx_files import DOUBLE, Node, trees_file
from tests.scoring import file_reader
from warehouse.errors import UsageError

pytest.importorskip("onnxruntime")

NAMES = [f"c{place}" for place in range(4)]
Votes = Callable[[np.random.Generator], Mapping[int, float]]


def grown(random: np.random.Generator, votes: Votes, modes: list[str], depth: int) -> Node:
    """Grow a tree whose thresholds are few, so that rows lie on them."""
    if depth == 0 or random.random() < 0.15:
        return Node(votes=votes(random))
    threshold = float(np.float32(random.choice([-1.5, -0.1, 0.0, 0.1, 0.3, 2.0, random.normal()])))
    below = [grown(random, votes, modes, depth - 1) for _ in range(2)]
    mode = str(random.choice(modes))
    return Node(int(random.integers(len(NAMES))), threshold, mode, *below, nan_passes=bool(random.random() < 0.5))


def normal(*outputs: int) -> Votes:
    return lambda random: {output: float(np.float32(random.normal())) for output in outputs}


def uniform(*outputs: int) -> Votes:
    return lambda random: {output: float(np.float32(random.random() / 40)) for output in outputs}


def rows(random: np.random.Generator, n_rows: int = 3000) -> pa.Table:
    values = random.normal(size=(len(NAMES), n_rows))
    on_threshold = random.choice([-1.5, -0.1, 0.0, 0.1, 0.3, 2.0, np.nan], values.shape)
    return pa.table(np.where(random.random(values.shape) < 0.3, on_threshold, values).tolist(), names=NAMES)


LEQ, ALL = ["BRANCH_LEQ"], ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"]
TWO, THREE = {"classes": [0, 1]}, {"classes": ["a", "b", "c"]}
UNDERSTOOD: dict[str, tuple[Votes, dict[str, Any]]] = {
    "a sum": (normal(0), {}),
    "a sum with a base": (normal(0), {"base_values": [0.37]}),
    "a mean": (normal(0), {"aggregate_function": "AVERAGE"}),
    "one sum for two classes": (normal(0), {**TWO, "post_transform": "LOGISTIC"}),
    "one sum for two classes with a base": (normal(0), {**TWO, "post_transform": "LOGISTIC", "base_values": [-0.2]}),
    "a share of votes": (uniform(0), TWO),
    "a share of votes through a sigmoid": (uniform(0), {**TWO, "post_transform": "LOGISTIC"}),
    "votes for both classes": (uniform(0, 1), TWO),
    "a sum for each of two classes": (normal(0, 1), {**TWO, "post_transform": "SOFTMAX"}),
    "sums of leaves for all classes": (normal(0, 1, 2), {**THREE, "post_transform": "SOFTMAX"}),
    "sums each through a sigmoid": (
        normal(0, 1, 2),
        {**THREE, "post_transform": "LOGISTIC", "base_values": [0.1, 0.0, -3.0]},
    ),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_random_trees_are_compiled_to_the_bits_of_onnxruntime(name: str) -> None:
    votes, settings = UNDERSTOOD[name]
    for seed in range(times(2)):
        random = np.random.default_rng([seed, *name.encode()])
        trees = [grown(random, votes, LEQ if seed else ALL, int(random.integers(1, 7))) for _ in range(40)]
        held(trees_file(trees, {"rows": len(NAMES)}, **settings), rows(random))


def test_a_tree_for_each_class_in_turn_adds_to_that_class_alone() -> None:
    random = np.random.default_rng(3)
    trees = [grown(random, normal(place % 3), ALL, 5) for place in range(30)]
    data = trees_file(trees, {"rows": 4}, classes=[0, 1, 2], post_transform="SOFTMAX", base_values=[0.5, -0.5, 0.1])
    held(data, rows(random))
    # What is for people to read is the file's own document: a reader written from it gives the same.
    estimator, _, _ = read_onnx(data)
    scorer, _ = ready_scorer(estimator, NAMES, rows(random))
    assert isinstance(scorer, CompiledScorer)
    assert scorer.filed is not None
    batch = rows(random, 60)
    found = np.asarray(file_reader.predict(scorer.filed, batch.to_pylist()))
    np.testing.assert_allclose(found, scorer.predict(batch), rtol=1e-6)


def test_a_product_with_one_changes_nothing_and_with_another_number_is_refused() -> None:
    random = np.random.default_rng(4)
    trees = [grown(random, normal(0), ALL, 5) for _ in range(9)]
    settings: dict[str, Any] = {**TWO, "post_transform": "LOGISTIC", "operator": "Mul"}
    held(trees_file(trees, {"rows": 4}, **settings), rows(random))
    with pytest.raises(UsageError, match="is no tree ensemble alone: it has Mul"):
        read_onnx(trees_file(trees, {"rows": 4}, factor=0.5, **settings))


def held(data: bytes, sample: pa.Table) -> None:
    """See that a file is compiled, was compared, and gives what onnxruntime gives, whatever a batch looks like."""
    estimator, _, _ = read_onnx(data)
    assert pickle.dumps(estimator)
    scorer, report = ready_scorer(estimator, NAMES, sample)
    assert scorer.kind != "estimator", scorer.why
    assert report is not None
    assert report.equal, report.difference
    frame = estimator_input(sample, NAMES)
    expected = estimator.predict_proba(frame) if isinstance(estimator, OnnxClassifier) else estimator.predict(frame)
    found = scorer.predict(sample)
    assert found.dtype == expected.dtype == np.float32
    assert found.tobytes() == expected.tobytes()
    assert np.concatenate([scorer.predict(sample.slice(place, 1)) for place in range(5)]).tobytes() == (
        expected[:5].tobytes()
    )
    assert len(np.unique(found)) > 3


LEFT: dict[str, tuple[Votes, list[str], dict[str, Any], str]] = {
    "the largest leaf": (normal(0), LEQ, {"aggregate_function": "MAX"}, "put together by MAX"),
    "a test of equality": (normal(0), ["BRANCH_EQ"], {}, "tests of the kind BRANCH_EQ"),
    "numbers in float64": (normal(0), LEQ, {"kind": DOUBLE}, "something else than the float32"),
    "another function": (normal(0), LEQ, {**TWO, "post_transform": "PROBIT"}, "what PROBIT makes"),
    "sums that are no probabilities": (normal(0), LEQ, TWO, "what NONE makes"),
    "two base values of one sum": (
        normal(0), LEQ, {**TWO, "post_transform": "LOGISTIC", "base_values": [0.1, 0.2]}, "base values"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_understood_is_left_to_onnxruntime_with_the_reason(name: str) -> None:
    votes, modes, settings, why = LEFT[name]
    random = np.random.default_rng(5)
    data = trees_file([grown(random, votes, modes, 4) for _ in range(5)], {"rows": len(NAMES)}, **settings)
    estimator, _, _ = read_onnx(data)
    scorer, report = ready_scorer(estimator, NAMES, rows(random))
    assert (scorer.kind, report) == ("estimator", None)
    assert why in scorer.why
    assert isinstance(estimator, OnnxRegressor)
    assert len(scorer.predict(rows(random, 10))) == 10


def test_classes_may_be_negative_numbers() -> None:
    data = trees_file([Node(votes={0: 0.5, 1: 0.25})], {"rows": 4}, classes=[-1, 1])
    estimator, _, _ = read_onnx(data)
    assert isinstance(estimator, OnnxClassifier)
    assert estimator.classes_.tolist() == [-1, 1]
