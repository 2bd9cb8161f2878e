"""Pictures that `almanac report` lacks: stretches of time in a strip, bars by name, and things with ways between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from jobs.monitoring.report.svg import COLOURS

_WIDTH, _NAMES, _LINE = 860, 230, 24
_BOX_WIDTH, _BOX_HEIGHT, _GAP = 190, 34, 14


@dataclass(frozen=True)
class Stretch:
    """From when to when something named was so (naive UTC)."""

    name: str
    first: datetime
    last: datetime


def strip_of(title: str, stretches: Sequence[Stretch]) -> list[str]:
    """Draw who was what when, a line for each name; nothing if there is none."""
    if not stretches:
        return []
    names = list(dict.fromkeys(one.name for one in stretches))
    begin, end = min(one.first for one in stretches), max(one.last for one in stretches)
    whole = (end - begin).total_seconds() or 1.0
    wide = _WIDTH - _NAMES - 20
    parts = []
    for place, name in enumerate(names):
        top, colour = 8 + _LINE * place, COLOURS[place % len(COLOURS)]
        parts.append(f'<text x="{_NAMES - 10}" y="{top + 14}" text-anchor="end">{escape(_cut(name))}</text>')
        for one in stretches:
            if one.name == name:
                left = _NAMES + wide * (one.first - begin).total_seconds() / whole
                long = max(wide * (one.last - one.first).total_seconds() / whole, 4.0)
                said = f"{escape(name)}: {one.first:%Y-%m-%d %H:%M} to {one.last:%Y-%m-%d %H:%M} UTC"
                parts.append(
                    f'<rect x="{left:.1f}" y="{top}" width="{long:.1f}" height="18" rx="3" fill="{colour}">'
                    f"<title>{said}</title></rect>"
                )
    bottom = 8 + _LINE * len(names) + 16
    parts.append(f'<text x="{_NAMES}" y="{bottom}">{begin:%Y-%m-%d}</text>')
    parts.append(f'<text x="{_WIDTH - 20}" y="{bottom}" text-anchor="end">{end:%Y-%m-%d}</text>')
    return [_svg(title, bottom + 8, parts)]


def bars_of(title: str, values: Mapping[str, float]) -> list[str]:
    """Draw values as bars, one name a line; nothing if all are nothing."""
    most = max((abs(value) for value in values.values()), default=0.0)
    if not most:
        return []
    wide = _WIDTH - _NAMES - 90
    parts = []
    for place, (name, value) in enumerate(values.items()):
        top, long = 6 + _LINE * place, wide * abs(value) / most
        colour = COLOURS[0] if value >= 0 else COLOURS[1]
        parts.append(f'<text x="{_NAMES - 10}" y="{top + 14}" text-anchor="end">{escape(_cut(name))}</text>')
        parts.append(f'<rect x="{_NAMES}" y="{top + 2}" width="{long:.1f}" height="15" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{_NAMES + long + 8:.1f}" y="{top + 14}">{value:.4g}</text>')
    return [_svg(title, 12 + _LINE * len(values), parts)]


@dataclass(frozen=True)
class Interval:
    """A figure with what holds it; `is_marked` is drawn in another colour."""

    name: str
    figure: float
    low: float
    high: float
    is_marked: bool = False


def intervals_of(title: str, intervals: Sequence[Interval], level: tuple[str, float] | None = None) -> list[str]:
    """Draw figures as points on their intervals, one a line, perhaps beside a level; nothing if there is none."""
    if not intervals:
        return []
    ends = [end for one in intervals for end in (one.low, one.high)] + ([level[1]] if level else [])
    least, most = min(ends), max(ends)
    room = 0.04 * (most - least or abs(most) or 1.0)
    least, most = least - room, most + room
    wide, bottom = _WIDTH - _NAMES - 90, 12 + _LINE * len(intervals)

    def x(value: float) -> float:
        return _NAMES + wide * (value - least) / (most - least)

    parts = []
    for value in (least + room, (least + most) / 2, most - room):
        parts.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="4" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x(value):.1f}" y="{bottom + 16}" text-anchor="middle">{value:.3g}</text>')
    if level:
        at = x(level[1])
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="{bottom}" class="level"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 32}" text-anchor="middle">{escape(level[0])}</text>')
    for place, one in enumerate(intervals):
        middle, colour = 16 + _LINE * place, COLOURS[2 if one.is_marked else 0]
        said = f"{escape(one.name)}: {one.figure:.4g} ({one.low:.4g} to {one.high:.4g})"
        parts.append(f'<text x="{_NAMES - 10}" y="{middle + 4}" text-anchor="end">{escape(_cut(one.name))}</text>')
        parts.append(
            f'<line x1="{x(one.low):.1f}" x2="{x(one.high):.1f}" y1="{middle}" y2="{middle}" stroke="{colour}"'
            f' stroke-width="3" stroke-linecap="round"/><circle cx="{x(one.figure):.1f}" cy="{middle}" r="5"'
            f' fill="{colour}"><title>{said}</title></circle>'
        )
        parts.append(f'<text x="{_WIDTH - 80}" y="{middle + 4}">{one.figure:.4g}</text>')
    return [_svg(title, bottom + (40 if level else 24), parts)]


@dataclass(frozen=True)
class Box:
    """One thing of a picture of ways: its name, in which column it stands, and where it leads to."""

    name: str
    column: int
    link: str | None = None


def ways_of(title: str, boxes: Sequence[Box], ways: Sequence[tuple[int, int]]) -> str:
    """Draw boxes in columns, with ways by their places in `boxes`. Links are as the page that shows it has them."""
    columns: dict[int, list[int]] = {}
    for place, box in enumerate(boxes):
        columns.setdefault(box.column, []).append(place)
    tallest = max((len(places) for places in columns.values()), default=1)
    height = tallest * (_BOX_HEIGHT + _GAP) + _GAP
    order = {column: n for n, column in enumerate(sorted(columns))}
    at: dict[int, tuple[float, float]] = {}
    for column, places in columns.items():
        top = (height - len(places) * (_BOX_HEIGHT + _GAP) + _GAP) / 2
        for n, place in enumerate(places):
            at[place] = (8 + order[column] * (_BOX_WIDTH + 60), top + n * (_BOX_HEIGHT + _GAP))
    parts = [_way(at[source], at[target]) for source, target in ways]
    for place, box in enumerate(boxes):
        left, top = at[place]
        drawn = (
            f'<rect class="box" x="{left}" y="{top:.1f}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6"/>'
            f'<text x="{left + 10}" y="{top + 21:.1f}">{escape(_cut(box.name, 27))}'
            f"<title>{escape(box.name)}</title></text>"
        )
        parts.append(f'<a href="{escape(box.link)}">{drawn}</a>' if box.link else drawn)
    return _svg(title, int(height), parts, width=len(columns) * (_BOX_WIDTH + 60) - 44)


def _way(source: tuple[float, float], target: tuple[float, float]) -> str:
    x, y = source[0] + _BOX_WIDTH, source[1] + _BOX_HEIGHT / 2
    to_x, to_y = target[0], target[1] + _BOX_HEIGHT / 2
    middle = (x + to_x) / 2
    return (
        f'<path class="way" d="M{x:.1f} {y:.1f} C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"/>'
    )


def _cut(name: str, longest: int = 32) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _svg(title: str, height: int, parts: Sequence[str], width: int = _WIDTH) -> str:
    name = escape(title)
    # One with links is no image to a screen reader, which would not read what is within.
    role = "group" if any(part.startswith("<a ") for part in parts) else "img"
    return (
        f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 {width} {height}"'
        f' role="{role}" aria-label="{name}">{"".join(parts)}</svg></figure>'
    )
