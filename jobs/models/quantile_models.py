"""Estimators of several quantiles: one model for each, or one model with intervals from what it had not seen.

Imported only where such an estimator is fitted or loaded, since it needs scikit-learn's base classes. Their predictions
are (n_rows, n_quantiles), in the order of the quantiles, as the models give them: quantiles that cross are put in
order by whoever reads them (`jobs.models.kinds.figures.Target`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin, clone

Floats = npt.NDArray[np.float64]
#: The newest pages with this share of the rows give the intervals.
HELD_BACK = 0.2
#: So many rows on either side of the lowest and the highest quantile, about, have to be expected among those held back.
_FEWEST = 5


class QuantileModels(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """One regressor for each quantile, each fitted to the pinball loss of its own.

    Parameters
    ----------
    estimator
        Unfitted, with a quantile loss.
    quantiles
        Ascending, between 0 and 1.
    parameter
        The estimator's parameter that takes the quantile.
    """

    def __init__(self, estimator: Any, quantiles: Sequence[float], parameter: str) -> None:
        self.estimator, self.quantiles, self.parameter = estimator, quantiles, parameter

    def fit(self, X: Any, y: Floats) -> Self:
        """Fit them, one after the other."""
        made = [clone(self.estimator).set_params(**{self.parameter: each}) for each in self.quantiles]
        self.estimators_ = [each.fit(X, y) for each in made]
        self.n_outputs_ = len(made)
        return self

    def predict(self, X: Any) -> npt.NDArray[np.floating[Any]]:
        """Give (n_rows, n_quantiles)."""
        return np.column_stack([each.predict(X) for each in self.estimators_])


class ConformalQuantiles(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor, and by how much labels lay beside its predictions on newer pages that it had not seen.

    Split conformal prediction (Papadopoulos et al., ECML 2002; Lei et al., JASA 2018) of each side by itself (Romano
    et al., NeurIPS 2019): of n residuals the quantile q is the ceil(q (n + 1))-th smallest, or below the middle the
    floor(q (n + 1))-th. So that intervals hold what is stated of rows like those held back, nothing is learnt from
    these rows but the intervals.

    Parameters
    ----------
    estimator
        Unfitted: a regressor, or a pipeline that ends with one.
    quantiles
        Ascending, between 0 and 1.
    """

    def __init__(self, estimator: Any, quantiles: Sequence[float]) -> None:
        self.estimator, self.quantiles = estimator, quantiles

    def fit(self, X: Any, y: Floats, pages: npt.NDArray[np.datetime64]) -> Self:
        """Fit the regressor to the older pages, and take the residuals of the newest.

        Parameters
        ----------
        pages
            (n_rows,), the page of each row.

        Raises
        ------
        ValueError
            If the newest pages are too few, or have too few rows for quantiles so far out.
        """
        is_newer = newest(pages, HELD_BACK)
        older, newer = np.flatnonzero(~is_newer), np.flatnonzero(is_newer)
        needed = int(np.ceil(round(_FEWEST / min(min(self.quantiles), 1 - max(self.quantiles)), 6)))
        if not len(older) or len(newer) < needed:
            raise ValueError(
                f"the newest pages, which give the intervals, have {len(newer)} rows with labels; quantiles"
                f" {min(self.quantiles):g} to {max(self.quantiles):g} need {needed}, and older pages to learn from"
            )
        self.estimator_ = clone(self.estimator).fit(_rows(X, older), y[older])
        residuals = np.sort(y[newer] - np.asarray(self.estimator_.predict(_rows(X, newer)), np.float64))
        self.offsets_ = np.array([residuals[rank(each, len(residuals)) - 1] for each in self.quantiles], np.float64)
        self.n_held_back_ = len(newer)
        self.n_outputs_ = len(self.offsets_)
        return self

    def predict(self, X: Any) -> Floats:
        """Give (n_rows, n_quantiles)."""
        return np.asarray(self.estimator_.predict(X), np.float64)[:, np.newaxis] + self.offsets_


def newest(pages: npt.NDArray[np.datetime64], share: float) -> npt.NDArray[np.bool_]:
    """Tell which rows are of the newest whole pages that have at least this share of all rows; the oldest is not."""
    found, counts = np.unique(pages, return_counts=True)
    behind = np.cumsum(counts[::-1])
    n_pages = min(int(np.searchsorted(behind, share * len(pages))) + 1, len(found) - 1)
    return np.asarray(pages >= found[len(found) - n_pages]) if n_pages > 0 else np.zeros(len(pages), np.bool_)


def rank(quantile: float, n: int) -> int:
    """Give which of n sorted residuals, counted from 1, is a quantile that holds what it states of one row more."""
    # A quantile such as 0.9 is no binary number: 0.9 x 10 must not come out above 9.
    exact = round(quantile * (n + 1), 9)
    found = int(np.ceil(exact)) if quantile >= 0.5 else int(np.floor(exact))
    return min(max(found, 1), n)


def _rows(frame: Any, places: npt.NDArray[np.int64]) -> Any:
    return frame[places]
