"""One query for one page of a product: its sources as known, its feature groups, and their join, in CTEs.

It is what somebody would write by hand, put together from the suite's own files, so that all compute the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from warehouse.definitions import Definitions, Product
from warehouse.definitions.durations import duration_text
from warehouse.system_sql import quote, quote_all


def page_query(
    definitions: Definitions, product: Product, columns: Mapping[str, Mapping[str, list[str]]], as_of: str, schema: str
) -> str:
    """Write the query.

    Parameters
    ----------
    columns
        Of each source and each feature group, under `sources` and `groups`: the columns by name.
    as_of
        SQL of the page's instant.
    schema
        Where the sources' tables stand.
    """
    sources = [
        f"{name} AS (SELECT {quote_all(columns['sources'][name])} FROM {schema}.{name}"
        f" WHERE known_at + INTERVAL '{duration_text(source.header.arrives_within)}' < {as_of})"
        for name, source in definitions.sources.items()
        if any(source is used for used in definitions.sources_of(product))
    ]
    groups = [f"{group.name} AS ({_at(group.query.text, as_of)}\n)" for group in definitions.groups_of(product)]
    entities = f"entities AS ({_at(product.entities.text, as_of)}\n)"
    uses = list(enumerate(product.header.features))
    features = [
        f"use_{index}.{quote(column)} AS {quote(use.prefix + column)}"
        for index, use in uses
        for column in columns["groups"][use.group]
        if column not in definitions.groups[use.group].key
    ]
    joins = [
        f"LEFT JOIN {use.group} AS use_{index} ON "
        + " AND ".join(
            f"use_{index}.{quote(key)} = entities.{quote(use.on.get(key, key))}"
            for key in definitions.groups[use.group].key
        )
        for index, use in uses
    ]
    return (
        f"WITH {', '.join([*sources, *groups, entities])}\n"
        f"SELECT {as_of} AS as_of, entities.*, {', '.join(features)}\nFROM entities\n" + "\n".join(joins)
    )


def _at(text: str, as_of: str) -> str:
    without_comments = re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\$as_of\b", lambda _: as_of, without_comments)
