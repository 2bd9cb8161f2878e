"""The bitvector kernel: rows to bins, bins to codes, codes to exit leaves, leaves to sums.

Everything here is compiled by numba and knows nothing of Python. Rows are taken in blocks of `BLOCK`, so that
what a block needs stays in the first-level cache; columns are read where Arrow put them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from jobs.scoring.kernel_cache import compile_cached
from jobs.scoring.vector_code import BLOCK, exit_leaves

GROUP = 16
"""Trees whose exit leaves are found before they are summed."""
FLOAT64, FLOAT32, BINS = 0, 1, 2
"""What a column's address points at: numbers, or bins that were looked up before (uint16)."""


class ColumnArrays(NamedTuple):
    """The columns' breakpoints and what is refused; (n_columns + 1,) starts into the flat arrays."""

    start: Any
    breakpoints: Any
    breakpoints32: Any
    refused_start: Any
    refused: Any
    has_refused: Any


class SlotArrays(NamedTuple):
    """The slots, ordered by column; `first` is (n_columns + 1,), `table` holds the codes one slot after
    another.
    """

    first: Any
    is_ranked: Any
    null_code: Any
    table_start: Any
    table: Any


class TreeArrays(NamedTuple):
    """The trees, see `jobs.scoring.layout.Layout`."""

    slot: Any
    code: Any
    mask: Any
    plane_end: Any
    tree_end: Any
    leaf_start: Any
    leaves: Any
    output: Any


class Rows(NamedTuple):
    """Where the rows lie: per column what it is, its address, and its validity bitmap (0 for none) with
    offset.
    """

    kind: Any
    address: Any
    validity: Any
    offset: Any


def _pointer_to(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


carray: Any = vars(numba)["carray"]

pointer_to: Any = intrinsic(_pointer_to)
"""An address as a pointer."""


def _bin_numbers(values: Any, breakpoints: Any, out: Any) -> None:
    n_breakpoints = len(breakpoints)
    for row in range(len(values)):
        value = values[row]
        low, length = 0, n_breakpoints
        while length > 0:
            half = length >> 1
            is_above = breakpoints[low + half] < value
            low = low + half + 1 if is_above else low
            length = length - half - 1 if is_above else half
        out[row] = low if value == value else n_breakpoints + 1


bin_numbers = numba.njit(nogil=True)(_bin_numbers)


def _bin_column(rows: Any, columns: Any, column: int, first_row: int, n_rows: int, out: Any) -> None:
    """Write the bins of a block of one column."""
    begin, end = columns.start[column], columns.start[column + 1]
    null_bin = columns.refused_start[column + 1] - columns.refused_start[column] - 1
    kind, address, offset = rows.kind[column], rows.address[column], rows.offset[column]
    if kind == FLOAT64:
        place = pointer_to(address + 8 * (offset + first_row))
        bin_numbers(carray(place, n_rows, np.float64), columns.breakpoints[begin:end], out)
    elif kind == FLOAT32:
        place = pointer_to(address + 4 * (offset + first_row))
        bin_numbers(carray(place, n_rows, np.float32), columns.breakpoints32[begin:end], out)
    else:
        place = pointer_to(address + 2 * first_row)
        ready = carray(place, n_rows, np.uint16)
        for row in range(n_rows):
            out[row] = ready[row]
    if rows.validity[column] != 0:
        bit = offset + first_row
        bitmap = carray(pointer_to(rows.validity[column]), ((bit + n_rows + 7) >> 3,), np.uint8)
        for row in range(n_rows):
            if not (bitmap[(bit + row) >> 3] >> ((bit + row) & 7)) & 1:
                out[row] = null_bin


bin_column = numba.njit(nogil=True)(_bin_column)


def _is_refused(columns: Any, column: int, bins: Any, n_rows: int) -> bool:
    """Say whether the estimator would refuse one of these values."""
    start = columns.refused_start[column]
    refused = False
    for row in range(n_rows):
        refused |= columns.refused[start + bins[row]]
    return refused


is_refused = numba.njit(nogil=True)(_is_refused)


def _write_codes(slots: Any, slot: int, bins: Any, null_bin: int, codes: Any) -> None:
    """Write what tests on one slot compare."""
    if slots.is_ranked[slot]:
        shift = slots.table[slots.table_start[slot]]
        null_code = slots.null_code[slot]
        for row in range(BLOCK):
            codes[row] = null_code if bins[row] == null_bin else bins[row] + shift
    else:
        start = slots.table_start[slot]
        for row in range(BLOCK):
            codes[row] = slots.table[start + bins[row]]


write_codes = numba.njit(nogil=True)(_write_codes)


def _sum_leaves(trees: Any, first_tree: int, last_tree: int, exits: Any, sums: Any, n_rows: int) -> None:
    """Add the exit leaves of a group of trees to the sums, tree after tree."""
    leaf_width = trees.leaves.shape[1]
    for row in range(n_rows):
        for tree in range(first_tree, last_tree):
            leaf = trees.leaf_start[tree] + exits[tree - first_tree, row]
            output = trees.output[tree]
            for place in range(leaf_width):
                sums[row, output + place] += trees.leaves[leaf, place]


sum_leaves = numba.njit(nogil=True)(_sum_leaves)


def _score_rows(
    rows: Any,
    columns: Any,
    slots: Any,
    trees: Any,
    base: Any,
    first_row: int,
    out: Any,
    exit_type: Any,
) -> bool:
    """Score rows first_row .. first_row + len(out) - 1 into `out`; True if the estimator would refuse one of
    them.

    Parameters
    ----------
    rows, columns, slots, trees
        See the tuples' own words.
    base
        (n_outputs,): where each sum starts.
    out
        (n_rows, n_outputs) of the type of the sum.
    exit_type
        An empty array of the type that exit leaves are written in: uint8 or uint16.
    """
    n_slots = len(slots.is_ranked)
    codes = np.zeros((n_slots, BLOCK), trees.code.dtype)
    bins = np.zeros(BLOCK, np.uint16)
    exits = np.zeros((GROUP, BLOCK), exit_type.dtype)
    n_rows, n_trees = out.shape[0], len(trees.tree_end)
    refused = False
    for start in range(0, n_rows, BLOCK):
        n_block = min(BLOCK, n_rows - start)
        for column in range(len(rows.kind)):
            bin_column(rows, columns, column, first_row + start, n_block, bins)
            if columns.has_refused[column]:
                refused |= is_refused(columns, column, bins, n_block)
            null_bin = columns.refused_start[column + 1] - columns.refused_start[column] - 1
            for slot in range(slots.first[column], slots.first[column + 1]):
                write_codes(slots, slot, bins, null_bin, codes[slot])
        sums = out[start : start + n_block]
        sums[:] = base
        for first_tree in range(0, n_trees, GROUP):
            last_tree = min(first_tree + GROUP, n_trees)
            for tree in range(first_tree, last_tree):
                first_plane = trees.tree_end[tree - 1] if tree else 0
                exit_leaves(
                    codes.ctypes.data,
                    trees.slot.ctypes.data,
                    trees.code.ctypes.data,
                    trees.mask.ctypes.data,
                    trees.plane_end.ctypes.data,
                    exits.ctypes.data + (tree - first_tree) * BLOCK * exits.itemsize,
                    trees.plane_end[first_plane - 1] if first_plane else 0,
                    first_plane,
                    trees.tree_end[tree],
                    exit_type,
                )
            sum_leaves(trees, first_tree, last_tree, exits, sums, n_block)
    return refused


def _score_rows_8(rows: Any, columns: Any, slots: Any, trees: Any, base: Any, first: int, out: Any) -> bool:
    return score_rows(rows, columns, slots, trees, base, first, out, np.empty(0, np.uint8))


def _score_rows_16(rows: Any, columns: Any, slots: Any, trees: Any, base: Any, first: int, out: Any) -> bool:
    return score_rows(rows, columns, slots, trees, base, first, out, np.empty(0, np.uint16))


score_rows = numba.njit(nogil=True)(_score_rows)
score_rows_8 = compile_cached(_score_rows_8)
score_rows_16 = compile_cached(_score_rows_16)
