"""Turns layouts into the flat arrays that the kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.codes import Slot
from jobs.scoring.kernels.ensemble import Values
from jobs.scoring.kernels.kernel_input import CELLS, GROUP, ColumnArrays, SlotArrays, TreeArrays, WalkArrays
from jobs.scoring.kernels.layout import Layout
from jobs.scoring.kernels.walk_layout import WalkLayout


def _starts(lengths: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _joined(arrays: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(dtype)


def _cells(numbers: Values, low: Any, scale: Any) -> npt.NDArray[np.int64]:
    """Return the grid cell of each number, by the arithmetic of `kernel.find_cells`."""
    with np.errstate(all="ignore"):
        places = (numbers - low) * scale
    cells: npt.NDArray[np.int64] = np.nan_to_num(np.clip(places, 0, CELLS - 1)).astype(np.int64)
    return cells


def _grid_of(breakpoints: Values) -> tuple[float, float, npt.NDArray[np.int64]]:
    """Choose the grid in whose fullest cell the fewest breakpoints lie: low, scale, and each breakpoint's
    cell.

    Breakpoints far out would leave the others in one cell, so grids that leave out a few at both ends are
    tried.
    """
    number = breakpoints.dtype.type
    best = (0.0, 0.0, np.zeros(len(breakpoints), np.int64))
    fullest = len(breakpoints)
    for left_out in (0, 1, 2, 4, 8, 16, 32, 64):
        if 2 * left_out + 1 >= len(breakpoints):
            break
        low, high = breakpoints[left_out], breakpoints[len(breakpoints) - 1 - left_out]
        with np.errstate(all="ignore"):
            scale = number(CELLS) / (high - low)
        if not (np.isfinite(low) and np.isfinite(scale)):
            continue
        cells = _cells(breakpoints, low, scale)
        if np.bincount(cells).max() < fullest:
            best, fullest = (float(low), float(scale), cells), int(np.bincount(cells).max())
    return best


def column_arrays(bins: Sequence[ColumnBins]) -> ColumnArrays:
    """Return what the kernels read of the columns."""
    low, scale = np.zeros(len(bins)), np.zeros(len(bins))
    grid = np.zeros((len(bins), CELLS), np.uint32)
    steps = np.zeros(len(bins), np.int64)
    padded: list[npt.NDArray[np.float64]] = []
    for place, column in enumerate(bins):
        low[place], scale[place], cells = _grid_of(column.breakpoints)
        in_cell = np.bincount(cells, minlength=CELLS)
        grid[place] = np.cumsum(in_cell) - in_cell
        steps[place] = int(in_cell.max()).bit_length()
        padding = np.full(1 << int(steps[place]), np.inf)
        padded.append(np.concatenate([column.breakpoints.astype(np.float64), padding]))
    flat = _joined(padded, np.float64)
    with np.errstate(over="ignore"):
        # Exact for float32 columns; nobody reads the others'.
        flat32 = flat.astype(np.float32)
    return ColumnArrays(
        start=_starts([len(numbers) for numbers in padded])[:-1],
        breakpoints=flat,
        breakpoints32=flat32,
        low=low,
        scale=scale,
        grid=grid,
        steps=steps,
        null_bin=np.array([column.size - 1 for column in bins], np.uint32),
        refused_start=_starts([column.size for column in bins]),
        refused=_joined([column.refused for column in bins], np.bool_),
        has_refused=np.array([column.refused.any() for column in bins], np.bool_),
    )


def _group_ends(output: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Cut the trees into groups of at most GROUP that add to the same output."""
    ends, first = [], 0
    for tree in range(1, len(output) + 1):
        if tree == len(output) or output[tree] != output[first] or tree - first == GROUP:
            ends.append(tree)
            first = tree
    return np.array(ends, np.int64)


def slot_arrays(
    slots: Sequence[Slot], n_columns: int, cell: Any, shift: int
) -> tuple[SlotArrays, npt.NDArray[np.int32]]:
    """Return the slots in the order of their columns, and the new number of each.

    Parameters
    ----------
    slots
        The layout's.
    n_columns
        How many columns they look at.
    cell, shift
        The signed type of a code, and what is subtracted so that codes fit it.
    """
    width = 8 // np.dtype(cell).itemsize
    number_of = np.zeros(max(1, len(slots)), np.int32)
    first, tabled, word_start = [0], [], []
    first_code: list[int] = []
    null_code: list[int] = []
    words: list[npt.NDArray[np.uint64]] = []
    n_words = 0
    for column in range(n_columns):
        here = [number for number, slot in enumerate(slots) if slot.bins == column]
        ranked = [number for number in here if slots[number].is_ranked]
        tables = [number for number in here if not slots[number].is_ranked]
        tabled.append(first[-1] + len(ranked))
        # What is left over of the last word is slots that no test looks at.
        padded = len(tables) + -len(tables) % width
        number_of[ranked + tables] = np.arange(first[-1], first[-1] + len(here))
        first_code += [int(slots[number].codes[0]) - shift for number in ranked] + [0] * padded
        null_code += [int(slots[number].codes[-1]) - shift for number in ranked] + [0] * padded
        word_start += [0] * len(ranked)
        for start in range(0, padded, width):
            lanes = np.zeros((len(slots[here[0]].codes), width), cell)
            for lane, number in enumerate(tables[start : start + width]):
                lanes[:, lane] = slots[number].codes - shift
            word_start += [n_words] * width
            words.append(lanes.view(np.uint64).ravel())
            n_words += len(lanes)
        first.append(first[-1] + len(ranked) + padded)
    arrays = SlotArrays(
        first=np.array(first, np.int64),
        tabled=np.array(tabled, np.int64),
        first_code=np.array(first_code, cell),
        null_code=np.array(null_code, cell),
        word_start=np.array(word_start, np.int64),
        words=_joined(words, np.uint64),
    )
    return arrays, number_of


def tree_arrays(layout: Layout, number_of: npt.NDArray[np.int32]) -> TreeArrays:
    """Return what the bitvector kernel reads of the trees."""
    return TreeArrays(
        number_of[layout.slot],
        layout.code,
        layout.mask,
        layout.plane_end,
        layout.tree_end,
        layout.leaf_start,
        layout.leaves,
        layout.output,
        _group_ends(layout.output),
    )


def walk_arrays(layout: WalkLayout, number_of: npt.NDArray[np.int32]) -> WalkArrays:
    """Return what the walking kernel reads of the trees.

    Raises
    ------
    NotUnderstood
        A tree has more nodes than a word can tell apart, billions divided by the number of slots.
    """
    slots = number_of[layout.nodes[:, 1]].astype(np.uint64)
    slot_bits = int(number_of.max()).bit_length()
    if layout.nodes[:, 0].max(initial=0) >> (32 - slot_bits):
        raise NotUnderstood("its trees are too large for the traversal kernel")
    left = layout.nodes[:, 0].astype(np.uint64) << np.uint64(32 + slot_bits)
    nodes = left | slots << np.uint64(32) | layout.nodes[:, 2].astype(np.uint64)
    return WalkArrays(nodes, layout.start, layout.leaves, layout.output, np.uint64(slot_bits))
