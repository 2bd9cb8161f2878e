"""Tree ensembles in ONNX, as onnxruntime adds them up in one thread: float32 sums from zero, tree after tree.

What the file starts the sums with (`base_values`) is added at the end, so that it is one more tree here, of one leaf.
A node that asks for the opposite (>, >=) has its children swapped. The functions behind the sums are those of
onnxruntime's `ml_common.h`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import Ensemble, Tree, Values
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.operations import operation
from jobs.scoring.readers.onnx_format import OnnxFile, read_file
from jobs.scoring.steps.columns import Block

#: How a test is read: whether its limit is below the threshold, and whether its children change about.
_TESTS = {b"BRANCH_LEQ": (False, False), b"BRANCH_LT": (True, False), b"BRANCH_GT": (False, True),
          b"BRANCH_GTE": (True, True)}  # fmt: skip
#: What each leaf adds, by tree, node and output.
_Votes = Mapping[int, Mapping[int, Mapping[int, float]]]


def read_onnx(model: Any, block: Block) -> Ensemble:
    """Read an OnnxClassifier or OnnxRegressor.

    Raises
    ------
    NotUnderstood
        The trees work in float64, test otherwise than by an order, or are not summed or averaged.
    """
    told = read_file(model.model)
    _require_float32(told)
    classes = told.classes
    n_outputs = 1 if told.is_one_sum else len(classes) if classes else int(told.attributes.get("n_targets") or 1)
    votes = _votes(told, "class" if classes else "target")
    trees = _trees(told, votes, n_outputs)
    how = told.attributes.get("aggregate_function") or b"SUM"
    if how not in (b"SUM", b"AVERAGE"):
        raise NotUnderstood(f"its trees are put together by {how.decode()}")
    base = told.attributes.get("base_values") or []
    if base and (len(base) != n_outputs or how == b"AVERAGE" or (classes and len(classes) == 2 and n_outputs == 2)):
        raise NotUnderstood("its base values are not added to its sums one by one")
    rounded = operation("to_float32")
    features = tuple(feature.then(rounded) for feature in block.numbers("ONNX").features)
    return Ensemble(
        features,
        (*trees, *_base_trees(base, trees)),
        np.zeros(n_outputs, np.float32),
        divisor=float(len(trees)) if how == b"AVERAGE" else 1.0,
    )


def onnx_link(model: Any) -> Link:
    """Return the link of an OnnxClassifier or OnnxRegressor.

    Raises
    ------
    NotUnderstood
        It is a function that is not known here, or its numbers are no probabilities.
    """
    told = read_file(model.model)
    function = (told.attributes.get("post_transform") or b"NONE").decode()
    if told.classes is None:
        if function == "NONE":
            return Link("identity", "value")
    elif told.is_one_sum:
        if function == "LOGISTIC":
            return Link("onnx sigmoids", "columns")
        if function == "NONE" and min(told.attributes["class_weights"]) >= 0:
            # onnxruntime takes a sum of votes for a probability where none of them is negative.
            return Link("identity", "pair")
    elif function in ("NONE", "LOGISTIC", "SOFTMAX"):
        return Link({"NONE": "identity", "LOGISTIC": "onnx sigmoid", "SOFTMAX": "onnx softmax"}[function], "columns")
    raise NotUnderstood(f"what {function} makes of its sums is not known")


def _require_float32(told: OnnxFile) -> None:
    if any(name.endswith("_as_tensor") for name in told.attributes):
        raise NotUnderstood("its trees are in float64")
    if len(told.reads) != 1 or told.reads[0] not in told.float_inputs:
        raise NotUnderstood("its trees read something else than the float32 that the file is given")


def _votes(told: OnnxFile, kind: str) -> _Votes:
    found: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    named = [told.attributes.get(f"{kind}_{name}") or [] for name in ("treeids", "nodeids", "ids", "weights")]
    for tree, node, output, weight in zip(*named, strict=True):
        if output in found[tree][node]:
            raise NotUnderstood("a leaf adds to one output twice")
        found[tree][node][output] = weight
    return found


def _trees(told: OnnxFile, votes: _Votes, n_outputs: int) -> list[Tree]:
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    columns = [told.attributes.get(f"nodes_{name}") or [] for name in names]
    tracks = told.attributes.get("nodes_missing_value_tracks_true") or [0] * len(columns[0])
    by_tree: dict[int, list[tuple[Any, ...]]] = {}
    for tree, *node in zip(*columns, tracks, strict=True):
        by_tree.setdefault(tree, []).append(tuple(node))
    outputs = {tree: {each for added in votes[tree].values() for each in added} for tree in by_tree}
    if told.classes is not None and len(told.classes) == 2 and n_outputs == 2:
        leaves = [(tree, node[0]) for tree, nodes in by_tree.items() for node in nodes if node[3] == b"LEAF"]
        if any(len(votes[tree].get(leaf, ())) < 2 for tree, leaf in leaves):
            raise NotUnderstood("some leaves of its two classes add to one of them")
    if any(len(each) != 1 for each in outputs.values()):
        return [_tree(nodes, votes[tree], range(n_outputs)) for tree, nodes in by_tree.items()]
    firsts = {tree: min(each) for tree, each in outputs.items()}
    return [_tree(nodes, votes[tree], range(firsts[tree], firsts[tree] + 1)) for tree, nodes in by_tree.items()]


def _tree(nodes: Sequence[tuple[Any, ...]], votes: Mapping[int, Mapping[int, float]], outputs: range) -> Tree:
    """Read a tree out of its nodes, the root first; `outputs` are those that each leaf has a number for."""
    inner = [node for node in nodes if node[3] != b"LEAF"]
    if unknown := {node[3] for node in inner} - _TESTS.keys():
        raise NotUnderstood(f"its trees have tests of the kind {sorted(unknown)[0].decode()}")
    children = {child for node in inner for child in node[4:6]}
    roots = [node[0] for node in nodes if node[0] not in children]
    if len(roots) != 1 or len(children) != 2 * len(inner):
        raise NotUnderstood("its nodes are no tree")
    place = {name: number for number, name in enumerate([roots[0], *(n[0] for n in nodes if n[0] != roots[0])])}
    n_nodes = len(place)
    tree = Tree(
        feature=np.zeros(n_nodes, np.int32),
        threshold=np.zeros(n_nodes),
        missing_left=np.zeros(n_nodes, np.bool_),
        left=np.full(n_nodes, -1, np.int32),
        right=np.full(n_nodes, -1, np.int32),
        value=np.zeros((n_nodes, len(outputs)), np.float32),
        category_set=np.full(n_nodes, -1, np.int32),
        output=outputs.start,
    )
    for name, feature, threshold, mode, if_true, if_false, tracks in inner:
        is_below, is_about = _TESTS[mode]
        own, limit = place[name], np.float32(threshold)
        tree.feature[own] = feature
        tree.threshold[own] = np.nextafter(limit, np.float32(-np.inf)) if is_below else limit
        first, second = (if_false, if_true) if is_about else (if_true, if_false)
        tree.left[own], tree.right[own] = place[first], place[second]
        # NaN passes no test, and goes where the test fails unless the node says otherwise.
        tree.missing_left[own] = bool(tracks) != is_about
    for name, added in votes.items():
        for output, weight in added.items():
            tree.value[place[name], output - outputs.start] = weight
    return tree


def _base_trees(base: Sequence[float], trees: Sequence[Tree]) -> list[Tree]:
    """Return trees of one leaf that add the base values, as wide as the others."""
    width = trees[0].value.shape[1] if trees else 1
    parts: list[Values] = [np.array(base[start : start + width], np.float32) for start in range(0, len(base), width)]
    nothing, leaf = np.zeros(1, np.int32), np.full(1, -1, np.int32)
    return [
        Tree(nothing, np.zeros(1), np.zeros(1, np.bool_), leaf, leaf, part[None, :], leaf, output=number * width)
        for number, part in enumerate(parts)
    ]
