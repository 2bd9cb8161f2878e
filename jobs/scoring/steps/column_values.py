"""The features of a model as numbers, column by column, for models that multiply them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.bins import ColumnBins, numeric_bins, text_bins
from jobs.scoring.kernels.ensemble import Feature, Values
from jobs.scoring.kernels.tree_scorer import places_of
from jobs.scoring.steps.columns import Block
from warehouse.errors import ScoringFailed


class ColumnValues:
    """Computes what a pipeline's steps make of the input columns.

    Parameters
    ----------
    block
        The features.
    kinds
        Of each input column "float64", "float32" or "text".
    feature_names
        The input columns' names, for messages.
    """

    def __init__(self, block: Block, kinds: Sequence[str], feature_names: Sequence[str]) -> None:
        self.block = block
        self._names = tuple(feature_names)
        self._dtype = np.dtype(block.kind)
        self.bins: dict[int, ColumnBins] = {}
        self._tables: dict[int, Values] = {}
        for column in sorted({feature.column for feature in block.features}):
            features = [feature for feature in block.features if feature.column == column]
            if kinds[column] == "text":
                if any(feature.points is None for feature in features):
                    raise NotUnderstood(f"{feature_names[column]!r} is text where the model expects numbers")
                self.bins[column] = text_bins(column, features)
            elif any(feature.points is not None for feature in features):
                self.bins[column] = numeric_bins(column, kinds[column], features, [])
        for number, feature in enumerate(block.features):
            if feature.points is not None:
                self._tables[number] = feature(self.bins[feature.column].samples())

    def matrix(self, columns: Sequence[pa.Array], n_rows: int) -> Values:
        """Return the features (n_rows, n_features) of a batch, column after column in memory.

        Raises
        ------
        ScoringFailed
            A step would refuse a value.
        """
        out = np.empty((n_rows, len(self.block.features)), self._dtype, order="F")
        places = {column: places_of(columns[column], bins) for column, bins in self.bins.items()}
        for number, feature in enumerate(self.block.features):
            if feature.points is not None:
                found = places[feature.column]
                self._refuse(feature, self.bins[feature.column].refused[found])
                out[:, number] = self._tables[number][found]
            else:
                out[:, number] = self._through_steps(feature, columns[feature.column])
        return out

    def _through_steps(self, feature: Feature, column: pa.Array) -> Values:
        values = column.fill_null(np.nan).to_numpy(zero_copy_only=False)
        done = 0
        for check in feature.checks:
            values = Feature(feature.column, feature.steps[done : check.after])(values)
            done = check.after
            self._refuse(feature, np.isinf(values) if check.nan_passes else ~np.isfinite(values))
        return Feature(feature.column, feature.steps[done:])(values)

    def _refuse(self, feature: Feature, is_refused: Values) -> None:
        if is_refused.any():
            row = int(np.argmax(is_refused))
            raise ScoringFailed(
                f"The model refuses the value of column {self._names[feature.column]!r} in row {row} of the batch:"
                " missing, infinite, or a category that it does not know. Replace such values in the feature's SQL,"
                " or train the model on rows that have them."
            )
