"""The features of a linear model as numbers, column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.ensemble import Values
from jobs.scoring.kernels.model_data import LinearFeature, LinearModel
from jobs.scoring.kernels.tree_scorer import places_of
from warehouse.errors import ScoringFailed


class ColumnValues:
    """Computes what a pipeline's steps make of the input columns.

    Parameters
    ----------
    model
        Its features, and the bins of their columns.
    feature_names
        The input columns' names, for messages.
    """

    def __init__(self, model: LinearModel, feature_names: Sequence[str]) -> None:
        self._features = model.features
        self._names = tuple(feature_names)
        self._dtype = np.dtype(model.dtype)
        self.bins: dict[int, ColumnBins] = {bins.column: bins for bins in model.columns}

    def matrix(self, columns: Sequence[pa.Array], n_rows: int) -> Values:
        """Return the features (n_rows, n_features) of a batch, column after column in memory.

        Raises
        ------
        ScoringFailed
            A step would refuse a value.
        """
        out = np.empty((n_rows, len(self._features)), self._dtype, order="F")
        tabled = {feature.column for feature in self._features if feature.table is not None}
        places = {column: places_of(columns[column], self.bins[column]) for column in tabled}
        for number, feature in enumerate(self._features):
            if feature.table is not None:
                found = places[feature.column]
                self._refuse(feature, self.bins[feature.column].refused[found])
                out[:, number] = feature.table[found]
            else:
                out[:, number] = self._through_operations(feature, columns[feature.column])
        return out

    def _through_operations(self, feature: LinearFeature, column: pa.Array) -> Values:
        values: Values = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        checks = {check.after: check for check in feature.checks}
        with np.errstate(all="ignore"):
            for done in range(len(feature.operations) + 1):
                if done:
                    values = feature.operations[done - 1](values)
                if done in checks:
                    self._refuse(feature, np.isinf(values) if checks[done].nan_passes else ~np.isfinite(values))
        return values

    def _refuse(self, feature: LinearFeature, is_refused: Values) -> None:
        if is_refused.any():
            row = int(np.argmax(is_refused))
            raise ScoringFailed(
                f"The model refuses the value of column {self._names[feature.column]!r} in row {row} of the batch:"
                " missing, infinite, or a category that it does not know. Replace such values in the feature's SQL,"
                " or train the model on rows that have them."
            )
