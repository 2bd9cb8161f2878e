"""Some rows of a batch, by a mask, and columns of numbers as DOUBLE, without the import of `pyarrow.compute`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from warehouse.arrow_arrays import numbers_array

try:
    from pyarrow._compute import CastOptions, TakeOptions, call_function
except ImportError:  # it is pyarrow's own business, and may be called otherwise one day
    from pyarrow.compute import CastOptions, TakeOptions, call_function

_TAKEN = TakeOptions(boundscheck=False)


def chosen_rows(batch: pa.RecordBatch, is_chosen: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Give those rows of a batch of which a mask, (n_rows,), says so, in their order.

    Arrow's own filter takes four times as long where few rows of many columns stay.
    """
    places = np.flatnonzero(is_chosen)
    if len(places) == batch.num_rows:
        return batch
    return call_function("take", [batch, numbers_array(places, pa.int64())], _TAKEN)


def chosen_values(array: pa.Array, is_chosen: npt.NDArray[np.bool_]) -> pa.Array:
    """Give those values of an array of which a mask, (n_values,), says so, in their order."""
    return call_function("take", [array, numbers_array(np.flatnonzero(is_chosen), pa.int64())], _TAKEN)


def as_doubles(column: pa.Array) -> pa.Array:
    """Give a column of numbers as float64, rounded where they have more digits."""
    return call_function("cast", [column], CastOptions.unsafe(pa.float64()))
