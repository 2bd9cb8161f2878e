"""What fresh data is worth, as an HTML file: the curve of the loss by age, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from jobs.monitoring.report.document import html_page, html_table, write_document
from jobs.monitoring.report.svg import Line, Plot, lines_over_pages
from jobs.training.freshness_record import Age, Freshness


def tables_of(found: Freshness) -> dict[str, list[dict[str, Any]]]:
    """Give the tables of a measurement, by their titles; the rows of each have the same columns."""
    return {
        f"Versions of {found.product}, by cut-off": _rows(found.versions),
        f"Extra {found.loss} a row by the model's age in days": _rows(found.ages),
        f"{found.loss} saved a row, against once a year": _rows(found.policies),
        f"{found.loss} saved a row by something else": _rows(found.iterations),
    }


def basis_of(found: Freshness) -> str:
    """Say what the figures are of."""
    return (
        f"{found.n_pages} pages, {found.rows_a_year:,.0f} rows a year. One training takes {found.cpu_s:.1f} CPU s:"
        f" {found.measured_by}. Intervals are of blocks of pages."
    )


def write_freshness(found: Freshness, output: Path) -> Path:
    """Write it as one HTML file, which needs no network.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    title = f"What fresh data is worth to {found.product}"
    body = [f"<h1>{escape(title)}</h1>", f"<p>{escape(basis_of(found))}</p>"]
    body += [f"<p>{escape(note)}</p>" for note in found.notes]
    body.append(curve_of(found.loss, found.ages))
    for name, rows in tables_of(found).items():
        body += [f"<h2>{escape(name)}</h2>", html_table(rows, "None was asked for.")]
    return write_document(output, html_page(title, body))


def curve_of(loss: str, ages: Sequence[Age]) -> str:
    """Draw the extra loss at the ages at which the curve may bend: one step each, however far apart they are."""
    band = {"low": [one.low for one in ages], "high": [one.high for one in ages]}
    line = Line(f"extra {loss}", [one.extra for one in ages], **band)
    labels = [f"{one.age_days:g} days" for one in ages]
    return lines_over_pages(Plot("Extra loss a row by age", labels, [line], ("a new model", 0.0)))


def _rows(found: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(one) for one in found]
