"""The model of a product: what is trained and how it is validated, and the steps before the estimator (`model`)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from warehouse.definitions.durations import Duration
from warehouse.definitions.sql_file import Strict

#: Files of a product that are something else than its rule.
_OTHER_FILES = ("entities.sql", "label.sql")


class StepSettings(Strict):
    """One step: a registered name or an import path `package.module:factory`, with its parameters."""

    step: str
    parameters: dict[str, Any] = Field(default_factory=dict)


def _short_form(value: Any) -> Any:
    return [{"step": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value


Steps = Annotated[list[StepSettings], BeforeValidator(_short_form)]


class PipelineSettings(Strict):
    """Steps for columns of text, for the other columns, and then for all of them together, each in order."""

    categories: Steps = Field(default_factory=list)
    numbers: Steps = Field(default_factory=list)
    together: Steps = Field(default_factory=list)


class ValidationSettings(Strict):
    """How a training is validated: the newest `share` of the pages is held out, in `folds` steps of time."""

    folds: int = Field(default=1, ge=1)
    share: float = Field(default=0.2, gt=0, lt=1)


class ModelSettings(Strict):
    """Which estimator is trained, by a registered name or an import path `package.module:factory`; or a rule in SQL."""

    estimator: str = ""
    sql: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    leave_out: list[str] = Field(default_factory=list)
    train_on: Duration | None = None
    validation: ValidationSettings = Field(default_factory=ValidationSettings)
    pipeline: PipelineSettings | str | None = None

    @field_validator("pipeline")
    @classmethod
    def _is_a_path(cls, value: Any) -> Any:
        if isinstance(value, str) and ":" not in value:
            raise ValueError(f"`{value}` is no import path `package.module:factory`; or give the steps themselves")
        return value

    @field_validator("sql")
    @classmethod
    def _is_a_file_beside(cls, value: str | None) -> str | None:
        if value is not None and (re.fullmatch(r"[a-z_][a-z0-9_]*\.sql", value) is None or value in _OTHER_FILES):
            raise ValueError(f"`{value}` is no file of its own beside product.yaml, such as score.sql")
        return value

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.sql is None) == (not self.estimator):
            raise ValueError("give either `estimator`, which is trained, or `sql`, a file such as score.sql")
        others = sorted(self.model_fields_set - {"sql", "estimator"})
        if self.sql is not None and others:
            raise ValueError(f"`sql` is not trained, so there is nothing for {others} to say")
        return self


class RetrainSettings(Strict):
    """The key `retrain` of product.yaml: in which way a retraining learns.

    Attributes
    ----------
    way
        stateless: a new estimator on all pages; stateful: the live version goes on with what has become known since.
    stateless_every
        Of so many trainings in turn one is stateless, where the way is stateful; None: never.
    """

    way: Literal["stateless", "stateful"] = "stateless"
    stateless_every: int | None = Field(default=None, ge=2)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.stateless_every is not None and self.way != "stateful":
            raise ValueError("`stateless_every` goes with `way: stateful`")
        return self


class Range(Strict):
    """Numbers from `low` to `high`, both included; whole ones if both are. `log`: evenly by their logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"`low` is {self.low} and `high` {self.high}; low comes before high")
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs numbers above 0, and `low` is {self.low}")
        return self


def _ranges(value: Any) -> Any:
    """Read what has `low` and `high` as a range; everything else is itself."""
    if not isinstance(value, dict):
        return value
    return {
        name: Range.model_validate(each) if isinstance(each, dict) and {"low", "high"} & each.keys() else each
        for name, each in value.items()
    }


class Candidate(Strict):
    """An estimator to try, with parameters that are given, listed or ranges, and perhaps steps of its own."""

    estimator: str
    parameters: Annotated[dict[str, Any], BeforeValidator(_ranges)] = Field(default_factory=dict)
    pipeline: PipelineSettings | None = None


class SearchSettings(Strict):
    """The key `search` of product.yaml: what `almanac train --search` tries.

    Attributes
    ----------
    candidates
        Estimators with their parameters.
    without
        Feature groups of the product: trials leave out at most one of them.
    page_seconds
        A trial that takes longer to score a page, on average, is out.
    sampler
        How trials are chosen: drawn by chance, or by Optuna after those before (`tpe`).
    """

    candidates: list[Candidate] = Field(min_length=1)
    without: list[str] = Field(default_factory=list)
    page_seconds: float | None = Field(default=None, gt=0)
    sampler: Literal["random", "tpe"] = "random"
