"""Writes small tree ensembles as ONNX files, by the wire format of protocol buffers (onnx.proto, ai.onnx.ml 3)."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: TensorProto.DataType.
FLOAT, DOUBLE = 1, 11
#: feature, threshold, and what is added to each class on the left and on the right.
Stump = tuple[int, float, Sequence[float], Sequence[float]]


def _varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def _field(number: int, value: Any) -> bytes:
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value % (1 << 64))
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, values: Any) -> bytes:
    if isinstance(values, int):
        return _field(5, _field(1, name) + _field(3, values) + _field(20, 2))
    if isinstance(values, str):
        return _field(5, _field(1, name) + _field(4, values) + _field(20, 3))
    number, kind = {int: (8, 7), float: (7, 6), str: (9, 8)}[type(values[0])]
    return _field(5, _field(1, name) + b"".join(_field(number, each) for each in values) + _field(20, kind))


def _value(name: str, width: int, kind: int = FLOAT) -> bytes:
    shape = _field(1, _field(2, "N")) + _field(1, _field(1, width))
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


@dataclass(frozen=True)
class Node:
    """A test with the nodes where it passes and where it fails, or a leaf with what it adds to each output."""

    feature: int = 0
    threshold: float = 0.0
    mode: str = "LEAF"
    passes: Node | None = None
    fails: Node | None = None
    nan_passes: bool = False
    votes: Mapping[int, float] = field(default_factory=dict)


def trees_file(
    trees: Sequence[Node],
    inputs: dict[str, int],
    *,
    classes: Sequence[Any] = (),
    n_targets: int = 1,
    operator: str = "",
    factor: float = 1.0,
    kind: int = FLOAT,
    **settings: Any,
) -> bytes:
    """Write trees: a classifier of some classes, or else a regressor.

    Parameters
    ----------
    inputs
        The names of the model's inputs, with how many columns each has.
    operator, factor
        One more, behind the trees, which takes what they give and a number.
    kind
        TensorProto.DataType of the inputs.
    settings
        More attributes of the trees, such as `post_transform`.
    """
    of_nodes: dict[str, list[Any]] = {
        "treeids": [], "nodeids": [], "featureids": [], "values": [], "modes": [], "truenodeids": [],
        "falsenodeids": [], "missing_value_tracks_true": [],
    }  # fmt: skip
    of_leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for number, tree in enumerate(trees):
        for place, (node, passes, fails) in enumerate(_numbered(tree)):
            told = (node.feature, node.threshold, node.mode, passes, fails, int(node.nan_passes))
            for name, value in zip(of_nodes, (number, place, *told), strict=True):
                of_nodes[name].append(value)
            for output, weight in node.votes.items():
                for name, value in zip(of_leaves, (number, place, output, float(weight)), strict=True):
                    of_leaves[name].append(value)
    source = next(iter(inputs)) if len(inputs) == 1 else "together"
    what, leaves = ("Classifier", "class") if classes else ("Regressor", "target")
    node = _field(1, source) + (_field(2, "label") if classes else b"") + _field(2, "answer")
    node += _field(4, f"TreeEnsemble{what}") + _field(7, "ai.onnx.ml")
    node += b"".join(_attribute(f"nodes_{name}", each) for name, each in of_nodes.items())
    node += b"".join(_attribute(f"{leaves}_{name}", each) for name, each in of_leaves.items())
    if classes:
        node += _attribute(f"classlabels_{'strings' if isinstance(classes[0], str) else 'int64s'}", list(classes))
    else:
        node += _attribute("n_targets", n_targets)
    node += b"".join(_attribute(name, value) for name, value in settings.items())
    nodes_written = _field(1, node)
    graph = nodes_written + _field(2, "trees")
    if operator:
        graph += _field(1, _field(1, "answer") + _field(1, "factor") + _field(2, "more") + _field(4, operator))
        graph += _field(5, _field(2, FLOAT) + _field(4, struct.pack("<f", factor)) + _field(8, "factor"))
    graph += b"".join(_field(11, _value(name, width, kind)) for name, width in inputs.items())
    graph += _field(12, _value("more" if operator else "answer", len(classes) or n_targets))
    opsets = _field(8, _field(1, "") + _field(2, 15)) + _field(8, _field(1, "ai.onnx.ml") + _field(2, 3))
    return _field(1, 8) + opsets + _field(7, graph)


def _numbered(tree: Node) -> list[tuple[Node, int, int]]:
    """Give a tree's nodes in an order, the root first, with the places of their children; 0 of leaves."""
    nodes, found = [tree], list[tuple[Node, int, int]]()
    for node in nodes:
        below = [each for each in (node.passes, node.fails) if each is not None]
        found.append((node, len(nodes), len(nodes) + 1) if below else (node, 0, 0))
        nodes += below
    return found


def stumps(trees: Sequence[Stump], classes: Sequence[Any], inputs: dict[str, int], operator: str = "") -> bytes:
    """Write trees of one test each whose sums go through a softmax.

    Parameters
    ----------
    inputs
        The names of the model's inputs, with how many columns each has.
    operator
        One more, behind the trees.
    """
    leaves = [[Node(votes=dict(enumerate(votes))) for votes in each[2:]] for each in trees]
    written = [
        Node(feature, threshold, "BRANCH_LEQ", *below)
        for (feature, threshold, *_), below in zip(trees, leaves, strict=True)
    ]
    return trees_file(written, inputs, classes=classes, operator=operator, post_transform="SOFTMAX")
