"""Classes of labels that trainings have found, for products that declare none: the ledger has them with each version.

A class that was found once stays, in its place: later ones come behind it, so that no training shifts what a number or
a field of an earlier version means.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from dataclasses import replace

import duckdb

from warehouse.definitions import Definitions, Product
from warehouse.errors import AlmanacError, UsageError
from warehouse.lake.lake import Lake
from warehouse.ledger import records as ledger

#: More different labels than this are no classes, but an identifier or a number.
MOST_CLASSES = 1_000


def with_found_classes(definitions: Definitions, lake: Lake) -> Definitions:
    """Give products that declare no classes those that their trainings have found."""
    finding = [product for product in definitions.products.values() if product.finds_classes]
    if not finding or not lake.exists():
        return definitions
    found: dict[str, Product] = {}
    # A lake that cannot be read is told of by what needs it.
    with contextlib.suppress(AlmanacError, duckdb.Error), lake.reading() as connection:
        for product in finding:
            found[product.name] = replace(product, found_classes=_recorded(connection, product.name))
    return replace(definitions, products={**definitions.products, **found})


def _recorded(connection: duckdb.DuckDBPyConnection, product: str) -> tuple[str, ...]:
    told = [json.loads(model.validation or "{}").get("declared", []) for model in ledger.models(connection, product)]
    return tuple(dict.fromkeys(name for names in told for name in names))


def finding_more(product: Product, labels: Collection[str]) -> Product:
    """Give a product the classes that are among some labels behind those found before.

    Raises
    ------
    UsageError
        If there are too many to be classes, or two differ in case alone, which SQL does not tell apart.
    """
    new = sorted(name for name in labels if name not in product.found_classes)
    names = (*product.found_classes, *new)
    if len(names) > MOST_CLASSES:
        raise UsageError(
            f"{product.label.where} gives {len(names):,} different labels, such as {', '.join(names[:3])}: no more than"
            f" {MOST_CLASSES:,} are taken for classes. Group them there, or declare `label.classes`."
        )
    if len({name.lower() for name in names}) < len(names):
        twice = next(name for place, name in enumerate(names) if name.lower() in map(str.lower, names[:place]))
        raise UsageError(
            f"{product.label.where} gives `{twice}`, and a class that differs from it in case alone, which SQL does not"
            " tell apart. Write them in one way there."
        )
    return replace(product, found_classes=names)
