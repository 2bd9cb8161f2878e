"""What every compiled model offers to the scorer around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from jobs.scoring.interface.scorer import Floats
from jobs.scoring.kernels.model_data import CompiledModel


class Program(Protocol):
    """A model made ready for batches whose columns have certain types."""

    @property
    def model(self) -> CompiledModel:
        """The model as data."""

    @property
    def kind(self) -> str:
        """Which kernel scores."""

    @property
    def why(self) -> str:
        """One sentence: why this way."""

    @property
    def tolerance_ulp(self) -> int:
        """By how many units in the last place it may differ from the estimator."""

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column at which the model's tests change their answer."""

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return the raw predictions (n_rows, n_outputs) of feature columns, each in one piece."""

    def predict(self, raw: Floats) -> Floats:
        """Return what the model predicts, from its raw predictions."""

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return (n_rows, n_outputs) the sizes in whose last place raw predictions may differ by `tolerance_ulp`.

        Not asked where that is 0.
        """
