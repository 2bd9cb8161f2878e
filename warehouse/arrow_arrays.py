"""Arrow arrays made of numpy's memory and of texts.

`pyarrow.array` of pyarrow 26 imports pandas wherever that is installed, and a registered table makes DuckDB 1.5 import
pyarrow.dataset: together they take more than half a second, which is more than most tables take to be written. What is
made here imports neither, if it is registered as a stream (`registered_once`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def numbers_array(
    values: npt.NDArray[Any], kind: pa.DataType, is_there: npt.NDArray[np.bool_] | None = None
) -> pa.Array:
    """Give an Arrow array of fixed width of values whose bytes are Arrow's: int64, float64, or int64 as timestamps.

    Parameters
    ----------
    values, kind
        `(n_values,)`, and Arrow's name of what they are.
    is_there
        Which of them are not NULL; None: all.
    """
    import numpy as np
    import pyarrow as pa

    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [_validity(is_there), data])


def texts_array(texts: Sequence[str | None], each: int = 1, times: int = 1) -> pa.Array:
    """Give an Arrow array of text; None is NULL.

    Parameters
    ----------
    each, times
        How often each text stands there, one beside the other, and how often all of that does.
    """
    import numpy as np
    import pyarrow as pa

    is_there = np.fromiter((text is not None for text in texts), bool, len(texts)) if None in texts else None
    given = [text or "" for text in texts]
    joined = "".join(given)
    # ASCII has as many bytes as characters.
    sizes = map(len, given) if joined.isascii() else (len(text.encode()) for text in given)
    lengths = np.fromiter(sizes, np.int64, len(given))
    if each > 1:
        joined = "".join([text * each for text in given])
    offsets = np.zeros(len(lengths) * each * times + 1, np.int32)
    np.cumsum(np.tile(np.repeat(lengths, each), times), out=offsets[1:])
    if is_there is not None:
        is_there = np.tile(np.repeat(is_there, each), times)
    buffers = [_validity(is_there), pa.py_buffer(offsets), pa.py_buffer(joined.encode() * times)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


def lists_array(elements: pa.Array, lengths: npt.NDArray[np.int64]) -> pa.Array:
    """Give an Arrow array of lists whose elements lie one behind the other."""
    import numpy as np
    import pyarrow as pa

    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(numbers_array(offsets, pa.int32()), elements)


def _validity(is_there: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    import numpy as np
    import pyarrow as pa

    if is_there is None or is_there.all():
        return None
    return pa.py_buffer(np.packbits(is_there, bitorder="little"))


@contextmanager
def registered_once(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[None]:
    """Let one statement read a table under a name; a second one would find it empty."""
    connection.register(name, table.__arrow_c_stream__())
    try:
        yield
    finally:
        connection.unregister(name)
