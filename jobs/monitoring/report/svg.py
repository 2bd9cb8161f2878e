"""Plots as SVG: lines over pages with bands and marks, and bars of a page beside its reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 220, 64, 150, 14, 34
#: Told apart by people who see red and green alike (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """A line over pages; where a value is None it is broken. `low` and `high` are a band around it."""

    name: str
    values: Values
    low: Values = ()
    high: Values = ()


@dataclass(frozen=True)
class Plot:
    """Lines over pages, one label a page; `level` is a dashed line, `marked` are the places of pages that stand out."""

    title: str
    labels: Sequence[str]
    lines: Sequence[Line]
    level: tuple[str, float] | None = None
    marked: Sequence[int] = field(default_factory=list)
    logarithmic: bool = False


def lines_over_pages(plot: Plot) -> str:
    """Draw a plot; an empty text where no value is known."""
    drawn = [value for line in plot.lines for part in (line.values, line.low, line.high) for value in part]
    known = [_scaled(value, plot) for value in [*drawn, plot.level[1] if plot.level else None] if value is not None]
    known = [value for value in known if math.isfinite(value)]
    if not known or not any(value is not None for line in plot.lines for value in line.values):
        return ""
    low, high = min(known), max(known)
    spread = high - low or abs(high) or 1.0
    low, high = low - 0.05 * spread, high + 0.05 * spread

    def x(place: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (place / max(len(plot.labels) - 1, 1))

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - _scaled(value, plot)) / (high - low)

    parts = _axes(plot, low, high)
    parts += [
        f'<line x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" class="mark"/>'
        for n in plot.marked
    ]
    if plot.level:
        at = y(plot.level[1])
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="level"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 6}" y="{at + 4:.1f}">{escape(plot.level[0])}</text>')
    for number, line in enumerate(line for line in plot.lines if any(value is not None for value in line.values)):
        colour = COLOURS[number % len(COLOURS)]
        for run in _runs([line.low, line.high]) if line.low else []:
            edge = [(x(n), y(line.low[n] or 0.0)) for n in run] + [
                (x(n), y(line.high[n] or 0.0)) for n in reversed(run)
            ]
            parts.append(f'<polygon points="{_points(edge)}" fill="{colour}" opacity=".18"/>')
        for run in _runs([line.values]):
            at_pages = [(x(n), y(line.values[n] or 0.0)) for n in run]
            parts.append(f'<polyline points="{_points(at_pages)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
            parts += [
                f'<circle cx="{across:.1f}" cy="{down:.1f}" r="1.8" fill="{colour}">'
                f"<title>{escape(plot.labels[n])}: {escape(line.name)} {line.values[n]:.4g}</title></circle>"
                for n, (across, down) in zip(run, at_pages, strict=True)
            ]
        parts.append(
            f'<text x="{_WIDTH - _RIGHT + 6}" y="{_TOP + 62 + 17 * number}" fill="{colour}">{escape(line.name)}</text>'
        )
    return _svg(plot.title, _HEIGHT, parts)


def _scaled(value: float, plot: Plot) -> float:
    return math.log10(max(value, 1e-3)) if plot.logarithmic else value


def _runs(series: Sequence[Values]) -> list[list[int]]:
    """Give stretches of pages on which all series are known."""
    runs: list[list[int]] = [[]]
    for place in range(min(len(one) for one in series)):
        if all(one[place] is not None for one in series):
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _points(at: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{across:.1f},{down:.1f}" for across, down in at)


def _axes(plot: Plot, low: float, high: float) -> list[str]:
    parts = []
    for tick in range(5):
        share = tick / 4
        value = low + (high - low) * share
        shown = 10**value if plot.logarithmic else value
        at = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{shown:.3g}</text>')
    last = len(plot.labels) - 1
    for place in sorted({0, last // 2, last}):
        across, label = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (place / max(last, 1)), escape(plot.labels[place])
        parts.append(f'<text x="{across:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{label}</text>')
    return parts


def bars_beside(title: str, names: Sequence[str], page: Sequence[float], reference: Sequence[float]) -> str:
    """Draw the shares of a page's rows in some bins beside those of its reference, one bin a line."""
    most = max([*page, *reference, 1e-9])
    height = _TOP + 26 * len(names) + 26
    wide = _WIDTH - 260 - 70
    parts = []
    for number, (name, own, other) in enumerate(zip(names, page, reference, strict=True)):
        top = _TOP + 26 * number
        parts.append(f'<text x="252" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        for place, share in enumerate((own, other)):
            long = wide * share / most
            colour = COLOURS[1] if place == 0 else COLOURS[0]
            parts.append(f'<rect x="260" y="{top + 10 * place + 1}" width="{long:.1f}" height="9" fill="{colour}"/>')
        parts.append(f'<text x="{260 + wide * max(own, other) / most + 6:.1f}" y="{top + 15}">{own:.1%}</text>')
    legend = height - 8
    parts.append(f'<text x="260" y="{legend}" fill="{COLOURS[1]}">page</text>')
    parts.append(f'<text x="310" y="{legend}" fill="{COLOURS[0]}">reference</text>')
    return _svg(title, height, parts)


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    name = escape(title)
    return (
        f'<figure><figcaption>{name}</figcaption><svg viewBox="0 0 {_WIDTH} {height}"'
        f' role="img" aria-label="{name}">{"".join(parts)}</svg></figure>'
    )
