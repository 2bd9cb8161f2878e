"""A page's probabilities of classes, as SQL: a STRUCT with a field a class, or a MAP where there are many."""

from __future__ import annotations

from warehouse.definitions import Product
from warehouse.label_kinds import MOST_FIELDS
from warehouse.system_sql import literal, quote

#: The column that has them.
PROBABILITIES = "probabilities"


def probability_list(product: Product, of: str = "") -> str:
    """Give SQL of the list of a row's probabilities, in the order of the product's classes.

    What a row says nothing of, as those of versions that knew fewer classes, is NULL.

    Parameters
    ----------
    of
        What stands before the column's name, such as `before.`.
    """
    return f"[{', '.join(probability_of(product, name, of) for name in product.classes)}]::DOUBLE[]"


def probability_of(product: Product, name: str, of: str = "") -> str:
    """Give SQL of the probability of a class, NULL where a row has none."""
    if len(product.classes) > MOST_FIELDS:
        return f"{of}{PROBABILITIES}[{literal(name)}]"
    return f"{of}{PROBABILITIES}.{quote(name)}"
