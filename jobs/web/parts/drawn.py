"""Pictures: lines over pages and bars beside a reference, as `almanac report` draws them.

They are SVG within the page, drawn where the rows are: no script runs in the browser, colours follow the page's, and a
file of an export shows the same. (Vega in a browser is 0.9 MB of script, and needs an interpreter of its expressions.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.monitoring.comparison import Comparison
from jobs.monitoring.report.svg import Line, Plot, bars_beside, lines_over_pages

Rows = Sequence[Mapping[str, Any]]


def over_pages(
    title: str,
    rows: Rows,
    columns: Mapping[str, str | tuple[str, str, str]],
    *,
    level: tuple[str, float] | None = None,
    alarm: str = "alarm",
    logarithmic: bool = False,
) -> list[str]:
    """Draw columns of rows with `as_of` as lines, of three the last two as a band; nothing if no value is known."""
    lines = []
    for name, column in columns.items():
        parts = (column,) if isinstance(column, str) else column
        lines.append(Line(name, *([_number(row.get(part)) for row in rows] for part in parts)))
    marked = [place for place, row in enumerate(rows) if row.get(alarm)]
    labels = [_label(row["as_of"]) for row in rows]
    drawn = lines_over_pages(Plot(title, labels, lines, level, marked, logarithmic=logarithmic))
    return [drawn] if drawn else []


def beside(compared: Comparison, kind: str, page: datetime) -> str:
    """Draw how a column of a page is spread beside its reference."""
    n_page, n_reference = (sum(getattr(one, name) for one in compared.bins) for name in ("n_page", "n_reference"))
    psi = f", PSI {compared.psi:.3f}" if compared.psi is not None else ""
    shares = [
        [getattr(one, name) / n if n else 0.0 for one in compared.bins]
        for name, n in (("n_page", n_page), ("n_reference", n_reference))
    ]
    title = f"{compared.column} ({kind}) on {_label(page)} UTC{psi}"
    return bars_beside(title, [one.name for one in compared.bins], *shares)


def _number(value: Any) -> float | None:
    return float(value) if value is not None else None


def _label(as_of: datetime) -> str:
    return f"{as_of:%Y-%m-%d %H:%M}"
