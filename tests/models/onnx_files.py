"""Writes small tree ensembles as ONNX files, by the wire format of protocol buffers (onnx.proto, ai.onnx.ml 3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

FLOAT = 1
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
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, values: Any) -> bytes:
    if isinstance(values, str):
        return _field(5, _field(1, name) + _field(4, values) + _field(20, 3))
    number, kind = {int: (8, 7), float: (7, 6), str: (9, 8)}[type(values[0])]
    return _field(5, _field(1, name) + b"".join(_field(number, each) for each in values) + _field(20, kind))


def _value(name: str, width: int) -> bytes:
    shape = _field(1, _field(2, "N")) + _field(1, _field(1, width))
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, shape)))


def stumps(trees: Sequence[Stump], classes: Sequence[Any], inputs: dict[str, int], operator: str = "") -> bytes:
    """Write trees of one test each whose sums go through a softmax.

    Parameters
    ----------
    inputs
        The names of the model's inputs, with how many columns each has.
    operator
        One more, behind the trees.
    """
    n_classes = len(classes)
    of_nodes: dict[str, list[Any]] = {
        "treeids": [], "nodeids": [], "featureids": [], "values": [], "modes": [], "truenodeids": [],
        "falsenodeids": [], "missing_value_tracks_true": [],
    }  # fmt: skip
    of_leaves: dict[str, list[Any]] = {"treeids": [], "nodeids": [], "ids": [], "weights": []}
    for tree, (feature, threshold, left, right) in enumerate(trees):
        nodes = [(feature, threshold, "BRANCH_LEQ", 1, 2), (0, 0.0, "LEAF", 0, 0), (0, 0.0, "LEAF", 0, 0)]
        for node, values in enumerate(nodes):
            for name, value in zip(of_nodes, (tree, node, *values, 0), strict=True):
                of_nodes[name].append(value)
        for node, weights in ((1, left), (2, right)):
            for place in range(n_classes):
                for name, value in zip(of_leaves, (tree, node, place, float(weights[place])), strict=True):
                    of_leaves[name].append(value)
    source = next(iter(inputs)) if len(inputs) == 1 else "together"
    node = _field(1, source) + _field(2, "label") + _field(2, "probabilities") + _field(4, "TreeEnsembleClassifier")
    node += _field(7, "ai.onnx.ml") + b"".join(_attribute(f"nodes_{name}", each) for name, each in of_nodes.items())
    node += b"".join(_attribute(f"class_{name}", each) for name, each in of_leaves.items())
    kind = "strings" if isinstance(classes[0], str) else "int64s"
    node += _attribute(f"classlabels_{kind}", list(classes)) + _attribute("post_transform", "SOFTMAX")
    nodes_written = _field(1, node)
    if operator:
        more = _field(1, "probabilities") + _field(2, "more") + _field(4, operator)
        nodes_written += _field(1, more)
    graph = nodes_written + _field(2, "trees")
    graph += b"".join(_field(11, _value(name, width)) for name, width in inputs.items())
    graph += _field(12, _value("probabilities", n_classes))
    opsets = _field(8, _field(1, "") + _field(2, 15)) + _field(8, _field(1, "ai.onnx.ml") + _field(2, 3))
    return _field(1, 8) + opsets + _field(7, graph)
