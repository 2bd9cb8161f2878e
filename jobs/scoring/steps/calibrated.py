"""Calibrated classifiers: compiled models, each through its own calibrators, then the mean.

The arithmetic is that of scikit-learn's `_CalibratedClassifier`, `_SigmoidCalibration`, `IsotonicRegression` and
`_TemperatureScaling`, in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.scorer import Floats, NotUnderstood, final_step
from jobs.scoring.kernels.links import numpy_softmax, sigmoid_of
from jobs.scoring.kernels.model_data import CalibratedModel, CalibratedPart, Calibrator, CompiledModel
from jobs.scoring.steps.compiled_model import Program

SMALLEST = 1e-12
"""What scikit-learn adds to a probability before it takes the logarithm."""
NOTHING = np.zeros(0)


def is_calibrated(model: Any) -> bool:
    """Say whether the model is scikit-learn's calibrated classifier."""
    return type(model).__name__ == "CalibratedClassifierCV" and type(model).__module__.startswith("sklearn.")


def read_calibrated(model: Any, read: Callable[[Any], CompiledModel]) -> CalibratedModel:
    """Read a fitted CalibratedClassifierCV.

    Parameters
    ----------
    model
        One that `is_calibrated` knows.
    read
        Reads one of its classifiers.

    Raises
    ------
    NotUnderstood
        A calibrator is not among those that are known.
    """
    parts = []
    for part in model.calibrated_classifiers_:
        asks_probabilities = not hasattr(part.estimator, "decision_function")
        calibrators = tuple(_calibrators(part, len(model.classes_)))
        parts.append(CalibratedPart(read(part.estimator), calibrators, asks_probabilities))
    return CalibratedModel(tuple(parts), len(model.classes_))


def _calibrators(part: Any, n_classes: int) -> list[Calibrator]:
    if part.method == "temperature":
        numbers = np.array([part.calibrators[0].beta_], np.float64)
        return [Calibrator("temperature", 0, numbers, NOTHING, NOTHING)]
    places = np.searchsorted(part.classes, final_step(part.estimator).classes_)
    if n_classes == 2:
        places = np.array([1])
    return [_calibrator(one, int(place)) for one, place in zip(part.calibrators, places, strict=False)]


def _calibrator(calibrator: Any, place: int) -> Calibrator:
    if type(calibrator).__name__ == "_SigmoidCalibration":
        return Calibrator("sigmoid", place, np.array([calibrator.a_, calibrator.b_], np.float64), NOTHING, NOTHING)
    if type(calibrator).__name__ != "IsotonicRegression" or calibrator.out_of_bounds != "clip":
        raise NotUnderstood(f"the calibrator {type(calibrator).__name__} is not known")
    bounds = np.array([calibrator.X_min_, calibrator.X_max_], np.float64)
    return Calibrator("isotonic", place, bounds, calibrator.X_thresholds_, calibrator.y_thresholds_)


def _sigmoid(one: Calibrator, responses: Floats) -> Floats:
    return sigmoid_of(-(one.numbers[0] * responses + one.numbers[1]))


def _isotonic(one: Calibrator, responses: Floats) -> Floats:
    values = responses.astype(one.x.dtype)
    low, high = one.numbers.astype(one.x.dtype)
    clipped = np.clip(values, low, high)
    if len(one.y) == 1:
        return np.asarray(one.y.repeat(len(values)))
    if one.x.dtype == np.float64:
        return np.asarray(np.interp(clipped, one.x, one.y))
    # scipy's interp1d takes this way in float32, and numpy's own in float64.
    above = np.searchsorted(one.x, clipped).clip(1, len(one.x) - 1)
    slope = (one.y[above] - one.y[above - 1]) / (one.x[above] - one.x[above - 1])
    return np.asarray(slope * (clipped - one.x[above - 1]) + one.y[above - 1])


class CalibratedProgram:
    """A calibrated classifier made ready for batches.

    Parameters
    ----------
    model
        The model.
    programs
        Of each of its classifiers, in order.
    """

    def __init__(self, model: CalibratedModel, programs: Sequence[Program]) -> None:
        self.model = model
        self.programs = tuple(programs)
        self.tolerance_ulp = max(program.tolerance_ulp for program in programs)
        self.kind = programs[0].kind
        self.why = f"{programs[0].why} {len(programs)} such models are calibrated, and their mean is taken."

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column at which some classifier changes its answer."""
        return [value for program in self.programs for value in program.probes(place)]

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return the calibrated probabilities (n_rows, n_classes); there is nothing before them."""
        mean = np.zeros((n_rows, self.model.n_classes))
        if not n_rows:
            return mean
        for place, program in enumerate(self.programs):
            mean += self._through(place, program.raw(columns, n_rows))
        mean /= len(self.programs)
        return mean

    def _through(self, place: int, raw: Floats) -> Floats:
        """Return what the calibrators of one classifier make of its raw predictions (n_rows, n_outputs)."""
        part = self.model.parts[place]
        responses = raw
        if part.asks_probabilities:
            responses = self.programs[place].predict(raw)
            responses = responses[:, 1:] if responses.shape[1] == 2 else responses
        if part.calibrators[0].method == "temperature":
            return _not_above_one(self._at_temperature(part, responses))
        out = np.zeros((len(raw), self.model.n_classes))
        for one, response in zip(part.calibrators, responses.T, strict=False):
            out[:, one.class_place] = (_sigmoid if one.method == "sigmoid" else _isotonic)(one, response)
        if self.model.n_classes == 2:
            out[:, 0] = 1.0 - out[:, 1]
            return _not_above_one(out)
        total = np.sum(out, axis=1)[:, np.newaxis]
        uniform = np.full_like(out, 1 / self.model.n_classes)
        return _not_above_one(np.divide(out, total, out=uniform, where=total != 0))

    def _at_temperature(self, part: CalibratedPart, responses: Floats) -> Floats:
        if responses.shape[1] == 1:
            first = 1 - responses if part.asks_probabilities else -responses
            responses = np.concatenate([first, responses], axis=1)
        logits = np.log(responses + SMALLEST) if _are_probabilities(responses) else responses
        return numpy_softmax(part.calibrators[0].numbers[0] * logits)

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return (n_rows, n_classes) how uncertain the classifiers' own last places make the probabilities.

        Each raw prediction is moved up and down by as much as it may differ: what the calibrators, which rise or fall
        throughout, then change by is the most that they can.
        """
        sizes = np.ones((n_rows, self.model.n_classes))
        for place, program in enumerate(self.programs):
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


def _are_probabilities(responses: Floats) -> bool:
    """Say whether scikit-learn takes these (n_rows, n_classes) for probabilities: it looks at all rows together."""
    within = bool(((responses >= 0) & (responses <= 1)).all())
    return within and bool(np.isclose(responses.sum(axis=1), 1.0).all())


def _not_above_one(probabilities: Floats) -> Floats:
    probabilities[(probabilities > 1.0) & (probabilities <= 1.0 + 1e-5)] = 1.0
    return probabilities
