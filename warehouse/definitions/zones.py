"""The stretches of time over which a zone's offset from UTC stays the same.

Daylight saving, and every other change that a government made, is then nothing but a border between two
stretches, and local wall clock time within one is UTC plus a constant. What a schedule does at a border is
left to `warehouse.definitions.cron`.
"""

from __future__ import annotations

import difflib
import functools
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from warehouse.errors import DefinitionError

# The shortest time between two changes of offset in any zone is 95 hours in one release of the IANA database
# and 167 in another (a test looks again), so a look every 48 hours finds each of them.
_PROBE = timedelta(hours=48)
# zoneinfo converts no instant whose local time would fall outside the years 1 to 9999.
EARLIEST = datetime(1, 1, 4)
LATEST = datetime(9999, 12, 28)


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` (included) to `end` (excluded), both naive UTC, local time is UTC plus `offset`."""

    start: datetime
    end: datetime
    offset: timedelta


def open_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the IANA zone of that name.

    Raises
    ------
    DefinitionError
        There is none; the message gives the nearest name. `localtime` is refused, because it means another
        zone on every machine.
    """
    if name != "localtime":
        try:
            return zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            pass
    known = {zone.lower(): zone for zone in zoneinfo.available_timezones()}
    near = difflib.get_close_matches(name.lower().replace(" ", "_"), known, n=1)
    hint = f"; did you mean {known[near[0]]!r}?" if near else ""
    raise DefinitionError(
        f"unknown time zone {name!r}: expected a name of the IANA database, such as 'America/New_York' or 'UTC'{hint}"
    )


def stretches(zone: str, start: datetime, end: datetime) -> Iterator[Stretch]:
    """Yield the stretches that cover `start` to `end` (naive UTC), in order and without holes.

    The first begins at `start` and the last ends at `end`, whether or not the offset changes there. `zone` is
    one that `open_zone` accepts.
    """
    at, tzinfo = start, zoneinfo.ZoneInfo(zone)
    for year in range(start.year, end.year + 1):
        for change in _changes(zone, year):
            if at < change < end:
                yield Stretch(at, change, _offset(tzinfo, at))
                at = change
    if at < end:
        yield Stretch(at, end, _offset(tzinfo, at))


@functools.lru_cache(maxsize=4096)
def _changes(zone: str, year: int) -> tuple[datetime, ...]:
    """Give the instants (naive UTC) of one calendar year at which the zone's offset changes."""
    tzinfo = zoneinfo.ZoneInfo(zone)
    at = max(datetime(year, 1, 1), EARLIEST)
    end = min(datetime(year + 1, 1, 1), LATEST) if year < LATEST.year else LATEST
    found = []
    # The last probe lies just before the end, so that a change at the very end belongs to the next year;
    # the first lies one second before the start, so that a change at the very start belongs to this one.
    before = max(at - timedelta(seconds=1), EARLIEST)
    while before < end - timedelta(seconds=1):
        after = min(before + _PROBE, end - timedelta(seconds=1))
        if _offset(tzinfo, before) != _offset(tzinfo, after):
            found.append(_bisect(tzinfo, before, after))
        before = after
    return tuple(found)


def _bisect(tzinfo: zoneinfo.ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Give the first whole second at which the offset is no longer that of `before`."""
    old = _offset(tzinfo, before)
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(tzinfo, before + timedelta(seconds=middle)) == old:
            low = middle
        else:
            high = middle
    return before + timedelta(seconds=high)


def _offset(tzinfo: zoneinfo.ZoneInfo, at: datetime) -> timedelta:
    """Local time minus UTC at the naive UTC instant `at`."""
    at = min(max(at, EARLIEST), LATEST)
    return at.replace(tzinfo=UTC).astimezone(tzinfo).replace(tzinfo=None) - at
