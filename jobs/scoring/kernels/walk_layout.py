"""How trees too large for bitvectors are laid out: nodes that rows walk down, two children side by side.

A node is its left child, the slot that it looks at, and a code: the next node is left + (codes[slot] > code).
A leaf leads to itself. What the leaves add is kept under the nodes' own numbers.
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

NEVER = np.iinfo(np.int32).max


@dataclass(frozen=True)
class WalkLayout:
    """What the walking kernel reads.

    Parameters
    ----------
    columns, slots
        The bins of each column, and the ways in which they are looked at.
    nodes
        (n_nodes, 3): left child (within the tree), slot, code.
    start
        (n_trees,): where a tree's nodes begin.
    leaves
        (n_nodes, leaf_width): what a leaf adds, of the type of the sum; other nodes' are not read.
    output
        (n_trees,): the first output that a tree adds to.
    """

    columns: tuple[ColumnBins, ...]
    slots: tuple[Slot, ...]
    nodes: npt.NDArray[np.int32]
    start: I64
    leaves: npt.NDArray[Any]
    output: npt.NDArray[np.int32]


def _breadth_first(tree: Tree) -> tuple[I64, I64]:
    """Return the nodes level by level, siblings side by side, and each one's left child in that numbering."""
    levels = [np.zeros(1, np.int64)]
    while True:
        level = levels[-1]
        inner = level[tree.left[level] >= 0]
        if not len(inner):
            break
        levels.append(np.stack([tree.left[inner], tree.right[inner]], axis=1).ravel().astype(np.int64))
    order = np.concatenate(levels)
    is_inner = tree.left[order] >= 0
    children = 1 + 2 * (np.cumsum(is_inner) - 1)
    return order, np.where(is_inner, children, np.arange(len(order)))


def _nodes_of(tree: Tree, tests: Tests) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    order, left = _breadth_first(tree)
    is_inner = tree.left[order] >= 0
    slot = np.where(is_inner, tests.slot[order], 0)
    code = np.where(is_inner, tests.code[order], NEVER)
    return np.stack([left, slot, code], axis=1).astype(np.int32), tree.value[order]


def lay_out_walk(ensemble: Ensemble, kinds: Sequence[str]) -> WalkLayout:
    """Lay an ensemble out for the walking kernel; see `jobs.scoring.kernels.layout.lay_out`.

    Raises
    ------
    NotUnderstood
        A column is text where the model expects numbers.
    """
    table = SlotTable(ensemble, kinds)
    trees = sorted(ensemble.trees, key=lambda tree: tree.output)
    parts = [_nodes_of(tree, table.tests_of(tree)) for tree in trees]
    sizes = np.array([0, *(len(nodes) for nodes, _ in parts)], np.int64)
    return WalkLayout(
        columns=tuple(table.columns),
        slots=tuple(table.slots),
        nodes=np.concatenate([np.zeros((0, 3), np.int32), *(nodes for nodes, _ in parts)]),
        start=np.cumsum(sizes)[:-1],
        leaves=np.concatenate([values for _, values in parts]).astype(ensemble.base.dtype),
        output=np.array([tree.output for tree in trees], np.int32),
    )
