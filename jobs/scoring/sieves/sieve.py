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
        self._keys: list[pa.Array] = []

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
        return [column.slice(first) for column in self._keys]

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
        new = [chosen(column, pa.array(first_rows[: self.n_lists - before])) for column in keys]
        self._keys = [pa.concat_arrays(pair) for pair in zip(self._keys, new, strict=True)] if self._keys else new
        known = places >= 0
        seen = pa.array(np.where(known, places, 0))
        if not self.n_lists:
            return places
        for column, own in zip(keys, self._keys, strict=True):
            known &= equal(column, chosen(own, seen)).to_numpy(zero_copy_only=False)
        # Two lists have one hash, or a key is NULL.
        return np.where(known, places, -1)

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


def _run(kernel: str, *arguments: Any) -> None:
    """Run a kernel; arrays that cannot be written are copied, since it would be compiled for such ones anew."""
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
    return values if values.flags.writeable and values.flags.c_contiguous else values.copy()
