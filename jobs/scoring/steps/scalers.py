"""Scalers and imputers as functions of one column, with scikit-learn's own arithmetic in its own order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import Feature, Step, Values
from jobs.scoring.steps.columns import Block

InPlace = Callable[[Values], Values]


def _of_column(operate: InPlace) -> Step:
    """Return a step that works on a copy, as scikit-learn does on its own: the type of the rows stays."""

    def step(values: Values) -> Values:
        return operate(values.copy())

    return step


def _scaled(block: Block, scaler: Any, step_of: Callable[[int], Step]) -> Block:
    """Return a block whose every column went through a scaler: NaN passes it, infinities do not."""
    block = block.numbers(type(scaler).__name__).in_float64_if_frame()
    kind = block.kind
    features = tuple(
        feature.checked(nan_passes=True).then(step_of(place)) for place, feature in enumerate(block.features)
    )
    return Block(features, (kind,) * len(features))


def standard_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted StandardScaler."""

    def step_of(place: int) -> Step:
        def scale(values: Values) -> Values:
            if scaler.with_mean:
                values -= scaler.mean_[place : place + 1].astype(values.dtype)
            if scaler.with_std:
                values /= scaler.scale_[place : place + 1].astype(values.dtype)
            return values

        return _of_column(scale)

    return _scaled(block, scaler, step_of)


def min_max_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted MinMaxScaler."""

    def step_of(place: int) -> Step:
        def scale(values: Values) -> Values:
            values *= scaler.scale_[place : place + 1]
            values += scaler.min_[place : place + 1]
            if scaler.clip:
                values.clip(*(values.dtype.type(end) for end in scaler.feature_range), out=values)
            return values

        return _of_column(scale)

    return _scaled(block, scaler, step_of)


def max_abs_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted MaxAbsScaler."""

    def step_of(place: int) -> Step:
        def scale(values: Values) -> Values:
            values /= scaler.scale_[place : place + 1]
            if getattr(scaler, "clip", False):
                values.clip(values.dtype.type(-1), values.dtype.type(1), out=values)
            return values

        return _of_column(scale)

    return _scaled(block, scaler, step_of)


def robust_scaler(scaler: Any, block: Block) -> Block:
    """Compile a fitted RobustScaler."""

    def step_of(place: int) -> Step:
        def scale(values: Values) -> Values:
            if scaler.with_centering:
                values -= scaler.center_[place : place + 1]
            if scaler.with_scaling:
                values /= scaler.scale_[place : place + 1]
            return values

        return _of_column(scale)

    return _scaled(block, scaler, step_of)


def clip(step: Any, block: Block) -> Block:
    """Compile a fitted `jobs.models.clipping.Clip`, which works in float64 and refuses nothing."""
    block = block.numbers("Clip")

    def bounded(place: int) -> Step:
        low, high = step.low_[place], step.high_[place]
        return lambda values: np.clip(values.astype(np.float64), low, high)

    features = tuple(feature.then(bounded(place)) for place, feature in enumerate(block.features))
    return Block(features, ("float64",) * len(features))


def _fill_numbers(statistic: Any) -> Step:
    def step(values: Values) -> Values:
        return np.where(np.isnan(values), np.asarray(statistic).astype(values.dtype), values)

    return step


def _fill_text(statistic: Any) -> Step:
    def step(values: Values) -> Values:
        return np.array([statistic if value is None else value for value in values.tolist()], object)

    return step


def _is_missing(values: Values) -> Values:
    return np.isnan(values).astype(values.dtype)


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
            filled.append(feature.checked(nan_passes=True).then(_fill_numbers(fill)))
    if imputer.add_indicator:
        if kind == "text":
            raise NotUnderstood("SimpleImputer marks missing text")
        marked = [block.features[place].checked(nan_passes=True) for place in imputer.indicator_.features_]
        filled += [feature.then(_is_missing) for feature in marked]
    return Block(tuple(filled), (kind,) * len(filled))
