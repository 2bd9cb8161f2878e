"""The steps of a linear model's features as data: an operation's name and its numbers, with numpy's own arithmetic.

A scaler's step is such an operation, so that a file can hold it. Each takes a column's values and returns new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from jobs.scoring.kernels.ensemble import Values


def _subtract(values: Values, operand: Values) -> Values:
    values = values.copy()
    values -= operand
    return values


def _add(values: Values, operand: Values) -> Values:
    values = values.copy()
    values += operand
    return values


def _multiply(values: Values, operand: Values) -> Values:
    values = values.copy()
    values *= operand
    return values


def _divide(values: Values, operand: Values) -> Values:
    values = values.copy()
    values /= operand
    return values


def _cast_subtract(values: Values, operand: Values) -> Values:
    return _subtract(values, operand.astype(values.dtype))


def _cast_divide(values: Values, operand: Values) -> Values:
    return _divide(values, operand.astype(values.dtype))


def _clip(values: Values, operand: Values) -> Values:
    low, high = (values.dtype.type(end) for end in operand)
    return np.asarray(values.clip(low, high))


def _fill(values: Values, operand: Values) -> Values:
    return np.where(np.isnan(values), operand.astype(values.dtype)[0], values)


def _is_missing(values: Values, operand: Values) -> Values:
    return np.isnan(values).astype(values.dtype)


def _to_float64(values: Values, operand: Values) -> Values:
    return values.astype(np.float64)


def _to_float32(values: Values, operand: Values) -> Values:
    return values.astype(np.float32)


OPERATIONS: dict[str, tuple[int, Callable[[Values, Values], Values]]] = {
    "subtract": (1, _subtract),
    "add": (1, _add),
    "multiply": (1, _multiply),
    "divide": (1, _divide),
    "cast_subtract": (1, _cast_subtract),
    "cast_divide": (1, _cast_divide),
    "clip": (2, _clip),
    "fill": (1, _fill),
    "is_missing": (0, _is_missing),
    "to_float64": (0, _to_float64),
    "to_float32": (0, _to_float32),
}
"""By name: how many numbers an operation has, and what it does.

An operation keeps the type of its values, whatever the type of its numbers: numpy then computes in the wider of the
two and rounds. Those that begin with `cast` round their number first.
"""


@dataclass(frozen=True)
class Operation:
    """One operation with its numbers, whose type (float32 or float64) matters."""

    name: str
    operand: Values = field(default_factory=lambda: np.zeros(0))

    def __call__(self, values: Values) -> Values:
        """Return what the operation makes of the values of a column (n,)."""
        return OPERATIONS[self.name][1](values, self.operand)


def operation(name: str, *numbers: object) -> Operation:
    """Return an operation; numbers that are no floats become float64."""
    operand = np.array(numbers) if numbers else np.zeros(0)
    return Operation(name, operand if operand.dtype == np.float32 else operand.astype(np.float64))
