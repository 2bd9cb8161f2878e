"""What is watched of a product's pages (the key `monitor` of product.yaml), and how many false alarms may come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal, Self, get_args

import duckdb
from pydantic import Field, field_validator, model_validator

from warehouse.definitions.gates import Bound
from warehouse.definitions.sql_file import Strict
from warehouse.errors import QueryRefused
from warehouse.queries.checked_query import check_expression

#: The kinds of alarms.
Notified = Literal["drift", "performance", "acute"]
#: Seasons that have a name; any other is SQL over `as_of`.
SEASONS = ("week", "none", "hour of week")
_DAYS = {"day": 1.0, "week": 7.0, "month": 30.4375, "year": 365.25}
_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s+an?\s+(day|week|month|year)\s*")


class HoldBound(Strict):
    """What keeps a page back: its number of rows, or figures of one of its columns, out of bounds."""

    column: str | None = None
    rows: Bound | None = None
    missing: Bound | None = None
    mean: Bound | None = None
    low: Bound | None = None
    high: Bound | None = None

    @model_validator(mode="after")
    def _bounds_what_there_is(self) -> Self:
        of_column = [name for name in ("missing", "mean", "low", "high") if getattr(self, name) is not None]
        if self.column is None and (of_column or self.rows is None):
            raise ValueError("give `rows` alone, or a `column` with bounds of `missing`, `mean`, `low` or `high`")
        if self.column is not None and (self.rows is not None or not of_column):
            raise ValueError("a `column` has bounds of `missing`, `mean`, `low` or `high`; `rows` are of the page")
        return self


class FairnessSettings(Strict):
    """The key `monitor.fairness`: by which columns, and combinations of them, groups are formed.

    Attributes
    ----------
    by
        Columns of predictions or of feature pages; they need not be given to the model (`model.leave_out`).
    threshold
        A binary probability that reaches it selects the entity.
    pages
        So many of the newest matured pages are looked at.
    min_rows
        A group with fewer labelled rows is shown, and takes no part in differences and ratios.
    """

    by: list[str] = Field(min_length=1, max_length=4)
    threshold: float = Field(default=0.5, gt=0, le=1)
    pages: int = Field(default=60, ge=1)
    min_rows: int = Field(default=200, ge=1)


class MonitorSettings(Strict):
    """The key `monitor` of product.yaml.

    Attributes
    ----------
    season
        Which pages are alike: those of one hour of one weekday (`week`, `hour of week`), all (`none`), or those for
        which an SQL expression over `as_of` has the same value.
    false_alarms
        How many alarms there may be where nothing has changed, such as `1 a year`.
    calendar
        A YAML file beside product.yaml that lists days on which pages are expected to differ.
    segments
        Columns of predictions or feature pages by whose values drift and performance are judged besides.
    cold
        An SQL condition over columns of feature pages: entities of which little is known, a segment besides.
    hold
        Bounds that keep a page back, by figures of that page alone.
    fairness
        Between which groups predictions are compared.
    notify
        The kinds of alarms that somebody is told of.
    """

    season: str = "week"
    false_alarms: str = "1 a year"
    calendar: str | None = None
    segments: list[str] = Field(default_factory=list)
    cold: str | None = None
    hold: list[HoldBound] = Field(default_factory=list)
    fairness: FairnessSettings | None = None
    notify: list[Notified] = Field(default_factory=lambda: list(get_args(Notified)))

    @field_validator("cold")
    @classmethod
    def _is_a_condition(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                check_expression(value, "cold")
            except QueryRefused as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("season")
    @classmethod
    def _is_a_season(cls, value: str) -> str:
        if value not in SEASONS:
            try:
                check_expression(value, "season")
                season_values(value, [datetime(2000, 1, 1)])
            except (QueryRefused, duckdb.Error) as error:
                raise ValueError(
                    f"`{value}` is neither {', '.join(SEASONS)} nor SQL over as_of, such as `month(as_of)`: {error}"
                ) from error
        return value

    @field_validator("false_alarms", mode="before")
    @classmethod
    def _is_a_rate(cls, value: Any) -> str:
        found = _RATE.fullmatch(str(value))
        if found is None or float(found[1]) <= 0:
            raise ValueError(f"`{value}` is no rate above zero, such as `1 a year` or `2 a month`")
        return str(value)

    @field_validator("calendar")
    @classmethod
    def _is_a_file_beside(cls, value: str | None) -> str | None:
        if (value is not None and re.fullmatch(r"[a-z_][a-z0-9_]*\.ya?ml", value) is None) or value == "product.yaml":
            raise ValueError(f"`{value}` is no YAML file beside product.yaml, such as holidays.yaml")
        return value

    @property
    def days_per_false_alarm(self) -> float:
        """So many days lie between two false alarms, at least."""
        found = _RATE.fullmatch(self.false_alarms)
        assert found is not None
        return _DAYS[found[2]] / float(found[1])


def season_values(expression: str, pages: Sequence[datetime]) -> list[Any]:
    """Give what an SQL expression over `as_of` says of each page.

    Raises
    ------
    duckdb.Error
        If it has no answer.
    """
    query = f"SELECT CAST(({expression}) AS VARCHAR) FROM (SELECT unnest($1::TIMESTAMP[]) AS as_of)"
    return [value for (value,) in _calculator().cursor().execute(query, [list(pages)]).fetchall()]


@cache
def _calculator() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"enable_external_access": False})
