"""Reads scikit-learn's histogram gradient boosting: classifier and regressor, every loss and link."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import LEFT, MISSING, RIGHT, Ensemble, Feature, Tree
from jobs.scoring.kernels.links import Link
from jobs.scoring.steps.columns import Block
from jobs.scoring.steps.encoders import encode, ordinal_codes


def _features(model: Any, block: Block) -> tuple[Feature, ...]:
    """Return the features in the order of the model's own preprocessor: categories first, each encoded."""
    if model._preprocessor is None:
        return block.numbers(type(model).__name__).features
    is_categorical = model.is_categorical_
    encoder = model._preprocessor.named_transformers_["encoder"]
    categorical = block.select(np.flatnonzero(is_categorical).tolist())
    numeric = block.select(np.flatnonzero(~is_categorical).tolist()).numbers(type(model).__name__)
    encoded = [
        encode(feature, categorical.kind, encoder.categories_[place], ordinal_codes(encoder, place))
        for place, feature in enumerate(categorical.features)
    ]
    return (*encoded, *numeric.features)


def _bit_array(bitset: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return (256,) the bits of a set of codes."""
    codes = np.arange(256)
    return np.asarray((bitset[codes // 32] >> (codes % 32).astype(np.uint32)) & 1, np.bool_)


class _CategorySets:
    """Collects the sets of all trees, each as LEFT, RIGHT or MISSING by code."""

    def __init__(self, model: Any) -> None:
        self.sets: list[npt.NDArray[np.int8]] = []
        self._known, self._place = model._bin_mapper.make_known_categories_bitsets()

    def add(self, bitset: npt.NDArray[np.uint32], feature: int) -> int:
        known = _bit_array(self._known[self._place[feature]])
        self.sets.append(np.where(_bit_array(bitset), LEFT, np.where(known, RIGHT, MISSING)).astype(np.int8))
        return len(self.sets) - 1


def _tree(predictor: Any, output: int, sets: _CategorySets) -> Tree:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(np.bool_)
    chosen = np.full(len(nodes), -1, np.int32)
    for node in np.flatnonzero(nodes["is_categorical"].astype(np.bool_) & ~is_leaf):
        bitset = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        chosen[node] = sets.add(bitset, int(nodes["feature_idx"][node]))
    return Tree(
        feature=nodes["feature_idx"].astype(np.int32),
        threshold=nodes["num_threshold"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)).astype(np.int32),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)).astype(np.int32),
        value=nodes["value"][:, None].astype(np.float64),
        category_set=chosen,
        output=output,
        cover=nodes["count"].astype(np.float64),
    )


LINKS = {
    "LogitLink": "sigmoid",
    "LogLink": "numpy exponential",
    "IdentityLink": "identity",
    "MultinomialLogit": "numpy softmax",
}
"""How scikit-learn's links are computed, by their class."""


def hist_gradient_link(model: Any) -> Link:
    """Return the link of a HistGradientBoosting model.

    Raises
    ------
    NotUnderstood
        It is none of scikit-learn's own.
    """
    name = type(model._loss.link).__name__
    if name not in LINKS:
        raise NotUnderstood(f"the link {name} is not known")
    if not hasattr(model, "classes_"):
        return Link(LINKS[name], "value")
    return Link(LINKS[name], "columns" if name == "MultinomialLogit" else "pair")


def read_hist_gradient_boosting(model: Any, block: Block) -> Ensemble:
    """Read a fitted HistGradientBoostingClassifier or HistGradientBoostingRegressor.

    Parameters
    ----------
    model
        The estimator.
    block
        What it is given.
    """
    sets = _CategorySets(model)
    trees = tuple(
        _tree(predictor, output, sets)
        for predictors in model._predictors
        for output, predictor in enumerate(predictors)
    )
    base = np.broadcast_to(model._baseline_prediction.ravel(), (model.n_trees_per_iteration_,))
    return Ensemble(_features(model, block), trees, base.astype(np.float64), tuple(sets.sets))
