"""Links: how raw predictions become what people read, as each library computes it, to the bit.

A link is a function by name and the shape of its answer, so that a file can hold it. scikit-learn's sigmoid and all of
LightGBM's functions call the C library's `exp`, scikit-learn's softmax numpy's own, which differs from it in the last
bit here and there; XGBoost's work in float32, and so do onnxruntime's, otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.machine_code.kept_code import code_for, words_of
from jobs.scoring.machine_code.kernel_cache import make_ready

Floats = npt.NDArray[np.floating[Any]]

SHAPES = ("value", "pair", "columns")
"""A link's answer: one number a row; the probabilities of the two classes; one column for each output."""


def _run(kernel: str, *arguments: Any) -> None:
    def dispatcher() -> Any:
        from jobs.scoring.kernels import link_kernels

        return vars(link_kernels)[kernel]

    code = code_for(kernel, arguments, dispatcher)
    if code is not None:
        code(words_of(arguments))
    else:
        make_ready(dispatcher(), arguments)
        dispatcher()(*arguments)


def _cell_by_cell(kernel: str, raw: Floats, *settings: float) -> Floats:
    raw = np.ascontiguousarray(raw)
    out = np.empty_like(raw)
    _run(kernel, raw.reshape(-1), *settings, out.reshape(-1))
    return out


def _row_by_row(kernel: str, raw: Floats) -> Floats:
    raw = np.ascontiguousarray(raw)
    out = np.empty_like(raw)
    _run(kernel, raw, out)
    return out


def numpy_softmax(raw: Floats) -> Floats:
    """Return the softmax of each row as scikit-learn computes it (`sklearn.utils.extmath.softmax`)."""
    largest = np.full(len(raw), -np.inf, raw.dtype)
    # Class by class: along rows of a few numbers numpy takes longer for this than for all the rest.
    for place in range(raw.shape[1]):
        np.maximum(largest, raw[:, place], out=largest)
    powers = np.exp(raw - largest[:, np.newaxis])
    return np.asarray(powers / powers.sum(axis=1).reshape(-1, 1))


def sigmoid_of(raw: Floats, slope: float = 1.0) -> Floats:
    """Return 1 / (1 + exp(-slope * raw)), as `scipy.special.expit` computes it, of an array of any shape."""
    return _cell_by_cell("sigmoid", raw, slope)


FUNCTIONS: dict[str, Callable[[Floats, float], Floats]] = {
    "identity": lambda raw, slope: raw,
    "sigmoid": sigmoid_of,
    "exponential": lambda raw, slope: _cell_by_cell("exponential", raw, slope),
    "softmax": lambda raw, slope: _row_by_row("softmax", raw),
    "numpy exponential": lambda raw, slope: np.exp(raw),
    "numpy softmax": lambda raw, slope: numpy_softmax(raw),
    "float32 sigmoid": lambda raw, slope: _cell_by_cell("sigmoid32", raw),
    "float32 exponential": lambda raw, slope: _cell_by_cell("exponential", raw, slope),
    "float32 softmax": lambda raw, slope: _row_by_row("softmax32", raw),
    "onnx sigmoid": lambda raw, slope: _cell_by_cell("onnx_sigmoid", raw),
    "onnx sigmoids": lambda raw, slope: _cell_by_cell(
        "onnx_sigmoid", np.concatenate((-raw[:, :1], raw[:, :1]), axis=1)
    ),
    "onnx softmax": lambda raw, slope: _row_by_row("onnx_softmax", raw),
}
"""By name: what a function makes of raw predictions (n_rows, n_outputs), given the link's slope."""


@dataclass(frozen=True)
class Link:
    """A link as data.

    Parameters
    ----------
    function
        One of `FUNCTIONS`.
    shape
        One of `SHAPES`.
    slope
        What a sigmoid multiplies its argument with.
    divisor
        What raw predictions are divided by before (LightGBM's forests: the number of trees).
    """

    function: str
    shape: str
    slope: float = 1.0
    divisor: float = 1.0

    def __call__(self, raw: Floats) -> Floats:
        """Return probabilities (n_rows, n_classes) or predicted values (n_rows,) of raw (n_rows, n_outputs)."""
        raw = raw / self.divisor if self.divisor != 1.0 else raw
        out = FUNCTIONS[self.function](raw, self.slope)
        if self.shape == "pair":
            return np.stack((1 - out[:, 0], out[:, 0]), axis=1)
        return out.ravel() if self.shape == "value" else out
