"""Takes the parts of a compiled model's file one by one, each only if it is as it was announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.scoring.files.tensors import Array, DamagedModel


def require(holds: object, words: str) -> None:
    """Refuse the file unless something holds.

    Raises
    ------
    DamagedModel
        With these words.
    """
    if not holds:
        raise DamagedModel(words)


class Source:
    """The arrays of a file, each taken once."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._left = dict(arrays)

    def take(self, name: str, *dtypes: Any, n_dimensions: int = 1, size: int | None = None) -> Array:
        """Return an array, if it has one of these types, so many dimensions and entries."""
        array = self._left.pop(name, None)
        if array is None:
            raise DamagedModel(f"it has no array {name!r}")
        require(array.dtype in [np.dtype(dtype) for dtype in dtypes], f"{name!r} is of the type {array.dtype}")
        require(array.ndim == n_dimensions, f"{name!r} has {array.ndim} dimensions")
        require(size is None or array.size == size, f"{name!r} has {array.size} entries where {size} were announced")
        return array

    def counts(self, name: str, dtype: Any, size: int | None = None) -> Array:
        """Return an array of numbers of things: none negative, none beyond what a file can hold."""
        found = self.take(name, dtype, size=size)
        require(((found >= 0) & (found < 1 << 40)).all(), f"{name!r} holds sizes that cannot be")
        return found.astype(np.int64)

    def flags(self, name: str, size: int) -> Array:
        """Return an array of truth values."""
        found = self.take(name, np.uint8, size=size)
        require((found <= 1).all(), f"{name!r} holds something else than 0 and 1")
        return found.astype(np.bool_)

    def end(self) -> None:
        """Refuse arrays that nobody has asked for."""
        require(not self._left, f"it has arrays that no part of the model is: {', '.join(sorted(self._left))}")


def finite(array: Array, name: str) -> Array:
    """Return an array without NaN or infinities."""
    require(np.isfinite(array).all(), f"{name!r} holds numbers that are not finite")
    return array


def number(described: Mapping[str, Any], name: str) -> float:
    """Return a described number that is finite and not 0."""
    value = described.get(name)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(float(value)) and value:
            return float(value)
    except OverflowError:
        pass
    raise DamagedModel(f"{name!r} is {str(value)[:40]!r}")


def chosen(described: Mapping[str, Any], name: str, allowed: Sequence[str]) -> str:
    """Return a described name, one of those allowed."""
    value = described.get(name)
    if not isinstance(value, str) or value not in allowed:
        raise DamagedModel(f"{name!r} is {value!r}, and has to be one of {', '.join(allowed)}")
    return value


def as_object(value: Any, words: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        raise DamagedModel(f"{words} is not described")
    return value


def texts(value: Any, words: str) -> tuple[str, ...]:
    """Return a list of texts."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DamagedModel(f"{words} are no list of texts")
    return tuple(value)
