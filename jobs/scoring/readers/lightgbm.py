"""Reads LightGBM's boosted trees from its text format (`Booster.model_to_string`).

Rows are float64. Each node says what is missing for it: nothing (NaN counts as 0.0), NaN, or zero; see `Tree`
in LightGBM's include/LightGBM/tree.h, `NumericalDecision` and `CategoricalDecision`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.codes import ZERO_BELOW
from jobs.scoring.kernels.ensemble import F64, LEFT, RIGHT, Ensemble, Tree, Values
from jobs.scoring.kernels.links import Link
from jobs.scoring.steps.columns import Block

CATEGORICAL_BIT, DEFAULT_LEFT_BIT, MISSING_SHIFT = 1, 2, 2
MISSING_NONE, MISSING_ZERO = 0, 1
SIGMOID = ("binary", "multiclassova", "cross_entropy")
EXPONENTIAL = ("poisson", "gamma", "tweedie")
RANKING = ("lambdarank", "rank_xendcg")
IDENTITY = ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "none", *RANKING)


def _sections(text: str) -> list[dict[str, str]]:
    """Return the header and the trees, each as the values of its lines."""
    body = text.partition("\nend of trees")[0]
    return [
        {name: value for name, _, value in (line.partition("=") for line in part.splitlines())}
        for part in body.split("\nTree=")
    ]


def _numbers(section: dict[str, str], name: str, dtype: Any) -> npt.NDArray[Any]:
    text = section.get(name, "")
    return np.array([float(word) for word in text.split()] if dtype is np.float64 else text.split(), dtype)


def _zero_near_zero(values: Values) -> Values:
    """Read arrays as LightGBM does (frames it reads as they are): up to `kZeroThreshold` all is zero."""
    return np.where(np.abs(values) <= np.float64(np.float32(ZERO_BELOW)), 0.0, values)


class _Reader:
    """Collects the category sets of all trees while they are read."""

    def __init__(self) -> None:
        self.sets: list[npt.NDArray[np.int8]] = []

    def _category_set(self, section: dict[str, str], number: int) -> int:
        bounds = _numbers(section, "cat_boundaries", np.int64)
        words = _numbers(section, "cat_threshold", np.uint32)[bounds[number] : bounds[number + 1]]
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")
        self.sets.append(np.where(bits, LEFT, RIGHT).astype(np.int8))
        return len(self.sets) - 1

    def tree(self, section: dict[str, str], output: int) -> Tree:
        """Return a tree: its inner nodes first, then its leaves, which the text numbers -1, -2, ..."""
        if int(section.get("is_linear", "0")):
            raise NotUnderstood("LightGBM's leaves are linear models")
        n_leaves = int(section["num_leaves"])
        n_inner = n_leaves - 1
        inner = np.arange(n_leaves + n_inner) < n_inner
        leaf_value = _numbers(section, "leaf_value", np.float64)

        def of_inner(values: npt.NDArray[Any], rest: float) -> npt.NDArray[Any]:
            return np.concatenate([values[:n_inner], np.full(n_leaves, rest, values.dtype)])

        def children(name: str) -> npt.NDArray[np.int32]:
            found = _numbers(section, name, np.int64)[:n_inner]
            return of_inner(np.where(found < 0, n_inner + ~found, found), -1).astype(np.int32)

        threshold = of_inner(_numbers(section, "threshold", np.float64), 0.0)
        decision = of_inner(_numbers(section, "decision_type", np.int64), 0)
        is_categorical = inner & (decision & CATEGORICAL_BIT > 0)
        missing = decision >> MISSING_SHIFT & 3
        category_set = np.full(len(inner), -1, np.int32)
        for node in np.flatnonzero(is_categorical):
            category_set[node] = self._category_set(section, int(threshold[node]))
        # Where nothing is missing NaN is 0.0, and no category holds NaN.
        default_left = np.where(missing == MISSING_NONE, threshold >= 0.0, decision & DEFAULT_LEFT_BIT > 0)
        return Tree(
            feature=of_inner(_numbers(section, "split_feature", np.int64), 0).astype(np.int32),
            threshold=threshold,
            missing_left=default_left & ~is_categorical,
            left=children("left_child"),
            right=children("right_child"),
            value=np.concatenate([np.zeros(n_inner), leaf_value])[:, None],
            category_set=category_set,
            zero_is_missing=inner & (missing == MISSING_ZERO) & ~is_categorical,
            output=output,
            cover=_cover(section, n_leaves),
        )


def _cover(section: dict[str, str], n_leaves: int) -> F64 | None:
    """Return how many rows went through each node, inner nodes first."""
    inner = _numbers(section, "internal_count", np.float64)[: n_leaves - 1]
    found = np.concatenate([inner, _numbers(section, "leaf_count", np.float64)])
    if n_leaves == 1 and len(found) < 1:
        return np.ones(1)
    return found if len(found) == 2 * n_leaves - 1 else None


def read_lightgbm(model: Any, block: Block) -> Ensemble:
    """Read a fitted LGBMClassifier, LGBMRegressor or LGBMRanker.

    Raises
    ------
    NotUnderstood
        Its leaves are linear models.
    """
    header, *parts = _sections(model.booster_.model_to_string())
    n_outputs = int(header["num_tree_per_iteration"])
    reader = _Reader()
    trees = tuple(reader.tree(part, number % n_outputs) for number, part in enumerate(parts))
    features = block.numbers("LightGBM").features
    if block.names is None:
        features = tuple(feature.then(_zero_near_zero) for feature in features)
    return Ensemble(features, trees, np.zeros(n_outputs), tuple(reader.sets))


def lightgbm_link(model: Any) -> Link:
    """Return the link of a fitted LGBMClassifier, LGBMRegressor or LGBMRanker.

    Raises
    ------
    NotUnderstood
        Its objective's is not known here.
    """
    header, *trees = _sections(model.booster_.model_to_string())
    name, *settings = header.get("objective", "none").split()
    options = dict(setting.split(":", 1) for setting in settings if ":" in setting)
    known = {
        **dict.fromkeys(SIGMOID, "sigmoid"),
        **dict.fromkeys(EXPONENTIAL, "exponential"),
        **dict.fromkeys(IDENTITY, "identity"),
        "multiclass": "softmax",
    }
    if "sqrt" in settings or name not in known:
        raise NotUnderstood(f"the link of LightGBM's objective {name!r} is not known")
    n_outputs = int(header["num_tree_per_iteration"])
    # A forest's raw prediction is a sum, and its link takes the mean.
    divisor = float(len(trees) // n_outputs) if "average_output" in header else 1.0
    if name == "multiclass":
        shape = "columns"
    elif hasattr(model, "classes_"):
        shape = "columns" if n_outputs > 1 else "pair"
    else:
        shape = "value"
    return Link(known[name], shape, float(options.get("sigmoid", 1.0)), divisor)
