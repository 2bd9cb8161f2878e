"""The pages of a product as a calendar, for terminals: a month a line, a day a mark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime

from jobs.pages.states import PageState

#: Of the pages of one day the first of these counts. Marks and colours of rich.
MARKS = {
    "failed": ("F", "bold red"),
    "rejected": ("R", "bold red"),
    "running": ("~", "cyan"),
    "missing": (".", "dim"),
    "stale": ("s", "yellow"),
    "rolled back": ("<", "magenta"),
    "published": ("#", "green"),
}


def print_calendar(product: str, states: Sequence[PageState]) -> None:
    """Print the states of pages, oldest first, days in UTC."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"{product}, days in UTC", style="bold"))
    console.print(Text(f"{'':9}{''.join(f'{day:<3}' for day in range(1, 32))}", style="dim"))
    for month, days in itertools.groupby(_days(states), key=lambda item: item[0].replace(day=1)):
        marks = dict(days)
        line = Text(f"{month:%Y-%m}  ")
        for day in range(1, 32):
            found = next((state for at, state in marks.items() if at.day == day), None)
            mark, style = MARKS[found] if found else (" ", "")
            line.append(f"{mark:<3}", style)
        console.print(line)
    console.print("   ".join(f"{mark} {state}" for state, (mark, _) in MARKS.items()))


def _days(states: Sequence[PageState]) -> Iterator[tuple[datetime, str]]:
    """Yield each day that has pages, with the most urgent state of these."""
    urgency = list(MARKS)
    shown = ((state.as_of, state.shown) for state in states)
    for day, same in itertools.groupby(shown, key=lambda item: datetime(item[0].year, item[0].month, item[0].day)):
        yield day, min((state for _, state in same), key=urgency.index)
