"""Reads scikit-learn's trees and what is made of them: decision trees, forests, extra trees, gradient
boosting.

All of them cast their rows to float32 and refuse infinities; a number too large for float32 is one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import Ensemble, Feature, Tree, Values
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.operations import operation
from jobs.scoring.steps.columns import Block

COVER = "weighted rows"
CONSTANT_STRATEGIES = ("prior", "most_frequent", "constant", "mean", "median", "quantile")
"""Strategies of scikit-learn's dummy estimators that give every row the same."""


def _float32_features(block: Block, model: Any, *, nan_passes: bool) -> tuple[Feature, ...]:
    return tuple(
        feature.then(operation("to_float32")).checked(nan_passes=nan_passes)
        for feature in block.numbers(type(model).__name__).features
    )


def _passes_nan(tree: Any) -> bool:
    return bool(tree._support_missing_values(np.zeros((1, 1), np.float32)))


def _tree(tree: Any, value: Values, output: int = 0) -> Tree:
    is_leaf = tree.children_left < 0
    return Tree(
        feature=np.where(is_leaf, 0, tree.feature).astype(np.int32),
        threshold=tree.threshold.astype(np.float64),
        missing_left=tree.missing_go_to_left.astype(np.bool_),
        left=tree.children_left.astype(np.int32),
        right=tree.children_right.astype(np.int32),
        value=value,
        category_set=np.full(len(is_leaf), -1, np.int32),
        output=output,
        cover=tree.weighted_n_node_samples.astype(np.float64),
    )


def _check_one_output(model: Any) -> None:
    if model.n_outputs_ != 1:
        raise NotUnderstood(f"{type(model).__name__} has {model.n_outputs_} outputs")
    if getattr(model, "n_classes_", 2) == 1:
        raise NotUnderstood(f"{type(model).__name__} knows one class only")


def _leaf_values(tree: Any, model: Any) -> Values:
    """Return (n_nodes, n_classes) probabilities, or (n_nodes, 1) numbers."""
    width = int(model.n_classes_) if hasattr(model, "n_classes_") else 1
    return np.asarray(tree.value[:, 0, :width], np.float64)


def read_decision_tree(model: Any, block: Block) -> Ensemble:
    """Read a fitted DecisionTree or ExtraTree, classifier or regressor."""
    _check_one_output(model)
    values = _leaf_values(model.tree_, model)
    features = _float32_features(block, model, nan_passes=_passes_nan(model))
    # Adding to -0.0 changes no number, not even -0.0.
    return Ensemble(features, (_tree(model.tree_, values),), np.full(values.shape[1], -0.0), cover_unit=COVER)


def read_forest(model: Any, block: Block) -> Ensemble:
    """Read a fitted RandomForest or ExtraTrees, classifier or regressor: the mean of its trees, in their
    order.
    """
    _check_one_output(model)
    first = model.estimators_[0]
    trees = tuple(_tree(part.tree_, _leaf_values(part.tree_, model)) for part in model.estimators_)
    base = np.zeros(trees[0].value.shape[1])
    features = _float32_features(block, model, nan_passes=_passes_nan(first))
    return Ensemble(features, trees, base, divisor=float(len(trees)), cover_unit=COVER)


def _initial(model: Any) -> Values:
    """Return (n_outputs,) where the sums start."""
    if isinstance(model.init_, str) and model.init_ == "zero":
        return np.zeros(model.n_trees_per_iteration_)
    name = type(model.init_).__name__
    if name not in ("DummyClassifier", "DummyRegressor") or model.init_.strategy not in CONSTANT_STRATEGIES:
        raise NotUnderstood(f"{type(model).__name__} starts from {name}, which may differ by row")
    from sklearn.ensemble._gb import _init_raw_predictions

    row = np.zeros((1, model.n_features_in_), np.float32)
    start = _init_raw_predictions(row, model.init_, model._loss, hasattr(model, "classes_"))
    return np.asarray(start[0], np.float64)


def read_gradient_boosting(model: Any, block: Block) -> Ensemble:
    """Read a fitted GradientBoostingClassifier or GradientBoostingRegressor that starts from a constant."""
    trees = tuple(
        _tree(part.tree_, model.learning_rate * part.tree_.value[:, 0, :1], output)
        for parts in model.estimators_
        for output, part in enumerate(parts)
    )
    features = _float32_features(block, model, nan_passes=False)
    return Ensemble(features, trees, _initial(model), cover_unit=COVER)


def link_as_it_is(model: Any) -> Link:
    """Return the link of trees whose leaves hold what is predicted."""
    return Link("identity", "columns" if hasattr(model, "classes_") else "value")


def gradient_boosting_link(model: Any) -> Link:
    """Return the link of a GradientBoostingClassifier.

    Raises
    ------
    NotUnderstood
        Its loss is none of scikit-learn's own.
    """
    name = type(model._loss).__name__
    if name == "HalfMultinomialLoss":
        return Link("numpy softmax", "columns")
    slopes = {"HalfBinomialLoss": 1.0, "ExponentialLoss": 2.0}
    if name not in slopes:
        raise NotUnderstood(f"the link of {name} is not known")
    return Link("sigmoid", "pair", slopes[name])
