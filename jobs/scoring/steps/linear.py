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
)
CLASSIFIERS = ("LogisticRegression", "LogisticRegressionCV")


def is_linear(model: Any) -> bool:
    """Say whether the model is a linear one that is understood."""
    is_sklearn = type(model).__module__.startswith("sklearn.")
    return is_sklearn and type(model).__name__ in (*REGRESSORS, *CLASSIFIERS)


class LinearProgram:
    """A linear model made ready for batches whose columns have certain types.

    Raises
    ------
    NotUnderstood
        The model predicts several outcomes.
    """

    kind = "linear"
    tolerance_ulp = TOLERANCE_ULP

    def __init__(self, model: Any, block: Block, kinds: Sequence[str], feature_names: Sequence[str]) -> None:
        self._is_classifier = type(model).__name__ in CLASSIFIERS
        if not self._is_classifier and np.ndim(model.coef_) > 1 and len(model.coef_) > 1:
            raise NotUnderstood(f"{type(model).__name__} has {len(model.coef_)} outputs")
        checked = tuple(feature.checked(nan_passes=False) for feature in block.numbers("a linear model").features)
        self._values = ColumnValues(Block(checked, block.kinds), kinds, feature_names)
        self._coefficients = np.asarray(model.coef_).T
        self._intercept = model.intercept_
        self.n_classes = len(model.classes_) if self._is_classifier else 0
        self.why = f"{len(checked)} features and their coefficients are multiplied column-wise."

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column that matter: its categories."""
        bins = self._values.bins.get(place)
        return [] if bins is None else [*bins.domain, *bins.breakpoints.astype(np.float64).tolist()]

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return the raw predictions (n_rows, n_outputs)."""
        matrix = self._values.matrix(columns, n_rows)
        raw = np.asarray(matrix @ self._coefficients + self._intercept)
        return raw[:, np.newaxis] if raw.ndim == 1 else raw

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return (n_rows, n_outputs) the sum of the terms' sizes, whose last place is what rounding is measured in."""
        matrix = np.abs(self._values.matrix(columns, n_rows))
        sizes = np.asarray(matrix @ np.abs(self._coefficients) + np.abs(self._intercept))
        return sizes[:, np.newaxis] if sizes.ndim == 1 else sizes

    def predict(self, raw: Floats) -> Floats:
        """Return probabilities or predicted values."""
        if not self._is_classifier:
            return raw[:, 0]
        if raw.shape[1] > 1:
            from sklearn.utils.extmath import softmax

            return np.asarray(softmax(raw))
        from scipy.special import expit

        positive = expit(raw[:, 0])
        return np.vstack([1 - positive, positive]).T
