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

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.codes import Slot
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_structure import TreeStructure


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


def largest_code(model: TreeModel) -> int:
    """Return the largest of the model's codes and bins."""
    codes = [int(slot.codes.max(initial=0)) for slot in model.slots]
    bins = [column.size - 1 for column in model.columns]
    return max([2, int(model.code.max(initial=0)), *codes, *bins])


def lay_out(model: TreeModel, structure: TreeStructure) -> Layout:
    """Lay an ensemble out for the bitvector kernels.

    Parameters
    ----------
    model
        Its trees have at most 65,536 leaves, and its codes fit 16 bits.
    structure
        The shape of its trees.
    """
    is_small = largest_code(model) < 256 and structure.n_leaves.max(initial=1) <= 256
    width = 8 if is_small else 16
    # A node takes part in the planes in which its left subtree has leaves.
    inner = np.flatnonzero(structure.is_inner)
    begin, end = structure.first[structure.left[inner]], structure.last[structure.left[inner]]
    first_plane, n_touched = begin // width, (end - 1) // width - begin // width + 1
    entry = np.repeat(np.arange(len(inner)), n_touched)
    plane = first_plane[entry] + np.arange(len(entry)) - (np.cumsum(n_touched) - n_touched)[entry]
    node = inner[entry]
    low = np.maximum(begin[entry] - plane * width, 0)
    high = np.minimum(end[entry] - plane * width, width)
    mask = ~((np.int64(1) << high) - (np.int64(1) << low))
    # Planes stand last to first within a tree; numbers of planes over all trees follow from that.
    n_planes = (structure.n_leaves + width - 1) // width
    tree_end = np.cumsum(n_planes)
    place = tree_end[structure.tree[node]] - 1 - plane
    order = np.lexsort((model.code[node], model.slot[node], place))
    cell = np.dtype(np.int8 if width == 8 else np.int16)
    leaf_start = np.cumsum(structure.n_leaves) - structure.n_leaves
    is_leaf = ~structure.is_inner
    leaves = np.empty_like(model.leaves)
    leaves[leaf_start[structure.tree[is_leaf]] + structure.first[is_leaf]] = model.leaves
    return Layout(
        columns=model.columns,
        slots=model.slots,
        width=width,
        slot=model.slot[node][order],
        code=(model.code[node][order].astype(np.int64) - (1 << (width - 1))).astype(cell),
        mask=mask[order].astype(cell),
        plane_end=np.cumsum(np.bincount(place, minlength=int(n_planes.sum()))).astype(np.int32),
        tree_end=tree_end.astype(np.int32),
        leaf_start=leaf_start,
        leaves=leaves,
        output=np.array(model.output),
    )
