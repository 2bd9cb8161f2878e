"""The report of a product: alarms, performance, drift and fairness of a range of pages, from what the ledger has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import duckdb

from jobs.monitoring.profile import compare_page
from jobs.monitoring.report.document import html_page, html_table, write_document
from jobs.monitoring.report.svg import Line, Plot, bars_beside, lines_over_pages
from jobs.suite import Suite
from warehouse.errors import NotFoundError, UsageError
from warehouse.lake.lake import table_columns
from warehouse.system_sql import system_sql

#: So many columns of the newest page are drawn beside their reference.
_COLUMNS_DRAWN = 4


def write_report(
    suite: Suite, product_name: str, output: Path, first: datetime | None = None, until: datetime | None = None
) -> Path:
    """Write the report of the pages with first <= as_of < until; it shows what `almanac monitor` has written.

    Raises
    ------
    UsageError
        If nothing was judged of these pages, or the file cannot be written.
    """
    product = suite.definitions.product(product_name)
    span = [product.name, first or datetime.min, until or datetime.max]
    with suite.lake.reading() as connection:
        read = {
            name: _read(connection, name, span)
            for name in ("performance", "segments", "drift", "columns", "segment_drift", "alarms")
        }
        fairness = _read(connection, "fairness", [product.name, None])
    if not read["performance"] and not read["drift"]:
        raise UsageError(
            f"nothing was judged of these pages of {product.name}. `almanac monitor {product.name}` judges them."
        )
    pages = sorted({row["as_of"] for row in [*read["performance"], *read["drift"]]})
    body = [
        f"<h1>{escape(product.name)}</h1>",
        f"<p>{escape(product.header.description)}</p>",
        f"<p>{len(pages)} pages, {pages[0]} to {pages[-1]} (UTC); written {suite.clock():%Y-%m-%d %H:%M}.</p>",
        "<h2>Alarms</h2>",
        html_table(read["alarms"], "No alarm."),
        "<h2>Performance</h2>",
        *_performance(read["performance"]),
        html_table(read["segments"], ""),
        "<h2>Drift</h2>",
        *_drift(read["drift"]),
        html_table(read["columns"], "No drift was judged."),
        html_table(read["segment_drift"], ""),
        *_distributions(suite, product.name, [row["as_of"] for row in read["performance"]] or pages),
        "<h2>Fairness</h2>",
        html_table(fairness, "No groups are compared (monitor.fairness)."),
    ]
    return write_document(output, html_page(product.name, body))


def _read(connection: duckdb.DuckDBPyConnection, what: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    return ledger_rows(
        connection,
        {"segments": "performance", "columns": "drift", "segment_drift": "drift"}.get(what, what),
        what,
        values,
    )


def ledger_rows(
    connection: duckdb.DuckDBPyConnection, table: str, what: str, values: Sequence[Any]
) -> list[dict[str, Any]]:
    """Give the rows of a query of `report/` by the names of its columns; none where a lake lacks the table."""
    if not table_columns(connection, "ledger", table):
        return []
    cursor = connection.execute(system_sql(f"report/{what}"), list(values))
    names = [str(column[0]) for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _performance(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return ['<p class="none">No predictions were judged.</p>']
    labels = [f"{row['as_of']:%Y-%m-%d %H:%M}" for row in rows]
    marked = [n for n, row in enumerate(rows) if row["alarm"]]

    def of(name: str) -> list[float | None]:
        return [row[name] for row in rows]

    estimate = Line("estimate", of("estimate"), of("estimate_low"), of("estimate_high"))
    loss = [Line("loss", of("loss")), Line("expected", of("expected_loss")), estimate]
    bound = next((row["bound"] for row in reversed(rows) if row["bound"] is not None), None)
    slope = Line("slope", of("calibration_slope"), of("slope_low"), of("slope_high"))
    plots = [
        Plot("Loss of each page, and what its predictions expected", labels, loss, marked=marked),
        Plot("Excess loss", labels, [Line("excess", of("excess"))], ("0", 0.0), marked),
        Plot("Evidence of more loss than predictions allow (logarithmic)", labels, [Line("evidence", of("evidence"))],
             ("bound", bound) if bound else None, marked, logarithmic=True),
        Plot("Calibration slope of the last 20 pages", labels, [slope], ("calibrated", 1.0)),
    ]  # fmt: skip
    names = [name for name in ("roc_auc", "macro_f1", "mae", "pinball") if any(name in row["metrics"] for row in rows)]
    for name in names:
        values = [row["metrics"].get(name) for row in rows]
        expected = [row["expected"].get(name) if row["is_mature"] else None for row in rows]
        plots.append(Plot(name, labels, [Line(name, values), Line("expected", expected)]))
    return [lines_over_pages(plot) for plot in plots]


def _drift(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    kinds = list(dict.fromkeys(str(row["kind"]) for row in rows))
    found = []
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        labels = [f"{row['as_of']:%Y-%m-%d %H:%M}" for row in own]
        marked = [n for n, row in enumerate(own) if row["alarm"]]
        line = Line("evidence", [row["evidence"] for row in own])
        found.append(lines_over_pages(Plot(f"Evidence of slow drift, {kind}; pages of an alarm marked", labels, [line],
                                           marked=marked)))  # fmt: skip
    return found


def _distributions(suite: Suite, product: str, pages: Sequence[datetime]) -> list[str]:
    """Draw the columns of the newest page that are furthest from their reference."""
    try:
        compared = compare_page(suite, product, pages[-1])
    except NotFoundError:
        return []
    found = []
    for one in compared:
        for column in [each for each in one.columns if each.psi is not None][:_COLUMNS_DRAWN]:
            n_page, n_reference = (sum(getattr(b, name) for b in column.bins) for name in ("n_page", "n_reference"))
            title = f"{column.column} ({one.kind}) on {one.page}, PSI {column.psi:.3f}"
            shares = [b.n_page / n_page for b in column.bins], [b.n_reference / n_reference for b in column.bins]
            found.append(bars_beside(title, [b.name for b in column.bins], *shares))
    return found
