"""Reads XGBoost's boosted trees: float32 rows, tests of x < threshold, sums in float32 from the base score
on.

Its link is asked of XGBoost itself: a booster without trees turns margins into predictions by the model's own
code.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import Floats, NotUnderstood
from jobs.scoring.kernels.ensemble import LEFT, RIGHT, Ensemble, Feature, Tree, Values
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.operations import operation
from jobs.scoring.steps.columns import Block


def _description(model: Any) -> dict[str, Any]:
    described: dict[str, Any] = json.loads(bytes(model.get_booster().save_raw("json")))
    return described


def _booster_of(described: dict[str, Any], trees: list[dict[str, Any]]) -> Any:
    """Return a booster with a model's objective and base score, and other trees."""
    import xgboost

    model = described["learner"]["gradient_booster"]["model"]
    model.update(trees=trees, tree_info=[0] * len(trees), iteration_indptr=list(range(len(trees) + 1)))
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    booster = xgboost.Booster()
    booster.load_model(bytearray(json.dumps(described).encode()))
    return booster


def _base_margin(model: Any) -> Values:
    """Return (n_outputs,) where the sums start: what a single tree of zeros gives."""
    described = _description(model)
    tree = described["learner"]["gradient_booster"]["model"]["trees"][0]
    tree["split_conditions"] = [0.0] * len(tree["split_conditions"])
    row = np.zeros((1, model.n_features_in_), np.float32)
    margin = _booster_of(described, [tree]).inplace_predict(row, predict_type="margin")
    return np.asarray(margin, np.float32).ravel()


def _margin_by_codes(values: Values) -> Values:
    """Make all negative numbers alike: none of them is a category."""
    return np.where(values < 0, -1.0, values)


class _Reader:
    """Collects the category sets of all trees while they are read."""

    def __init__(self) -> None:
        self.sets: list[npt.NDArray[np.int8]] = []

    def _category_sets(self, tree: dict[str, Any], n_nodes: int) -> npt.NDArray[np.int32]:
        chosen = np.full(n_nodes, -1, np.int32)
        for node, start, size in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        ):
            goes_right = tree["categories"][start : start + size]
            goes = np.full(max(goes_right) + 1, LEFT, np.int8)
            goes[goes_right] = RIGHT
            chosen[node] = len(self.sets)
            self.sets.append(goes)
        return chosen

    def tree(self, described: dict[str, Any], output: int) -> Tree:
        left = np.array(described["left_children"], np.int32)
        split = np.array(described["split_conditions"], np.float32)
        return Tree(
            feature=np.array(described["split_indices"], np.int32),
            # x < t is x <= the number before t.
            threshold=np.nextafter(split, np.float32(-np.inf)).astype(np.float64),
            missing_left=np.array(described["default_left"], np.bool_),
            left=left,
            right=np.array(described["right_children"], np.int32),
            value=split[:, None],
            category_set=self._category_sets(described, len(left)),
            output=output,
            cover=np.array(described["sum_hessian"], np.float64),
        )


def _features(block: Block, trees: tuple[Tree, ...]) -> tuple[Feature, ...]:
    categorical = {int(feature) for tree in trees for feature in np.unique(tree.feature[tree.category_set >= 0])}
    rounded = operation("to_float32")
    return tuple(
        feature.then(rounded, _margin_by_codes) if number in categorical else feature.then(rounded)
        for number, feature in enumerate(block.numbers("XGBoost").features)
    )


def read_xgboost(model: Any, block: Block) -> Ensemble:
    """Read a fitted XGBClassifier, XGBRegressor, XGBRanker or a random-forest variant of them.

    Raises
    ------
    NotUnderstood
        The booster is linear or drops trees, there are no trees, its trees have several outputs, it predicts several
        quantiles or targets, or a number stands for missing.
    """
    if not np.isnan(model.missing):
        raise NotUnderstood(f"XGBoost takes {model.missing} for missing")
    described = _description(model)
    booster = described["learner"]["gradient_booster"]
    if booster["name"] != "gbtree":
        raise NotUnderstood(f"XGBoost's booster is {booster['name']}")
    parts, outputs = booster["model"]["trees"], booster["model"]["tree_info"]
    if not parts:
        raise NotUnderstood("XGBoost's model has no trees")
    # Such a model adds its leaves up in another order even where it has one output: -0.0 where ours gives 0.0.
    vectors = getattr(model, "multi_strategy", None) == "multi_output_tree"
    if vectors or any(int(part["tree_param"]["size_leaf_vector"]) > 1 for part in parts):
        raise NotUnderstood("XGBoost's trees have several outputs")
    if (best := getattr(model, "best_iteration", None)) is not None:
        end = booster["model"]["iteration_indptr"][best + 1]
        parts, outputs = parts[:end], outputs[:end]
    base = _base_margin(model)
    if len(base) > 1 and not hasattr(model, "predict_proba"):
        raise NotUnderstood("XGBoost's model predicts several quantiles or targets")
    reader = _Reader()
    trees = tuple(reader.tree(part, output) for part, output in zip(parts, outputs, strict=True))
    return Ensemble(_features(block, trees), trees, base, tuple(reader.sets), cover_unit="hessians")


LINKS = {
    "binary:logistic": "float32 sigmoid",
    "reg:logistic": "float32 sigmoid",
    "binary:logitraw": "identity",
    "multi:softprob": "float32 softmax",
    "count:poisson": "float32 exponential",
    "reg:gamma": "float32 exponential",
    "reg:tweedie": "float32 exponential",
    "reg:squarederror": "identity",
    "reg:absoluteerror": "identity",
    "reg:quantileerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:squaredlogerror": "identity",
    "rank:ndcg": "identity",
    "rank:pairwise": "identity",
    "rank:map": "identity",
}
"""How the links of XGBoost's objectives are computed here. Of other objectives its own code is asked."""


def xgboost_link(model: Any) -> Link | XGBoostLink:
    """Return the link of a fitted model of XGBoost: one that is computed here, or else XGBoost's own."""
    learner = _description(model)["learner"]
    objective = learner["objective"]["name"]
    if objective not in LINKS:
        return XGBoostLink(model)
    if not hasattr(model, "predict_proba"):
        return Link(LINKS[objective], "value")
    # Of several labels at once each has a probability of its own, beside those of the others.
    is_wide = objective == "multi:softprob" or int(learner["learner_model_param"]["num_target"]) > 1
    return Link(LINKS[objective], "columns" if is_wide else "pair")


class XGBoostLink:
    """Turns margins into what the model predicts, by its own objective."""

    def __init__(self, model: Any) -> None:
        self._booster = _booster_of(_description(model), [])
        self._n_features = int(model.n_features_in_)
        self._is_classifier = hasattr(model, "predict_proba")

    def __call__(self, raw: Floats) -> Floats:
        """Return probabilities (n_rows, n_classes) or predicted values (n_rows,)."""
        margin = raw[:, 0] if raw.shape[1] == 1 else raw
        # The rows are not looked at, since there are no trees; their number counts.
        rows = np.zeros((len(raw), self._n_features), np.float32)
        if not len(raw):
            return np.zeros((0, max(2, raw.shape[1])) if self._is_classifier else 0, np.float32)
        answer = np.asarray(self._booster.inplace_predict(rows, base_margin=margin, predict_type="value"))
        if not self._is_classifier:
            return answer.reshape(len(raw))
        if answer.ndim == 2:
            return answer
        return np.vstack((1.0 - answer, answer)).transpose()
