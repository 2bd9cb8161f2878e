"""Compiles the steps of a scikit-learn pipeline into functions of single columns.

Each understood transformer has one function from `Block` to `Block` in `STEPS`; anything else raises
`NotUnderstood`, and the model is scored by the estimator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.steps.columns import Block
from jobs.scoring.steps.encoders import one_hot_encoder, ordinal_encoder
from jobs.scoring.steps.scalers import (
    clip,
    max_abs_scaler,
    min_max_scaler,
    robust_scaler,
    simple_imputer,
    standard_scaler,
)


def _places(columns: Any, block: Block) -> list[int]:
    """Return the positions that a fitted ColumnTransformer's column list stands for."""
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            raise NotUnderstood("ColumnTransformer selects a slice of names")
        return list(range(len(block.features)))[columns]
    chosen = np.asarray(columns)
    if chosen.dtype == np.bool_:
        return np.flatnonzero(chosen).tolist()
    if chosen.dtype.kind in "iu":
        return [int(place) for place in chosen]
    names = block.names
    if names is None or any(name not in names for name in chosen.tolist()):
        raise NotUnderstood("ColumnTransformer selects columns by names that its input does not have")
    return [names.index(name) for name in chosen.tolist()]


def column_transformer(transformer: Any, block: Block) -> Block:
    """Compile a fitted ColumnTransformer: its parts side by side, as `numpy.hstack` would put them.

    Raises
    ------
    NotUnderstood
        A part is not understood, or passes text on.
    """
    parts = []
    for _, part, columns in transformer.transformers_:
        places = _places(columns, block)
        if (isinstance(part, str) and part == "drop") or not places:
            continue
        parts.append(compile_step(part, block.select(places)))
    features = tuple(feature for part in parts for feature in part.features)
    kinds = [part.kind for part in parts if part.features]
    if "text" in kinds:
        raise NotUnderstood("ColumnTransformer passes text on")
    kind = "float32" if set(kinds) == {"float32"} else "float64"
    return Block(features, (kind,) * len(features))


def pipeline_steps(pipeline: Any, block: Block) -> Block:
    """Compile a fitted Pipeline of transformers."""
    for _, step in pipeline.steps:
        block = compile_step(step, block)
    return block


STEPS: dict[str, Callable[[Any, Block], Block]] = {
    "OrdinalEncoder": ordinal_encoder,
    "OneHotEncoder": one_hot_encoder,
    "SimpleImputer": simple_imputer,
    "StandardScaler": standard_scaler,
    "MinMaxScaler": min_max_scaler,
    "MaxAbsScaler": max_abs_scaler,
    "RobustScaler": robust_scaler,
    "ColumnTransformer": column_transformer,
    "Pipeline": pipeline_steps,
    "Clip": clip,
}
"""What is understood, by the class's name; classes of scikit-learn, and our own, only.

Selection is not among them: the estimator refuses an infinity in a column that selection drops, and a scorer that
never looks at the column would not."""


def _is_passthrough(step: Any) -> bool:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return True
    # A fitted ColumnTransformer keeps "passthrough" as a FunctionTransformer that does nothing.
    return type(step).__name__ == "FunctionTransformer" and step.func is None and not step.validate


def _is_known_module(name: str) -> bool:
    return name.startswith("sklearn.") or name.startswith("jobs.models.")


def compile_step(step: Any, block: Block) -> Block:
    """Return what a fitted transformer makes of a block.

    Raises
    ------
    NotUnderstood
        Nothing here knows the transformer, or its output is set to something else than arrays.
    """
    if _is_passthrough(step):
        return block
    known = STEPS.get(type(step).__name__) if _is_known_module(type(step).__module__) else None
    if known is None:
        raise NotUnderstood(f"the step {type(step).__name__} is not among those that are understood")
    if getattr(step, "_sklearn_output_config", {}).get("transform", "default") != "default":
        raise NotUnderstood(f"{type(step).__name__} is set to return frames")
    return known(step, block)


def split_pipeline(estimator: Any, block: Block) -> tuple[Any, Block]:
    """Return the model at the end of an estimator, and what reaches it."""
    if type(estimator).__name__ == "FrozenEstimator":
        return split_pipeline(estimator.estimator, block)
    steps: Sequence[tuple[str, Any]] | None = getattr(estimator, "steps", None)
    if steps is None:
        return estimator, block
    for _, step in steps[:-1]:
        block = compile_step(step, block)
    return split_pipeline(steps[-1][1], block)
