"""Pages of a product as months of days, in the product's own days."""

from __future__ import annotations

import calendar
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

#: Of the pages of one day the first of these counts: the letter that is shown, and how it looks.
MARKS = {
    "failed": ("F", "bad"),
    "rejected": ("R", "bad"),
    "running": ("~", "info"),
    "missing": ("·", "none"),
    "stale": ("s", "warn"),
    "rolled back": ("<", "info"),
    "published": ("✓", "good"),
}


@dataclass(frozen=True)
class Day:
    """One day: its number, what its most urgent page is, how many pages it has, and where it leads to."""

    number: int
    state: str = ""
    n_pages: int = 0
    link: str | None = None

    @property
    def mark(self) -> str:
        """The letter of its state."""
        return MARKS[self.state][0] if self.state else ""

    @property
    def look(self) -> str:
        """The look of its state."""
        return MARKS[self.state][1] if self.state else ""


@dataclass(frozen=True)
class Month:
    """One month: its name, and weeks of seven days from Monday on; None is a day of another month."""

    name: str
    weeks: Sequence[Sequence[Day | None]]


def months_of(
    states: Iterable[tuple[datetime, str]], zone: ZoneInfo, link: Callable[[date, Sequence[datetime]], str | None]
) -> list[Month]:
    """Lay out pages (naive UTC, ascending) with their states, the newest month first."""
    days: dict[date, list[tuple[datetime, str]]] = {}
    for as_of, state in states:
        days.setdefault(as_of.replace(tzinfo=UTC).astimezone(zone).date(), []).append((as_of, state))
    found = []
    for (year, month), _ in itertools.groupby(sorted(days, reverse=True), key=lambda day: (day.year, day.month)):
        weeks = [
            [_day(day, days.get(day, []), link) if day.month == month else None for day in week]
            for week in calendar.Calendar().monthdatescalendar(year, month)
        ]
        found.append(Month(f"{year}-{month:02}", weeks))
    return found


def _day(
    day: date, pages: Sequence[tuple[datetime, str]], link: Callable[[date, Sequence[datetime]], str | None]
) -> Day:
    if not pages:
        return Day(day.day)
    urgency = list(MARKS)
    worst = min((state for _, state in pages), key=urgency.index)
    return Day(day.day, worst, len(pages), link(day, [as_of for as_of, _ in pages]))
