"""What a page has several of in one column, as SQL: probabilities of classes, and quantiles.

Probabilities are a STRUCT with a field a class, or a MAP where there are many; quantiles a STRUCT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from warehouse.definitions import Product
from warehouse.label_kinds import MOST_FIELDS, quantile_name
from warehouse.system_sql import literal, quote

#: The column that has them.
PROBABILITIES = "probabilities"
QUANTILES = "quantiles"


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
    """Give SQL of the probability of a class, NULL where a row has none.

    A table whose pages are all older than a class has no field for it. A cast goes by the names of fields, gives NULL
    for those that are not there, and asks for one that both sides have.
    """
    if len(product.classes) > MOST_FIELDS:
        return f"{of}{PROBABILITIES}[{literal(name)}]"
    own = quote("almanac: none")
    fields = ", ".join([f"{own} DOUBLE", *(f"{quote(each)} DOUBLE" for each in product.classes)])
    return f"(struct_insert({of}{PROBABILITIES}, {own} := NULL)::STRUCT({fields})).{quote(name)}"


def quantile_list(product: Product) -> str:
    """Give SQL of the list of a row's quantiles, ascending; those that a row lacks are NULL."""
    return f"([{', '.join(quantile_fields(product))}]::DOUBLE[])"


def quantile_fields(product: Product, of: str = "") -> list[str]:
    """Give SQL of each of a row's quantiles; `of` stands before the column's name, such as `before.`."""
    return [f"{of}{QUANTILES}.{quote(quantile_name(each))}" for each in product.quantiles]


def score_of_kind(product: Product) -> str:
    """Give SQL of a row's score, NULL where the row has not all that the kind has now."""
    score = quote(product.score_column)
    if not product.quantiles:
        return score
    return f"CASE WHEN list_count({quantile_list(product)}) = {len(product.quantiles)} THEN {score} END"


def lacks_fields(product: Product, columns: Mapping[str, str]) -> bool:
    """Tell whether a table of predictions lacks a column of the kind, or one of its quantiles.

    Parameters
    ----------
    columns
        Those of the table, with their DuckDB types.
    """
    if any(name not in columns for name in product.kind.columns):
        return True
    fields = columns.get(QUANTILES, "") if product.quantiles else ""
    return any(f"{quote(quantile_name(each))} DOUBLE" not in _quoted(fields) for each in product.quantiles)


def _quoted(fields: str) -> str:
    """Put the names of a STRUCT's fields that need no quotes into quotes."""
    return re.sub(r"([(, ])(\w+) DOUBLE", r'\1"\2" DOUBLE', fields)
