"""Linear and logistic models: one product of a matrix and the coefficients, and the model's own link.

The sum's last bits depend on how a linear-algebra library cuts it up, in scikit-learn too: by the number of rows
and the order of memory. So these scorers may differ from the estimator by `TOLERANCE_ULP` units in the last place, of
the sum of the terms' sizes: where terms cancel each other, what is left of them is that uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.scorer import Floats, NotUnderstood
from jobs.scoring.kernels.bins import ColumnBins, numeric_bins, text_bins
from jobs.scoring.kernels.ensemble import Feature
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.model_data import LinearFeature, LinearModel
from jobs.scoring.kernels.operations import Operation
from jobs.scoring.steps.column_values import ColumnValues
from jobs.scoring.steps.columns import Block

TOLERANCE_ULP = 8
REGRESSORS = (
    "LinearRegression",
    "Ridge",
    "RidgeCV",
    "Lasso",
    "LassoCV",
    "ElasticNet",
    "ElasticNetCV",
    "QuantileRegressor",
)
CLASSIFIERS = ("LogisticRegression", "LogisticRegressionCV")


def is_linear(model: Any) -> bool:
    """Say whether the model is a linear one that is understood."""
    is_sklearn = type(model).__module__.startswith("sklearn.")
    return is_sklearn and type(model).__name__ in (*REGRESSORS, *CLASSIFIERS)


def read_linear(model: Any, block: Block, kinds: Sequence[str], feature_names: Sequence[str]) -> LinearModel:
    """Read a fitted linear model.

    Parameters
    ----------
    model
        One that `is_linear` knows.
    block
        What it is given.
    kinds, feature_names
        The types and names of the input columns.

    Raises
    ------
    NotUnderstood
        The model predicts several outcomes, or a step before it is none of `jobs.scoring.kernels.operations`.
    """
    is_classifier = type(model).__name__ in CLASSIFIERS
    if not is_classifier and np.ndim(model.coef_) > 1 and len(model.coef_) > 1:
        raise NotUnderstood(f"{type(model).__name__} has {len(model.coef_)} outputs")
    features = [feature.checked(nan_passes=False) for feature in block.numbers("a linear model").features]
    bins = _bins(features, kinds, feature_names)
    coefficients = np.atleast_2d(np.asarray(model.coef_))
    intercept = np.broadcast_to(np.asarray(model.intercept_, coefficients.dtype).ravel(), (len(coefficients),))
    link = Link("identity", "value")
    if is_classifier:
        link = Link("numpy softmax", "columns") if len(coefficients) > 1 else Link("sigmoid", "pair")
    return LinearModel(
        columns=tuple(bins.values()),
        features=tuple(_linear_feature(feature, bins) for feature in features),
        dtype=block.kind,
        coefficients=coefficients,
        intercept=np.ascontiguousarray(intercept),
        link=link,
    )


def _bins(features: Sequence[Feature], kinds: Sequence[str], feature_names: Sequence[str]) -> dict[int, ColumnBins]:
    """Return the bins of the columns of which features know single values, by column."""
    found = {}
    for column in sorted({feature.column for feature in features}):
        own = [feature for feature in features if feature.column == column]
        if kinds[column] == "text":
            if any(feature.points is None for feature in own):
                raise NotUnderstood(f"{feature_names[column]!r} is text where the model expects numbers")
            found[column] = text_bins(column, own)
        elif any(feature.points is not None for feature in own):
            found[column] = numeric_bins(column, kinds[column], own, [])
    return found


def _linear_feature(feature: Feature, bins: dict[int, ColumnBins]) -> LinearFeature:
    if feature.points is not None:
        table = feature(bins[feature.column].samples()).astype(np.float64)
        return LinearFeature(feature.column, table=table)
    operations = tuple(step for step in feature.steps if isinstance(step, Operation))
    if len(operations) != len(feature.steps):
        raise NotUnderstood("a step before the linear model is not among the operations that are known")
    return LinearFeature(feature.column, operations, feature.checks)


class LinearProgram:
    """A linear model made ready for batches whose columns have certain types."""

    kind = "linear"
    tolerance_ulp = TOLERANCE_ULP

    def __init__(self, model: LinearModel, feature_names: Sequence[str]) -> None:
        self.model = model
        self._values = ColumnValues(model, feature_names)
        self._coefficients = model.coefficients.T
        self.why = f"{len(model.features)} features and their coefficients are multiplied column-wise."

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column that matter: its categories."""
        bins = self._values.bins.get(place)
        return [] if bins is None else [*bins.domain, *bins.breakpoints.astype(np.float64).tolist()]

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return the raw predictions (n_rows, n_outputs)."""
        return np.asarray(self._values.matrix(columns, n_rows) @ self._coefficients + self.model.intercept)

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return (n_rows, n_outputs) the sum of the terms' sizes, whose last place is what rounding is measured in."""
        matrix = np.abs(self._values.matrix(columns, n_rows))
        return np.asarray(matrix @ np.abs(self._coefficients) + np.abs(self.model.intercept))

    def predict(self, raw: Floats) -> Floats:
        """Return probabilities or predicted values."""
        return self.model.link(raw)
