"""The reasons that a product wants beside its predictions: how many, of which direction, for which rows."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from warehouse.definitions.sql_file import Strict
from warehouse.queries.checked_query import fingerprint_of

#: What `where` may be: the score against a number.
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")


class BackgroundSettings(Strict):
    """Rows that unknown values are taken from: of the feature pages since <= as_of < until, evenly spaced."""

    since: datetime
    until: datetime
    rows: int = Field(default=1000, ge=1, le=20_000)

    @field_validator("since", "until", mode="before")
    @classmethod
    def _midnight(cls, value: Any) -> Any:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime.combine(value, time())
        return value

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.since.tzinfo is not None or self.until.tzinfo is not None:
            raise ValueError("`since` and `until` are instants in UTC and bear no zone; write for example 2013-01-08")
        if self.since >= self.until:
            raise ValueError(f"`since` ({self.since}) is not before `until` ({self.until})")
        return self


class ReasonSettings(Strict):
    """The key `reasons` of product.yaml."""

    top: int | Literal["all"] = 4
    direction: Literal["any", "up", "down"] = "any"
    where: str | None = None
    groups: dict[str, list[str]] = Field(default_factory=dict)
    background: BackgroundSettings | None = None

    @field_validator("top")
    @classmethod
    def _some(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 1000:
            raise ValueError("`top` is a number from 1 to 1000, or `all`; to have no reasons, leave out `reasons`")
        return value

    @field_validator("where")
    @classmethod
    def _is_a_condition(cls, value: str | None) -> str | None:
        if value is not None and _CONDITION.fullmatch(value) is None:
            raise ValueError(f"`{value}` is not the score against a number, such as `probability >= 0.5`")
        return value

    @property
    def condition(self) -> tuple[str, str, float] | None:
        """The score's column, the comparison and the number of `where`; None: reasons for every row."""
        found = _CONDITION.fullmatch(self.where) if self.where is not None else None
        return (found[1], found[2], float(found[3])) if found else None

    @property
    def basis(self) -> str:
        """Hash what contributions are counted from and among: groups and background."""
        return fingerprint_of(self.groups, self.background.model_dump(mode="json") if self.background else None)

    @property
    def fingerprint(self) -> str:
        """Hash all that decides what stands in the column."""
        return fingerprint_of(self.model_dump(mode="json"))

    def problems(self, score: str, keys: list[str]) -> list[str]:
        """Say what does not go with a product of this score and these keys."""
        found = []
        if self.condition is not None and self.condition[0] != score:
            found.append(f"`reasons.where` names `{self.condition[0]}`, and the product's score is `{score}`")
        if "reasons" in keys:
            found.append("a key is called `reasons`, as the column of reasons is; give the key another name")
        return found
