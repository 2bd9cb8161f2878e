"""A sieve of lists: of candidates that stream by in any order, which cannot be among the first of their list.

Of each list it keeps the highest scores that it has seen, in a heap. What is lower than the lowest of a full heap
cannot be listed any more, however the stream goes on. All else passes: whoever ranks the lists decides, and a sieve
leaves nothing out that is listed. Lists are found by a hash of their keys, and the keys themselves are compared, so
that a list is never taken for another one of the same hash. Memory is bounded by a number of scores: of lists for which
there is no room in it every row passes, and so does every row of which a key is NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.scoring.interface.arrow_functions import chosen, equal
from jobs.scoring.machine_code.kept_code import code_for, words_of
from jobs.scoring.machine_code.kernel_cache import make_ready
from jobs.scoring.sieves.list_arrays import ListArrays

#: How many scores of all lists are held: 8 bytes each, as they come.
HELD_SCORES = 16_000_000
#: The kernels number the places of lists by 32 bits.
_MOST_LISTS = 2**30
#: By how many bits its values have, as which integers a column of keys is compared.
_WORDS: dict[int, type[np.signedinteger[Any]]] = {32: np.int32, 64: np.int64}

Places = npt.NDArray[np.int64]


class Sieve:
    """Sifts the candidates of lists of which the first `top` are wanted.

    Parameters
    ----------
    top
        How many entries a list has.
    held_scores
        How many scores are held at most.
    """

    def __init__(self, top: int, held_scores: int | None = None) -> None:
        most = min(max(1, (HELD_SCORES if held_scores is None else held_scores) // top), _MOST_LISTS)
        # The system gives a page of zeros once it is written to: what is not needed takes no memory.
        self._lists = ListArrays(
            slots=np.zeros(1 << (2 * most - 1).bit_length(), np.int32),
            hashes=np.zeros(most, np.uint64),
            n_lists=np.zeros(1, np.int64),
            heaps=np.zeros((most, top), np.float64),
            n_heaped=np.zeros(most, np.int32),
            n_rows=np.zeros(most, np.int64),
            is_whole=np.zeros(most, np.bool_),
        )
        #: By column the keys of the lists: as words where they have some, and piece by piece as they came.
        self._words: dict[int, npt.NDArray[Any]] = {}
        self._keys: list[list[pa.Array]] = []

    @property
    def n_lists(self) -> int:
        """How many lists have a place."""
        return int(self._lists.n_lists[0])

    @property
    def n_rows(self) -> npt.NDArray[np.int64]:
        """By place, how many rows were offered."""
        return np.asarray(self._lists.n_rows[: self.n_lists])

    def keys(self, first: int = 0) -> list[pa.Array]:
        """Give the keys of the lists from a place on, column by column."""
        return [self._whole(pieces).slice(first) for pieces in self._keys]

    @staticmethod
    def _whole(pieces: list[pa.Array]) -> pa.Array:
        if len(pieces) > 1:
            pieces[:] = [pa.concat_arrays(pieces)]
        return pieces[0]

    def find(self, hashes: npt.NDArray[np.uint64], keys: Sequence[pa.Array]) -> Places:
        """Give the places of rows' lists, which are made for those that are new; -1 where a row has none.

        Parameters
        ----------
        hashes
            (n_rows,) of the keys: equal ones have equal hashes.
        keys
            The columns that tell lists apart, of types that can be compared.
        """
        before = self.n_lists
        places, first_rows = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.int64)
        _run("find_lists", self._lists, hashes, places, first_rows)
        first_rows = first_rows[: self.n_lists - before]
        self._keys = self._keys or [[] for _ in keys]
        for column, pieces in zip(keys, self._keys, strict=True):
            pieces.append(chosen(column, pa.array(first_rows)))
        if self.n_lists:
            for place, column in enumerate(keys):
                self._tell_apart(place, column, places, first_rows)
        return places

    def _tell_apart(self, place: int, column: pa.Array, places: Places, first_rows: Places) -> None:
        """Take their places from rows with other keys in a column: two lists have one hash, or a key is NULL."""
        words = words_in(column)
        if words is not None and place not in self._words and self.n_lists == len(first_rows):
            # What is not written to takes no memory.
            self._words[place] = np.zeros(len(self._lists.hashes), words.dtype)
        of_lists = self._words.get(place)
        if words is None or of_lists is None:
            self._words.pop(place, None)
            seen = pa.array(np.where(places >= 0, places, 0))
            same = equal(column, chosen(self._whole(self._keys[place]), seen)).to_numpy(zero_copy_only=False)
            places[~same] = -1
            return
        of_lists[self.n_lists - len(first_rows) : self.n_lists] = words[first_rows]
        _run("tell_apart", words, of_lists, places)

    def offer(self, places: Places, scores: npt.NDArray[np.float64]) -> None:
        """Take the scores of rows into account, once each."""
        _run("offer", self._lists, places, scores)

    def keep_whole(self, first: int, is_whole: npt.NDArray[np.bool_]) -> None:
        """Say of the lists from a place on which are kept whole: all of their rows pass."""
        self._lists.is_whole[first : first + len(is_whole)] = is_whole

    def whole(self, places: Places) -> npt.NDArray[np.bool_]:
        """Tell of rows by the places of their lists which are of lists that are kept whole; of no place, none is."""
        return np.asarray((places >= 0) & self._lists.is_whole[places])

    def kept(self, places: Places, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Tell which of some rows that were offered may be listed, as far as is known by now, or are kept anyway."""
        found = np.empty(len(places), np.bool_)
        _run("find_kept", self._lists, places, scores, found)
        return found


def words_in(column: pa.Array) -> npt.NDArray[Any] | None:
    """Give the values of a column as integers of their width, without a copy; None where it has none, or lacks some.

    Values of equal words are equal. -0.0 and 0.0 are equal too, and taken for others: their rows pass.
    """
    if not pa.types.is_primitive(column.type) or column.type.bit_width not in _WORDS or column.null_count:
        return None
    kind = _WORDS[column.type.bit_width]
    if not len(column):
        return np.empty(0, kind)
    return np.frombuffer(column.buffers()[1], kind, len(column), kind().itemsize * column.offset)


class _Lent:
    """An array that cannot be written, handed to a kernel, which does not write it, as if it could."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._values = values
        self.__array_interface__ = {**values.__array_interface__, "data": (values.ctypes.data, False)}


def _run(kernel: str, *arguments: Any) -> None:
    """Run a kernel; arrays that cannot be written are lent, since it would be compiled for such ones anew."""
    ready = tuple(_writeable(one) if isinstance(one, np.ndarray) else one for one in arguments)

    def dispatcher() -> Any:
        from jobs.scoring.sieves import sieve_kernel

        return vars(sieve_kernel)[kernel]

    code = code_for(kernel, ready, dispatcher)
    if code is not None:
        code(words_of(ready))
    else:
        make_ready(dispatcher(), ready)
        dispatcher()(*ready)


def _writeable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.flags.writeable and values.flags.c_contiguous:
        return values
    return np.asarray(_Lent(values)) if values.flags.c_contiguous and len(values) else values.copy()
