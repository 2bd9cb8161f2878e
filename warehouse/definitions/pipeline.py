"""The steps that a product's rows go through before its estimator (the key `model.pipeline` of product.yaml)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from warehouse.definitions.sql_file import Strict


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
