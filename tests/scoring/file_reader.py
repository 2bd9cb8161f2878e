"""A reader of compiled models written from docs/compiled_model.md alone, with nothing but Python's standard library.

It takes one row at a time and is in no hurry: it is there to show that the document says all that a reader in another
language has to know. It checks nothing; see the document's last section for what a reader that is let out has to.
"""

from __future__ import annotations

import bisect
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_TYPES = {"U8": "B", "I32": "i", "I64": "q", "F32": "f", "F64": "d"}
Row = Mapping[str, Any]
Number = Callable[[float], float]


class Arrays:
    """The arrays of a file whose names begin with `prefix`, as lists of numbers, and the description beside them."""

    def __init__(self, file: bytes) -> None:
        (length,) = struct.unpack_from("<Q", file)
        header = json.loads(file[8 : 8 + length])
        told = header.pop("__metadata__")
        assert (told["format"], told["version"]) == ("almanac compiled model", "1")
        self.description = json.loads(told["model"])
        self.prefix = ""
        self.values: dict[str, list[Any]] = {}
        self.types = {name: array["dtype"] for name, array in header.items()}
        self.shapes = {name: array["shape"] for name, array in header.items()}
        for name, array in header.items():
            first, end = (8 + length + offset for offset in array["data_offsets"])
            sign = _TYPES[array["dtype"]]
            self.values[name] = list(struct.unpack(f"<{(end - first) // struct.calcsize(sign)}{sign}", file[first:end]))

    def part(self, number: int) -> Arrays:
        """Give the arrays of a calibrated model's part."""
        found = object.__new__(Arrays)
        found.__dict__.update(self.__dict__, prefix=f"part{number}/")
        return found

    def __getitem__(self, name: str) -> list[Any]:
        return self.values.get(self.prefix + name, [])

    def width(self, name: str) -> int:
        """Give how many columns an array has."""
        return int(self.shapes[self.prefix + name][1])

    def is_float32(self, name: str) -> bool:
        """Tell whether an array's numbers are of 32 bits."""
        return self.types[self.prefix + name] == "F32"


def predict(file: bytes, rows: Sequence[Row]) -> list[list[float]]:
    """Give the predictions of rows, each a mapping from a column's name to a number, a text or None."""
    arrays = Arrays(file)
    return [_predicted(arrays, arrays.description, arrays.description["model"], row) for row in rows]


def _predicted(arrays: Arrays, told: Any, model: Any, row: Row) -> list[float]:
    if model["kind"] == "calibrated":
        return _calibrated(arrays, told, model, row)
    if model["kind"] == "shifted":
        (value,) = _predicted(arrays.part(0), told, model["part"], row)
        return [value + offset for offset in arrays["offsets"]]
    return _linked(model["link"], _raw(arrays, told, model, row))


def _raw(arrays: Arrays, told: Any, model: Any, row: Row) -> list[float]:
    raw = _trees if model["kind"] == "trees" else _linear
    return raw(arrays, told, model, row)


def _float32(number: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", number))[0]) if math.isfinite(number) else number


def _bins(arrays: Arrays, told: Any, row: Row) -> list[tuple[int, int]]:
    """Give each column's bin, and how many bins it has."""
    found = []
    at = category = text = refused = 0
    for feature, kind, n_places in zip(
        arrays["column.feature"], arrays["column.kind"], arrays["column.n_places"], strict=True
    ):
        value = row[told["features"][feature]]
        if kind == 2:
            categories = []
            for end in arrays["category.end"][category : category + n_places]:
                categories.append(bytes(arrays["category.text"][text:end]).decode())
                text = end
            category += n_places
            known = value in categories
            place = n_places + 1 if value is None else categories.index(value) if known else n_places
        else:
            breakpoints = arrays["column.breakpoints"][at : at + n_places]
            at += n_places
            missing = value is None or math.isnan(value)
            number = 0.0 if missing else _float32(value) if kind == 1 else value
            place = n_places + 1 if missing else bisect.bisect_left(breakpoints, number)
        assert not arrays["column.refused"][refused + place], f"{told['features'][feature]} = {value} is refused"
        refused += n_places + 2
        found.append((place, n_places + 2))
    return found


def _trees(arrays: Arrays, told: Any, model: Any, row: Row) -> list[float]:
    bins = _bins(arrays, told, row)
    codes, at = [], 0
    for column in arrays["slot.column"]:
        place, n_bins = bins[column]
        codes.append(arrays["slot.codes"][at + place])
        at += n_bins
    rounded: Number = _float32 if arrays.is_float32("base") else float
    sums, width = list(arrays["base"]), arrays.width("leaves")
    node = leaf = 0
    for n_nodes, output in zip(arrays["tree.n_nodes"], arrays["tree.output"], strict=True):
        slots = arrays["node.slot"][node : node + n_nodes]
        limits = arrays["node.code"][node : node + n_nodes]
        here = 0
        while slots[here] >= 0:
            inner = sum(slot >= 0 for slot in slots[:here])
            here = 1 + 2 * inner + (codes[slots[here]] > limits[here])
        reached = leaf + sum(slot < 0 for slot in slots[:here])
        for number, value in enumerate(arrays["leaves"][reached * width : (reached + 1) * width]):
            sums[output + number] = rounded(sums[output + number] + value)
        node += n_nodes
        leaf += sum(slot < 0 for slot in slots)
    return [rounded(value / model["divisor"]) for value in sums]


def _linear(arrays: Arrays, told: Any, model: Any, row: Row) -> list[float]:
    bins = _bins(arrays, told, row)
    binned = dict(zip(arrays["column.feature"], bins, strict=True))
    rounded: Number = _float32 if model["dtype"] == "float32" else float
    features: list[float] = []
    table = operation = number = check = 0
    for column, has_table, n_operations, n_checks in zip(
        arrays["feature.column"],
        arrays["feature.has_table"],
        arrays["feature.n_operations"],
        arrays["feature.n_checks"],
        strict=True,
    ):
        if has_table:
            place, n_bins = binned[column]
            value = arrays["feature.tables"][table + place]
            table += n_bins
        else:
            given = row[told["features"][column]]
            value = math.nan if given is None else float(given)
        is_float32 = told["kinds"][column] == "float32"
        for name, says_float32 in zip(
            arrays["operation.name"][operation : operation + n_operations],
            arrays["operation.is_float32"][operation : operation + n_operations],
            strict=True,
        ):
            takes = {6: 2, 8: 0, 9: 0, 10: 0}.get(name, 1)
            numbers = arrays["operation.numbers"][number : number + takes]
            number += takes
            is_float32 = name == 10 or (is_float32 and name != 9)
            value = _operated(name, value, numbers, is_float32=is_float32, says_float32=bool(says_float32))
        operation += n_operations
        check += n_checks
        features.append(rounded(value))
    n_features = len(features)
    return [
        rounded(math.fsum(a * b for a, b in zip(arrays["coefficients"][at:], features, strict=False)) + intercept)
        for at, intercept in zip(range(0, len(arrays["coefficients"]), n_features), arrays["intercept"], strict=True)
    ]


def _operated(name: int, value: float, numbers: Sequence[float], *, is_float32: bool, says_float32: bool) -> float:
    narrow: Number = _float32 if is_float32 else float
    if name in (4, 5):
        numbers = [narrow(one) for one in numbers]
    if name == 8:
        return float(math.isnan(value))
    if name == 7:
        return narrow(numbers[0]) if math.isnan(value) else value
    if name == 6:
        return value if math.isnan(value) else narrow(min(max(value, numbers[0]), numbers[1]))
    if name in (0, 4):
        return narrow(value - numbers[0])
    if name == 1:
        return narrow(value + numbers[0])
    if name == 2:
        return narrow(value * numbers[0])
    return narrow(value / numbers[0]) if name in (3, 5) else narrow(value)


def _exp(number: float) -> float:
    try:
        return math.exp(number)
    except OverflowError:
        return math.inf


def _softmax(numbers: Sequence[float], narrow: Number = float) -> list[float]:
    powers = [narrow(_exp(narrow(number - max(numbers)))) for number in numbers]
    return [narrow(power / sum(powers)) for power in powers]


def _linked(link: Any, raw: Sequence[float]) -> list[float]:
    function = link["function"]
    narrow: Number = _float32 if function.startswith(("float32", "onnx")) else float
    numbers = [narrow(number / link["divisor"]) if link["divisor"] != 1 else number for number in raw]
    if function.endswith("softmax"):
        numbers = _softmax(numbers, narrow)
    elif function.startswith("onnx sigmoid"):
        numbers = [-numbers[0], numbers[0]] if function.endswith("s") else numbers
        powers = [narrow(1 / narrow(1 + narrow(_exp(-abs(number))))) for number in numbers]
        numbers = [narrow(1 - power) if number < 0 else power for number, power in zip(numbers, powers, strict=True)]
    elif function == "sigmoid":
        numbers = [1 / (1 + _exp(-link["slope"] * number)) for number in numbers]
    elif function == "float32 sigmoid":
        powers = [_float32(_exp(min(-number, _float32(88.7)))) for number in numbers]
        numbers = [_float32(1 / _float32(_float32(power + 1) + _float32(1e-16))) for power in powers]
    elif function.endswith("exponential"):
        numbers = [narrow(_exp(number)) for number in numbers]
    else:
        assert function == "identity"
    return [narrow(1 - numbers[0]), numbers[0]] if link["shape"] == "pair" else numbers


def _calibrated(arrays: Arrays, told: Any, model: Any, row: Row) -> list[float]:
    given = []
    for number, part in enumerate(model["parts"]):
        inside = arrays.part(number)
        if part["asks_probabilities"]:
            responses = _predicted(inside, told, part["model"], row)
            responses = responses[1:] if len(responses) == 2 else responses
        else:
            responses = _raw(inside, told, part["model"], row)
        given.append(_calibrate(inside, part["calibrators"], model["n_classes"], responses))
    return [math.fsum(each) / len(given) for each in zip(*given, strict=True)]


def _calibrate(arrays: Arrays, calibrators: Sequence[Any], n_classes: int, responses: Sequence[float]) -> list[float]:
    found = [0.0] * n_classes
    for j, calibrator in enumerate(calibrators):
        numbers = arrays[f"calibrator{j}.numbers"]
        response = responses[j] if len(responses) > 1 else responses[0]
        if calibrator["method"] == "sigmoid":
            found[calibrator["class"]] = 1 / (1 + _exp(numbers[0] * response + numbers[1]))
        elif calibrator["method"] == "isotonic":
            x, y = arrays[f"calibrator{j}.x"], arrays[f"calibrator{j}.y"]
            cut = min(max(response, numbers[0]), numbers[1])
            found[calibrator["class"]] = _between(x, y, cut)
        else:
            logits = [-response, response] if len(responses) == 1 else list(responses)
            return _softmax([numbers[0] * logit for logit in logits])
    if n_classes == 2:
        found[0] = 1 - found[1]
    else:
        total = sum(found)
        found = [one / total for one in found] if total else [1 / n_classes] * n_classes
    return [1.0 if 1 < one <= 1 + 1e-5 else one for one in found]


def _between(x: Sequence[float], y: Sequence[float], at: float) -> float:
    """Interpolate linearly between points."""
    after = bisect.bisect_right(x, at)
    if after == 0:
        return y[0]
    if after == len(x):
        return y[-1]
    share = (at - x[after - 1]) / (x[after] - x[after - 1])
    return y[after - 1] + share * (y[after] - y[after - 1])
