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
        With all of them: keys that are missing, columns of one name, names of the suite's own, columns to join on
        that entities.sql lacks.
    """
    columns, problems = lay_out(definitions, product, entities, columns_of)
    if problems:
        raise DefinitionError(problems)
    return columns


def lay_out(
    definitions: Definitions,
    product: Product,
    entities: Mapping[str, str],
    columns_of: Callable[[str], Mapping[str, str] | None],
) -> tuple[list[PageColumn], list[str]]:
    """Lay a product's feature pages out as far as that goes; give their columns, and every problem met.

    Parameters as `page_columns` has them; a feature group whose columns are not known (None) is passed over.
    """
    where = product.entities.where
    missing = [key for key in product.keys if key not in entities]
    problems = []
    if missing:
        problems.append(f"{where}: the keys {missing} are not among its columns: {', '.join(entities)}.")
    wide = [key for key in product.keys if entities.get(key) in ("HUGEINT", "UHUGEINT")]
    if wide:
        problems.append(f"{where}: the keys {wide} are wider than Parquet can hold exactly; cast them to BIGINT.")
    owners = dict.fromkeys(entities, where)
    columns = [PageColumn(name, None, name, kind) for name, kind in entities.items() if name not in product.keys]
    all_known = True
    for index, use in enumerate(product.header.features):
        group = definitions.groups[use.group]
        found = columns_of(use.group)
        all_known = all_known and found is not None
        if found is not None and (lacking := [key for key in group.key if key not in found]):
            problems.append(f"{group.file.where}: the key {lacking} is not among its columns: {', '.join(found)}.")
        for name, kind in (found or {}).items():
            if name in group.key:
                continue
            shown = use.prefix + name
            if shown in owners:
                problems.append(
                    f"{product.at('features', index)}: the column `{shown}` comes from {owners[shown]} and from"
                    f" {group.file.where}; rename one, or give the group a `prefix`."
                )
                continue
            owners[shown] = group.file.where
            columns.append(PageColumn(shown, index, name, kind))
    problems += _join_problems(definitions, product, entities)
    taken = sorted(set(owners) & set(columns_of_pages(product.kind.columns)))
    problems += [f"{owners[name]}: the column `{name}` is the suite's own; rename it." for name in taken]
    valid_until = product.header.valid_until
    if all_known and valid_until is not None and valid_until not in {column.name for column in columns}:
        problems.append(
            f"{product.at('valid_until')}: valid_until names `{valid_until}`, which is no column of"
            f" {product.entities.where} or of a feature group."
        )
    return columns, problems


def _join_problems(definitions: Definitions, product: Product, entities: Mapping[str, str]) -> list[str]:
    """Find columns that feature groups are joined on, and that entities.sql lacks."""
    return [
        f"{product.at('features', index, 'on', key)}: the feature group `{use.group}` is joined on `{column}`, which is"
        f" no column of {product.entities.where}; select it there, or map it with `on`."
        for index, use in enumerate(product.header.features)
        for key, column in joined_on(definitions, use).items()
        if column not in entities
    ]


def joined_on(definitions: Definitions, use: FeatureUse) -> dict[str, str]:
    """Give the columns of entities.sql that a feature group is joined on, by the group's key columns."""
    return {key: use.on.get(key, key) for key in definitions.groups[use.group].key}
