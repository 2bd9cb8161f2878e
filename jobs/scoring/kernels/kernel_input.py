"""What the kernels are handed: numbers, and tuples of arrays. No kernel is imported for it."""

from __future__ import annotations

from typing import Any, NamedTuple

GROUP = 16
"""Trees whose exit leaves are found before they are summed."""
CELLS = 1024
"""Cells of the grid that a number is first looked up in."""
FLOAT64, FLOAT32, BINS = 0, 1, 2
"""What a column's address points at: numbers, or bins that were looked up before (uint32)."""


class ColumnArrays(NamedTuple):
    """The columns' breakpoints, how to find a number among them, and what is refused.

    `start` (n_columns,) says where a column's breakpoints begin in the flat arrays, which hold as many
    infinities after them as a search may touch. A number's cell is (number - low) * scale, cut to 0 .. CELLS
    - 1; `grid` (n_columns, CELLS) holds how many breakpoints lie in earlier cells, and `steps` halvings find
    the rest.
    """

    start: Any
    breakpoints: Any
    breakpoints32: Any
    low: Any
    scale: Any
    grid: Any
    steps: Any
    null_bin: Any
    refused_start: Any
    refused: Any
    has_refused: Any


class SlotArrays(NamedTuple):
    """The slots, ordered by column: `first` is (n_columns + 1,).

    A column's ranked slots come first, of which `first_code` and `null_code` say what its first bin and null become.
    From `tabled` (n_columns,) on they are tables, as many at a time as fit a word of 8 bytes: `words[word_start[slot] +
    bin]` holds the codes of a slot and of those after it.
    """

    first: Any
    tabled: Any
    first_code: Any
    null_code: Any
    word_start: Any
    words: Any


class TreeArrays(NamedTuple):
    """The trees, see `jobs.scoring.kernels.layout.Layout`; `group_end` cuts them into groups that are summed
    together.
    """

    slot: Any
    code: Any
    mask: Any
    plane_end: Any
    tree_end: Any
    leaf_start: Any
    leaves: Any
    output: Any
    group_end: Any


class Rows(NamedTuple):
    """Where the rows lie: per column what it is, its address, and its validity bitmap (0 for none) with
    offset.
    """

    kind: Any
    address: Any
    validity: Any
    offset: Any


class WalkArrays(NamedTuple):
    """The trees, see `jobs.scoring.kernels.walk_layout.WalkLayout`.

    A node is one word, so that a step down loads one: the code in its low 32 bits, above it `slot_bits` of the slot,
    and in the rest the left child within the tree.
    """

    nodes: Any
    start: Any
    leaves: Any
    output: Any
    slot_bits: Any
