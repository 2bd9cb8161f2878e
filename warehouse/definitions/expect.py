"""What a source promises: how often it delivers, how much, how new (`expect:`), and what a delivery is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from warehouse.definitions.durations import Duration, parse_duration
from warehouse.definitions.sql_file import Strict

_SHARES = {"half": 1 / 2, "a third": 1 / 3, "a quarter": 1 / 4, "a tenth": 1 / 10, "twice": 2.0}
_OF_USUAL = re.compile(
    r"(?:(?P<share>half|a third|a quarter|a tenth|twice)|(?P<number>\d+(?:\.\d+)?) ?(?P<unit>%|times))"
)


@dataclass(frozen=True)
class Amount:
    """So many rows, or such a share of what is usual."""

    text: str
    value: float
    of_usual: bool

    def rows(self, usual: float) -> float:
        """Give it in rows, where so many are usual."""
        return self.value * usual if self.of_usual else self.value


def parse_amount(value: Any) -> Amount:
    """Read a number of rows (`100`) or a share of the usual one (`half of usual`, `80% of usual`, `3 times usual`).

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(value, Amount):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Amount(f"{value}", float(value), of_usual=False)
    text = " ".join(str(value).lower().split())
    found = _OF_USUAL.fullmatch(re.sub(r" (of )?usual$", "", text)) if text.endswith(" usual") else None
    if found is None:
        raise ValueError(
            f"{value!r} is neither a number of rows nor a share such as `half of usual` or `3 times usual`"
        )
    scale = 100 if found["unit"] == "%" else 1
    share = _SHARES[found["share"]] if found["share"] else float(found["number"]) / scale
    return Amount(text, share, of_usual=True)


def _within(value: Any) -> timedelta:
    return value if isinstance(value, timedelta) else parse_duration(str(value).removeprefix("within "))


def _longer_than_nothing(value: Any) -> timedelta:
    found = parse_duration(value)
    if not found:
        raise ValueError("it must be longer than 0")
    return found


def _instant(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    return value


RowAmount = Annotated[Amount, BeforeValidator(parse_amount)]
Instant = Annotated[datetime, BeforeValidator(_instant)]


class ExpectedRows(Strict):
    """How many rows a delivery has; usual is the median of the ten deliveries before it."""

    at_least: RowAmount | None = None
    at_most: RowAmount | None = None


class Quiet(Strict):
    """A stretch of time in which no fact becomes known, naive UTC."""

    after: Instant
    before: Instant

    @model_validator(mode="after")
    def _is_a_stretch(self) -> Self:
        if self.after.tzinfo is not None or self.before.tzinfo is not None:
            raise ValueError("`after` and `before` are instants in UTC and bear no zone; write for example 2026-12-24")
        if self.after >= self.before:
            raise ValueError("`after` must lie before `before`")
        return self


class Expectation(Strict):
    """What a source promises of its deliveries."""

    every: Annotated[Duration, BeforeValidator(_longer_than_nothing)] | None = None
    rows: ExpectedRows | None = None
    newest: Annotated[timedelta, BeforeValidator(_within)] | None = None
    quiet: list[Quiet] = Field(default_factory=list)


def parse_share(value: Any) -> float:
    """Read a share: `a tenth`, `20%`, or a number up to 1.

    Raises
    ------
    ValueError
        If it is none.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        return parse_amount(f"{value} of usual").value
    except ValueError as error:
        raise ValueError(f"{value!r} is no share; write for example `a tenth`, `20%` or 0.2") from error


class DeliverySettings(Strict):
    """`kind`: all new files of one ingest are complete together, or each is by itself. `at_most`: what may go."""

    kind: Literal["complete", "complete by file"]
    at_most: Annotated[float, BeforeValidator(parse_share), Field(ge=0, le=1)] = 0.1


def short_form(value: Any) -> Any:
    """Take `delivery: complete` for a mapping."""
    return {"kind": value} if isinstance(value, str) else value
