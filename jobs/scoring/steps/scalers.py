"""Scalers and imputers as functions of one column, with scikit-learn's own arithmetic in its own order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import Feature, Step, Values
from jobs.scoring.kernels.operations import Operation, operation
from jobs.scoring.steps.columns import Block


def _scaled(block: Block, scaler: Any, steps_of: Callable[[int], Sequence[Step]]) -> Block:
    """Return a block whose every column went through a scaler: NaN passes it, infinities do not."""
    block = block.numbers(type(scaler).__name__).in_float64_if_frame()
    kind = block.kind
    features = tuple(
        feature.checked(nan_passes=True).then(*steps_of(place)) for place, feature in enumerate(block.features)
    )
    return Block(features, (kind,) * len(features))


def standard_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted StandardScaler."""

    def steps_of(place: int) -> list[Operation]:
        centring = [operation("cast_subtract", scaler.mean_[place])] if scaler.with_mean else []
        return centring + ([operation("cast_divide", scaler.scale_[place])] if scaler.with_std else [])

    return _scaled(block, scaler, steps_of)


def min_max_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted MinMaxScaler."""

    def steps_of(place: int) -> list[Operation]:
        scaling = [operation("multiply", scaler.scale_[place]), operation("add", scaler.min_[place])]
        return scaling + ([operation("clip", *scaler.feature_range)] if scaler.clip else [])

    return _scaled(block, scaler, steps_of)


def max_abs_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted MaxAbsScaler."""

    def steps_of(place: int) -> list[Operation]:
        clipping = [operation("clip", -1.0, 1.0)] if getattr(scaler, "clip", False) else []
        return [operation("divide", scaler.scale_[place]), *clipping]

    return _scaled(block, scaler, steps_of)


def robust_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted RobustScaler."""

    def steps_of(place: int) -> list[Operation]:
        centring = [operation("subtract", scaler.center_[place])] if scaler.with_centering else []
        return centring + ([operation("divide", scaler.scale_[place])] if scaler.with_scaling else [])

    return _scaled(block, scaler, steps_of)


def clip(step: Any, block: Block) -> Block:
    """Compile a fitted `jobs.models.clipping.Clip`, which works in float64 and refuses nothing."""
    block = block.numbers("Clip")
    features = tuple(
        feature.then(operation("to_float64"), operation("clip", step.low_[place], step.high_[place]))
        for place, feature in enumerate(block.features)
    )
    return Block(features, ("float64",) * len(features))


def _fill_text(statistic: Any) -> Step:
    def step(values: Values) -> Values:
        return np.array([statistic if value is None else value for value in values.tolist()], object)

    return step


def simple_imputer(imputer: Any, block: Block) -> Block:
    """Compile a fitted SimpleImputer, with the indicators that it appends.

    Raises
    ------
    NotUnderstood
        It takes something else than NaN (in text: None) for missing, or a column had no value to learn from.
    """
    if imputer.strategy not in ("most_frequent", "constant"):
        block = block.in_float64_if_frame()
    kind = block.kind
    missing_is_nan = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    if not (imputer.missing_values is None if kind == "text" else missing_is_nan):
        raise NotUnderstood(f"SimpleImputer takes {imputer.missing_values!r} for missing")
    statistics = imputer.statistics_
    if any(value is None or value != value for value in statistics.tolist()):
        raise NotUnderstood("SimpleImputer has no value for a column")
    filled: list[Feature] = []
    for feature, statistic in zip(block.features, statistics, strict=True):
        if kind == "text":
            filled.append(feature.then(_fill_text(statistic)))
        else:
            fill = np.asarray(statistic).astype(imputer._fill_dtype)
            filled.append(feature.checked(nan_passes=True).then(operation("fill", fill)))
    if imputer.add_indicator:
        if kind == "text":
            raise NotUnderstood("SimpleImputer marks missing text")
        marked = [block.features[place].checked(nan_passes=True) for place in imputer.indicator_.features_]
        filled += [feature.then(operation("is_missing")) for feature in marked]
    return Block(tuple(filled), (kind,) * len(filled))
