"""Cleaning as a step of a pipeline: values beyond what training saw are clipped to its bounds.

Imported only where such a step is fitted or loaded, since it needs scikit-learn's base classes.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class Clip(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Clip each column's values to its quantiles of the training rows, (n_rows, n_columns); NaN stays NaN.

    Parameters
    ----------
    low, high
        The quantiles, from 0 to 1.
    """

    def __init__(self, low: float = 0.01, high: float = 0.99) -> None:
        self.low, self.high = low, high

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the bounds: `low_` and `high_`, (n_columns,). A column without any value has none."""
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite=False)
        known = np.where(np.isfinite(values), values, np.nan)
        empty = np.isnan(known).all(axis=0)
        known[:, empty] = 0.0
        self.low_ = np.where(empty, -np.inf, np.nanquantile(known, self.low, axis=0))
        self.high_ = np.where(empty, np.inf, np.nanquantile(known, self.high, axis=0))
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Clip the values."""
        check_is_fitted(self)
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite=False, reset=False)
        return np.asarray(np.clip(values, self.low_, self.high_), np.float64)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that NaN is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
