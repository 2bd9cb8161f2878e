"""What a scorer is, and the plainest one: the estimator itself, in batches.

The estimator's scorer is the reference that every compiled one is compared with, and what scores a model that
nothing else here understands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.arrow_input import Batch, estimator_input
from warehouse.errors import AlmanacError, ScoringFailed

if TYPE_CHECKING:
    import polars as pl

Floats = npt.NDArray[np.floating[Any]]

REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError)
"""What estimators raise about the rows they are given (XGBoost's own error is a ValueError)."""


class NotUnderstood(AlmanacError):
    """No kernel can score this model exactly as it stands; the message says what stood in the way."""


@runtime_checkable
class Scorer(Protocol):
    """A model made ready for throughput: Arrow batches in, predictions out.

    A scorer keeps nothing between calls that grows with the rows, and may be called from several threads at
    once. No rows in, no rows out: an empty batch is scored without a complaint.
    """

    @property
    def kind(self) -> str:
        """Which kernel scores: "bitvector-32", "bitvector-64", "bitvector-wide", ..., or "estimator"."""

    @property
    def why(self) -> str:
        """One sentence: why this way."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The columns that are read, in the order that the model knows them by."""

    def raw(self, batch: Batch) -> Floats:
        """Return what the estimator's `decision_function`, or its raw prediction before the link, would."""

    def predict(self, batch: Batch) -> Floats:
        """Return `predict_proba` (n_rows, n_classes) of a classifier, `predict` (n_rows,) of a regressor."""


@runtime_checkable
class Stoppable(Protocol):
    """A scorer that is slow enough to be stopped in the middle of a batch."""

    def predict_until(self, batch: Batch, stop: Callable[[], bool]) -> Floats:
        """Return what `predict` does, or raise ScoringFailed soon after `stop()` has become true."""


def is_classifier(estimator: Any) -> bool:
    """Say whether the estimator gives probabilities."""
    return hasattr(estimator, "predict_proba")


def final_step(estimator: Any) -> Any:
    """Return the model at the end of a pipeline, or the estimator itself."""
    if type(estimator).__name__ == "FrozenEstimator":
        return final_step(estimator.estimator)
    steps = getattr(estimator, "steps", None)
    return final_step(steps[-1][1]) if steps else estimator


def parts_of(estimator: Any) -> list[Any]:
    """Return a fitted estimator and all that it is made of: steps, transformers, the members of an ensemble."""
    inner = [step for _, step in getattr(estimator, "steps", None) or []]
    inner += [part for _, part, _ in getattr(estimator, "transformers_", None) or []]
    inner += [part.estimator for part in getattr(estimator, "calibrated_classifiers_", None) or []]
    # numpy would take a list of ensembles for one of their trees.
    members = getattr(estimator, "estimators_", [])
    inner += list(members.ravel() if isinstance(members, np.ndarray) else members)
    inner += [estimator.estimator_] if hasattr(estimator, "estimator_") else []
    if type(estimator).__name__ == "FrozenEstimator":
        inner.append(estimator.estimator)
    return [estimator, *(part for own in inner if not isinstance(own, str) for part in parts_of(own))]


def take_one_thread(estimator: Any) -> None:
    """Let each part of an estimator work in one thread from now on, so that sums are taken in one order."""
    for part in parts_of(estimator):
        if getattr(part, "n_jobs", None) not in (None, 1):
            part.n_jobs = 1


def _sklearn_raw(model: Any, rows: Any) -> Any:
    if hasattr(model, "decision_function"):
        return model.decision_function(rows)
    if is_classifier(model):
        return model.predict_proba(rows)
    if type(model).__name__ == "HistGradientBoostingRegressor":
        return model._raw_predict(rows).ravel()
    return model.predict(rows)


def _xgboost_raw(model: Any, rows: Any) -> Any:
    return model.predict(rows, output_margin=True)


def _lightgbm_raw(model: Any, rows: Any) -> Any:
    return model.predict(rows, raw_score=True)


RAW: dict[str, Callable[[Any, Any], Any]] = {
    "sklearn": _sklearn_raw,
    "xgboost": _xgboost_raw,
    "lightgbm": _lightgbm_raw,
}
"""How each library is asked for its raw prediction, by the first part of the module that its estimators are
in.
"""


def raw_prediction(estimator: Any, rows: Any) -> Any:
    """Return the raw prediction of an estimator, or of a pipeline's last step after the steps before it."""
    steps = getattr(estimator, "steps", None)
    if steps:
        for _, step in steps[:-1]:
            rows = rows if step in (None, "passthrough") else step.transform(rows)
        return raw_prediction(steps[-1][1], rows)
    library = type(estimator).__module__.partition(".")[0]
    return RAW.get(library, _sklearn_raw)(estimator, rows)


class EstimatorScorer:
    """The estimator itself, given one batch at a time."""

    kind = "estimator"

    def __init__(self, estimator: Any, feature_names: Sequence[str], why: str) -> None:
        self.estimator = estimator
        self.feature_names = tuple(feature_names)
        self.why = why

    def _ask(self, batch: Batch, question: Callable[[pl.DataFrame], Any]) -> Floats:
        frame = estimator_input(batch, self.feature_names)
        if frame.height == 0:
            return self._no_rows(question)
        try:
            # scikit-learn looks for infinities by summing, which numpy would warn of.
            with np.errstate(invalid="ignore", over="ignore"):
                return np.asarray(question(frame))
        except REFUSALS as error:
            raise ScoringFailed(
                f"{type(final_step(self.estimator)).__name__} refused the rows: {error}. Correct the"
                " features, or train the model on rows like these."
            ) from error

    def _no_rows(self, question: Callable[[pl.DataFrame], Any]) -> Floats:
        """Return no predictions, in the shape that rows would have had."""
        classes = getattr(self.estimator, "classes_", None)
        if classes is None or not is_classifier(self.estimator):
            n_outputs = int(getattr(final_step(self.estimator), "n_outputs_", 1))
            return np.zeros((0, n_outputs) if n_outputs > 1 else 0)
        two_dimensional = question == self._probabilities or len(classes) > 2
        return np.zeros((0, len(classes)) if two_dimensional else 0)

    def _raw(self, frame: pl.DataFrame) -> Any:
        return raw_prediction(self.estimator, frame)

    def _probabilities(self, frame: pl.DataFrame) -> Any:
        return self.estimator.predict_proba(frame)

    def raw(self, batch: Batch) -> Floats:
        """Return the raw prediction, see `Scorer.raw`."""
        return self._ask(batch, self._raw)

    def predict(self, batch: Batch) -> Floats:
        """Return probabilities or predicted values, see `Scorer.predict`."""
        if is_classifier(self.estimator):
            return self._ask(batch, self._probabilities)
        return self._ask(batch, self.estimator.predict)


def estimator_scorer(estimator: Any, feature_names: Sequence[str], why: str = "asked for") -> EstimatorScorer:
    """Return the scorer that asks the estimator itself: the reference, and the way of last resort.

    Parameters
    ----------
    estimator
        A fitted estimator or pipeline.
    feature_names
        Its features in the order that it was trained with.
    why
        One sentence that `almanac models show` prints.
    """
    return EstimatorScorer(estimator, feature_names, why)
