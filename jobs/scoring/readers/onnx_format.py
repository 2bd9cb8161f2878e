"""ONNX files of tree ensembles, as their bytes say them: operators, inputs, and the attributes of the trees.

They are read off the wire format of protocol buffers by the field numbers of onnx.proto, without the onnx package: a
model is ModelProto.graph (7); GraphProto.node (1), initializer (5) and input (11); NodeProto.input (1), op_type (4) and
attribute (5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
#: TensorProto.DataType.FLOAT.
_FLOAT = 1
_GRAPH, _NODE, _ATTRIBUTE = 7, 1, 5


@dataclass
class OnnxFile:
    """What a file tells.

    Attributes
    ----------
    operators
        Of all nodes, in order; a product with ones, which converters write behind trees, is an Identity.
    reads
        The names of what the trees are given.
    float_inputs
        The inputs of the whole that are tensors of float32.
    attributes
        Those of the trees, by name: text as bytes, one number, or a list of either.
    """

    operators: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    float_inputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> list[Any] | None:
        """The classes in the order of their probabilities; None of a regressor."""
        names = self.attributes.get("classlabels_strings")
        if names:
            return [name.decode() for name in names]
        return self.attributes.get("classlabels_int64s") or None

    @property
    def voted_for(self) -> set[int]:
        """The places of the classes, or targets, that some leaf adds to."""
        return {*self.attributes.get("class_ids", ()), *self.attributes.get("target_ids", ())}

    @property
    def is_one_sum(self) -> bool:
        """Whether both of two classes follow from one sum, which stands at the first class."""
        return self.classes is not None and len(self.classes) == 2 and self.voted_for == {0}


def read_file(model: bytes) -> OnnxFile:
    """Read a file; one that is damaged is a ValueError or an IndexError."""
    told = OnnxFile()
    for graph in _under(model, _GRAPH):
        ones = {name for tensor in _under(graph, 5) for name in _named_if_ones(tensor)}
        for number, _, value in _fields(graph):
            if number == _NODE:
                _take_node(told, value, ones)
            elif number == 11:
                _take_input(told, value)
    return told


def without_transform(model: bytes) -> bytes:
    """Give the same file with trees that give their sums, through no function."""

    def attribute(value: bytes) -> bytes:
        if b"".join(_under(value, 1)) != b"post_transform":
            return value
        return b"".join(_written(*each) for each in _fields(value) if each[0] != 4) + _written(4, 2, b"NONE")

    def node(value: bytes) -> bytes:
        is_trees = b"".join(_under(value, 4)).decode() in TREES
        return _changed(value, _ATTRIBUTE, attribute) if is_trees else value

    return _changed(model, _GRAPH, lambda graph: _changed(graph, _NODE, node))


def _changed(message: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """Write a message again with each field of a number changed."""
    parts = [(found, wire, change(value) if found == number else value) for found, wire, value in _fields(message)]
    return b"".join(_written(*part) for part in parts)


def _take_node(told: OnnxFile, node: bytes, ones: set[bytes]) -> None:
    operator = b"".join(_under(node, 4)).decode()
    if operator == "Mul" and ones & set(_under(node, 1)):
        operator = "Identity"
    told.operators.append(operator)
    if operator in TREES:
        told.reads = [name.decode() for name in _under(node, 1)]
        told.attributes = dict(_attribute(value) for value in _under(node, _ATTRIBUTE))


def _named_if_ones(tensor: bytes) -> list[Any]:
    """Give a tensor's name if all of it is 1 in float32 (TensorProto: data_type 2, float_data 4, name 8, raw 9)."""
    if _under(tensor, 2) != [_FLOAT]:
        return []
    values = np.frombuffer(b"".join([*_under(tensor, 4), *_under(tensor, 9)]), "<f4")
    return _under(tensor, 8) if len(values) and (values == 1).all() else []


def _take_input(told: OnnxFile, value: bytes) -> None:
    """Take an input's name if it is a tensor of float32 (ValueInfoProto.type.tensor_type.elem_type)."""
    kinds = [kind for of in _under(value, 2) for tensor in _under(of, 1) for kind in _under(tensor, 1)]
    if kinds == [_FLOAT]:
        told.float_inputs.append(b"".join(_under(value, 1)).decode())


def _attribute(data: bytes) -> tuple[str, Any]:
    """Read an AttributeProto: name 1; f 2, i 3, s 4, t 5; floats 7, ints 8, strings 9."""
    name, one, several = "", None, list[Any]()
    for number, _, value in _fields(data):
        if number == 1:
            name = value.decode()
        elif number in (2, 7):
            floats = np.frombuffer(value, "<f4").tolist()
            one, several = floats[0], several + floats if number == 7 else several
        elif number in (3, 8):
            integers = [_signed(value)] if isinstance(value, int) else [_signed(each) for each in _varints(value)]
            one, several = integers[0] if integers else None, several + integers if number == 8 else several
        elif number in (4, 5):
            one = bytes(value)
        elif number == 9:
            several.append(bytes(value))
    return name, several or one


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _under(message: bytes, number: int) -> list[Any]:
    """Give the values of a message's fields of one number."""
    return [value for found, _, value in _fields(message) if found == number]


def _written(number: int, wire: int, value: Any) -> bytes:
    """Write a field; see `_fields`."""
    key = _varint(number << 3 | wire)
    if wire == 0:
        return key + _varint(value)
    return key + (_varint(len(value)) if wire == 2 else b"") + bytes(value)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _varints(data: bytes) -> Iterator[int]:
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number, shift = 0, 0


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Go through the fields of a message: their numbers, how they are written (the wire type), and values."""
    place = 0

    def varint() -> int:
        nonlocal place
        start = place
        while data[place] >= 0x80:
            place += 1
        place += 1
        return next(_varints(data[start:place]))

    while place < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, wire, varint()
            continue
        size = varint() if wire == 2 else {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or place + size > len(data):
            raise ValueError("the file is damaged, or in no form that is read")
        yield key >> 3, wire, data[place : place + size]
        place += size
