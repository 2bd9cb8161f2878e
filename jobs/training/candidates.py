"""The models that a search tries: drawn from the candidates of product.yaml, by a seed. Nothing here reads the lake."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warehouse.definitions.pipeline import Candidate, ModelSettings, Range, SearchSettings


@dataclass(frozen=True)
class Trial:
    """One model to try: `number` 0 is that of product.yaml; `without` is the feature group that it leaves out."""

    number: int
    model: ModelSettings
    without: str | None = None


def drawn(search: SearchSettings, model: ModelSettings, columns: Mapping[str, Sequence[str]], number: int) -> Trial:
    """Draw the trial of a number from 1 on; candidates take turns, so that each is tried about equally often.

    Parameters
    ----------
    search, model
        What product.yaml says; the model's seed and the number give the same trial each time.
    columns
        By feature group its columns on the pages.
    """
    random = np.random.default_rng([model.seed, number])
    candidate = search.candidates[(number - 1) % len(search.candidates)]
    parameters = {name: _value(value, random) for name, value in candidate.parameters.items()}
    choices = [None, *search.without]
    without = choices[int(random.integers(len(choices)))] if random.random() < 0.5 else None
    return trial_with(model, columns, number, candidate, parameters, without)


def trial_with(
    model: ModelSettings,
    columns: Mapping[str, Sequence[str]],
    number: int,
    candidate: Candidate,
    parameters: Mapping[str, Any],
    without: str | None,
) -> Trial:
    """Give a trial of a candidate with parameters that were chosen, without a feature group or with all (None)."""
    left_out = [name for name in columns.get(without or "", ()) if name not in model.leave_out]
    changes = {
        "estimator": candidate.estimator,
        "parameters": dict(parameters),
        "pipeline": _pipeline(candidate, model),
        "leave_out": [*model.leave_out, *left_out],
    }
    return Trial(number, model.model_copy(update=changes), without)


def _pipeline(candidate: Candidate, model: ModelSettings) -> Any:
    # Steps that were declared for one estimator may not suit another, which has an encoding of its own.
    if candidate.pipeline is not None or candidate.estimator != model.estimator:
        return candidate.pipeline
    return model.pipeline


def _value(value: Any, random: np.random.Generator) -> Any:
    """Draw a parameter: from a range, from a list, or itself."""
    if isinstance(value, list):
        return value[int(random.integers(len(value)))]
    if not isinstance(value, Range):
        return value
    if isinstance(value.low, int) and isinstance(value.high, int):
        if not value.log:
            return int(random.integers(value.low, value.high + 1))
        return round(math.exp(random.uniform(math.log(value.low), math.log(value.high))))
    if value.log:
        return float(math.exp(random.uniform(math.log(value.low), math.log(value.high))))
    return float(random.uniform(value.low, value.high))
