"""The relations of one FROM clause while it is lifted: their names, what they add, and how they meet the page.

Every lifted FROM begins with the table of pages, so that `$as_of` is a column of it wherever it stands. A
relation that was lifted itself (a CTE, another feature group, a subquery) is matched on the page; a source is
joined by what was known then; what depends on neither is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from warehouse.batching.syntax.parsing import Node
from warehouse.batching.syntax.shapes import NotUnderstood
from warehouse.system_sql import quote

#: The table of pages and its one column, naive UTC.
PAGES, PAGE = "almanac: pages", "almanac: page"
#: The page of a row of a lifted relation.
AS_OF_COLUMN = "almanac: as_of"
#: When a version of a fact was replaced or withdrawn; NULL if it never was.
SUPERSEDED = "almanac: superseded at"

#: The page's own instant, as SQL.
PAGE_SQL = f"{quote(PAGES)}.{quote(PAGE)}"


@dataclass(frozen=True)
class TableShape:
    """A source as a lifted query meets it.

    Parameters
    ----------
    columns
        Name to DuckDB type, `known_at` among them.
    arrives_within
        A page sees facts with `known_at + arrives_within < as_of`.
    has_versions
        Whether any of its facts was ever replaced or withdrawn.
    is_small
        Whether it may be read whole on every page.
    """

    columns: tuple[tuple[str, str], ...]
    arrives_within: timedelta = timedelta(0)
    has_versions: bool = False
    is_small: bool = False

    def visible(self, alias: str) -> str:
        """Write the condition under which a row of it existed for the page."""
        late = int(self.arrives_within / timedelta(microseconds=1))
        horizon = f"{PAGE_SQL} - to_microseconds({late})" if late else PAGE_SQL
        known = f"{quote(alias)}.known_at < {horizon}"
        if not self.has_versions:
            return known
        return f"{known} AND coalesce({quote(alias)}.{quote(SUPERSEDED)} >= {horizon}, true)"


@dataclass
class Frame:
    """What the names of one SELECT mean.

    Attributes
    ----------
    first
        The leftmost relation's name, which columns named in USING are taken from.
    added
        By relation: the column that lifting gave it, if any.
    merged
        Columns that USING made one, each with the relation that it is taken from.
    conditions
        What else WHERE has to hold, as SQL: how the leftmost relation meets the page.
    """

    first: str | None = None
    added: dict[str, str | None] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)

    def add(self, alias: str, column: str | None) -> None:
        """Bring a relation into scope."""
        if alias.lower() in self.added:
            raise NotUnderstood(f"it names two relations {alias}")
        if self.first is None:
            self.first = alias
        self.added[alias.lower()] = column

    def hidden(self, relation: str) -> list[str]:
        """Give the columns that `*` (or `relation.*`) must leave out."""
        if relation:
            column = self.added.get(relation.lower())
            return [column] if column else []
        return [PAGE, *sorted({column for column in self.added.values() if column})]


@dataclass(frozen=True)
class Met:
    """A relation of a FROM clause: its node, its name, what lifting added to it, and how it meets the page.

    `condition` is SQL, or None where it is the same for all pages.
    """

    node: Node
    alias: str
    column: str | None = None
    condition: str | None = None


def is_constant(node: Any, constants: frozenset[str]) -> bool:
    """Tell whether a part of a query reads nothing that depends on the page; `constants` are such CTEs."""
    if isinstance(node, list):
        return all(is_constant(item, constants) for item in node)
    if not isinstance(node, dict):
        return True
    if node.get("type") == "BASE_TABLE" and str(node["table_name"]).lower() not in constants:
        return False
    return node.get("class") != "PARAMETER" and all(is_constant(value, constants) for value in node.values())
