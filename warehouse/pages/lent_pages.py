"""Lent pages: feature pages of one product that stand in another's table already, and need not be computed again.

Where two products have the same entities and look predictions up alike, and all that one joins to them the other joins
too, the pages of the first are some columns of those of the second. What is taken over is stored again: each product's
pages stay its own, to be replaced, rolled back and let go of without regard to another's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.batching.batch import FeaturePages
from warehouse.definitions import Definitions, Product
from warehouse.errors import RunFailed
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import exact_path, literal, quote, system_sql


def lenders(definitions: Definitions, product: Product) -> list[Product]:
    """Give the other products whose feature pages have all columns and rows of this one's."""
    if product.keeps_part:
        return []
    return [other for other in definitions.products.values() if other.name != product.name and _holds(other, product)]


def _holds(other: Product, product: Product) -> bool:
    mine, theirs = product.header, other.header
    return (
        not other.keeps_part
        and other.entities.fingerprint == product.entities.fingerprint
        and theirs.keys == mine.keys
        and (theirs.valid_until, theirs.valid_for) == (mine.valid_until, mine.valid_for)
        and all(use in theirs.features for use in mine.features)
    )


def pages_lent(
    connection: duckdb.DuckDBPyConnection,
    definitions: Definitions,
    product: Product,
    pages: Sequence[datetime],
    is_fresh: Callable[[Product], Callable[[PageRecord], bool]],
) -> dict[datetime, PageRecord]:
    """Give, of some pages, those that another product has: its record of each.

    Parameters
    ----------
    connection
        Reads the lake, at the snapshot that the pages are to be made from.
    is_fresh
        Gives what tells whether a page of a product says what it would say if it were made now.
    """
    lent: dict[datetime, PageRecord] = {}
    for lender in lenders(definitions, product) if pages else ():
        judge = is_fresh(lender)
        found = ledger.published_pages(connection, lender.name, "features", pages)
        lent |= {page: found[page] for page in pages if page in found and page not in lent and judge(found[page])}
    return lent


def stage_lent(
    cursor: duckdb.DuckDBPyConnection,
    catalogue: str,
    lent: Mapping[datetime, PageRecord],
    columns: Mapping[str, str],
    directory: Path,
) -> FeaturePages:
    """Stage the pages that others have in a file of a product's own columns, in a directory.

    Parameters
    ----------
    cursor, catalogue
        Reads the lake, under that name.
    columns
        The columns of the product's feature pages, with their types.

    Raises
    ------
    RunFailed
        If the lake has other rows of a page than its ledger says.
    """
    listed = ", ".join(f"{quote(name)}::{kind} AS {quote(name)}" for name, kind in columns.items())
    parts = [
        system_sql(
            "pages/lent",
            columns=listed,
            lake=catalogue,
            lender=quote(lender),
            pages=", ".join(timestamp_literal(page) for page, record in lent.items() if record.product == lender),
        )
        for lender in dict.fromkeys(record.product for record in lent.values())
    ]
    file = directory / "lent.parquet"
    rows = " UNION ALL BY NAME ".join(f"({part})" for part in parts)
    cursor.execute(f"COPY (FROM ({rows}) ORDER BY as_of) TO {literal(str(file))} (FORMAT parquet, COMPRESSION zstd)")
    there = dict(cursor.execute(system_sql("pages/staged"), [exact_path(file)]).fetchall())
    n_rows = {page: record.n_rows for page, record in lent.items()}
    odd = sorted(page for page in n_rows if there.get(page, 0) != n_rows[page])
    if odd:
        raise RunFailed(
            f"the page {odd[0]} of {lent[odd[0]].product} has {there.get(odd[0], 0)} rows of features in the lake, and"
            f" {n_rows[odd[0]]} in the ledger. Nothing was published; see `almanac doctor`."
        )
    return FeaturePages(file, n_rows, dict(columns))
