"""What flows through a pipeline while it is compiled: the features so far, and what an array of them would
be.

An estimator's step takes a `Block` and returns one. Whether the values would be computed in float32 or
float64 follows scikit-learn and numpy: a frame or array has one type for all its columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import Feature
from jobs.scoring.kernels.operations import operation


@dataclass(frozen=True)
class Block:
    """The columns between two steps of a pipeline.

    Parameters
    ----------
    features
        What each column is, as a function of an input column.
    kinds
        Of each column "float64", "float32" or "text".
    names
        The column names where it is a frame, None where it is an array.
    """

    features: tuple[Feature, ...]
    kinds: tuple[str, ...]
    names: tuple[str, ...] | None = None

    def select(self, places: Sequence[int]) -> Block:
        """Return some of the columns."""
        names = None if self.names is None else tuple(self.names[place] for place in places)
        return Block(
            tuple(self.features[place] for place in places),
            tuple(self.kinds[place] for place in places),
            names,
        )

    @property
    def kind(self) -> str:
        """Return the type that the whole has as one array.

        Raises
        ------
        NotUnderstood
            Text and numbers together, which would be an array of objects.
        """
        found = set(self.kinds)
        if len(found) > 1 and "text" in found:
            raise NotUnderstood("a step takes text and numbers together")
        return "float64" if len(found) != 1 else found.pop()

    def in_float64_if_frame(self) -> Block:
        """Return what scikit-learn's `check_array(dtype=[float64, float32])` makes of the block.

        It keeps an array's float32, but a polars frame has no one type that it could see, and becomes float64.
        """
        if self.names is None:
            return self
        features = tuple(feature.then(operation("to_float64")) for feature in self.features)
        return Block(features, ("float64",) * len(features)) if self.kind == "float32" else self

    def numbers(self, model: str) -> Block:
        """Return the block, if it holds numbers only."""
        if "text" in self.kinds:
            raise NotUnderstood(f"{model} is given text")
        return self


def input_block(feature_names: Sequence[str], kinds: Sequence[str]) -> Block:
    """Return the block that `estimator_input` makes."""
    features = tuple(Feature(column) for column in range(len(feature_names)))
    return Block(features, tuple(kinds), tuple(feature_names))
