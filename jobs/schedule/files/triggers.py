"""The instants at which a job is due: those of a cron expression, or every so often.

Both kinds answer the same three questions as `warehouse.definitions.cron.Grid`, and can be written down and read
back, so that the tick store knows by which rule a job was due before its schedule was edited.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from warehouse.definitions.cron import Grid

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """Every `every`, counted from 1970-01-01 00:00 UTC, so that a restart changes nothing."""

    every: timedelta

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the occurrences (naive UTC) from `start` (included) to `end` (excluded)."""
        at = _EPOCH - (_EPOCH - start) // self.every * self.every
        while at < end:
            yield at
            at += self.every

    def latest(self, at: datetime) -> datetime | None:
        """Return the newest occurrence at or before `at` (naive UTC)."""
        return _EPOCH + (at - _EPOCH) // self.every * self.every

    def next(self, after: datetime) -> datetime:
        """Return the first occurrence later than `after` (naive UTC)."""
        return _EPOCH + ((after - _EPOCH) // self.every + 1) * self.every


Trigger = Grid | Interval


@functools.lru_cache(maxsize=1024)
def write_down(trigger: Trigger) -> str:
    """Put a trigger in a line of JSON."""
    if isinstance(trigger, Interval):
        return json.dumps({"every_s": trigger.every.total_seconds()})
    return json.dumps({"cron": trigger.cron, "zone": trigger.zone})


@functools.lru_cache(maxsize=1024)
def read_back(text: str) -> Trigger:
    """Make a trigger of what `write_down` wrote."""
    said = json.loads(text)
    if "every_s" in said:
        return Interval(timedelta(seconds=said["every_s"]))
    return Grid(said["cron"], said["zone"])
