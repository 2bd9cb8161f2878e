"""`*` and `t.*`, with EXCLUDE, REPLACE and RENAME, expanded to the columns that they show."""

from __future__ import annotations

from sqlglot import exp

from warehouse.lineage.expressions import uses_of
from warehouse.lineage.scope import Item, Scope
from warehouse.lineage.uses import CannotTrace, Uses


def star_columns(node: exp.Expr, scope: Scope) -> list[tuple[str, Uses]] | None:
    """Expand a part of the SELECT list that is a star; None if it is something else.

    Raises
    ------
    CannotTrace
        If the star is a struct's, or is filtered by a pattern.
    """
    star = node.this if isinstance(node, exp.Column) else node
    if not isinstance(star, exp.Star):
        return None
    items: list[Item] | None = scope.visible()
    if isinstance(node, exp.Column):
        items = scope.of_table(node.table)
        if items is None:
            raise CannotTrace(f"`{node.sql('duckdb')}` stands for the fields of a struct")
    unknown = [key for key, value in star.args.items() if value and key not in ("except_", "replace", "rename")]
    if unknown:
        raise CannotTrace(f"`{node.sql('duckdb')}` picks columns in a way that is not understood")
    excluded = {part.name.lower() for part in star.args.get("except_") or ()}
    replaced = {part.alias.lower(): uses_of(part.unalias(), scope) for part in star.args.get("replace") or ()}
    renamed = {part.this.name.lower(): part.alias for part in star.args.get("rename") or ()}
    columns = []
    for item in items or ():
        name = item.name.lower()
        if name not in excluded:
            shown = item.uses if item.merged is None or isinstance(node, exp.Column) else item.merged
            columns.append((renamed.get(name, item.name), replaced.get(name, shown)))
    return columns
