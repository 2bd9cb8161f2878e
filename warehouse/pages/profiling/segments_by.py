"""By what pages are cut into segments: columns (`monitor.segments`), and whether an entity is cold (`monitor.cold`).

New and long absent entities are those of which an SQL condition over columns of feature pages is true. The condition is
part of the segment's name, so that pages cut by another one are never compared with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from warehouse.definitions import Product
from warehouse.system_sql import quote, system_sql


def segments_by(product: Product, kind: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Give SQL of a text by which pages of a kind, with some columns, are cut; by the name of what it tells."""
    wanted = {name.lower() for name in product.header.monitor.segments}
    found = {name: f"CAST({quote(name)} AS VARCHAR)" for name in columns if name.lower() in wanted}
    named, asked = cold_name(product), _cold_sql(product, kind, columns)
    return {**found, named: asked} if named is not None and asked is not None else found


def cold_name(product: Product) -> str | None:
    """Give the name that the segments of cold entities begin with; None where product.yaml asks for none."""
    condition = product.header.monitor.cold
    return f"cold ({' '.join(condition.split())})" if condition is not None else None


def _cold_sql(product: Product, kind: str, columns: Mapping[str, str]) -> str | None:
    """Give SQL of whether an entity is cold, as text; None where pages of that kind cannot be asked.

    What fails on a row (a cast, say) is NULL there: watching keeps no page back.

    Parameters
    ----------
    kind
        Of feature pages alone: predictions have none of their columns.
    columns
        The columns of the pages, with their DuckDB types.
    """
    condition = product.header.monitor.cold
    if condition is None or kind != "features":
        return None
    asked = f"CAST(TRY(CAST(({condition}\n) AS BOOLEAN)) AS VARCHAR)"
    return asked if _can_be_asked(asked, tuple(columns.items())) else None


@lru_cache(maxsize=32)
def _can_be_asked(asked: str, columns: tuple[tuple[str, str], ...]) -> bool:
    import duckdb

    row = ", ".join(f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in columns)
    with duckdb.connect() as connection:
        try:
            connection.execute(system_sql("profiles/can_be_asked", asked=asked, row=row))
        except duckdb.Error:
            return False
    return True
