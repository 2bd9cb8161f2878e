"""What there is to know of a model library, in one record: its estimators, types, way of going on, and versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.float64]"
Encoding = Literal["ordinal", "one_hot"]
#: From a fitted model, new rows, their labels, and how many they are for each row that it has learnt from.
Continue: TypeAlias = "Callable[[Any, Any, Floats, float], Any]"


@dataclass(frozen=True)
class EstimatorSpec:
    """One registered estimator: where its class is, which labels it is for, and which encoding it needs."""

    path: str
    #: As `LabelKind.learnt_by`; `ranking` is what learns the order within lists, and nothing else.
    kind: Literal["binary", "regression", "ranking"]
    encoding: Encoding
    #: Takes the positions of categorical columns, and needs no order among categories.
    native_categories: bool = False
    #: Parameters that it has unless product.yaml gives others.
    defaults: Mapping[str, Any] = field(default_factory=dict)
    #: Of a regressor that can be fitted to a quantile: the parameter that takes it, and those that ask for that loss.
    quantile: tuple[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Library:
    """One library.

    Attributes
    ----------
    name
        The package that it is imported as; how its models are read and asked is kept under this name in
        `jobs.scoring.readers.registry` and `jobs.scoring.interface.scorer`.
    distributions
        What is installed, as pip calls it: versions of these are recorded with each model.
    estimators
        What product.yaml can name.
    trusted_types
        The types that its fitted models hold in a skops file, besides those that skops trusts of itself.
    continues
        How its models go on with new rows, by class name. What has `partial_fit` needs no entry.
    is_optional
        Whether it comes with an extra of Almanac that bears its name.
    """

    name: str
    distributions: tuple[str, ...]
    estimators: Mapping[str, EstimatorSpec]
    trusted_types: frozenset[str]
    continues: Mapping[str, Continue]
    is_optional: bool = True


def both_kinds(
    name: str,
    path: str,
    encoding: Encoding,
    *,
    quantile: tuple[str, Mapping[str, Any]] | None = None,
    **more: Any,
) -> dict[str, EstimatorSpec]:
    """Register an estimator that comes as a classifier and as a regressor, which may be fitted to a quantile."""
    return {
        f"{name}_classifier": EstimatorSpec(f"{path}Classifier", "binary", encoding, **more),
        f"{name}_regressor": EstimatorSpec(f"{path}Regressor", "regression", encoding, quantile=quantile, **more),
    }


def more_trees(n_trees: int, share: float) -> int:
    """Give by how many trees an ensemble grows, one at least."""
    return max(1, round(n_trees * share))
