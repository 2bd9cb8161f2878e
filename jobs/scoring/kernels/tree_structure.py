"""The shape of a compiled model's trees: which nodes are whose children, and the leaves from left to right.

All trees are worked on at once, level by level, so that a model of hundreds of trees is ready in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.codes import I64
from jobs.scoring.kernels.model_data import TreeModel


@dataclass(frozen=True)
class TreeStructure:
    """The nodes of all trees, under their places in the model's arrays.

    Parameters
    ----------
    start
        (n_trees,): the place of each tree's root.
    tree
        (n_nodes,): the tree that a node belongs to.
    is_inner
        (n_nodes,).
    left
        (n_nodes,): the place of an inner node's first child, its second being the next; -1 at a leaf.
    first, last
        (n_nodes,): the leaves under a node, counted from left to right within its tree: from `first` to before `last`.
    levels
        The inner nodes at each depth, the roots first.
    """

    start: I64
    tree: I64
    is_inner: npt.NDArray[np.bool_]
    left: I64
    first: I64
    last: I64
    levels: tuple[I64, ...]

    @property
    def n_leaves(self) -> I64:
        """Return (n_trees,) the number of leaves of each tree."""
        return self.last[self.start]


def left_children(model: TreeModel) -> tuple[I64, I64, I64]:
    """Return the roots' places, each node's tree, and the place of each inner node's first child, -1 at leaves."""
    start = np.cumsum(model.n_nodes) - model.n_nodes
    tree = np.repeat(np.arange(model.n_trees), model.n_nodes)
    is_inner = model.slot >= 0
    before: I64 = np.cumsum(is_inner) - is_inner
    number: I64 = before - before[start][tree] if len(tree) else before
    return start, tree, np.where(is_inner, start[tree] + 1 + 2 * number, -1)


def tree_structure(model: TreeModel) -> TreeStructure:
    """Work out the shape of a model's trees."""
    start, tree, left = left_children(model)
    is_inner = model.slot >= 0
    levels, nodes = [], start
    while True:
        inner = nodes[is_inner[nodes]]
        if not len(inner):
            break
        levels.append(inner)
        nodes = np.concatenate([left[inner], left[inner] + 1])
    count = np.ones(len(tree), np.int64)
    for inner in reversed(levels):
        count[inner] = count[left[inner]] + count[left[inner] + 1]
    first = np.zeros(len(tree), np.int64)
    for inner in levels:
        first[left[inner]] = first[inner]
        first[left[inner] + 1] = first[inner] + count[left[inner]]
    return TreeStructure(start, tree, is_inner, left, first, first + count, tuple(levels))
