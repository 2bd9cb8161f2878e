"""Encoders of categories as functions of one column: scikit-learn's OrdinalEncoder and OneHotEncoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.ensemble import Feature, Step, Values
from jobs.scoring.steps.columns import Block


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def lookup(codes: Mapping[Any, float], nan_code: float, unknown: float) -> Step:
    """Return the step that replaces each category by its code.

    Parameters
    ----------
    codes
        By category, None among them where null was seen in training.
    nan_code
        The code of NaN.
    unknown
        The code of everything else.
    """

    def step(values: Values) -> Values:
        found = [nan_code if _is_nan(value) else codes.get(value, unknown) for value in values.tolist()]
        return np.array(found, np.float64)

    return step


def encode(feature: Feature, kind: str, categories: Values, step: Step) -> Feature:
    """Return the feature looked up among categories.

    Raises
    ------
    NotUnderstood
        The feature is a number that went through other steps before.
    """
    known = tuple(value for value in categories.tolist() if value is not None and not _is_nan(value))
    if feature.points is None:
        # Steps on text (an imputer's) change nothing but null.
        if feature.steps and kind != "text":
            raise NotUnderstood("numbers are encoded as categories after other steps")
        points = known if kind != "text" else tuple(value for value in known if isinstance(value, str))
        feature = Feature(feature.column, feature.steps, points, feature.checks)
        if kind != "text":
            feature = feature.checked(nan_passes=True)
    return feature.then(step)


def ordinal_codes(encoder: Any, place: int) -> Step:
    """Return the step that a fitted OrdinalEncoder is for one of its columns."""
    categories = encoder.categories_[place].tolist()
    codes: dict[Any, float] = {}
    nan_code = None
    for code, value in enumerate(categories):
        if _is_nan(value):
            nan_code = float(encoder.encoded_missing_value)
        else:
            codes[value] = float(code)
    # An unknown category that is refused has no code; a check marks it by an infinity.
    unknown = np.inf if encoder.handle_unknown == "error" else float(encoder.unknown_value)
    return lookup(codes, unknown if nan_code is None else nan_code, unknown)


def ordinal_encoder(encoder: Any, block: Block) -> Block:
    """Compile a fitted OrdinalEncoder.

    Raises
    ------
    NotUnderstood
        It groups infrequent categories, or is given text and numbers together.
    """
    if encoder._infrequent_enabled:
        raise NotUnderstood("OrdinalEncoder groups infrequent categories")
    kind = block.kind
    features = []
    for place, feature in enumerate(block.features):
        step = ordinal_codes(encoder, place)
        feature = encode(feature, kind, encoder.categories_[place], step)
        if encoder.handle_unknown == "error":
            feature = feature.checked(nan_passes=True)
        features.append(feature)
    dtype = np.dtype(encoder.dtype)
    if dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise NotUnderstood(f"OrdinalEncoder writes {dtype}")
    return Block(tuple(features), (dtype.name,) * len(features))


def _one_hot_codes(encoder: Any, place: int, category: Any) -> Step:
    """Return the step that says whether a value is a certain category of one of the encoder's columns."""
    categories = encoder.categories_[place].tolist()
    codes = {value: float(value == category) for value in categories if not _is_nan(value)}
    unknown = np.inf if encoder.handle_unknown == "error" else 0.0
    knows_nan = any(_is_nan(value) for value in categories)
    return lookup(codes, float(_is_nan(category)) if knows_nan else unknown, unknown)


def one_hot_encoder(encoder: Any, block: Block) -> Block:
    """Compile a fitted OneHotEncoder: one feature for each category that is not dropped.

    Raises
    ------
    NotUnderstood
        It groups infrequent categories, or warns of unknown ones.
    """
    if encoder._infrequent_enabled:
        raise NotUnderstood("OneHotEncoder groups infrequent categories")
    if encoder.handle_unknown not in ("error", "ignore"):
        raise NotUnderstood(f"OneHotEncoder is told to {encoder.handle_unknown} where a category is unknown")
    dtype = np.dtype(encoder.dtype)
    if dtype not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise NotUnderstood(f"OneHotEncoder writes {dtype}")
    kind = block.kind
    features = []
    for place, feature in enumerate(block.features):
        categories = encoder.categories_[place]
        dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[place]
        for number, category in enumerate(categories.tolist()):
            if number == dropped:
                continue
            encoded = encode(feature, kind, categories, _one_hot_codes(encoder, place, category))
            features.append(encoded.checked(nan_passes=True) if encoder.handle_unknown == "error" else encoded)
    return Block(tuple(features), (dtype.name,) * len(features))
