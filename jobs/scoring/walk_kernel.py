"""The walking kernel: for trees of so many leaves that testing every node of a tree costs more than one path.

The rows of a block go down a tree together, level by level, so that their loads overlap; those that have
reached a leaf drop out. Everything else is as in the bitvector kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from jobs.scoring.kernel import GROUP, code_block, start_sums, sum_leaves, write_out
from jobs.scoring.kernel_cache import compile_cached
from jobs.scoring.vector_code import BLOCK


class WalkArrays(NamedTuple):
    """The trees, see `jobs.scoring.walk_layout.WalkLayout`; `group_end` cuts them into groups summed
    together.
    """

    nodes: Any
    leaf_start: Any
    leaves: Any
    output: Any
    group_end: Any


def _walk(nodes: Any, codes: Any, exits: Any, active: Any) -> None:
    """Write the exit node of each of the block's rows in the tree whose nodes these are."""
    n_active: Any = np.uint64(BLOCK)
    left, slot, code, is_inner = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
    for number in range(n_active):
        active[number] = number
        exits[number] = 0
    if not nodes[left, is_inner]:
        return
    while n_active > 0:
        n_left: Any = np.uint64(0)
        for place in range(n_active):
            row = np.uint64(active[place])
            node = np.uint64(exits[row])
            is_right = codes[np.uint64(nodes[node, slot]), row] > nodes[node, code]
            child = np.uint64(nodes[node, left]) + np.uint64(is_right)
            exits[row] = child
            active[n_left] = row
            n_left += np.uint64(nodes[child, is_inner])
        n_active = n_left


walk = numba.njit(nogil=True)(_walk)


def _score_rows_walking(
    rows: Any, columns: Any, slots: Any, trees: Any, base: Any, divisor: Any, first_row: int, out: Any
) -> bool:
    """Score rows; the parameters are those of `jobs.scoring.kernel.score_rows`."""
    codes = np.zeros((max(1, len(slots.is_ranked)), BLOCK), np.int32)
    bins = np.zeros(BLOCK, np.uint32)
    exits = np.zeros((GROUP, BLOCK), np.uint32)
    active = np.zeros(BLOCK, np.uint32)
    sums = np.zeros((len(base), BLOCK), base.dtype)
    refused = False
    for start in range(0, out.shape[0], BLOCK):
        n_block = min(BLOCK, out.shape[0] - start)
        refused |= code_block(rows, columns, slots, first_row + start, n_block, bins, codes)
        start_sums(base, sums)
        first = 0
        for last in trees.group_end:
            for tree in range(first, last):
                walk(trees.nodes[trees.leaf_start[tree] :], codes, exits[tree - first], active)
            sum_leaves(trees, first, last, exits, sums)
            first = last
        write_out(sums, divisor, out[start : start + n_block])
    return refused


score_rows_walking = compile_cached(_score_rows_walking)
