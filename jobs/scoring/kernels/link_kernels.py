"""The loops of the links, compiled by numba; see `jobs.scoring.kernels.links`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jobs.scoring.machine_code.kernel_cache import compile_cached


def _sigmoid(raw: Any, slope: float, out: Any) -> None:
    """Write 1 / (1 + exp(-slope * raw))."""
    for row in range(len(raw)):
        out[row] = 1.0 / (1.0 + math.exp(-slope * raw[row]))


def _exponential(raw: Any, slope: float, out: Any) -> None:
    """Write exp(raw)."""
    for row in range(len(raw)):
        out[row] = math.exp(raw[row])


def _softmax(raw: Any, out: Any) -> None:
    """Write the softmax of each row (n_rows, n_classes)."""
    for row in range(raw.shape[0]):
        largest = raw[row, 0]
        for place in range(1, raw.shape[1]):
            largest = max(largest, raw[row, place])
        total = 0.0
        for place in range(raw.shape[1]):
            out[row, place] = math.exp(raw[row, place] - largest)
            total += out[row, place]
        for place in range(raw.shape[1]):
            out[row, place] /= total


def _sigmoid32(raw: Any, out: Any) -> None:
    """Write XGBoost's sigmoid (src/common/math.h): float32 throughout, its exponent bounded."""
    one, small, most = np.float32(1.0), np.float32(1e-16), np.float32(88.7)
    for row in range(len(raw)):
        exponent = min(-raw[row], most)
        out[row] = one / (np.float32(math.exp(exponent)) + one + small)


def _softmax32(raw: Any, out: Any) -> None:
    """Write XGBoost's softmax (src/common/math.h): float32, but for the sum, which is float64."""
    for row in range(raw.shape[0]):
        largest = raw[row, 0]
        for place in range(1, raw.shape[1]):
            largest = max(largest, raw[row, place])
        total = 0.0
        for place in range(raw.shape[1]):
            out[row, place] = math.exp(np.float32(raw[row, place] - largest))
            total += out[row, place]
        for place in range(raw.shape[1]):
            out[row, place] /= np.float32(total)


def _onnx_sigmoid(raw: Any, out: Any) -> None:
    """Write onnxruntime's logistic function (core/providers/cpu/ml/ml_common.h), in float32."""
    one = np.float32(1.0)
    for row in range(len(raw)):
        share = one / (one + np.float32(math.exp(-abs(raw[row]))))
        out[row] = one - share if raw[row] < 0 else share


def _onnx_softmax(raw: Any, out: Any) -> None:
    """Write onnxruntime's softmax (core/providers/cpu/ml/ml_common.h), in float32, its sum too."""
    for row in range(raw.shape[0]):
        largest = raw[row, 0]
        for place in range(1, raw.shape[1]):
            largest = max(largest, raw[row, place])
        total = np.float32(0.0)
        for place in range(raw.shape[1]):
            out[row, place] = math.exp(np.float32(raw[row, place] - largest))
            total = np.float32(total + out[row, place])
        for place in range(raw.shape[1]):
            out[row, place] /= total


sigmoid = compile_cached(_sigmoid)
exponential = compile_cached(_exponential)
softmax = compile_cached(_softmax)
sigmoid32 = compile_cached(_sigmoid32)
softmax32 = compile_cached(_softmax32)
onnx_sigmoid = compile_cached(_onnx_sigmoid)
onnx_softmax = compile_cached(_onnx_softmax)
