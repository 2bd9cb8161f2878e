"""Links that are computed here, since their library offers no way to ask for them alone: LightGBM's.

They call the C library's `exp`, as LightGBM does: numpy's own differs from it in the last bit here and there.
"""

from __future__ import annotations

import math
from typing import Any

from jobs.scoring.kernels.kernel_cache import compile_cached


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


sigmoid = compile_cached(_sigmoid)
exponential = compile_cached(_exponential)
softmax = compile_cached(_softmax)
