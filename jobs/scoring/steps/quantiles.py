"""Models of several quantiles as one: the trees of all in one ensemble, or one model and what is added to it.

The estimators are `jobs.models.quantile_models`; like those of any library they are known by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring.interface.scorer import Floats, NotUnderstood
from jobs.scoring.kernels.ensemble import Ensemble, Tree
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.model_data import CompiledModel, LinearModel, ShiftedModel, TreeModel
from jobs.scoring.steps.compiled_model import Program

OWN_MODULE = "jobs.models.quantile_models"
TOGETHER = Link("identity", "columns")
"""What makes predictions of the raw predictions of several quantiles: nothing."""


def is_quantile_models(model: Any) -> bool:
    """Say whether the model is one regressor for each quantile."""
    return type(model).__module__ == OWN_MODULE and type(model).__name__ == "QuantileModels"


def is_conformal(model: Any) -> bool:
    """Say whether the model is one regressor with what is added to it for each quantile."""
    return type(model).__module__ == OWN_MODULE and type(model).__name__ == "ConformalQuantiles"


def read_conformal(model: Any, read: Callable[[Any], CompiledModel]) -> ShiftedModel:
    """Read one regressor with what is added to it; `read` reads the regressor."""
    part = read(model.estimator_)
    if not isinstance(part, TreeModel | LinearModel) or not isinstance(part.link, Link):
        raise NotUnderstood("the model inside gives several numbers, or its library computes them")
    return ShiftedModel(part, np.asarray(model.offsets_, np.float64))


def joined_ensembles(ensembles: Sequence[Ensemble], links: Sequence[Any]) -> Ensemble:
    """Return the trees of several models of one output as one model with an output for each.

    Raises
    ------
    NotUnderstood
        A model gives something else than its sum, or they add up in different ways.
    """
    first = ensembles[0]
    if any(link != Link("identity", "value") for link in links) or any(each.n_outputs != 1 for each in ensembles):
        raise NotUnderstood("a quantile's model gives something else than the sum of its trees")
    if any((each.divisor, each.base.dtype) != (first.divisor, first.base.dtype) for each in ensembles):
        raise NotUnderstood("the models of the quantiles add up in different ways")
    features, trees, sets = [*first.features], list[Tree](), list[Any]()
    for output, each in enumerate(ensembles):
        # Equal features have equal steps, which are functions; so each model brings its own.
        shift = 0 if output == 0 else len(features)
        features += each.features if output else ()
        for tree in each.trees:
            is_set = tree.category_set >= 0
            chosen = np.where(is_set, tree.category_set + len(sets), -1).astype(np.int32)
            feature = (tree.feature + shift).astype(np.int32)
            trees.append(replace(tree, feature=feature, category_set=chosen, output=output))
        sets += each.category_sets
    base = np.concatenate([each.base for each in ensembles])
    return Ensemble(tuple(features), tuple(trees), base, tuple(sets), first.divisor, first.cover_unit)


def joined_linear(models: Sequence[CompiledModel]) -> LinearModel:
    """Return several linear models of the same features as one with an output for each."""
    linear = [model for model in models if isinstance(model, LinearModel)]
    if len(linear) != len(models):
        raise NotUnderstood("the models of the quantiles are not of one kind")
    coefficients = np.vstack([model.coefficients for model in linear])
    intercept = np.concatenate([model.intercept for model in linear])
    return replace(linear[0], coefficients=coefficients, intercept=intercept, link=TOGETHER)


class ShiftedProgram:
    """A regressor with what is added to it for each quantile, made ready for batches."""

    def __init__(self, model: ShiftedModel, program: Program) -> None:
        self.model, self.program = model, program
        self.tolerance_ulp = program.tolerance_ulp
        self.kind = program.kind
        self.why = f"{program.why} To its prediction a number is added for each of {len(model.offsets)} quantiles."

    def probes(self, place: int) -> list[float | str]:
        """Return the values of a column at which the model changes its answer."""
        return self.program.probes(place)

    def raw(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return the quantiles (n_rows, n_quantiles); there is nothing before them."""
        found = self.program.predict(self.program.raw(columns, n_rows))
        return np.asarray(found, np.float64)[:, np.newaxis] + self.model.offsets

    def magnitude(self, columns: Sequence[pa.Array], n_rows: int) -> Floats:
        """Return (n_rows, n_quantiles) the sizes in whose last place the quantiles may differ.

        Asked of linear models only, whose prediction is their sum.
        """
        return self.program.magnitude(columns, n_rows) + np.abs(self.model.offsets)

    def predict(self, raw: Floats) -> Floats:
        """Return the quantiles as they are."""
        return raw
