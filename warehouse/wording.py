"""How messages write numbers of things and instants, so that all of them do it alike."""

from __future__ import annotations

from datetime import datetime


def counted(number: float, noun: str, plural: str = "") -> str:
    """Write how many of something there are: `1 row`, `2,500 rows`."""
    return f"{number:,.0f} {noun if number == 1 else plural or f'{noun}s'}"


def to_the_second(at: datetime) -> str:
    """Write an instant for people, without fractions of a second."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at.year >= 1000 else str(at)
