"""Bounds that hold a page back (`monitor.hold` of product.yaml): figures of the page alone, never of other pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.definitions import Product
from warehouse.definitions.monitor import HoldBound
from warehouse.errors import RunFailed
from warehouse.system_sql import quote, system_sql

#: The figures of a column that may be bounded.
_FIGURES = {
    "missing": (
        "count(*) FILTER ({column} IS NULL OR (typeof({column}) IN ('FLOAT', 'DOUBLE')"
        " AND isnan(TRY_CAST({column} AS DOUBLE))))::DOUBLE / count(*)"
    ),
    "mean": "avg(CAST({column} AS DOUBLE)) FILTER (NOT isnan(CAST({column} AS DOUBLE)))",
    "low": "min(CAST({column} AS DOUBLE)) FILTER (NOT isnan(CAST({column} AS DOUBLE)))",
    "high": "max(CAST({column} AS DOUBLE)) FILTER (NOT isnan(CAST({column} AS DOUBLE)))",
}


@dataclass(frozen=True)
class Held:
    """What one bound says of one page."""

    name: str
    as_of: datetime
    holds: bool
    message: str


def held_pages(
    cursor: duckdb.DuckDBPyConnection, product: Product, rows: str, n_rows: Mapping[datetime, int]
) -> Iterator[Held]:
    """Compare the staged rows of pages with the bounds of their product.

    Parameters
    ----------
    rows
        SQL of the relation of all staged rows, features and predictions.
    n_rows
        The pages, with the number of rows of each. Of a page without rows only that number is compared.

    Raises
    ------
    RunFailed
        If a bound names a column that pages do not have, or one whose values are no numbers.
    """
    for bound in product.header.monitor.hold:
        if bound.column is None:
            assert bound.rows is not None
            for as_of, number in n_rows.items():
                message = f"{number:,} rows, to be {bound.rows}"
                yield Held("hold_rows", as_of, bound.rows.holds(number), message)
        else:
            yield from _of_column(cursor, product, rows, bound)


def _of_column(cursor: duckdb.DuckDBPyConnection, product: Product, rows: str, bound: HoldBound) -> Iterator[Held]:
    asked = [name for name in _FIGURES if getattr(bound, name) is not None]
    figures = ", ".join(_FIGURES[name].format(column=quote(bound.column or "")) for name in asked)
    try:
        found = cursor.execute(system_sql("audit/bounds", figures=figures, rows=rows)).fetchall()
    except (duckdb.BinderException, duckdb.ConversionException) as error:
        raise RunFailed(
            f"{product.yaml_where}: `monitor.hold` bounds {', '.join(asked)} of `{bound.column}`, which pages of"
            f" {product.name} do not have, or not as numbers: {error}. Nothing was published."
        ) from error
    for as_of, *values in found:
        for name, value in zip(asked, values, strict=True):
            limit = getattr(bound, name)
            # Of a column without any value there is no mean, and nothing that would be within bounds.
            holds = value is not None and limit.holds(value)
            shown = "none" if value is None else f"{value:g}"
            yield Held(f"hold_{name}_{bound.column}", as_of, holds, f"{name} of {bound.column}: {shown}, to be {limit}")
