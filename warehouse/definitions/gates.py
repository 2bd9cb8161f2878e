"""Gates: what a new model version has to show before it becomes live, and what a change of definitions may do.

The keys `gates` and `check` of product.yaml.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, model_validator

from warehouse.definitions.sql_file import Strict
from warehouse.label_kinds import KINDS

#: What can be compared between groups, by kind of label.
FAIRNESS_METRICS: dict[str, tuple[str, ...]] = {
    "binary": (
        "selection_rate",
        "true_positive_rate",
        "false_positive_rate",
        "accuracy",
        "base_rate",
        "mean_prediction",
        "mean_error",
        "brier",
    ),
    "regression": ("mean_prediction", "mean_label", "mean_error", "mae", "mse"),
    "quantiles": ("mean_prediction", "mean_label", "mean_error", "mae", "mse"),
    "multiclass": ("accuracy",),
}


class Bound(Strict):
    """A figure must be at least, or at most, so much."""

    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give `at_least`, `at_most` or both")
        return self

    def holds(self, figure: float) -> bool:
        """Tell whether a figure lies within; NaN never does."""
        above = self.at_least is None or figure >= self.at_least
        return figure == figure and above and (self.at_most is None or figure <= self.at_most)

    def __str__(self) -> str:
        parts = {"at least": self.at_least, "at most": self.at_most}
        return ", ".join(f"{words} {value:g}" for words, value in parts.items() if value is not None)


class NotWorse(Strict):
    """Against the live version: the interval of the difference may not reach further than `margin` to the worse."""

    metric: str
    margin: FiniteFloat = Field(ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class SegmentBound(Bound):
    """A bound that each value of a column has to keep, as far as it has `min_rows` rows."""

    by: str
    metric: str
    min_rows: int = Field(default=200, ge=1)


class FairnessBound(Strict):
    """An entry of `gates.fairness`: how far a metric may lie apart between the groups of some columns."""

    by: list[str] = Field(min_length=1, max_length=4)
    metric: str
    difference: float | None = Field(default=None, ge=0)
    ratio: float | None = Field(default=None, ge=0, le=1)
    threshold: float = Field(default=0.5, gt=0, le=1)
    min_rows: int = Field(default=200, ge=1)

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.difference is None and self.ratio is None:
            raise ValueError("give `difference` (at most), `ratio` (at least) or both")
        return self

    def problems(self, kind: str) -> list[str]:
        """Say what does not go with a label of this kind."""
        known = FAIRNESS_METRICS.get(kind, ())
        if self.metric in known:
            return []
        return [f"`gates.fairness` names the metric `{self.metric}`; of a {kind} label there is: {', '.join(known)}"]


class GateSettings(Strict):
    """The gates of a product. What is not declared is not judged; `parity` is, unless it is switched off."""

    metrics: dict[str, Bound] = Field(default_factory=dict)
    not_worse: NotWorse | None = None
    calibration_error: Bound | None = None
    segments: list[SegmentBound] = Field(default_factory=list)
    fairness: list[FairnessBound] = Field(default_factory=list)
    rows_per_second: FiniteFloat | None = Field(default=None, gt=0)
    page_seconds: FiniteFloat | None = Field(default=None, gt=0)
    parity: bool = True
    pages: int = Field(default=60, ge=1)
    min_pages: int = Field(default=5, ge=1)

    def problems(self, kind: str) -> list[str]:
        """Say what does not go with a label of this kind."""
        known = KINDS[kind].metrics
        named = [*self.metrics, *(segment.metric for segment in self.segments)]
        if self.not_worse:
            named.append(self.not_worse.metric)
        found = [
            f"`gates` names the metric `{name}`; of a {kind} label there is: {', '.join(known)}"
            for name in dict.fromkeys(named)
            if name not in known
        ]
        if self.calibration_error and not KINDS[kind].is_calibrated:
            found.append(f"`gates.calibration_error` is of labels of kinds that state it, and the label is {kind}")
        found += [problem for bound in self.fairness for problem in bound.problems(kind)]
        return found


_AT_MOST = re.compile(r"at most (?P<number>\d+(?:\.\d+)?) ?(?P<unit>%|x)")


def _at_most(value: Any, unit: str, example: str) -> float:
    """Read `at most 5 %` as 0.05, and `at most 2 x` as 2; a number is what such a text was read as before."""
    if isinstance(value, float):
        return value
    found = _AT_MOST.fullmatch(" ".join(str(value).lower().split()))
    number = float(found["number"]) / (100 if unit == "%" else 1) if found and found["unit"] == unit else None
    if number is None or (unit == "%" and number > 1):
        raise ValueError(f"{value!r} is no bound of it; write for example `{example}`")
    return number


def _share_at_most(value: Any) -> float:
    return _at_most(value, "%", "at most 5 %")


def _factor_at_most(value: Any) -> float:
    return _at_most(value, "x", "at most 2 x")


class CheckBounds(Strict):
    """How much of a product's predictions may change, whether its metrics may get worse, and what a page may cost.

    What is not declared is told, and bounds nothing.
    """

    predictions_changed: Annotated[float, BeforeValidator(_share_at_most)] | None = None
    metrics: Literal["not_worse"] | None = None
    cost: Annotated[float, BeforeValidator(_factor_at_most)] | None = None

    def problems(self, kind: str) -> list[str]:
        """Say what does not go with a label of this kind."""
        no_metrics = kind == "ranking" and self.metrics is not None
        return ["`check.metrics` compares rows, and of ranked lists not all are published"] if no_metrics else []
