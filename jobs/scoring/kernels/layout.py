"""How a tree ensemble is laid out for the bitvector kernels.

A tree's leaves are numbered from left to right, one bit each; a node whose test fails clears the bits of its
left subtree, and the lowest bit that is left is the exit leaf (QuickScorer, Lucchese et al., SIGIR 2015). The
bits of a tree are cut into planes of 8 or 16, as wide as the codes that the tests compare, so that one vector
instruction tests as many rows as one AND updates (after RapidScorer, Ye et al., KDD 2018); a node takes part
only in the planes in which it clears something.

What is compared are codes: small integers, one per row and slot. A slot is a column seen in one way: the
column's bins in their order with null in one place, or the bins through a table (categories, zero taken as
missing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.codes import I64, Slot, SlotTable, Tests
from jobs.scoring.kernels.ensemble import Ensemble, Tree


def leaf_order(tree: Tree) -> tuple[I64, I64, I64]:
    """Number the leaves from left to right.

    Returns
    -------
    tuple
        The leaves' nodes in that order; and for each node the first leaf under it, and the first one after.
    """
    n_nodes = len(tree.left)
    first, last = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int64)
    leaves: list[int] = []
    stack = [(0, False)]
    while stack:
        node, is_done = stack.pop()
        if is_done:
            last[node] = len(leaves)
            continue
        first[node] = len(leaves)
        if tree.left[node] < 0:
            leaves.append(node)
            last[node] = len(leaves)
        else:
            stack += [(node, True), (int(tree.right[node]), False), (int(tree.left[node]), False)]
    return np.array(leaves, np.int64), first, last


@dataclass(frozen=True)
class Layout:
    """What the bitvector kernels read; arrays of one entry per (node, plane), plane, tree and leaf.

    Parameters
    ----------
    columns, slots
        The bins of each column, and the ways in which they are looked at.
    width
        Bits of a code and of a plane: 8 or 16.
    slot, code, mask
        (n_entries,): if `codes[slot] > code` then AND the plane with `mask`. Codes are shifted to be signed.
    plane_end
        (n_planes,): where a plane's entries end. The planes of a tree stand last to first.
    tree_end
        (n_trees,): where a tree's planes end.
    leaf_start
        (n_trees,): where a tree's leaves begin in `leaves`.
    leaves
        (n_leaves, leaf_width) what each leaf adds, of the type of the sum.
    output
        (n_trees,): the first output that a tree adds to.
    """

    columns: tuple[ColumnBins, ...]
    slots: tuple[Slot, ...]
    width: int
    slot: npt.NDArray[np.int32]
    code: npt.NDArray[np.signedinteger[Any]]
    mask: npt.NDArray[np.signedinteger[Any]]
    plane_end: npt.NDArray[np.int32]
    tree_end: npt.NDArray[np.int32]
    leaf_start: npt.NDArray[np.int64]
    leaves: npt.NDArray[Any]
    output: npt.NDArray[np.int32]


def _entries_of(tree: Tree, tests: Tests, width: int) -> tuple[list[npt.NDArray[np.int64]], I64]:
    """Return the (slot, code, mask) entries of each plane, last plane first, and the leaves' nodes."""
    leaves, first, last = leaf_order(tree)
    inner = np.flatnonzero(tree.left >= 0)
    inner = inner[np.lexsort((tests.code[inner], tests.slot[inner]))]
    begin, end = first[tree.left[inner]], last[tree.left[inner]]
    planes: list[npt.NDArray[np.int64]] = []
    for plane in reversed(range((len(leaves) + width - 1) // width)):
        low, high = np.maximum(begin, plane * width), np.minimum(end, (plane + 1) * width)
        touched = low < high
        keep = (1 << (high - plane * width)[touched]) - (1 << (low - plane * width)[touched])
        at = inner[touched]
        planes.append(np.stack([tests.slot[at], tests.code[at], ~keep], axis=1))
    return planes, leaves


def lay_out(ensemble: Ensemble, kinds: Sequence[str]) -> Layout:
    """Lay an ensemble out for the bitvector kernels.

    Parameters
    ----------
    ensemble
        The model.
    kinds
        Of each input column "float64", "float32" or "text", see `feature_kind`.

    Raises
    ------
    NotUnderstood
        A column is text where the model expects numbers.
    """
    table = SlotTable(ensemble, kinds)
    # Trees of one output side by side, their order kept: that is the order of each output's sum.
    trees = sorted(ensemble.trees, key=lambda tree: tree.output)
    tests = [table.tests_of(tree) for tree in trees]
    largest = max([2, *(int(slot.codes.max(initial=0)) for slot in table.slots)])
    largest = max(largest, *(column.size - 1 for column in table.columns), 0) if table.columns else largest
    width = 8 if largest < 256 and ensemble.max_leaves <= 256 else 16
    entries: list[npt.NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    plane_sizes: list[int] = []
    tree_planes: list[int] = []
    leaf_values: list[npt.NDArray[Any]] = []
    for tree, tree_tests in zip(trees, tests, strict=True):
        planes, leaves = _entries_of(tree, tree_tests, width)
        entries += planes
        plane_sizes += [len(plane) for plane in planes]
        tree_planes.append(len(planes))
        leaf_values.append(tree.value[leaves])
    flat = np.concatenate(entries)
    cell = np.dtype(np.int8 if width == 8 else np.int16)
    leaf_counts = np.array([0, *(len(values) for values in leaf_values)], np.int64)
    return Layout(
        columns=tuple(table.columns),
        slots=tuple(table.slots),
        width=width,
        slot=flat[:, 0].astype(np.int32),
        code=(flat[:, 1] - (1 << (width - 1))).astype(cell),
        mask=flat[:, 2].astype(cell),
        plane_end=np.cumsum(plane_sizes, dtype=np.int32),
        tree_end=np.cumsum(tree_planes, dtype=np.int32),
        leaf_start=np.cumsum(leaf_counts)[:-1],
        leaves=np.concatenate(leaf_values or [np.zeros((0, 1))]).astype(ensemble.base.dtype),
        output=np.array([tree.output for tree in trees], np.int32),
    )
