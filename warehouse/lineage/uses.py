"""The words of lineage: a column is used by another in a role, and a query is a relation of used columns.

Roles are told apart, because they answer different questions: a `value` goes into what a column says; `filter`,
`join`, `group` and `order` decide which rows there are, which of them meet and which of them count. `rows` stands
for a table's rows as such: `count(*)` reads no column, and still changes with the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["value", "filter", "join", "group", "order", "rows"]
ROLES: tuple[Role, ...] = ("value", "filter", "join", "group", "order", "rows")
#: Stands beside a table's columns for which rows it has.
ROWS = "(rows)"
#: Stands for all columns of a table whose columns are not known.
EVERY = "(every column)"


class CannotTrace(Exception):
    """A query holds something whose columns cannot be told; the message says what. Never shown as an error."""


@dataclass(frozen=True, order=True)
class Use:
    """A table's column used in a role. `doubt` says why the use is assumed, where it could not be traced."""

    relation: str
    column: str
    role: Role
    doubt: str = ""


Uses = frozenset[Use]
NONE: Uses = frozenset()


def seen_through(outer: Role, inner: Role) -> Role:
    """Give the role of a column that is used as `inner` in something that is itself used as `outer`."""
    if outer == "value":
        return inner
    if outer == "rows":
        return inner if inner != "value" else "rows"
    return outer


def within(uses: Iterable[Use], role: Role) -> Uses:
    """Give uses as they look from outside, where what they make up is used in `role`."""
    return frozenset(Use(use.relation, use.column, seen_through(role, use.role), use.doubt) for use in uses)


@dataclass(frozen=True)
class Relation:
    """A table or query: of each column what it is made of, and what decides on its rows.

    A column also depends on `rows`; that is not repeated in each. An open relation may have columns besides those
    known, such as a file of which only some are declared; `open_name` is what it is called.
    """

    columns: tuple[tuple[str, Uses], ...]
    rows: Uses
    open_name: str | None = None

    @property
    def names(self) -> list[str]:
        """The names of its columns, in order."""
        return [name for name, _ in self.columns]

    def all_uses(self) -> Uses:
        """Give what all its columns are made of."""
        return frozenset().union(*(uses for _, uses in self.columns))

    def renamed(self, names: Iterable[str]) -> Relation:
        """Give its first columns other names, as `AS alias(a, b)` does.

        Raises
        ------
        CannotTrace
            If it has fewer columns, or if not all are known.
        """
        given = list(names)
        if self.open_name and given:
            raise CannotTrace(f"the columns of {self.open_name} are renamed by place, and not all of them are known")
        if len(given) > len(self.columns):
            raise CannotTrace(f"{len(given)} names for {len(self.columns)} columns")
        kept = self.columns[len(given) :]
        return Relation(tuple(zip(given, (uses for _, uses in self.columns), strict=False)) + kept, self.rows)


def table(name: str, columns: Iterable[str], *, is_open: bool = False) -> Relation:
    """Make the relation of a table: each column is itself."""
    uses = tuple((column, frozenset({Use(name, column, "value")})) for column in columns)
    return Relation(uses, frozenset({Use(name, ROWS, "rows")}), name if is_open else None)


def not_traced(tables: Mapping[str, Relation], names: Iterable[str], doubt: str) -> Relation:
    """Make the relation of a query that could not be traced: everything in it may depend on all that it reads."""
    found: set[Use] = set()
    for relation in tables.values():
        uses = relation.all_uses() | relation.rows
        if relation.open_name:
            uses |= {Use(relation.open_name, EVERY, "value")}
        found |= {Use(use.relation, use.column, use.role, doubt) for use in uses}
    rows = frozenset(Use(use.relation, use.column, "rows", doubt) for use in found)
    return Relation(tuple((name, frozenset(found)) for name in names), rows)
