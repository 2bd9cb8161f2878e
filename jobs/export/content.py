"""What is handed to a target: the rows of a publication, as SQL over the lake at one of its snapshots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from warehouse.definitions import Product
from warehouse.definitions.export import TargetSettings
from warehouse.errors import RunFailed, UsageError
from warehouse.pages.history import past_page
from warehouse.system_sql import quote, system_sql

_NESTED = ("STRUCT(", "MAP(", "UNION(")


@dataclass(frozen=True)
class Content:
    """One publication for one target.

    Attributes
    ----------
    suite_id
        Which suite's lake it comes from: numbers of snapshots of two lakes say nothing of each other.
    product, table, keys
        Whose predictions they are, what the target calls them, and what tells rows apart.
    as_of, snapshot_id, published_at
        The page, the commit that published it, and when.
    columns
        The columns with their types, in order.
    relation
        SQL of the rows, over the lake that the connection reads.
    model_version
        Which version wrote the page.
    n_rows
        How many rows the ledger has of the page; None where the target holds what is current of several pages.
    run_id, now
        Who exports, and when.
    """

    suite_id: str
    product: str
    table: str
    keys: tuple[str, ...]
    as_of: datetime
    snapshot_id: int
    published_at: datetime
    columns: Mapping[str, str]
    relation: str
    model_version: str | None
    n_rows: int | None
    run_id: str
    now: datetime

    def select(self, *, lists_as_text: bool) -> str:
        """Give the SELECT of the rows; lists and structs as JSON text for targets that know none."""
        parts = [
            f"to_json({quote(name)})::VARCHAR AS {quote(name)}" if lists_as_text and _is_nested(kind) else quote(name)
            for name, kind in self.columns.items()
        ]
        return system_sql("export/rows", columns=", ".join(parts), relation=self.relation)


def _is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(_NESTED)


def current_relation(product: str) -> str:
    """Give SQL of what PRODUCT_current shows at the connection's snapshot."""
    return f"predictions.{quote(f'{product}_current')}"


def page_relation(connection: duckdb.DuckDBPyConnection, product: str, as_of: datetime, snapshot_id: int) -> str:
    """Give SQL of a page's rows as a commit published them."""
    return past_page(connection, product, "predictions", as_of, snapshot_id).relation


def columns_for(
    connection: duckdb.DuckDBPyConnection, product: Product, name: str, target: TargetSettings, relation: str
) -> dict[str, str]:
    """Give the columns that a target wants of a relation, with their types, in the relation's order.

    Raises
    ------
    UsageError
        If `columns` names one that the pages do not have.
    """
    there = {str(row[0]): str(row[1]) for row in connection.execute(f"DESCRIBE FROM {relation}").fetchall()}
    lacking = [column for column in target.columns if column not in there]
    if lacking:
        raise UsageError(
            f"{product.at('export', name, 'columns')}: the pages of {product.name} have no column `{lacking[0]}`; they"
            f" have {', '.join(there)}. Nothing was written."
        )
    return {column: kind for column, kind in there.items() if not target.columns or column in target.columns}


def require_rows(content: Content, found: int, place: str) -> None:
    """Refuse to go on where a target got other rows than the ledger has of the page.

    Raises
    ------
    RunFailed
        If it did.
    """
    if content.n_rows is not None and found != content.n_rows:
        raise RunFailed(
            f"{place} got {found} rows of the page {content.as_of} of {content.product}, and the ledger has"
            f" {content.n_rows}. What the target held before is still there; see `almanac doctor`."
        )


def value_counts(names: Collection[str]) -> str:
    """Give the select list that counts rows and, of each column, the values that are not NULL."""
    return ", ".join(["count(*)", *(f"count({quote(name)})" for name in names)])
