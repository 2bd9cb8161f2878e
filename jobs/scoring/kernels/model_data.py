"""A compiled model as data: what scores rows, in arrays and names, whichever library it was trained with.

Everything that a pipeline's steps do before the trees is folded into bins (`jobs.scoring.kernels.bins`), so a tree
ensemble is bins, slots, trees and a link. `jobs.scoring.files.model_file` writes these to a file and reads them back;
the kernels' own arrays are made of them (`layout`, `walk_layout`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import Floats
from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.codes import Slot
from jobs.scoring.kernels.ensemble import F64, I32, Check, Values
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.operations import Operation

LibraryLink: TypeAlias = Callable[[Floats], Floats]
"""A link that only the model's own library computes. No file can hold it."""


@dataclass(frozen=True)
class TreeModel:
    """A tree ensemble over bins: raw = (base + the leaves, tree after tree) / divisor.

    A tree's nodes are numbered level by level, two siblings side by side: the children of its inner node number j,
    counted from 0, are the nodes 1 + 2 j and 2 + 2 j. A row goes to the first of them if `codes[slot][bin] <= code`.

    Parameters
    ----------
    columns, slots
        The bins of each column, and the ways in which tests look at them.
    n_nodes, output
        (n_trees,): a tree's nodes, and the first output that it adds to; ascending, so that the trees of one output
        lie side by side in the order of its sum.
    slot, code
        (n_nodes in all,): what an inner node tests; -1 both at a leaf.
    cover
        (n_nodes in all,): how much of the training went through a node, in the unit `cover_unit`; zeros where the
        library did not say.
    leaves
        (n_leaves in all, width): what each leaf adds, in the order of the nodes, of the type of the sum.
    base
        (n_outputs,): where each sum starts; its type is the type of the sum.
    divisor
        What the sum is divided by in the end.
    link
        What makes predictions of raw predictions (n_rows, n_outputs).
    cover_unit
        "rows", "weighted rows", "hessians", or "unknown".
    """

    columns: tuple[ColumnBins, ...]
    slots: tuple[Slot, ...]
    n_nodes: npt.NDArray[np.int64]
    output: I32
    slot: I32
    code: I32
    cover: F64
    leaves: npt.NDArray[Any]
    base: npt.NDArray[Any]
    divisor: float
    link: Link | LibraryLink
    cover_unit: str

    @property
    def n_trees(self) -> int:
        """Return the number of trees."""
        return len(self.n_nodes)


@dataclass(frozen=True)
class LinearFeature:
    """One feature of a linear model: a column through operations, or its bins through a table.

    Parameters
    ----------
    column
        The position of the input column among the scorer's features.
    operations, checks
        What is done to its numbers in turn, and what is refused on the way. Empty where there is a table.
    table
        The feature's value in each bin of the column, of categories; None for numbers.
    """

    column: int
    operations: tuple[Operation, ...] = ()
    checks: tuple[Check, ...] = ()
    table: Values | None = None


@dataclass(frozen=True)
class LinearModel:
    """A linear model: raw = features @ coefficients + intercept.

    Parameters
    ----------
    columns
        The bins of the columns whose features have tables.
    features
        What the coefficients are multiplied with.
    dtype
        The type of the features: "float64" or "float32".
    coefficients
        (n_outputs, n_features).
    intercept
        (n_outputs,).
    link
        What makes predictions of raw predictions (n_rows, n_outputs).
    """

    columns: tuple[ColumnBins, ...]
    features: tuple[LinearFeature, ...]
    dtype: str
    coefficients: npt.NDArray[Any]
    intercept: npt.NDArray[Any]
    link: Link


@dataclass(frozen=True)
class Calibrator:
    """What turns one response of a classifier into a probability; see `jobs.scoring.steps.calibrated`.

    Parameters
    ----------
    method
        "sigmoid" (numbers: slope, intercept), "isotonic" (numbers: lowest and highest response; x, y: the steps), or
        "temperature" (numbers: inverse temperature).
    class_place
        Which class's probability it gives, counted from 0; not looked at by a temperature.
    """

    method: str
    class_place: int
    numbers: F64
    x: Values
    y: Values


@dataclass(frozen=True)
class CalibratedPart:
    """One classifier with its calibrators; `asks_probabilities` says that they take its predictions, not raw ones."""

    model: CompiledModel
    calibrators: tuple[Calibrator, ...]
    asks_probabilities: bool


@dataclass(frozen=True)
class CalibratedModel:
    """Classifiers, each through its own calibrators; the prediction is the mean of what they give."""

    parts: tuple[CalibratedPart, ...]
    n_classes: int


@dataclass(frozen=True)
class ShiftedModel:
    """A regressor with several answers: to its prediction each of `offsets`, (n_outputs,), is added."""

    part: TreeModel | LinearModel
    offsets: F64


CompiledModel: TypeAlias = TreeModel | LinearModel | CalibratedModel | ShiftedModel
