"""Values counted as those of one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.pages.profiles import CategoryCounts, NumberCounts, as_floats, counted_categories, counted_groups


def numbers_counted(values: Sequence[float | None] | np.ndarray[Any, Any], centre: float | None) -> NumberCounts:
    numbers = as_floats(pa.array(values, pa.float64(), from_pandas=True))
    return counted_groups(numbers, np.array([0, len(numbers)]), centre)[0]


def texts_counted(values: Sequence[str | None] | np.ndarray[Any, Any]) -> CategoryCounts:
    return counted_categories(pa.array(values, pa.string(), from_pandas=True), [0, len(values)])[0]
