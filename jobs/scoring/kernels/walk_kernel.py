"""The walking kernel: for trees of so many leaves that testing every node of a tree costs more than one path.

Some thousand rows go down a tree together, level by level, so that their loads overlap; those that have
reached a leaf drop out. Everything else is as in the bitvector kernel.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from jobs.scoring.kernels.kernel import code_block, start_sums, write_out
from jobs.scoring.machine_code.kernel_cache import compile_cached

WALK_ROWS = 4096
"""Rows that go down a tree before the next tree is turned to: a whole forest does not fit a cache, one tree does."""


def _walk(nodes: Any, slot_bits: Any, codes: Any, exits: Any, active: Any) -> None:
    """Write the exit node of each row in the tree whose nodes these are; `codes` is (n_slots, n_rows)."""
    n_active: Any = np.uint64(len(exits))
    to_slot, to_left = np.uint64(32), np.uint64(32) + slot_bits
    slot_mask = (np.uint64(1) << slot_bits) - np.uint64(1)
    for number in range(n_active):
        active[number] = number
        exits[number] = 0
    while n_active > 0:
        n_left: Any = np.uint64(0)
        for place in range(n_active):
            row = np.uint64(active[place])
            node = nodes[np.uint64(exits[row])]
            is_right = codes[(node >> to_slot) & slot_mask, row] > np.int32(node)
            child = (node >> to_left) + np.uint64(is_right)
            exits[row] = child
            active[n_left] = row
            # A leaf leads to itself.
            n_left += np.uint64((nodes[child] >> to_left) != child)
        n_active = n_left


walk = numba.njit(nogil=True)(_walk)


def _add_leaves(leaves: Any, exits: Any, output: int, sums: Any) -> None:
    """Add what one tree's exit nodes hold to the sums (n_outputs, n_rows)."""
    for part in range(leaves.shape[1]):
        totals = sums[output + part]
        for row in range(np.uint64(len(exits))):
            totals[row] += leaves[np.uint64(exits[row]), np.uint64(part)]


add_leaves = numba.njit(nogil=True)(_add_leaves)


def _score_rows_walking(
    rows: Any, columns: Any, slots: Any, trees: Any, base: Any, divisor: Any, first_row: int, out: Any
) -> bool:
    """Score rows; the parameters are those of `jobs.scoring.kernels.kernel.score_rows`."""
    codes = np.zeros((max(1, len(slots.first_code)), WALK_ROWS), np.int32)
    bins = np.zeros(WALK_ROWS, np.uint32)
    exits = np.zeros(WALK_ROWS, np.uint32)
    active = np.zeros(WALK_ROWS, np.uint32)
    sums = np.zeros((len(base), WALK_ROWS), base.dtype)
    refused = False
    for start in range(0, out.shape[0], WALK_ROWS):
        n_rows = min(WALK_ROWS, out.shape[0] - start)
        refused |= code_block(rows, columns, slots, first_row + start, n_rows, bins, codes)
        start_sums(base, sums)
        for tree in range(len(trees.start)):
            first = trees.start[tree]
            walk(trees.nodes[first:], trees.slot_bits, codes, exits[:n_rows], active)
            add_leaves(trees.leaves[first:], exits[:n_rows], trees.output[tree], sums)
        write_out(sums, divisor, out[start : start + n_rows])
    return refused


score_rows_walking = compile_cached(_score_rows_walking)
