"""When a product is trained again: `when:` of a job in schedules.yaml, and what bounds it.

What follows from it is decided in `jobs.retraining.decision`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from warehouse.definitions.durations import Duration, duration_text, parse_duration
from warehouse.definitions.rollout import Pages
from warehouse.definitions.sql_file import Strict

#: The word by which a condition asks for an alarm that is open.
ALARM = "alarm"


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("it must be longer than 0")
    return value


Span = Annotated[
    Duration,
    AfterValidator(_positive),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["15 minutes", "7 days"]}),
]


def _amount(value: Any) -> Any:
    """Read `5%` as the share 0.05, and `2000` as a number of labels."""
    text = str(value).strip()
    if text.endswith("%"):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
        if found is None or Decimal(found[1]) <= 0:
            raise ValueError(f"`{value}` is no share above 0%, such as `5%`")
        return Decimal(found[1]) / 100
    if isinstance(value, bool) or not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise ValueError(f"`{value}` is neither a share, such as `5%`, nor a number of labels, such as `2000`")
    return int(text)


def _amount_text(value: int | Decimal) -> int | str:
    return value if isinstance(value, int) else f"{(value * 100).normalize():f}%"


class Volume(Strict):
    """So many labels have become known since the newest version: a number, or a share of those that it learnt from."""

    new_labels: Annotated[
        int | Decimal,
        BeforeValidator(_amount),
        PlainSerializer(_amount_text, when_used="json"),
        Field(description="A number such as 2000, or a share such as 5% of the rows of the newest version."),
        WithJsonSchema({"type": ["string", "integer"], "examples": ["5%", 2000]}),
    ]

    def wanted(self, learnt_rows: int) -> int:
        """Give how many labels that is where the newest version learnt from so many rows."""
        if isinstance(self.new_labels, int):
            return self.new_labels
        return max(1, int((self.new_labels * learnt_rows).to_integral_value(rounding="ROUND_CEILING")))


class Condition(Strict):
    """One condition of `when`, or several of which any or all are to hold."""

    any: Annotated[tuple[Condition, ...] | None, Field(min_length=1, description="One of these is enough.")] = None
    all: Annotated[tuple[Condition, ...] | None, Field(min_length=1, description="All of these are needed.")] = None
    age: Annotated[Span | None, Field(description="The live version's label cut-off is so long ago.")] = None
    volume: Annotated[Volume | None, Field(description="So many labels are new since the newest version.")] = None
    performance: Annotated[
        Literal["alarm"] | None, Field(description="An alarm on performance is open that few pages do not make.")
    ] = None
    drift: Annotated[Literal["alarm"] | None, Field(description="An alarm on slow drift is open.")] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            allowed = ", ".join(type(self).model_fields)
            raise ValueError(f"a condition is exactly one of {allowed}; found {', '.join(given) or 'none'}")
        return self

    @property
    def parts(self) -> tuple[Condition, ...]:
        """Those that it is made of; none of a single one."""
        return self.any or self.all or ()

    @property
    def leaves(self) -> tuple[Condition, ...]:
        """All single conditions in it, in order."""
        return tuple(leaf for part in self.parts for leaf in part.leaves) if self.parts else (self,)


def _budget(value: Any) -> Any:
    """Read `6 per 30 days`."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+)\s+per\s+(.+)", value)
    if found is None:
        raise ValueError(f"`{value}` is no budget; write for example `6 per 30 days`")
    return {"trainings": int(found[1]), "per": parse_duration(found[2])}


class Budget(Strict):
    """At most so many trainings in any stretch of so much time."""

    trainings: int = Field(ge=1)
    per: Span

    def __str__(self) -> str:
        return f"{self.trainings} per {duration_text(self.per)}"


class Retraining(Strict):
    """What a job `run: {retrain: PRODUCT}` says of when to train.

    Attributes
    ----------
    when
        What has to have happened; None: that the job is due is enough.
    cooldown
        The least time between two trainings; doubled after each in turn that came to nothing, eight times at most.
    budget
        How many trainings there may be.
    learn_after
        How many pages with all labels there have to be since an alarm's start before it leads to a training.
    give_up_waiting
        So long after an alarm's start those that there are have to do.
    """

    when: Annotated[Condition | None, Field(description="What has to have happened.")] = None
    cooldown: Annotated[Span | None, Field(description="The least time between two trainings.")] = None
    budget: Annotated[
        Budget | None,
        BeforeValidator(_budget),
        PlainSerializer(str, when_used="json-unless-none"),
        Field(description="How many trainings there may be, such as `6 per 30 days`."),
        WithJsonSchema({"type": "string", "examples": ["6 per 30 days"]}),
    ] = None
    learn_after: Annotated[Pages | None, Field(description="So many pages with all labels since an alarm's start.")] = (
        None
    )
    give_up_waiting: Annotated[
        Span | None, Field(description="So long after an alarm's start the labels that there are have to do.")
    ] = None
