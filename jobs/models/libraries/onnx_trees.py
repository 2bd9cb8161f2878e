"""Tree ensembles in ONNX, as estimators: onnxruntime is asked, in one thread, so that trees are added up in one order.

Of a file only its operators, the names and types of its inputs, and its classes are read here; what a tree says is for
onnxruntime alone. It works in float32, and is not compiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from warehouse.errors import ScoringFailed, UsageError

_TREES = {"TreeEnsembleClassifier", "TreeEnsembleRegressor"}
#: What else converters put around them, which changes no number but its type.
_AROUND = {"ZipMap", "Cast", "Identity"}
_INPUTS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class OnnxRegressor:
    """A regression by trees. `model` is the file as it is."""

    def __init__(self, model: bytes, n_features: int) -> None:
        self.model, self.n_features_in_ = model, n_features

    def __getstate__(self) -> dict[str, Any]:
        """Leave the session out, which is opened again where it is needed."""
        return {name: value for name, value in self.__dict__.items() if name != "_session"}

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
        found = answers(self, frame)[-1]
        if isinstance(found, list):
            found = [[row[name] for name in self.classes_.tolist()] for row in found]
        return np.asarray(found, np.float32).reshape(len(frame), len(self.classes_))


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


@dataclass
class _Told:
    """What a file tells: its operators, and the classes of its trees."""

    operators: list[str] = field(default_factory=list)
    classes: list[Any] | None = None


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

    told = _told(model)
    trees = [name for name in told.operators if name in _TREES]
    others = sorted({name for name in told.operators if name not in _TREES | _AROUND})
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


def _told(model: bytes) -> _Told:
    """Read operators and classes off the file (onnx.proto: ModelProto.graph 7, GraphProto.node 1, NodeProto)."""
    told = _Told()
    graphs = [value for number, value in _fields(model) if number == 7]
    for node in (value for graph in graphs for number, value in _fields(graph) if number == 1):
        for number, value in _fields(node):
            if number == 4:
                told.operators.append(value.decode())
            elif number == 5:
                _take_classes(told, value)
    return told


def _take_classes(told: _Told, attribute: Any) -> None:
    """Take the classes where an attribute has them (AttributeProto: name 1, ints 8, strings 9)."""
    name, values = b"", list[Any]()
    for number, value in _fields(attribute):
        if number == 1:
            name = bytes(value)
        elif number == 8:
            values += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 9:
            values.append(bytes(value).decode())
    if name in (b"classlabels_int64s", b"classlabels_strings") and values:
        told.classes = values


def _varints(data: bytes) -> Iterator[int]:
    number, shift = 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number, shift = 0, 0


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Go through the fields of a message in the wire format of protocol buffers: their numbers and values."""
    place = 0

    def varint() -> int:
        nonlocal place
        start = place
        while data[place] >= 0x80:
            place += 1
        place += 1
        return next(_varints(data[start:place]))

    while place < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        size = varint() if wire == 2 else {1: 8, 5: 4}.get(wire, -1)
        if size < 0 or place + size > len(data):
            raise ValueError("the file is damaged, or in no form that is read")
        yield key >> 3, data[place : place + size]
        place += size
