"""What an author's expression may hold, and what its names mean.

A `Scope` checks an expression node by node against a closed list of node classes and functions, and gives
back a copy in which each column has the name that its source declares. DuckDB prefers a source's column to
an alias everywhere in a SELECT, so a name that is no column can only be an alias; those are put in only where
a select item refers to an earlier one, and refused elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warehouse.batching.syntax.parsing import Node, children, column, rebuilt, walk
from warehouse.batching.syntax.shapes import AS_OF, NotUnderstood

SCALAR_CLASSES = frozenset({"CASE", "CAST", "COMPARISON", "CONJUNCTION", "CONSTANT", "OPERATOR", "BETWEEN"})
REFUSED = {
    "COLLATE": "a collation",
    "LAMBDA": "a lambda",
    "POSITIONAL_REFERENCE": "a positional reference",
    "STAR": "a star",
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
}


@dataclass(frozen=True)
class Scope:
    """The names of one SELECT: its source's columns (in lower case, to their own spelling) and functions."""

    table: str
    names: Mapping[str, str]
    kinds: Mapping[str, str]

    def resolve(self, node: Node, aliases: Mapping[str, Node] | None = None) -> Node:
        """Check an expression and return it with every column spelt as declared, and aliases put in.

        Parameters
        ----------
        node
            The expression as DuckDB parsed it.
        aliases
            In lower case, the select items (resolved) that this expression may refer to by name.

        Raises
        ------
        NotUnderstood
            For a name, a function or a construction that is not on the list.
        """
        kind = node["class"]
        if kind == "COLUMN_REF":
            return self._named(node, aliases or {})
        if kind == "PARAMETER":
            if node["identifier"] != AS_OF:
                raise NotUnderstood(f"it has a parameter ${node['identifier']} besides $as_of")
            return node
        if kind == "FUNCTION":
            self._check_function(node)
        elif kind not in SCALAR_CLASSES:
            raise NotUnderstood(f"it holds {REFUSED.get(kind, 'a construction')} ({node['type'].lower()})")
        return rebuilt(node, lambda child: self.resolve(child, aliases))

    def _named(self, node: Node, aliases: Mapping[str, Node]) -> Node:
        names = node["column_names"]
        if len(names) == 2 and names[0].lower() == self.table and self.table not in self.names:
            names = names[1:]
        elif len(names) == 1 and names[0].lower() not in self.names and names[0].lower() in aliases:
            return {**aliases[names[0].lower()], "alias": ""}
        if len(names) != 1 or names[0].lower() not in self.names:
            raise NotUnderstood(f"{'.'.join(names)} is not a column of its source")
        return column(self.names[names[0].lower()])

    def _check_function(self, node: Node) -> None:
        name = node["function_name"]
        if node["schema"] not in ("", "main") or node["catalog"] or node["export_state"]:
            raise NotUnderstood(f"the function {name} is called in a way that is not recognised")
        if node["order_bys"]["orders"]:
            raise NotUnderstood(f"{name} has an order of its own")
        if self.kinds[name] == "aggregate":
            if any(self.is_aggregate(inner) for child in children(node) for inner in walk(child)):
                raise NotUnderstood(f"{name} holds another aggregate")
        elif self.kinds[name] != "scalar":
            raise NotUnderstood(f"{name} is not a scalar function or aggregate that always answers alike")
        elif node["filter"] or node["distinct"]:
            raise NotUnderstood(f"{name} is not an aggregate, yet has FILTER or DISTINCT")

    def is_aggregate(self, node: Node) -> bool:
        """Say whether this node itself is a call of an aggregate."""
        return bool(node["class"] == "FUNCTION" and self.kinds.get(node["function_name"]) == "aggregate")

    def has_aggregate(self, node: Node) -> bool:
        """Say whether an aggregate stands anywhere in an expression."""
        return any(self.is_aggregate(inner) for inner in walk(node))


def function_names(node: Node) -> Iterator[str]:
    """Yield the names of all functions in an expression."""
    return (inner["function_name"] for inner in walk(node) if inner["class"] == "FUNCTION")


def mentions_as_of(node: Node) -> bool:
    """Say whether `$as_of` stands anywhere in an expression."""
    return any(inner["class"] == "PARAMETER" for inner in walk(node))


def mentions_column(node: Node) -> bool:
    """Say whether a column stands anywhere in an expression."""
    return any(inner["class"] == "COLUMN_REF" for inner in walk(node))


def conjuncts(node: Node | None) -> list[Node]:
    """Take a condition apart at its ANDs."""
    if node is None:
        return []
    if node["type"] == "CONJUNCTION_AND":
        return [part for child in node["children"] for part in conjuncts(child)]
    return [node]


def conjunction(parts: list[Node]) -> Node | None:
    """Put conditions together with AND; None where there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return {
        "class": "CONJUNCTION",
        "type": "CONJUNCTION_AND",
        "alias": "",
        "query_location": 0,
        "children": parts,
    }
