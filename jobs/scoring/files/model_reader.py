"""Reads a compiled model's arrays and names, and refuses whatever the format does not allow.

After these checks the kernels may read without any of their own: every index lies within its array, every order that
they rely on holds, and trees are trees. What the arrays mean is written in docs/compiled_model.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.scoring.files.linear_file import linear_model
from jobs.scoring.files.model_source import Source, as_object, chosen, finite, require, texts
from jobs.scoring.files.tensors import Array, DamagedModel
from jobs.scoring.files.tree_file import KIND_CODES, tree_model
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.model_data import (
    CalibratedModel,
    CalibratedPart,
    Calibrator,
    CompiledModel,
    LinearModel,
    ShiftedModel,
    TreeModel,
)

METHODS = {"sigmoid": 2, "isotonic": 2, "temperature": 1}
"""How many numbers a calibrator has, besides its steps."""
MAX_PARTS = 1000


def read_described(arrays: Mapping[str, Array], text: str) -> tuple[tuple[str, ...], tuple[str, ...], CompiledModel]:
    """Return the feature names, the types of their columns, and the model.

    Parameters
    ----------
    arrays
        Of the file.
    text
        The JSON that describes the model.

    Raises
    ------
    DamagedModel
        Anything is not as the format says.
    """
    try:
        described = as_object(json.loads(text), "the model")
    except (ValueError, RecursionError) as error:
        raise DamagedModel(f"its description is no JSON ({error})") from error
    names = texts(described.get("features"), "its features")
    kinds = texts(described.get("kinds"), "the types of its features")
    require(len(set(names)) == len(names) == len(kinds), "its features and their types do not fit each other")
    require(all(kind in KIND_CODES for kind in kinds), "a feature is of a type that is not known")
    source = Source(arrays)
    model = _model(source, as_object(described.get("model"), "the model"), "", kinds)
    source.end()
    return names, kinds, model


def _model(source: Source, described: Mapping[str, Any], prefix: str, kinds: Sequence[str]) -> CompiledModel:
    kind = chosen(described, "kind", ("trees", "linear", "calibrated", "shifted"))
    if kind == "trees":
        return tree_model(source, described, prefix, kinds)
    if kind == "linear":
        return linear_model(source, described, prefix, kinds)
    require(not prefix, f"a {kind} model is part of another one")
    if kind == "shifted":
        return _shifted(source, described, kinds)
    return _calibrated(source, described, kinds)


def _shifted(source: Source, described: Mapping[str, Any], kinds: Sequence[str]) -> ShiftedModel:
    part = _model(source, as_object(described.get("part"), "the part"), "part0/", kinds)
    if not isinstance(part, TreeModel | LinearModel) or not isinstance(part.link, Link) or part.link.shape != "value":
        raise DamagedModel("what is added to gives more than one number a row")
    offsets = finite(source.take("offsets", np.float64), "offsets")
    require(1 <= len(offsets) <= MAX_PARTS, "there is nothing to add")
    return ShiftedModel(part, offsets)


def _calibrated(source: Source, described: Mapping[str, Any], kinds: Sequence[str]) -> CalibratedModel:
    n_classes, parts = described.get("n_classes"), described.get("parts")
    if not isinstance(n_classes, int) or isinstance(n_classes, bool) or not 2 <= n_classes <= 1 << 20:
        raise DamagedModel(f"'n_classes' is {n_classes!r}")
    if not isinstance(parts, list) or not 1 <= len(parts) <= MAX_PARTS:
        raise DamagedModel("its parts are no list")
    found = [
        _part(source, as_object(part, "a part"), f"part{place}/", kinds, n_classes) for place, part in enumerate(parts)
    ]
    return CalibratedModel(tuple(found), n_classes)


def _part(
    source: Source, described: Mapping[str, Any], prefix: str, kinds: Sequence[str], n_classes: int
) -> CalibratedPart:
    model = _model(source, as_object(described.get("model"), "a part"), prefix, kinds)
    asks = described.get("asks_probabilities")
    if not isinstance(asks, bool):
        raise DamagedModel(f"'asks_probabilities' is {asks!r}")
    calibrators = described.get("calibrators")
    if not isinstance(calibrators, list):
        raise DamagedModel("its calibrators are no list")
    found = tuple(
        _calibrator(source, as_object(one, "a calibrator"), f"{prefix}calibrator{number}", n_classes)
        for number, one in enumerate(calibrators)
    )
    _require_responses(model, found, asks, n_classes)
    return CalibratedPart(model, found, asks)


def _require_responses(model: CompiledModel, found: Sequence[Calibrator], asks: bool, n_classes: int) -> None:
    """Refuse calibrators that do not fit the responses of their classifier."""
    if isinstance(model, CalibratedModel | ShiftedModel):
        raise DamagedModel("a calibrated model is part of another one")
    n_outputs = len(model.base) if isinstance(model, TreeModel) else len(model.intercept)
    n_responses = n_outputs
    if asks:
        shape = model.link.shape if isinstance(model.link, Link) else ""
        require(shape in ("pair", "columns"), "a calibrated part gives no probabilities")
        n_given = 2 if shape == "pair" else n_outputs
        n_responses = 1 if n_given == 2 else n_given
    methods = {one.method for one in found}
    if "temperature" in methods:
        require(len(found) == 1 and (n_classes > 2) == (n_responses > 1), "a temperature does not fit its responses")
        require(n_responses in (1, n_classes), "a temperature does not fit its responses")
        return
    require(len(found) == n_responses, "there are not as many calibrators as responses")
    places = [one.class_place for one in found]
    require(
        len(set(places)) == len(places) and (n_classes > 2 or places == [1]), "calibrators are of the wrong classes"
    )


def _calibrator(source: Source, described: Mapping[str, Any], name: str, n_classes: int) -> Calibrator:
    method, place = chosen(described, "method", tuple(METHODS)), described.get("class")
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < n_classes:
        raise DamagedModel(f"a calibrator is of the class {place!r}")
    numbers = source.take(f"{name}.numbers", np.float64, size=METHODS[method])
    x, y = (source.take(f"{name}.{part}", np.float64, np.float32) for part in "xy")
    for part in (numbers, x, y):
        finite(part, name)
    require(x.dtype == y.dtype and len(x) == len(y), "the steps of a calibrator do not fit each other")
    require((len(x) > 0) == (method == "isotonic"), "a calibrator has steps, or has none")
    require((np.diff(x) > 0).all() or len(x) < 2, "the steps of a calibrator are not in order")
    return Calibrator(method, place, numbers, x, y)
