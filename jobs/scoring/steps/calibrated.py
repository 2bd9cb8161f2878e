"""Calibrated classifiers: compiled models, each through its own calibrators, then the mean."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.scorer import Floats, final_step
from jobs.scoring.steps.compiled_model import Program


def _answering(model: Any, predicts: str) -> Any:
    """Return a stand-in for a classifier whose one response is what it is given.

    scikit-learn's calibration asks its estimator for `decision_function`, or else for `predict_proba`, and goes on
    with the answer: here the answer was computed before.
    """
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Answering(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __sklearn_is_fitted__(self) -> bool:
            return True

    def answer(_: Any, rows: Floats) -> Floats:
        return rows

    answer.__name__ = predicts
    stand_in = type("Answering", (Answering,), {predicts: answer})()
    stand_in.classes_ = final_step(model).classes_
    return stand_in


class CalibratedProgram:
    """A CalibratedClassifierCV whose classifiers are compiled.

    Parameters
    ----------
    model
        The fitted CalibratedClassifierCV.
    programs
        Of each of its classifiers, in order.
    """

    def __init__(self, model: Any, programs: Sequence[Program]) -> None:
        self._programs = tuple(programs)
        self.tolerance_ulp = max(program.tolerance_ulp for program in programs)
        self.kind = programs[0].kind
        self.why = f"{programs[0].why} {len(programs)} such models are calibrated, and their mean is taken."
        self._calibrated: list[Any] = []
        self._asks_probabilities: list[bool] = []
        for part in model.calibrated_classifiers_:
            has_decision = hasattr(part.estimator, "decision_function")
            calibrated = copy.copy(part)
            calibrated.estimator = _answering(part.estimator, "decision_function" if has_decision else "predict_proba")
            self._calibrated.append(calibrated)
            self._asks_probabilities.append(not has_decision)
        self._n_classes = len(model.classes_)

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column at which some classifier changes its answer."""
        return [value for program in self._programs for value in program.probes(place)]

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return the calibrated probabilities (n_rows, n_classes); there is nothing before them."""
        mean = np.zeros((n_rows, self._n_classes))
        if not n_rows:
            return mean
        for place, program in enumerate(self._programs):
            mean += self._through(place, program.raw(columns, n_rows))
        mean /= len(self._calibrated)
        return mean

    def _through(self, place: int, raw: Floats) -> Floats:
        """Return what the calibrators of one classifier make of its raw predictions (n_rows, n_outputs)."""
        if self._asks_probabilities[place]:
            raw = self._programs[place].predict(raw)
        answer = raw[:, 0] if raw.shape[1] == 1 else raw
        return np.asarray(self._calibrated[place].predict_proba(answer))

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return (n_rows, n_classes) how uncertain the classifiers' own last places make the probabilities.

        Each raw prediction is moved up and down by as much as it may differ: what the calibrators, which rise or fall
        throughout, then change by is the most that they can.
        """
        sizes = np.ones((n_rows, self._n_classes))
        for place, program in enumerate(self._programs):
            raw, step = program.raw(columns, n_rows), np.spacing(program.magnitude(columns, n_rows))
            before = self._through(place, raw)
            for output in range(raw.shape[1]):
                for sign in (-1, 1):
                    moved = raw.copy()
                    moved[:, output] += sign * program.tolerance_ulp * step[:, output]
                    sizes += np.abs(self._through(place, moved) - before) / (self.tolerance_ulp * np.finfo(float).eps)
        return sizes

    def predict(self, raw: Floats) -> Floats:
        """Return the probabilities as they are."""
        return raw
