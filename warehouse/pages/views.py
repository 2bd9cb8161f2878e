"""The views on a product's predictions: what applications and people read.

They are made in the commit that publishes a page, so that a snapshot shows its own. `PRODUCT_current` and `_page` name,
as literals, the pages that they show: what a reader asks then opens no file of another page, and does not read the
ledger. A view is replaced where its text would differ, and left alone otherwise: each replacement makes readers
load the lake's list of tables again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from warehouse.definitions import Product
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.registry import FALLBACK
from warehouse.lake.tables import drop_view, ensure_each_view
from warehouse.pages.fallback.view import fallback_query
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote, quote_all, system_sql


@dataclass(frozen=True)
class _Span:
    """The pages that hold what is current: the oldest that can still hold a valid row, and the newest of all."""

    oldest: datetime
    newest: datetime


def ensure_views(commit: Commit, product: Product) -> None:
    """Make a product's views what they should be after this commit, as far as they are not.

    Call it in every commit that publishes predictions, or changes the columns of labels, after the ledger's rows are
    appended: which pages can hold a valid row is read from them.
    """
    columns = table_columns(commit.connection, "predictions", product.name)
    span = _current_span(commit, product)
    # Where keys were changed, and no page has the new ones yet, views stay what they were.
    if not columns.keys() >= {*product.keys} or span is None:
        return
    wanted = {f"{product.name}_{name}": query for name, query in _queries(commit, product, columns, span)}
    ensure_each_view(commit, "predictions", wanted)
    if product.header.fallback is None:
        drop_view(commit, "predictions", f"{product.name}_{FALLBACK}")


def _queries(commit: Commit, product: Product, columns: Mapping[str, str], span: _Span) -> Iterator[tuple[str, str]]:
    """Give what each view selects, by the ending of its name."""
    table, keys = quote(product.name), quote_all(product.keys)
    newest = {"columns": quote_all(columns), "table": table, "newest": timestamp_literal(span.newest)}
    page = system_sql("publish/page", **newest)
    if span.oldest == span.newest:
        yield "current", page
    else:
        ranking = product.ranking
        literals = {"oldest": timestamp_literal(span.oldest), "newest": newest["newest"]}
        picked = ", ".join(_picked(name, product) for name in columns)
        if ranking is not None:
            more = {"columns": newest["columns"], "table": table, "list": quote_all(ranking.keys)}
            yield "current", system_sql("publish/current_lists", **more, **literals)
        else:
            of_keys = _qualified(product)
            yield "current", system_sql("publish/current", picked=picked, table=table, keys=of_keys, **literals)
    yield "page", page
    if product.header.fallback is not None:
        features = table_columns(commit.connection, "features", product.name)
        own = {name: columns[name] for name in product.keys}
        yield FALLBACK, fallback_query(product, product.header.fallback, features, own, newest["newest"])
    if table_columns(commit.connection, "labels", product.name).keys() >= {"as_of", *product.keys}:
        of_predictions = quote_all(columns, "predictions.")
        yield "outcomes", system_sql("publish/outcomes", columns=of_predictions, table=table, keys=keys)


def _qualified(product: Product) -> str:
    return quote_all(product.keys, "predictions.")


def _picked(column: str, product: Product) -> str:
    """Give SQL of a column of an entity's newest row, NULL where that has NULL."""
    if column in product.keys:
        return f"predictions.{quote(column)}"
    if column == "as_of":
        return "max(predictions.as_of) AS as_of"
    return f"arg_max_null(predictions.{quote(column)}, predictions.as_of) AS {quote(column)}"


def _current_span(commit: Commit, product: Product) -> _Span | None:
    row = commit.execute(system_sql("publish/current_span"), [product.name]).fetchone()
    return _Span(*row) if row and row[0] is not None else None
