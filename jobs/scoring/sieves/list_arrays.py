"""What the kernels of a sieve are handed. No kernel is imported for it."""

from __future__ import annotations

from typing import Any, NamedTuple


class ListArrays(NamedTuple):
    """What is known of lists: by place, the hash, the heap of (n_lists, top) scores and how many are in it, the number
    of rows, and whether all of them are kept. `slots` is a hash table of places, from 1 on; `n_lists` has one number.
    """

    slots: Any
    hashes: Any
    n_lists: Any
    heaps: Any
    n_heaped: Any
    n_rows: Any
    is_whole: Any
