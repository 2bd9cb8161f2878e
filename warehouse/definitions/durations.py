"""Durations as people write them in definitions: `15 minutes`, `3 days`, `36h`, `90d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {
    "s": "seconds",
    "second": "seconds",
    "m": "minutes",
    "min": "minutes",
    "minute": "minutes",
    "h": "hours",
    "hour": "hours",
    "d": "days",
    "day": "days",
    "w": "weeks",
    "week": "weeks",
}
#: So that any instant of our time plus a duration is an instant.
LONGEST = timedelta(days=36_525)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def parse_duration(value: Any) -> timedelta:
    """Read a duration of seconds, minutes, hours, days or weeks; parts add up (`1 day 6 hours`).

    Raises
    ------
    ValueError
        If the text is not a duration, is longer than a hundred years, or has a unit without a fixed length, such as
        a month.
    """
    if isinstance(value, timedelta):
        return value
    text = str(value).strip().lower()
    total = timedelta()
    for number, word in _PART.findall(text):
        unit = _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
        if unit is None:
            raise ValueError(f"{value!r} has the unit {word!r}; use seconds, minutes, hours, days or weeks")
        try:
            total += timedelta(**{unit: float(number)})
        except OverflowError:
            total = timedelta.max
    if text != "0" and _PART.sub("", text).strip(" ,"):
        raise ValueError(f"{value!r} is not a duration; write for example `15 minutes` or `3 days`")
    if total > LONGEST:
        raise ValueError(f"{value!r} is longer than a hundred years")
    return total


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def duration_text(value: timedelta) -> str:
    """Give a duration as DuckDB's INTERVAL literal and people read it, such as `900 seconds`."""
    seconds = value.total_seconds()
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:g} seconds"
