"""Feature groups that are keyed by the entity itself, worked out from what a request gives (`request:`).

A group of which the request gives a source's columns is turned into expressions (`row_wise`), and these are compared
with what DuckDB made of the source's rows for the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.bundles.compiled_trees import NotExact
from jobs.bundles.key_columns import KeyRefused
from jobs.bundles.on_demand import Worked
from jobs.export.row_wise import BITS, RowWise, row_wise
from warehouse.batching.batch import Batch
from warehouse.batching.page_columns import PageColumn
from warehouse.definitions import Product
from warehouse.system_sql import quote, quote_all, system_sql

#: So many rows of the source are compared.
_COMPARED = 2_000
#: What the types of a group's columns are called among expressions.
_KINDS = {**dict.fromkeys(BITS, "integer"), "DOUBLE": "double", "BOOLEAN": "boolean", "VARCHAR": "text"}


def require_declared(product: Product, entities: Mapping[str, str], batch: Batch) -> None:
    """See that what `request` declares is what the definitions give.

    Raises
    ------
    NotExact
        A column is not there, or has another type.
    """
    for name, asked in product.header.request.items():
        columns = entities if asked.source is None else batch.sandbox.source_columns(_source(batch, asked.source))
        if name in entities and entities[name] != asked.type:
            raise NotExact(f"{product.at('request', name)}: entities.sql gives `{name}` as {entities[name]}")
        column = name if asked.source is None else asked.column
        place = "entities.sql" if asked.source is None else f"the source {asked.source}"
        if columns.get(column) != asked.type:
            found = columns.get(column, "no column")
            raise NotExact(f"{product.at('request', name)}: `{column}` is {found} in {place}, and not {asked.type}")


def _source(batch: Batch, name: str) -> Any:
    return batch.definitions.sources[name]


def from_request(
    batch: Batch, group: Mapping[str, Any], kinds: Mapping[str, str], as_of: datetime
) -> dict[str, Any] | None:
    """Say how a feature group is worked out from a request; None if it is not.

    Parameters
    ----------
    group
        The group as the manifest has it, with `group`, its name, and `columns`.
    kinds
        What the model is given, by the columns of the page.

    Raises
    ------
    NotExact
        The request gives columns of the source that it reads, and it cannot be worked out exactly.
    """
    product, feature_group = batch.product, batch.definitions.groups[group["group"]]
    by_source = {each.source: each for each in product.header.request.values() if each.source}
    read = sorted(feature_group.query.tables & by_source.keys())
    if not read or set(group["given"]) != set(product.keys):
        return None
    columns: Sequence[PageColumn] = group["columns"]
    source = _source(batch, read[0])
    turned = row_wise(
        feature_group.query,
        batch.sandbox.source_columns(source),
        as_of,
        [*group["keys"], *(each.column for each in columns)],
    )
    asked = {each.column: name for name, each in product.header.request.items() if each.source == source.name}
    of_keys = dict(zip(group["keys"], group["given"], strict=True))
    for key, name in of_keys.items():
        operation, *of = turned.values[key].expression
        if operation != "column":
            raise NotExact(f"{feature_group.query.where}: the key `{key}` is not a column of {source.name} as it is")
        asked[of[0]] = name
    lacking = [name for name in turned.columns if name not in asked]
    if lacking:
        raise NotExact(f"{feature_group.query.where} reads `{source.name}.{lacking[0]}`, which `request` does not give")
    for each in columns:
        kind = turned.values[each.column].kind
        if kind != _KINDS.get(each.stored_kind) or kinds[each.name] != ("text" if kind == "text" else "float64"):
            raise NotExact(f"{feature_group.query.where}: `{each.column}` is {each.kind}, and no request gives that")
    types = batch.sandbox.source_columns(source)
    told = {
        "given": {name: asked[name] for name in turned.columns},
        "types": {name: types[name] for name in turned.columns},
        "where": turned.where.expression if turned.where else None,
        "values": [turned.values[each.column].expression for each in columns],
    }
    _compare(batch, group, turned, told, as_of)
    return told


def _compare(batch: Batch, group: Mapping[str, Any], turned: RowWise, told: Mapping[str, Any], as_of: datetime) -> None:
    """See that the expressions give what DuckDB made of the source's rows."""
    columns: Sequence[PageColumn] = group["columns"]
    keys = [turned.values[key].expression[1] for key in group["keys"]]
    query = system_sql(
        "export/bundle/rows_of_source",
        columns=", ".join(
            f"epoch_us(source.{quote(name)})" if kind == "TIMESTAMP" else f"source.{quote(name)}"
            for name, kind in told["types"].items()
        ),
        values=", ".join(f"made.{quote(each.column)}::{each.stored_kind}" for each in columns),
        source=quote(turned.source),
        made=batch.table(group["group"]),
        on=" AND ".join(
            f"made.{quote(key)} = source.{quote(name)}" for key, name in zip(group["keys"], keys, strict=True)
        ),
        has_keys=" AND ".join(f"source.{quote(name)} IS NOT NULL" for name in keys),
        is_made=f"made.{quote(group['keys'][0])} IS NOT NULL",
        ordered=quote_all(keys, "source."),
    )
    worked, n, n_refused = Worked.told(told), len(told["types"]), 0
    with batch.page(as_of) as page:
        rows = page.cursor.execute(query, {"most": _COMPARED}).fetchall()
    for is_made, *row in rows:
        given, wanted = dict(zip(told["types"], row[:n], strict=True)), row[n:]
        try:
            found = worked.row(given)
        except KeyRefused:
            n_refused += 1
            continue
        expected = list(map(_bits, wanted)) if is_made else None
        if (None if found is None else list(map(_bits, found))) != expected:
            raise NotExact(f"the readers of bundles would work `{group['group']}` out otherwise than DuckDB does")
    if rows and n_refused == len(rows):
        raise NotExact(f"the readers of bundles would refuse to work `{group['group']}` out")


def _bits(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else float(value).hex()
