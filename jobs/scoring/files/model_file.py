"""A compiled model as a file: arrays and names, no code, in the form that docs/compiled_model.md describes.

A process that only scores reads it in milliseconds, without the library that the model was trained with. Nothing in it
is believed: sizes, places, order and ranges are checked before a kernel sees an array (`model_reader`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.scoring.files.linear_file import OPERATION_CODES
from jobs.scoring.files.model_reader import read_described
from jobs.scoring.files.tensors import Array, DamagedModel, read_tensors, write_tensors
from jobs.scoring.files.tree_file import KIND_CODES
from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.model_data import (
    CalibratedModel,
    CompiledModel,
    LibraryLink,
    LinearModel,
    ShiftedModel,
    TreeModel,
)

FORMAT, VERSION = "almanac compiled model", 1


@dataclass(frozen=True)
class ModelFile:
    """What a file holds.

    Parameters
    ----------
    feature_names
        The columns that the model reads, in its order.
    kinds
        Of each "float64", "float32" or "text": the types of columns that it can score.
    model
        The model.
    """

    feature_names: tuple[str, ...]
    kinds: tuple[str, ...]
    model: CompiledModel


def write_model_file(file: ModelFile) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    NotUnderstood
        No file can hold the model: its link is its library's own code, or a number in it is not finite.
    """
    arrays: dict[str, Array] = {}
    described = _describe(file.model, "", arrays)
    text = {"features": list(file.feature_names), "kinds": list(file.kinds), "model": described}
    metadata = {"format": FORMAT, "version": str(VERSION), "model": json.dumps(text)}
    data = write_tensors(arrays, metadata)
    try:
        read_model_file(data)
    except DamagedModel as error:
        raise NotUnderstood(f"no file can hold the model: {error}") from error
    return data


def read_model_file(data: bytes) -> ModelFile:
    """Read a file, after every check.

    Raises
    ------
    DamagedModel
        Anything in it is not as the format says.
    """
    arrays, metadata = read_tensors(data)
    if metadata.get("format") != FORMAT or metadata.get("version") != str(VERSION):
        raise DamagedModel(
            f"it says that it is {metadata.get('format')!r} of version {metadata.get('version')!r}, and what can be"
            f" read here is {FORMAT!r} of version {VERSION}"
        )
    names, kinds, model = read_described(arrays, metadata.get("model", ""))
    return ModelFile(names, kinds, model)


def _describe(model: CompiledModel, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """Add a model's arrays under names that begin with `prefix`; return what else there is to say of it."""
    if isinstance(model, TreeModel):
        return _describe_trees(model, prefix, arrays)
    if isinstance(model, LinearModel):
        return _describe_linear(model, prefix, arrays)
    if isinstance(model, ShiftedModel):
        arrays[f"{prefix}offsets"] = model.offsets
        return {"kind": "shifted", "part": _describe(model.part, f"{prefix}part0/", arrays)}
    return _describe_calibrated(model, prefix, arrays)


def _link(link: Link | LibraryLink) -> dict[str, Any]:
    if not isinstance(link, Link):
        raise NotUnderstood("its link is computed by the library that it was trained with")
    return {"function": link.function, "shape": link.shape, "slope": link.slope, "divisor": link.divisor}


def _flat(parts: Sequence[Array], dtype: type[np.generic]) -> Array:
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(part).ravel() for part in parts)]).astype(dtype)


def _add_columns(columns: Sequence[ColumnBins], prefix: str, arrays: dict[str, Array]) -> None:
    texts = [text.encode() for column in columns for text in column.domain]
    arrays[f"{prefix}column.feature"] = np.array([column.column for column in columns], np.int32)
    arrays[f"{prefix}column.kind"] = np.array([KIND_CODES.index(column.kind) for column in columns], np.uint8)
    arrays[f"{prefix}column.n_places"] = np.array([column.n_places for column in columns], np.int64)
    arrays[f"{prefix}column.breakpoints"] = _flat([column.breakpoints for column in columns], np.float64)
    arrays[f"{prefix}column.refused"] = _flat([column.refused for column in columns], np.uint8)
    arrays[f"{prefix}category.text"] = np.frombuffer(b"".join(texts), np.uint8)
    arrays[f"{prefix}category.end"] = np.cumsum([len(text) for text in texts], dtype=np.int64)


def _describe_trees(model: TreeModel, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    described = {
        "kind": "trees",
        "divisor": model.divisor,
        "link": _link(model.link),
        "cover": model.cover_unit,
    }
    _add_columns(model.columns, prefix, arrays)
    arrays[f"{prefix}slot.column"] = np.array([slot.bins for slot in model.slots], np.int32)
    arrays[f"{prefix}slot.codes"] = _flat([slot.codes for slot in model.slots], np.int32)
    arrays[f"{prefix}tree.n_nodes"] = model.n_nodes
    arrays[f"{prefix}tree.output"] = model.output
    arrays[f"{prefix}node.slot"] = model.slot
    arrays[f"{prefix}node.code"] = model.code
    arrays[f"{prefix}node.cover"] = model.cover
    arrays[f"{prefix}leaves"] = model.leaves
    arrays[f"{prefix}base"] = model.base
    return described


def _describe_linear(model: LinearModel, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    _add_columns(model.columns, prefix, arrays)
    operations = [step for feature in model.features for step in feature.operations]
    checks = [check for feature in model.features for check in feature.checks]
    tables = [feature.table for feature in model.features if feature.table is not None]
    arrays[f"{prefix}feature.column"] = np.array([feature.column for feature in model.features], np.int32)
    arrays[f"{prefix}feature.has_table"] = np.array([f.table is not None for f in model.features], np.uint8)
    arrays[f"{prefix}feature.n_operations"] = np.array([len(f.operations) for f in model.features], np.int32)
    arrays[f"{prefix}feature.n_checks"] = np.array([len(f.checks) for f in model.features], np.int32)
    arrays[f"{prefix}feature.tables"] = _flat(tables, np.float64)
    arrays[f"{prefix}operation.name"] = np.array([OPERATION_CODES.index(step.name) for step in operations], np.uint8)
    is_float32 = [step.operand.dtype == np.float32 for step in operations]
    arrays[f"{prefix}operation.is_float32"] = np.array(is_float32, np.uint8)
    arrays[f"{prefix}operation.numbers"] = _flat([step.operand for step in operations], np.float64)
    arrays[f"{prefix}check.after"] = np.array([check.after for check in checks], np.int32)
    arrays[f"{prefix}check.nan_passes"] = np.array([check.nan_passes for check in checks], np.uint8)
    arrays[f"{prefix}coefficients"] = model.coefficients
    arrays[f"{prefix}intercept"] = model.intercept
    return {"kind": "linear", "dtype": model.dtype, "link": _link(model.link)}


def _describe_calibrated(model: CalibratedModel, prefix: str, arrays: dict[str, Array]) -> dict[str, Any]:
    parts = []
    for place, part in enumerate(model.parts):
        own = f"{prefix}part{place}/"
        calibrators = []
        for number, one in enumerate(part.calibrators):
            calibrators.append({"method": one.method, "class": one.class_place})
            arrays[f"{own}calibrator{number}.numbers"] = one.numbers
            arrays[f"{own}calibrator{number}.x"] = one.x
            arrays[f"{own}calibrator{number}.y"] = one.y
        described = _describe(part.model, own, arrays)
        parts.append({"model": described, "calibrators": calibrators, "asks_probabilities": part.asks_probabilities})
    return {"kind": "calibrated", "n_classes": model.n_classes, "parts": parts}
