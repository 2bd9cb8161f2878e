"""Which columns a product's feature pages have, and where each comes from: entities, and feature groups beside them.

Worked out from the columns of its queries alone, so that it can be said before any page is made, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from warehouse.definitions import Definitions, FeatureUse, Product
from warehouse.errors import DefinitionError
from warehouse.lake.registry import columns_of_pages


@dataclass(frozen=True)
class PageColumn:
    """One column besides keys and times: `column` of the product's feature group number `use`, or of entities.sql.

    `kind` is the type that its query gives it.
    """

    name: str
    use: int | None
    column: str
    kind: str

    @property
    def stored_kind(self) -> str:
        """The type on the page: sums of integers are HUGEINT, which Parquet cannot hold exactly.

        A page with a sum that is too large for BIGINT fails; it is not made smaller.
        """
        return "BIGINT" if self.kind in ("HUGEINT", "UHUGEINT") else self.kind


def page_columns(
    definitions: Definitions,
    product: Product,
    entities: Mapping[str, str],
    columns_of: Callable[[str], Mapping[str, str]],
) -> list[PageColumn]:
    """List the columns of a product's feature pages besides keys and times.

    Parameters
    ----------
    entities
        The columns of entities.sql with their DuckDB types.
    columns_of
        Gives the columns of a feature group with their types.

    Raises
    ------
    DefinitionError
        If a key is missing, two columns have one name, or a name is the suite's own.
    """
    where = product.entities.where
    missing = [key for key in product.keys if key not in entities]
    if missing:
        raise DefinitionError(f"{where}: the keys {missing} are not among its columns: {', '.join(entities)}.")
    wide = [key for key in product.keys if entities[key] in ("HUGEINT", "UHUGEINT")]
    if wide:
        raise DefinitionError(f"{where}: the keys {wide} are wider than Parquet can hold exactly; cast them to BIGINT.")
    owners = dict.fromkeys(entities, where)
    columns = [PageColumn(name, None, name, kind) for name, kind in entities.items() if name not in product.keys]
    for index, use in enumerate(product.header.features):
        group = definitions.groups[use.group]
        for name, kind in columns_of(use.group).items():
            if name in group.key:
                continue
            shown = use.prefix + name
            if shown in owners:
                raise DefinitionError(
                    f"{product.yaml_where}: the column `{shown}` comes from {owners[shown]} and from"
                    f" {group.file.where}; rename one, or give the group a `prefix`."
                )
            owners[shown] = group.file.where
            columns.append(PageColumn(shown, index, name, kind))
    taken = sorted(set(owners) & set(columns_of_pages()))
    if taken:
        raise DefinitionError(f"{owners[taken[0]]}: the column `{taken[0]}` is the suite's own; rename it.")
    valid_until = product.header.valid_until
    if valid_until is not None and valid_until not in {column.name for column in columns}:
        raise DefinitionError(
            f"{product.yaml_where}: valid_until names `{valid_until}`, which is no column of"
            f" {product.entities.where} or of a feature group."
        )
    return columns


def joined_on(
    definitions: Definitions, product: Product, use: FeatureUse, entities: Mapping[str, str]
) -> dict[str, str]:
    """Give the columns of entities.sql that a feature group is joined on, by the group's key columns.

    Raises
    ------
    DefinitionError
        If entities.sql lacks one.
    """
    found = {key: use.on.get(key, key) for key in definitions.groups[use.group].key}
    for column in found.values():
        if column not in entities:
            raise DefinitionError(
                f"{product.yaml_where}: the feature group `{use.group}` is joined on `{column}`, which is no"
                f" column of {product.entities.where}; select it there, or map it with `on`."
            )
    return found
