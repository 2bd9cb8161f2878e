"""Arrays by name in one file, in the safetensors format: a length, a JSON header, and the arrays' bytes.

A file is data and nothing else: reading one allocates no more than the file holds, and runs nothing of it. Whatever is
not exactly as it should be is refused. What the arrays mean is left to `jobs.scoring.files.model_file`.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse.errors import ScoringFailed

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""The types that these files use, of those that the format knows."""
MAX_HEADER_BYTES = 100_000_000
ALIGNMENT = 64
"""Where the arrays begin in the file: a multiple of this, so that they can be read in place."""


class DamagedModel(ScoringFailed):
    """A compiled model's file is not what it should be; the message says where."""


def write_tensors(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file with these arrays, in this order, and these texts beside them.

    Parameters
    ----------
    arrays
        Of the types in `DTYPES`.
    metadata
        What stands under `__metadata__` in the header.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts, at = [], 0
    # Larger cells first: each array then begins at a multiple of its cell's size.
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": names[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def read_tensors(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays of a file, which share its memory and cannot be written, and its metadata.

    Raises
    ------
    DamagedModel
        The header is not one, or sizes and places in it do not fit each other and the file.
    """
    header = _header(data)
    start = 8 + int.from_bytes(data[:8], "little")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise DamagedModel("its metadata are not texts by name")
    arrays, used = {}, []
    for name, described in header.items():
        arrays[name], place = _array(data, start, name, described)
        used.append(place)
    at = 0
    for first, last in sorted(used):
        if first != at:
            raise DamagedModel(f"its arrays leave a gap or overlap at byte {at}")
        at = last
    if start + at != len(data):
        raise DamagedModel(f"its arrays end at byte {start + at}, the file at {len(data)}")
    return arrays, metadata


def _header(data: bytes) -> dict[str, Any]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(MAX_HEADER_BYTES, len(data) - 8):
        raise DamagedModel(f"it has {len(data)} bytes, too few for the header that it announces")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"), object_pairs_hook=_each_once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DamagedModel(f"its header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise DamagedModel("its header is no JSON object")
    return header


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DamagedModel("its header names something twice")
    return found


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _array(data: bytes, start: int, name: str, described: Any) -> tuple[Array, tuple[int, int]]:
    """Return one array and the bytes that it takes, counted from where the arrays begin."""
    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise DamagedModel(f"the array {name!r} is not described by dtype, shape and data_offsets")
    dtype = DTYPES.get(described["dtype"]) if isinstance(described["dtype"], str) else None
    shape, place = described["shape"], described["data_offsets"]
    if dtype is None:
        raise DamagedModel(f"the array {name!r} is of the type {described['dtype']!r}, which no part of a model has")
    if not isinstance(shape, list) or len(shape) > 2 or not all(_is_size(size) for size in shape):
        raise DamagedModel(f"the array {name!r} has no shape")
    if not isinstance(place, list) or len(place) != 2 or not all(_is_size(end) for end in place):
        raise DamagedModel(f"the array {name!r} has no place")
    first, last = place
    if last - first != math.prod(shape) * dtype.itemsize or start + last > len(data):
        raise DamagedModel(f"the array {name!r} does not fit its place in the file")
    found = np.frombuffer(data, dtype, math.prod(shape), start + first).reshape(shape)
    return found, (first, last)
