"""What a name in a SELECT refers to, by DuckDB's rules.

A bare name is a column of FROM before it is an alias of the SELECT list, and both before a column of the query
around it; in HAVING and ORDER BY an alias may come first, so both are taken. `a.b` is a table's column before it
is a column's field. Names are compared without regard to case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sqlglot import exp

from warehouse.lineage.uses import EVERY, NONE, CannotTrace, Relation, Use, Uses


@dataclass
class Item:
    """One column of FROM: whose it is, and what it is made of.

    `merged` is what its bare name stands for where USING joined it; `is_hidden` if only the qualified name shows it.
    """

    table: str
    name: str
    uses: Uses
    merged: Uses | None = None
    is_hidden: bool = False


@dataclass
class Scope:
    """The names that a SELECT's expressions can refer to."""

    nested: Callable[[exp.Expr, Scope], Relation]
    outer: Scope | None = None
    items: list[Item] = field(default_factory=list)
    tables: dict[str, Relation] = field(default_factory=dict)
    aliases: dict[str, Uses] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)
    takes_both: bool = False

    def add(self, name: str, relation: Relation) -> None:
        """Bring a table or subquery of FROM into scope."""
        self.tables[name.lower()] = relation
        self.items += [Item(name.lower(), column, uses) for column, uses in relation.columns]

    def remove(self, name: str) -> None:
        """Take it out again, as after a SEMI or ANTI join, which shows no column of its right side."""
        del self.tables[name.lower()]
        self.items = [item for item in self.items if item.table != name.lower()]

    def with_aliases(self) -> Scope:
        """Give the scope of HAVING and ORDER BY, where a name that is a column and an alias may be either."""
        return replace(self, takes_both=True)

    def visible(self) -> list[Item]:
        """Give the columns that `*` shows."""
        return [item for item in self.items if not item.is_hidden]

    def of_table(self, name: str) -> list[Item] | None:
        """Give the columns that `name.*` shows, or None if no table bears the name."""
        if name.lower() not in self.tables:
            return None
        return [item for item in self.items if item.table == name.lower()]

    def find(self, name: str) -> list[Item]:
        """Give the columns that a bare name may mean."""
        return [item for item in self.visible() if item.name.lower() == name.lower()]

    def look_up(self, parts: list[str]) -> Uses:
        """Give what a name, perhaps qualified, is made of.

        Raises
        ------
        CannotTrace
            If nothing bears the name.
        """
        found = self._own(parts)
        here = parts[0].lower() in self.tables
        if self.outer is not None and (found is None or (not here and self.outer.may_mean_a_table(parts))):
            # `a.b` may be a field of a column `a` here, or a column of a table `a` around: only the types can tell.
            return self.outer.look_up(parts) | (found or NONE)
        if found is None:
            raise CannotTrace(f"`{'.'.join(parts)}` could not be found among the columns that it reads")
        return found

    def may_mean_a_table(self, parts: list[str]) -> bool:
        """Tell whether a qualified name begins with the name of a table here or around."""
        return len(parts) > 1 and (
            parts[0].lower() in self.tables or (self.outer is not None and self.outer.may_mean_a_table(parts))
        )

    def _own(self, parts: list[str]) -> Uses | None:
        name = parts[0].lower()
        if len(parts) > 1 and name in self.tables:
            columns = [item for item in self.items if item.table == name and item.name.lower() == parts[1].lower()]
            if columns:
                return frozenset().union(*(item.uses for item in columns))
            if open_name := self.tables[name].open_name:
                return frozenset({Use(open_name, parts[1], "value")})
        columns = self.find(name)
        uses = frozenset().union(*(item.uses if item.merged is None else item.merged for item in columns))
        if columns:
            return uses | self.aliases.get(name, NONE) if self.takes_both else uses
        if name in self.aliases:
            return self.aliases[name]
        if len(parts) == 1 and name in self.tables:
            return self.whole_row(name)
        return self._undeclared(parts)

    def whole_row(self, name: str) -> Uses:
        """Give what a table's rows as values are made of: all its columns."""
        relation = self.tables[name.lower()]
        every = {Use(relation.open_name, EVERY, "value")} if relation.open_name else set()
        return relation.all_uses() | every

    def _undeclared(self, parts: list[str]) -> Uses | None:
        """Take an unknown name as a column of the one table here of which not all columns are known."""
        names = [relation.open_name for relation in self.tables.values() if relation.open_name]
        return frozenset({Use(names[0], parts[0], "value")}) if len(names) == 1 else None
