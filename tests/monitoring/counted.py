"""Values counted as those of one page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from warehouse.pages.profiled_pages import Profile
from warehouse.pages.profiles import CategoryCounts, NumberCounts, as_floats
from warehouse.pages.profiling.groups import counted_categories, counted_numbers


def numbers_counted(values: Sequence[float | None] | np.ndarray[Any, Any], centre: float | None) -> NumberCounts:
    numbers = as_floats(pa.array(values, pa.float64(), from_pandas=True))
    found = counted_numbers(numbers, np.array([0, len(numbers)]), centre).of(0)
    assert isinstance(found, NumberCounts)
    return found


def texts_counted(values: Sequence[str | None] | np.ndarray[Any, Any]) -> CategoryCounts:
    texts = pa.array(values, pa.string(), from_pandas=True)
    found = counted_categories(texts, None, np.array([0, len(values)])).of(0)
    assert isinstance(found, CategoryCounts)
    return found


def profiles_in(tables: Iterable[pa.Table]) -> list[Profile]:
    """Give rows of the ledger as profiles."""
    return [Profile(**row) for table in tables for row in table.to_pylist()]
