"""Cron expressions: the one function that says when pages are due and when jobs run.

The rules are those of POSIX crontab: five fields (minute, hour, day of month, month, weekday), 0 and 7 are
both Sunday, and a day matches when either the day of month or the weekday does if both are restricted. From
Vixie cron come names (JAN, MON), steps (`*/15`), and that a field which starts with `*` is not restricted;
besides, `L` and `LW` (the month's last day, its last Monday to Friday) as a day of month, and `5L` and `1#2`
(last Friday, second Monday) as a weekday.

The calendar is cronsim's, run on plain wall clock time. Where wall clock time and UTC part, this module
decides, by Vixie's rule, for any zone and any change of offset:

- A fixed time (neither the minute nor the hour starts with `*`) happens once. If its wall clock time is
  skipped it happens at the moment of the change, together with whatever else was skipped or falls there; if
  that time comes twice, it happens at the first.
- Anything else follows the wall clock: not at all in an hour that is skipped, in both of an hour that comes
  twice.

(cronsim 2.8 has zone support of its own, with the same rule. It is not used: in zones whose clocks change by
half an hour, and where midnight is skipped, it loses occurrences or invents some.)
"""

from __future__ import annotations

import contextlib
import copy
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cronsim import CronSim, CronSimError

from warehouse.definitions.durations import parse_duration
from warehouse.definitions.zones import EARLIEST, LATEST, open_zone, stretches
from warehouse.errors import DefinitionError, UsageError

# No change of offset in the IANA database is of more than 24 hours.
_LOOK_BACK = timedelta(hours=48)
_TICK, _SECOND, _DAY = timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=1)
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
# `latest` and `next` look this far, then further. The Gregorian calendar repeats after 400 years, but cronsim
# gives up after 50, and so does this.
_REACHES = tuple(timedelta(hours=hours) for hours in (1, 26, 24 * 32, 24 * 370, 24 * 366 * 9, 24 * 366 * 50))

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_NAMES = {
    "month": {name: number for number, name in enumerate(_MONTHS, start=1)},
    "weekday": {name: number for number, name in enumerate(_WEEKDAYS)},
}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_EXTRAS = {
    "day of month": re.compile("LW?"),
    "weekday": re.compile(f"[0-7]L|(?:[0-7]|{'|'.join(_WEEKDAYS)})#[1-5]"),
}
_ALLOWED = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of month": "1 to 31, L or LW",
    "month": "1 to 12 or JAN to DEC",
    "weekday": "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L (last Friday) or 1#2 (second Monday)",
}


@dataclass(frozen=True)
class Grid:
    """The instants that a cron expression names in a time zone. Equal text, equal grid; safe to share."""

    cron: str
    zone: str

    def __post_init__(self) -> None:
        _check_expression(self.cron)
        open_zone(self.zone)
        try:
            # A date of which only the expression matters: does it name any day at all?
            next(CronSim(self._calendar, datetime(2000, 1, 1)))
        except (CronSimError, StopIteration):
            raise DefinitionError(
                f"cron expression {self.cron!r} names no day that exists: its day of month, month and "
                "weekday never meet"
            ) from None

    @classmethod
    def parse(cls, cron: str, zone: str) -> Grid:
        """Read an expression of five fields and the name of an IANA zone.

        Raises
        ------
        DefinitionError
            The expression or the zone cannot be understood, or never comes about; says what is allowed.
        """
        return cls(" ".join(cron.split()), zone)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the occurrences from `start` (included) to `end` (excluded), ascending, each once.

        Parameters and results are naive UTC. 10,000 days take about a tenth of a second.
        """
        start, end = _bounded(start), _bounded(end)
        passed = None  # how far the local wall clock has come before this stretch
        for stretch in stretches(self.zone, start - _LOOK_BACK, end):
            local_from, local_to = stretch.start + stretch.offset, stretch.end + stretch.offset
            begin = max(local_from, start + stretch.offset)
            if self._is_fixed and passed is not None:
                begin = max(begin, passed)
                if passed < local_from and stretch.start >= start and self._any(passed, local_from):
                    yield stretch.start
                    begin = local_from + _TICK
            yield from (wall - stretch.offset for wall in self._wall(begin, local_to))
            passed = local_to if passed is None else max(passed, local_to)

    def latest(self, at: datetime) -> datetime | None:
        """Return the newest occurrence at or before `at` (naive UTC); None if there is none in 50 years."""
        end = _bounded(at) + _TICK
        for reach in _REACHES:
            newest = None
            for newest in self.between(_bounded(end, -reach), end):  # noqa: B007 - the last one is wanted
                pass
            if newest is not None:
                return newest
        return None

    def next(self, after: datetime) -> datetime:
        """Return the first occurrence later than `after` (naive UTC).

        Raises
        ------
        UsageError
            There is none within 50 years.
        """
        start = _bounded(after) + _TICK
        for reach in _REACHES:
            for occurrence in self.between(start, _bounded(start, reach)):
                return occurrence
        raise UsageError(f"cron expression {self.cron!r} in {self.zone} has no occurrence after {after}")

    @functools.cached_property
    def _is_fixed(self) -> bool:
        """Whether these are fixed times of day, which happen once whatever the clock does."""
        minute, hour = self.cron.split()[:2]
        return not (minute.startswith("*") or hour.startswith("*"))

    @functools.cached_property
    def _calendar(self) -> str:
        """The expression as cronsim is given it: cronsim 2.8 reads 1-1/2 as if it were 1/2, every day."""
        return " ".join(
            ",".join(_without_idle_step(term, name) for term in field.upper().split(","))
            for (name, _, _), field in zip(_FIELDS, self.cron.split(), strict=True)
        )

    @functools.cached_property
    def _times(self) -> tuple[timedelta, ...]:
        """The times of day, ascending."""
        parsed = CronSim(self._calendar, EARLIEST)
        return tuple(timedelta(hours=h, minutes=m) for h in sorted(parsed.hours) for m in sorted(parsed.minutes))

    @functools.cached_property
    def _day_search(self) -> CronSim:
        """Finds the midnights of the days that match; to be copied, and told where to begin."""
        return CronSim(" ".join(["0 0", *self._calendar.split()[2:]]), EARLIEST)

    def _wall(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the occurrences on a wall clock that never changes, from `start` to before `end`."""
        for day in self._days(start, end):
            for wall in map(day.__add__, self._times):
                if start <= wall < end:
                    yield wall

    def _days(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield the midnights of the days that match, from that of `start` on, to before `end`.

        cronsim is asked for days alone, and told where to go on: its own way through the hours of a day takes
        ten times as long as all the rest.
        """
        search = copy.copy(self._day_search)
        search.dt = datetime(start.year, start.month, start.day) - _SECOND
        with contextlib.suppress(OverflowError):  # it looks for a date beyond the year 9999
            for day in search:
                if day >= end:
                    return
                yield day
                search.dt = day + _DAY - _SECOND

    def _any(self, start: datetime, end: datetime) -> bool:
        return next(self._wall(start, end), None) is not None


def _bounded(at: datetime, shift: timedelta = timedelta(0)) -> datetime:
    """Give `at + shift`, kept within the years that local times can be worked out for."""
    if at.tzinfo is not None:
        raise UsageError(f"{at} carries a time zone: instants are naive UTC here")
    earliest, latest = EARLIEST + _LOOK_BACK, LATEST
    if shift < earliest - at:
        return earliest
    return latest if shift > latest - at else at + shift


def _check_expression(cron: str) -> None:
    """Refuse what is not five understood fields; every problem of the expression is in the error."""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise DefinitionError(
            f"cron expression {cron!r} has {len(fields)} fields: expected five, "
            "minute, hour, day of month, month and weekday, such as '0 18 * * MON-FRI'"
        )
    problems = [
        f"cron expression {cron!r}: {problem} as its {name}; allowed are *, {_ALLOWED[name]}, "
        "ranges such as 1-5, steps such as */2 or 0-10/5, and lists of these"
        for (name, low, high), field in zip(_FIELDS, fields, strict=True)
        for term in field.upper().split(",")
        if (problem := _problem_of(term, name, low, high))
    ]
    if problems:
        raise DefinitionError(problems)


def _problem_of(term: str, name: str, low: int, high: int) -> str | None:
    """Say what is wrong with one element of a field's list, or None."""
    if name in _EXTRAS and _EXTRAS[name].fullmatch(term):
        return None
    span, slash, step = term.partition("/")
    if slash and not 0 < _number(step) <= high - low + 1:
        return f"the step {step!r} is not from 1 to {high - low + 1}"
    if slash and "-" not in span and span != "*":
        return f"the step {term!r} has no range (write {span}-{high}/{step})"
    if span == "*":
        return None
    begin, end = _ends(span, name)
    if not (low <= begin <= high and low <= end <= high):
        return f"{term!r} is not understood"
    if begin > end:
        return f"the range {span!r} runs backward (write it as two, with a comma between)"
    return None


def _without_idle_step(term: str, name: str) -> str:
    """Take the step off a range with one element, such as 1-1/2 or MON-1/2."""
    span, slash, _ = term.partition("/")
    begin, end = _ends(span, name)
    return str(begin) if slash and span != "*" and begin == end else term


def _ends(span: str, name: str) -> tuple[int, int]:
    """Give the first and last number of `5`, `1-5` or `MON-FRI`; -1 for what is none."""
    first, dash, last = span.partition("-")
    names = _NAMES.get(name, {})
    begin, end = (names.get(text, _number(text)) for text in (first, last if dash else first))
    return begin, end


def _number(text: str) -> int:
    """Read one or two digits; -1, which no field allows, for anything else."""
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else -1


def with_cron(settings: Any) -> Any:
    """Put the cron expression in place of `every: 5 minutes`, where settings of a page grid say that.

    Raises
    ------
    ValueError
        If `cron` is there too, or neither an hour nor a day is a multiple of it: no two days would have the same grid.
    """
    if not isinstance(settings, dict) or "every" not in settings:
        return settings
    if "cron" in settings:
        raise ValueError("give either `cron` or `every`, and not both")
    every = parse_duration(settings["every"])
    minutes, hours = every // _MINUTE, every // _HOUR
    if every == minutes * _MINUTE and 0 < minutes < 60 and 60 % minutes == 0:
        cron = f"*/{minutes} * * * *"
    elif every == hours * _HOUR and 0 < hours <= 24 and 24 % hours == 0:
        cron = f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"
    else:
        raise ValueError(f"`every: {settings['every']}` does not divide an hour or a day; write a `cron`")
    return {key: value for key, value in settings.items() if key != "every"} | {"cron": cron}
