"""Tree ensembles as every library means them, in one form: what the readers write and the layouts read.

A model feature is a function of one input column (`Feature`): the column itself, scaled, imputed, encoded. A
tree tests features; its leaves hold what is added to the outputs. How the trees are evaluated is left to the
kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Values = npt.NDArray[Any]
Step = Callable[[Values], Values]

LEFT, RIGHT, MISSING = 1, 0, -1
"""Where a category goes at a node: left, right, or where missing values go."""


@dataclass(frozen=True)
class Check:
    """What the estimator refuses at one point of a feature's steps: infinities always, NaN when `nan` is
    False.
    """

    after: int
    nan_passes: bool


@dataclass(frozen=True)
class Feature:
    """One feature of the model, as a function of one input column.

    Parameters
    ----------
    column
        The position of the input column among the scorer's features.
    steps
        Functions of a one-dimensional array, applied in turn. The first takes the column's values as
        `estimator_input` gives them (float64 or float32 with NaN, or objects with None); the last returns
        numbers. Each is non-decreasing over numbers, unless `points` is set.
    points
        The values that the feature tells apart, all others being alike; None for a number taken as a
        magnitude.
    checks
        What the estimator would refuse on the way.
    """

    column: int
    steps: tuple[Step, ...] = ()
    points: tuple[Any, ...] | None = None
    checks: tuple[Check, ...] = ()

    def then(self, *steps: Step) -> Feature:
        """Return the feature with further steps."""
        return Feature(self.column, (*self.steps, *steps), self.points, self.checks)

    def checked(self, *, nan_passes: bool) -> Feature:
        """Return the feature with a check after its present steps."""
        check = Check(len(self.steps), nan_passes)
        return Feature(self.column, self.steps, self.points, (*self.checks, check))

    def __call__(self, values: Values, n_steps: int | None = None) -> Values:
        """Return the feature's values (n,) for these values of its column, after all or the first steps."""
        with np.errstate(all="ignore"):
            for step in self.steps[:n_steps]:
                values = step(values)
        return values


@dataclass(frozen=True)
class Tree:
    """One tree. Node 0 is the root; a node whose `left` is -1 is a leaf.

    Parameters
    ----------
    feature, left, right
        (n_nodes,) positions.
    threshold
        (n_nodes,): a number goes left if it is <= the threshold.
    missing_left
        (n_nodes,): whether NaN goes left.
    category_set
        (n_nodes,): the position of the node's set in `Ensemble.category_sets`, -1 where the node compares
        numbers.
    zero_is_missing
        (n_nodes,): whether numbers next to zero go where NaN goes (LightGBM's `zero_as_missing`).
    value
        (n_nodes, width): what a leaf adds to the outputs `output`, `output` + 1, ...
    output
        The first output that this tree adds to.
    cover
        (n_nodes,): how much of the training went through each node, see `Ensemble.cover_unit`; None if it is not
        known.
    """

    feature: I32
    threshold: F64
    missing_left: npt.NDArray[np.bool_]
    left: I32
    right: I32
    value: npt.NDArray[Any]
    category_set: I32
    zero_is_missing: npt.NDArray[np.bool_] | None = None
    output: int = 0
    cover: F64 | None = None


@dataclass(frozen=True)
class Ensemble:
    """A whole model: raw = (base + the leaves, tree after tree) / divisor.

    Parameters
    ----------
    features
        What the trees' feature numbers stand for.
    trees
        In the order of summation.
    base
        (n_outputs,): where each sum starts; its type is the type of the sum (float64, or float32 for
        XGBoost).
    category_sets
        Of each categorical test: LEFT, RIGHT or MISSING by code; codes outside the array go where `MISSING`
        goes.
    divisor
        What the sum is divided by in the end (the number of trees of a forest), 1.0 for none.
    cover_unit
        What the trees' covers count: "rows", "weighted rows" or "hessians".
    """

    features: tuple[Feature, ...]
    trees: tuple[Tree, ...]
    base: npt.NDArray[Any]
    category_sets: tuple[npt.NDArray[np.int8], ...] = ()
    divisor: float = 1.0
    cover_unit: str = "rows"

    @property
    def n_outputs(self) -> int:
        """Return how many numbers each row's raw prediction has."""
        return len(self.base)
