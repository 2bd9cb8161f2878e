"""Tree ensembles in ONNX, as estimators: onnxruntime is asked, in one thread, so that trees are added up in one order.

They are the reference for what is compiled out of the same file (`jobs.scoring.readers.onnx`), and score the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.scoring.readers.onnx_format import TREES, read_file, without_transform
from warehouse.errors import ScoringFailed, UsageError

#: What else converters put around them, which changes no number but its type.
_AROUND = {"ZipMap", "Cast", "Identity"}
_INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class OnnxRegressor:
    """A regression by trees. `model` is the file as it is."""

    def __init__(self, model: bytes, n_features: int) -> None:
        self.model, self.n_features_in_ = model, n_features

    def __getstate__(self) -> dict[str, Any]:
        """Leave sessions out, which are opened again where they are needed."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_session", "_sums")}

    def predict(self, frame: Any) -> npt.NDArray[Any]:
        """Return (n_rows,) what onnxruntime gives."""
        return np.asarray(answers(self, frame)[0]).reshape(len(frame))


class OnnxClassifier(OnnxRegressor):
    """A classification by trees, with its classes in the order of its probabilities."""

    def __init__(self, model: bytes, n_features: int, classes: list[Any]) -> None:
        super().__init__(model, n_features)
        self.classes_ = np.array(classes)

    def predict_proba(self, frame: Any) -> npt.NDArray[Any]:
        """Return (n_rows, n_classes) the probabilities that onnxruntime gives."""
        return self._of_classes(answers(self, frame))

    def decision_function(self, frame: Any) -> npt.NDArray[Any]:
        """Return (n_rows, n_classes) the sums that go through the function, or (n_rows,) where two classes have one."""
        if "_sums" not in self.__dict__:
            asked = OnnxRegressor(without_transform(self.model), self.n_features_in_)
            self.__dict__["_sums"] = asked, read_file(self.model).is_one_sum
        asked, is_one_sum = self.__dict__["_sums"]
        sums = self._of_classes(answers(asked, frame))
        return sums[:, 1] if is_one_sum else sums

    def _of_classes(self, told: list[Any]) -> npt.NDArray[Any]:
        found = told[-1]
        if isinstance(found, list):
            found = [[row[name] for name in self.classes_.tolist()] for row in found]
        return np.asarray(found, np.float32).reshape(-1, len(self.classes_))


def answers(model: OnnxRegressor, frame: Any) -> list[Any]:
    """Ask onnxruntime about a frame's rows; give all outputs.

    Raises
    ------
    ScoringFailed
        If onnxruntime is not installed.
    """
    session = model.__dict__.get("_session") or _opened(model.model)
    model.__dict__["_session"] = session
    inputs = session.get_inputs()
    kind = _INPUTS[inputs[0].type]
    rows = np.ascontiguousarray(frame.to_numpy(), kind)
    if len(inputs) == 1:
        return list(session.run(None, {inputs[0].name: rows}))
    return list(session.run(None, {one.name: rows[:, [place]] for place, one in enumerate(inputs)}))


def _opened(model: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ScoringFailed(
            "the model is in ONNX, which onnxruntime reads, and that is not installed: pip install 'almanac[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def read_onnx(model: bytes) -> tuple[OnnxRegressor, list[str] | None, int]:
    """Read a model; give an estimator, the columns that its file names, if it names any, and how many there are.

    Raises
    ------
    ImportError
        If onnxruntime is not installed.
    UsageError
        If it is no tree ensemble, or reads or gives something else than numbers.
    """
    import onnxruntime  # noqa: F401 what cannot be asked is not taken

    told = read_file(model)
    trees = [name for name in told.operators if name in TREES]
    others = sorted({name for name in told.operators if name not in {*TREES, *_AROUND}})
    if len(trees) != 1 or others:
        listed = ", ".join(others or told.operators) or "no operator"
        raise UsageError(f"the ONNX model is no tree ensemble alone: it has {listed}. Give the model without them.")
    session = _opened(model)
    inputs = session.get_inputs()
    kinds = {one.type for one in inputs}
    if len(kinds) != 1 or not kinds <= _INPUTS.keys():
        raise UsageError(f"the ONNX model reads {', '.join(sorted(kinds))}; one of {', '.join(_INPUTS)} is understood.")
    widths = [one.shape[1] for one in inputs if len(one.shape) == 2 and isinstance(one.shape[1], int)]
    if len(widths) < len(inputs) or (len(inputs) > 1 and set(widths) != {1}):
        raise UsageError("the ONNX model does not say how many columns it reads.")
    n_features, names = sum(widths), [str(one.name) for one in inputs] if len(inputs) > 1 else None
    if trees == ["TreeEnsembleRegressor"]:
        return OnnxRegressor(model, n_features), names, n_features
    if told.classes is None:
        raise UsageError("the ONNX model does not name its classes.")
    return OnnxClassifier(model, n_features, told.classes), names, n_features
