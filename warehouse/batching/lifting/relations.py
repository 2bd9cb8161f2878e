"""The relations of one FROM clause while it is lifted: their names, what they add, and how they meet the page.

Every lifted FROM begins with the table of pages, so that `$as_of` is a column of it wherever it stands. A
relation that was lifted itself (a CTE, another feature group, a subquery) is matched on the page; a source is
joined by what was known then; what depends on neither is left as it is.

What the rewrite relies on has names that authors cannot give (`warehouse.queries.checked_query` refuses them), the time
at which a fact became known among them: `orders AS o(order_id, known_at)` makes another column of `known_at`. And what
a relation may carry besides its name stands on a list.
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
#: When a fact of a source became known, and when that version of it was replaced or withdrawn; NULL if it never was.
KNOWN, SUPERSEDED = "almanac: known at", "almanac: superseded at"

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
        known = f"{quote(alias)}.{quote(KNOWN)} < {horizon}"
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
        By relation: the columns that lifting gave it.
    merged
        Columns that USING made one, each with the relation that it is taken from.
    conditions
        What else WHERE has to hold, as SQL: how the leftmost relation meets the page.
    """

    first: str | None = None
    added: dict[str, tuple[str, ...]] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)

    def add(self, alias: str, columns: tuple[str, ...]) -> None:
        """Bring a relation into scope."""
        if alias.lower() in self.added:
            raise NotUnderstood(f"it names two relations {alias}")
        if self.first is None:
            self.first = alias
        self.added[alias.lower()] = columns

    def hidden(self, relation: str) -> list[str]:
        """Give the columns that `*` (or `relation.*`) must leave out."""
        if relation:
            return list(self.added.get(relation.lower(), ()))
        return [PAGE, *sorted({column for columns in self.added.values() for column in columns})]


@dataclass(frozen=True)
class Met:
    """A relation of a FROM clause: its node, its name, what lifting added to it, and how it meets the page.

    `condition` is SQL, or None where it is the same for all pages.
    """

    node: Node
    alias: str
    columns: tuple[str, ...] = ()
    condition: str | None = None


#: What a relation may carry, by its kind, besides where it stands in the text.
_ATTRIBUTES = {
    "BASE_TABLE": {"alias", "table_name"},
    "SUBQUERY": {"alias", "subquery"},
    "JOIN": {"left", "right", "condition", "join_type", "ref_type", "using_columns"},
}


def check_attributes(node: Node) -> None:
    """Refuse a relation that carries something else than what lifting understands."""
    if node["type"] not in _ATTRIBUTES:  # It is refused for what it is.
        return
    known = _ATTRIBUTES[node["type"]] | {"type", "query_location"}
    for key, value in node.items():
        if value and key not in known:
            what = "names of its own for the columns" if key == "column_name_alias" else key.replace("_", " ")
            raise NotUnderstood(f"it gives a relation {what}")


def is_constant(node: Any, constants: frozenset[str]) -> bool:
    """Tell whether a part of a query reads nothing that depends on the page; `constants` are such CTEs."""
    if isinstance(node, list):
        return all(is_constant(item, constants) for item in node)
    if not isinstance(node, dict):
        return True
    if node.get("type") == "BASE_TABLE" and str(node["table_name"]).lower() not in constants:
        return False
    return node.get("class") != "PARAMETER" and all(is_constant(value, constants) for value in node.values())
