"""Arrow's compute functions that scoring calls, without the import of `pyarrow.compute`.

That module makes a documented Python function of each of some 290 as it is imported, and so does an array's own method
that stands for one: a tenth of a second, a tenth of a whole daily run. The compiled module below it calls them by name.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

try:
    from pyarrow._compute import CastOptions, SetLookupOptions, TakeOptions, call_function
except ImportError:  # it is pyarrow's own business, and may be called otherwise one day
    from pyarrow.compute import CastOptions, SetLookupOptions, TakeOptions, call_function


def cast(column: Any, kind: pa.DataType) -> Any:
    """Return an array as another type; what does not fit is cut off, as with `safe=False`."""
    return call_function("cast", [column], CastOptions.unsafe(kind))


def less(values: Any, bound: pa.Scalar) -> Any:
    """Tell which values are below a bound; null where the value is."""
    return call_function("less", [values, bound])


def places_in(column: Any, domain: pa.Array) -> Any:
    """Return the place of each value in a domain as int32, the domain's length where it is not there, or null."""
    found = call_function("index_in", [column], SetLookupOptions(value_set=domain))
    return call_function("coalesce", [found, pa.scalar(len(domain), pa.int32())])


def is_null(column: Any) -> Any:
    """Tell which values are null."""
    return call_function("is_null", [column])


def equal(column: Any, other: Any) -> Any:
    """Tell where two arrays of one type have equal values; where one has none, they have not."""
    return call_function("coalesce", [call_function("equal", [column, other]), pa.scalar(False)])


def chosen(column: Any, places: Any) -> Any:
    """Return the values at some places, all of which have to be there."""
    return call_function("take", [column, places], TakeOptions(boundscheck=False))
