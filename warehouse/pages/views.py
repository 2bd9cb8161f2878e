"""The views on a product's predictions: what applications and people read.

They are made in the commit that publishes a page, so that a snapshot shows its own. `PRODUCT_current` and `_page` name,
as literals, the pages that they show: what a reader asks then opens no file of another page, and does not read the
ledger. A view is replaced where its text would differ, and left alone otherwise: each replacement makes readers, and
who writes next, load the lake's list of tables again.

A commit after which the same run publishes more pages, as one batch of a backfill follows another, has them look up in
the ledger which pages they show. They show the same rows, and their text stays as it is until the last batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warehouse.definitions import Product
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.registry import FALLBACK
from warehouse.lake.tables import drop_view, ensure_each_view
from warehouse.pages.fallback.view import fallback_query
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql


@dataclass(frozen=True)
class _Shown:
    """Which pages the views show, as SQL.

    Attributes
    ----------
    newest
        The newest page.
    of_current
        What `PRODUCT_current` compares pages with: the oldest page that can still hold a valid row, the newest, and
        what else it reads to know them; None where it shows the newest page.
    """

    newest: str
    of_current: Mapping[str, str] | None


def ensure_views(commit: Commit, product: Product, *, more_follow: bool = False) -> None:
    """Make a product's views what they should be after this commit, as far as they are not.

    Call it in every commit that publishes predictions, or changes the columns of labels, after the ledger's rows are
    appended: which pages can hold a valid row is read from them.

    Parameters
    ----------
    more_follow
        Whether this run publishes more pages of the product in commits that follow.
    """
    columns = table_columns(commit.connection, "predictions", product.name)
    shown = _by_the_ledger(product) if more_follow else _named(commit, product)
    # Where keys were changed, and no page has the new ones yet, views stay what they were.
    if not columns.keys() >= {*product.keys} or shown is None:
        return
    wanted = {f"{product.name}_{name}": query for name, query in _queries(commit, product, columns, shown)}
    ensure_each_view(commit, "predictions", wanted)
    if product.header.fallback is None:
        drop_view(commit, "predictions", f"{product.name}_{FALLBACK}")


def _queries(commit: Commit, product: Product, columns: Mapping[str, str], shown: _Shown) -> Iterator[tuple[str, str]]:
    """Give what each view selects, by the ending of its name."""
    table, keys = quote(product.name), quote_all(product.keys)
    page = system_sql("publish/page", columns=quote_all(columns), table=table, newest=shown.newest)
    if shown.of_current is None:
        yield "current", page
    elif product.ranking is not None:
        of_lists = {"columns": quote_all(columns), "table": table, "list": quote_all(product.ranking.keys)}
        yield "current", system_sql("publish/current_lists", **of_lists, **shown.of_current)
    else:
        picked = ", ".join(_picked(name, product) for name in columns)
        of_keys = quote_all(product.keys, "predictions.")
        yield "current", system_sql("publish/current", picked=picked, table=table, keys=of_keys, **shown.of_current)
    yield "page", page
    if product.header.fallback is not None:
        features = table_columns(commit.connection, "features", product.name)
        own = {name: columns[name] for name in product.keys}
        yield FALLBACK, fallback_query(product, product.header.fallback, features, own, shown.newest)
    if table_columns(commit.connection, "labels", product.name).keys() >= {"as_of", *product.keys}:
        of_predictions = quote_all(columns, "predictions.")
        yield "outcomes", system_sql("publish/outcomes", columns=of_predictions, table=table, keys=keys)


def _picked(column: str, product: Product) -> str:
    """Give SQL of a column of an entity's newest row, NULL where that has NULL."""
    if column in product.keys:
        return f"predictions.{quote(column)}"
    if column == "as_of":
        return "max(predictions.as_of) AS as_of"
    return f"arg_max_null(predictions.{quote(column)}, predictions.as_of) AS {quote(column)}"


def _named(commit: Commit, product: Product) -> _Shown | None:
    """Name the pages as literals; None where none is published."""
    row = commit.execute(system_sql("publish/current_span", product="$1"), [product.name]).fetchone()
    if row is None or row[0] is None:
        return None
    oldest, newest = map(timestamp_literal, row)
    return _Shown(newest, {"oldest": oldest, "newest": newest, "pages": ""} if oldest != newest else None)


def _by_the_ledger(product: Product) -> _Shown:
    """Have them looked up. Pages are found by statistics of files all the same, once the ledger was read."""
    of_product, pages = literal(product.name), quote("almanac: pages")
    span = system_sql("publish/current_span", product=of_product)
    looked_up = {"oldest": f"{pages}.oldest", "newest": f"{pages}.newest", "pages": f", (\n{span}) AS {pages}"}
    return _Shown(system_sql("publish/newest_page", product=of_product), looked_up)
