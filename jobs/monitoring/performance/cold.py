"""New and long absent entities: a segment of its own, by `monitor.cold`, an SQL condition over columns of pages."""

from __future__ import annotations

import duckdb

from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.lake.lake import table_columns
from warehouse.system_sql import quote, system_sql

#: The name of the segment.
COLD = "cold"


def is_cold(product: Product, name: str | None) -> bool:
    """Tell whether a name is that of the product's segment of cold entities."""
    return name == COLD and product.header.monitor.cold is not None


def cold_column(connection: duckdb.DuckDBPyConnection, product: Product) -> str:
    """Give the select item of the segment, over predictions joined with feature pages.

    Raises
    ------
    UsageError
        The condition names what pages do not have, or pages have a column of the segment's own name.
    """
    condition = product.header.monitor.cold
    features = table_columns(connection, "features", product.name)
    if COLD in features or COLD in table_columns(connection, "predictions", product.name):
        raise UsageError(f"{product.at('monitor', 'cold')}: the pages have a column `{COLD}` already; use `segments`.")
    # What fails on a row is NULL there, as drift has it: neither true nor false.
    asked = f"TRY(({condition}\n) AND true)"
    query = system_sql("performance/cold", asked=asked, product=quote(product.name))
    try:
        connection.execute(query)
    except duckdb.Error as error:
        raise UsageError(
            f"{product.at('monitor', 'cold')}: `{condition}` cannot be asked of feature pages of {product.name}:"
            f" {str(error).splitlines()[0]}. They have {', '.join(features)}."
        ) from error
    return f"{asked} AS {quote(COLD)}"
