"""The bitvector kernel: rows to bins, bins to codes, codes to exit leaves, leaves to sums.

Everything here is compiled by numba and knows nothing of Python. Rows are taken in blocks of `BLOCK`, so that
what a block needs stays in the first-level cache; columns are read where Arrow put them.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from jobs.scoring.kernels.kernel_input import CELLS, FLOAT32, FLOAT64, GROUP
from jobs.scoring.kernels.vector_code import BLOCK, deal_out, exit_leaves
from jobs.scoring.machine_code.kernel_cache import compile_cached


def _pointer_to(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


carray: Any = vars(numba)["carray"]

pointer_to: Any = intrinsic(_pointer_to)
"""An address as a pointer."""


def _find_cells(values: Any, low: Any, scale: Any, cells: Any) -> None:
    """Write the cell of each number; NaN is in the first."""
    first, last = values.dtype.type(0), values.dtype.type(CELLS - 1)
    for row in range(len(values)):
        place = (values[row] - low) * scale
        place = place if place > first else first
        cells[row] = np.int32(place if place < last else last)


find_cells = numba.njit(nogil=True)(_find_cells)


def _bin_numbers(
    values: Any, breakpoints: Any, low: Any, scale: Any, grid: Any, steps: int, null_bin: Any, out: Any
) -> None:
    """Write, for each value, how many breakpoints are below it, or the null's bin if it is NaN."""
    n_rows = np.uint64(len(values))
    cells = np.empty(len(values), np.int32)
    find_cells(values, low, scale, cells)
    none, one, two = np.uint64(0), np.uint64(1), np.uint64(2)
    if steps <= 1:
        for row in range(n_rows):
            value = values[row]
            place = np.uint64(grid[np.uint64(cells[row])])
            place += one if breakpoints[place] < value else none
            out[row] = place if value == value else null_bin
        return
    if steps == 2:
        for row in range(n_rows):
            value = values[row]
            place = np.uint64(grid[np.uint64(cells[row])])
            place += two if breakpoints[place + one] < value else none
            place += one if breakpoints[place] < value else none
            out[row] = place if value == value else null_bin
        return
    places = np.empty(len(values), np.uint64)
    for row in range(n_rows):
        places[row] = grid[np.uint64(cells[row])]
    for step in range(steps):
        stride = one << np.uint64(steps - 1 - step)
        for row in range(n_rows):
            place = places[row]
            places[row] = place + (stride if breakpoints[place + stride - one] < values[row] else none)
    for row in range(n_rows):
        out[row] = places[row] if values[row] == values[row] else null_bin


bin_numbers = numba.njit(nogil=True)(_bin_numbers)


def _bin_column(rows: Any, columns: Any, column: int, first_row: int, n_rows: int, out: Any) -> None:
    """Write the bins of a block of one column."""
    start, null_bin = columns.start[column], columns.null_bin[column]
    kind, address, offset = rows.kind[column], rows.address[column], rows.offset[column]
    low, scale = columns.low[column], columns.scale[column]
    grid, steps = columns.grid[column], columns.steps[column]
    if kind == FLOAT64:
        values = carray(pointer_to(address + 8 * (offset + first_row)), n_rows, np.float64)
        bin_numbers(values, columns.breakpoints[start:], low, scale, grid, steps, null_bin, out)
    elif kind == FLOAT32:
        values32 = carray(pointer_to(address + 4 * (offset + first_row)), n_rows, np.float32)
        low32, scale32 = np.float32(low), np.float32(scale)
        bin_numbers(values32, columns.breakpoints32[start:], low32, scale32, grid, steps, null_bin, out)
    else:
        ready = carray(pointer_to(address + 4 * first_row), n_rows, np.uint32)
        for row in range(n_rows):
            out[row] = ready[row]
    if rows.validity[column] != 0:
        bit = offset + first_row
        bitmap = carray(pointer_to(rows.validity[column]), ((bit + n_rows + 7) >> 3,), np.uint8)
        for row in range(n_rows):
            is_set = (bitmap[(bit + row) >> 3] >> ((bit + row) & 7)) & 1
            out[row] = out[row] if is_set else null_bin


bin_column = numba.njit(nogil=True)(_bin_column)


def _is_refused(columns: Any, column: int, bins: Any, n_rows: int) -> bool:
    """Say whether the estimator would refuse one of these values."""
    start = columns.refused_start[column]
    refused = False
    for row in range(n_rows):
        refused |= columns.refused[start + bins[row]]
    return refused


is_refused = numba.njit(nogil=True)(_is_refused)


def _write_ranked(first_code: Any, null_code: Any, bins: Any, null_bin: Any, codes: Any) -> None:
    """Write the codes of a slot in which all bins but null's keep their order."""
    for row in range(len(codes)):
        codes[row] = null_code if bins[row] == null_bin else bins[row] + first_code


write_ranked = numba.njit(nogil=True)(_write_ranked)


def _write_tabled(words: Any, bins: Any, codes: Any) -> None:
    """Write the codes of as many slots as fit a word: one look-up for all of them, then they are dealt out."""
    held = np.empty(BLOCK, np.uint64)
    for first in range(0, len(bins), BLOCK):
        for row in range(BLOCK):
            held[row] = words[np.uint64(bins[first + row])]
        deal_out(held.ctypes.data, codes.ctypes.data + first * codes.itemsize, codes.shape[1], BLOCK, codes)


write_tabled = numba.njit(nogil=True)(_write_tabled)


def _sum_leaves(trees: Any, first: int, last: int, exits: Any, sums: Any) -> None:
    """Add the exit leaves of a group of trees to the sums (n_outputs, BLOCK), tree after tree.

    Four rows at a time, so that their additions overlap while each row's keep their order.
    """
    width = np.uint64(trees.leaves.shape[1])
    leaves = trees.leaves.reshape(-1)
    n_trees = np.uint64(last - first)
    for part in range(width):
        totals = sums[np.uint64(trees.output[first]) + part]
        for row in range(np.uint64(0), np.uint64(BLOCK), np.uint64(4)):
            second, third, fourth = row + np.uint64(1), row + np.uint64(2), row + np.uint64(3)
            sum1, sum2, sum3, sum4 = totals[row], totals[second], totals[third], totals[fourth]
            for tree in range(n_trees):
                start = np.uint64(trees.leaf_start[np.uint64(first) + tree])
                sum1 += leaves[(start + exits[tree, row]) * width + part]
                sum2 += leaves[(start + exits[tree, second]) * width + part]
                sum3 += leaves[(start + exits[tree, third]) * width + part]
                sum4 += leaves[(start + exits[tree, fourth]) * width + part]
            totals[row], totals[second], totals[third], totals[fourth] = sum1, sum2, sum3, sum4


sum_leaves = numba.njit(nogil=True)(_sum_leaves)


def _find_exits(trees: Any, tree: int, codes: Any, exits: Any, place: int) -> None:
    """Write the exit leaves of one tree to exits[place]."""
    first_plane = trees.tree_end[tree - 1] if tree else 0
    exit_leaves(
        codes.ctypes.data,
        trees.slot.ctypes.data,
        trees.code.ctypes.data,
        trees.mask.ctypes.data,
        trees.plane_end.ctypes.data,
        exits.ctypes.data + place * BLOCK * exits.itemsize,
        trees.plane_end[first_plane - 1] if first_plane else 0,
        first_plane,
        trees.tree_end[tree],
        exits,
    )


find_exits = numba.njit(nogil=True)(_find_exits)


def _code_block(rows: Any, columns: Any, slots: Any, first_row: int, n_rows: int, bins: Any, codes: Any) -> bool:
    """Write the codes (n_slots, some blocks) of some rows; True if the estimator would refuse one of them."""
    refused = False
    for column in range(len(rows.kind)):
        bin_column(rows, columns, column, first_row, n_rows, bins)
        if columns.has_refused[column]:
            refused |= is_refused(columns, column, bins, n_rows)
        for slot in range(slots.first[column], slots.tabled[column]):
            write_ranked(slots.first_code[slot], slots.null_code[slot], bins, columns.null_bin[column], codes[slot])
        width = 8 // codes.itemsize
        for slot in range(slots.tabled[column], slots.first[column + 1], width):
            write_tabled(slots.words[slots.word_start[slot] :], bins, codes[slot : slot + width])
    return refused


code_block = numba.njit(nogil=True)(_code_block)


def _start_sums(base: Any, sums: Any) -> None:
    """Set the sums (n_outputs, BLOCK) to where they start."""
    for output in range(len(base)):
        sums[output, :] = base[output]


start_sums = numba.njit(nogil=True)(_start_sums)


def _write_out(sums: Any, divisor: Any, out: Any) -> None:
    """Write the finished sums of a block to the rows of `out`."""
    for row in range(out.shape[0]):
        for output in range(out.shape[1]):
            out[row, output] = sums[output, row] / divisor


write_out = numba.njit(nogil=True, error_model="numpy")(_write_out)


def _score_rows(
    rows: Any,
    columns: Any,
    slots: Any,
    trees: Any,
    base: Any,
    divisor: Any,
    first_row: int,
    out: Any,
    cells: Any,
) -> bool:
    """Score rows first_row .. first_row + len(out) - 1 into `out`; True if the estimator would refuse one.

    Parameters
    ----------
    rows, columns, slots, trees
        See the tuples' own words.
    base
        (n_outputs,): where each sum starts.
    divisor
        What each sum is divided by in the end, of the type of the sum.
    first_row
        The first row to score.
    out
        (n_rows, n_outputs) of the type of the sum.
    cells
        An empty array of the unsigned type as wide as the trees' codes: bins and exit leaves are of it.
    """
    codes = np.zeros((len(slots.first_code), BLOCK), trees.code.dtype)
    bins = np.zeros(BLOCK, cells.dtype)
    exits = np.zeros((GROUP, BLOCK), cells.dtype)
    sums = np.zeros((len(base), BLOCK), base.dtype)
    refused = False
    for start in range(0, out.shape[0], BLOCK):
        n_block = min(BLOCK, out.shape[0] - start)
        refused |= code_block(rows, columns, slots, first_row + start, n_block, bins, codes)
        start_sums(base, sums)
        first = 0
        for last in trees.group_end:
            for tree in range(first, last):
                find_exits(trees, tree, codes, exits, tree - first)
            sum_leaves(trees, first, last, exits, sums)
            first = last
        write_out(sums, divisor, out[start : start + n_block])
    return refused


score_rows = numba.njit(nogil=True)(_score_rows)


def _score_rows_8(
    rows: Any, columns: Any, slots: Any, trees: Any, base: Any, divisor: Any, first_row: int, out: Any
) -> bool:
    return score_rows(rows, columns, slots, trees, base, divisor, first_row, out, np.empty(0, np.uint8))


def _score_rows_16(
    rows: Any, columns: Any, slots: Any, trees: Any, base: Any, divisor: Any, first_row: int, out: Any
) -> bool:
    return score_rows(rows, columns, slots, trees, base, divisor, first_row, out, np.empty(0, np.uint16))


score_rows_8 = compile_cached(_score_rows_8)
score_rows_16 = compile_cached(_score_rows_16)
