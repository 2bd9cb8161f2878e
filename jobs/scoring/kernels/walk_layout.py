"""How trees too large for bitvectors are laid out: nodes that rows walk down, two children side by side.

A node is its left child, the slot that it looks at, and a code: the next node is left + (codes[slot] > code).
A leaf leads to itself. What the leaves add is kept under the nodes' own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.codes import I64, Slot
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_structure import TreeStructure

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


def lay_out_walk(model: TreeModel, structure: TreeStructure) -> WalkLayout:
    """Lay an ensemble out for the walking kernel; see `jobs.scoring.kernels.layout.lay_out`."""
    here = np.arange(len(model.slot))
    left = np.where(structure.is_inner, structure.left, here) - structure.start[structure.tree]
    slot = np.where(structure.is_inner, model.slot, 0)
    code = np.where(structure.is_inner, model.code, NEVER)
    leaves = np.zeros((len(model.slot), model.leaves.shape[1]), model.leaves.dtype)
    leaves[~structure.is_inner] = model.leaves
    return WalkLayout(
        columns=model.columns,
        slots=model.slots,
        nodes=np.stack([left, slot, code], axis=1).astype(np.int32),
        start=structure.start,
        leaves=leaves,
        output=np.array(model.output),
    )
