"""Scores one row at a time with the compiled model that a bundle holds, by Python's standard library alone.

docs/compiled_model.md says what the file is. Of its models those are read that every reader of bundles can repeat to
the last bit: trees with one output, whose link is the identity, or the C library's `exp` in float64. Others are
refused, with the reason.
"""

from __future__ import annotations

import array
import itertools
import json
import math
import struct
import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.bundles.key_columns import BundleRefused, KeyRefused

_ITEMS = {"U8": "B", "I32": "i", "I64": "q", "F32": "f", "F64": "d"}
#: Links that are computed here bit by bit as the scorer does, with the shapes of their answers.
_LINKS = {("identity", "value"), ("exponential", "value"), ("sigmoid", "pair")}
Value = float | str | None


class NotExact(BundleRefused):
    """Readers of bundles cannot repeat the model to the last bit; the message says what stands in the way."""


def _arrays(data: bytes) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Read the container: the arrays, their types, and the description beside them."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    told = header.pop("__metadata__")
    if (told["format"], told["version"]) != ("almanac compiled model", "1"):
        raise NotExact(f"the compiled model is of version {told['version']}, and this reader knows version 1")
    found: dict[str, Any] = {}
    for name, described in header.items():
        first, end = (8 + length + offset for offset in described["data_offsets"])
        found[name] = array.array(_ITEMS[described["dtype"]], data[first:end])
        if sys.byteorder == "big":
            found[name].byteswap()
    return found, {name: described["dtype"] for name, described in header.items()}, json.loads(told["model"])


@dataclass(frozen=True)
class _Column:
    """One column that the trees look at: its bins. A number's are between `edges`, a text's those of `places`."""

    feature: int
    edges: Sequence[float]
    places: Mapping[str, int] | None
    refused: Sequence[int]

    def bin_of(self, value: Value) -> int:
        """Give the bin of a value."""
        if self.places is not None:
            known = len(self.places)
            return known + 1 if value is None else self.places.get(str(value), known)
        if value is None or math.isnan(number := float(value)):
            return len(self.edges) + 1
        return bisect_left(self.edges, number)


class CompiledTrees:
    """A compiled model of trees.

    Parameters
    ----------
    data
        The file. It was checked by who wrote the bundle, whose hash stands for it.

    Raises
    ------
    NotExact
        The model is none that can be repeated here to the last bit.
    """

    def __init__(self, data: bytes) -> None:
        arrays, types, told = _arrays(data)
        self.features: tuple[str, ...] = tuple(told["features"])
        self.kinds: tuple[str, ...] = tuple(told["kinds"])
        model = told["model"]
        if model["kind"] != "trees":
            raise NotExact(f"its model is {model['kind']}, and of trees alone every bit is the same everywhere")
        self._link = model["link"]
        if (self._link["function"], self._link["shape"]) not in _LINKS or len(arrays["base"]) != 1:
            shape = f"{self._link['function']}, {self._link['shape']}"
            raise NotExact(f"its model's link ({shape}) is not computed alike by every reader of bundles")
        self._is_float32 = types["base"] == "F32"
        if self._is_float32 and self._link["function"] != "identity":
            raise NotExact("its model's link works in float32, which not every reader of bundles has")
        self._divisor = self._narrow(float(model["divisor"]))
        self._columns = _columns(arrays)
        ends = list(itertools.accumulate(len(column.refused) for column in self._columns))
        sizes = [ends[0], *(b - a for a, b in itertools.pairwise(ends))] if ends else []
        self._slots: list[tuple[int, Sequence[int]]] = []
        at = 0
        for column in arrays["slot.column"]:
            self._slots.append((column, arrays["slot.codes"][at : at + sizes[column]].tolist()))
            at += sizes[column]
        self._base: float = arrays["base"][0]
        self._read_trees(arrays)

    def _read_trees(self, arrays: Mapping[str, Any]) -> None:
        """Give each inner node the place of its first child, and each leaf what it adds."""
        slots, limits, leaves = arrays["node.slot"].tolist(), arrays["node.code"].tolist(), iter(arrays["leaves"])
        self._nodes: list[tuple[int, int, int, float]] = []
        self._roots: list[int] = []
        start = 0
        for n_nodes in arrays["tree.n_nodes"]:
            self._roots.append(start)
            child = start + 1
            for place in range(start, start + n_nodes):
                if slots[place] < 0:
                    self._nodes.append((-1, 0, 0, next(leaves)))
                else:
                    self._nodes.append((slots[place], limits[place], child, 0.0))
                    child += 2
            start += n_nodes

    def _narrow(self, number: float) -> float:
        """Round to the type of the sum."""
        return float(struct.unpack("<f", struct.pack("<f", number))[0]) if self._is_float32 else number

    def predict(self, values: Sequence[Value]) -> float:
        """Give the prediction for a row: of two classes the probability of the second one.

        Parameters
        ----------
        values
            In the order of `features`: numbers, texts, None for NULL.

        Raises
        ------
        KeyRefused
            The model refuses a value, as its estimator would.
        """
        bins = []
        for column in self._columns:
            place = column.bin_of(values[column.feature])
            if column.refused[place]:
                raise KeyRefused(f"the model refuses the value of `{self.features[column.feature]}`")
            bins.append(place)
        codes = [of_bin[bins[column]] for column, of_bin in self._slots]
        nodes, total = self._nodes, self._base
        # Tree after tree: the last bits of the sum depend on the order.
        for root in self._roots:
            slot, limit, child, leaf = nodes[root]
            while slot >= 0:
                slot, limit, child, leaf = nodes[child + (codes[slot] > limit)]
            total = self._narrow(total + leaf)
        return self._linked(self._narrow(total / self._divisor))

    def _linked(self, raw: float) -> float:
        function, slope, divisor = self._link["function"], self._link["slope"], self._link["divisor"]
        number = raw if divisor == 1 else self._narrow(raw / divisor)
        if function == "identity":
            return number
        return _exp(number) if function == "exponential" else 1.0 / (1.0 + _exp(-slope * number))


def _exp(number: float) -> float:
    try:
        return math.exp(number)
    except OverflowError:
        return math.inf


def _columns(arrays: Mapping[str, Any]) -> list[_Column]:
    """Read the bins of the columns that the trees look at."""
    texts, first = [], 0
    for end in arrays.get("category.end", ()):
        texts.append(arrays["category.text"][first:end].tobytes().decode())
        first = end
    found, at, text_at, bin_at = [], 0, 0, 0
    for feature, kind, size in zip(
        arrays["column.feature"], arrays["column.kind"], arrays["column.n_places"], strict=True
    ):
        refused = arrays["column.refused"][bin_at : bin_at + size + 2].tolist()
        bin_at += size + 2
        if kind == 2:
            places = {text: place for place, text in enumerate(texts[text_at : text_at + size])}
            text_at += size
            found.append(_Column(feature, (), places, refused))
        else:
            edges = arrays["column.breakpoints"][at : at + size].tolist()
            at += size
            found.append(_Column(feature, edges, None, refused))
    return found
