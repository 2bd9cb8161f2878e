"""ORDER BY that orders nothing: whether it tells apart any two of the rows that it is there to put in order.

`first(x ORDER BY true)`, `row_number() OVER (PARTITION BY k ORDER BY k)` and `LIMIT 3` after `ORDER BY (SELECT 1)`
take rows as they happen to come, just as they would without an order. An expression tells rows apart here
if it reads a column that may differ between them. Columns that the rows have in common (those of PARTITION BY, GROUP BY
or DISTINCT ON), constants under a name, parameters, and subqueries that look at no row outside them do not count.

Left to authors: ties. An order by a column that is no key is an order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.queries.allowed_functions import AGGREGATES, ORDERED_AGGREGATES
from warehouse.queries.syntax_tree import EXPRESSION, QUERY, RELATION, Node, parts, walk

_AGGREGATES = AGGREGATES | ORDERED_AGGREGATES


@dataclass(frozen=True)
class Scope:
    """What the names in one SELECT may stand for.

    Attributes
    ----------
    items
        The select list by alias, in lower case.
    listed
        The select list in order.
    constants
        Columns of its relations that are the same in each row: pairs of the relation's name and the column's.
    groups
        What it groups by.
    """

    items: Mapping[str, Node] = field(default_factory=dict)
    listed: Sequence[Node] = ()
    constants: frozenset[tuple[str, str]] = frozenset()
    groups: Sequence[Node] = ()


def scope_of(select: Node, ctes: Mapping[str, frozenset[str]]) -> Scope:
    """Describe a SELECT without faults; `ctes` has the names of constant columns of the CTEs that it may read."""
    items = select["select_list"]
    names = {str(item["alias"]).lower(): item for item in items if item["alias"]}
    scope = Scope(names, items, frozenset(_constants_of(select["from_table"], ctes)))
    if select["aggregate_handling"] == "FORCE_AGGREGATES":
        groups = [item for item in items if not _aggregates(item)]
    else:
        groups = [_group(node, items, names) for node in select["group_expressions"]]
    return Scope(names, items, scope.constants, groups)


def constant_columns(query: Node, ctes: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Give the names of the columns of a query's result that are the same in each row, in lower case."""
    if query["type"] != "SELECT_NODE":
        return frozenset()
    scope = scope_of(query, ctes)
    return frozenset(
        name
        for item in query["select_list"]
        if (name := _name_of(item)) and not varies(item, scope) and not _aggregates(item)
    )


def orders(expressions: Iterable[Node], scope: Scope, shared: Sequence[Node] = ()) -> bool:
    """Tell whether some of the expressions may differ between rows that have the expressions `shared` in common."""
    common = {_signature(node) for node in shared}
    columns = {_column(node) for node in shared if node["class"] == "COLUMN_REF"}
    return any(_signature(node) not in common and varies(node, scope, columns) for node in expressions)


def orders_result(modifier: Node, query: Node, scope: Scope, shared: Sequence[Node] = ()) -> bool:
    """Tell the same of a query's own ORDER BY, where a number is a column's place and an alias goes before a column."""
    found = [order["expression"] for order in modifier["orders"]]
    if query["type"] != "SELECT_NODE":
        return bool(found)
    return orders([_group(node, scope.listed, scope.items) for node in found], scope, shared)


def varies(node: Node, scope: Scope, shared: Iterable[str] = ()) -> bool:
    """Tell whether an expression may differ between two rows that have the columns `shared` in common."""
    kind = node["class"]
    if kind == "COLUMN_REF":
        return _column_varies(node, scope, shared)
    if kind in ("STAR", "POSITIONAL_REFERENCE"):
        return True
    if kind == "SUBQUERY":
        # What it is compared with; and what it reads of the rows outside.
        return (node.get("child") is not None and varies(node["child"], scope, shared)) or _reads_outside(node)
    if kind == "WINDOW":
        inside = [*node["partitions"], *(order["expression"] for order in node["orders"])]
        return any(varies(part, scope, shared) for part in inside)
    if kind == "FUNCTION" and node["function_name"] in _AGGREGATES:
        return True  # Of another group, another value.
    below = [child for _, sort, child in parts(EXPRESSION, node) if sort == EXPRESSION]
    if kind == "LAMBDA":
        below = [node["expr"]]
        shared = {*shared, *(_column(inner) for inner in _columns_in(node["lhs"]))}
    return any(varies(child, scope, shared) for child in below)


def _column_varies(node: Node, scope: Scope, shared: Iterable[str]) -> bool:
    names = [str(name).lower() for name in node["column_names"]]
    if names[-1] in shared or (names[0] in shared and len(names) > 1 and not _is_relation(names[0], scope)):
        return False
    if len(names) == 1:
        item = scope.items.get(names[0])
        if item is not None and item is not node and item["class"] != "COLUMN_REF":
            # An alias, or a column of that name: that cannot be told here, and an alias that is constant is no order.
            inner = {name: other for name, other in scope.items.items() if name != names[0]}
            return varies(item, Scope(inner, scope.listed, scope.constants), shared)
        return all(column != names[0] for _, column in scope.constants)
    return (names[-2], names[-1]) not in scope.constants


def _is_relation(name: str, scope: Scope) -> bool:
    return any(relation == name for relation, _ in scope.constants)


def _constants_of(relation: Node, ctes: Mapping[str, frozenset[str]]) -> Iterable[tuple[str, str]]:
    if relation["type"] == "JOIN":
        yield from _constants_of(relation["left"], ctes)
        yield from _constants_of(relation["right"], ctes)
    elif not relation.get("column_name_alias"):
        found: frozenset[str] = frozenset()
        name = str(relation.get("alias") or relation.get("table_name") or "").lower()
        if relation["type"] == "SUBQUERY":
            found = constant_columns(relation["subquery"]["node"], ctes)
        elif relation["type"] == "BASE_TABLE":
            found = ctes.get(str(relation["table_name"]).lower(), frozenset())
        yield from ((name, column) for column in found)


def _group(node: Node, items: Sequence[Node], names: Mapping[str, Node]) -> Node:
    """Give the item that an expression of GROUP BY or ORDER BY stands for, by its place or its alias; or itself."""
    if node["class"] == "CONSTANT":
        place = node["value"].get("value")
        if isinstance(place, int) and not isinstance(place, bool) and 1 <= place <= len(items):
            return items[place - 1]
    if node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1:
        return names.get(str(node["column_names"][0]).lower(), node)
    return node


def _aggregates(item: Node) -> bool:
    return any(
        sort == EXPRESSION and node["class"] == "FUNCTION" and node["function_name"] in _AGGREGATES
        for sort, node in walk(EXPRESSION, item)
    )


def _reads_outside(subquery: Node) -> bool:
    """Tell whether a subquery reads a column by the name of a relation that is not its own."""
    own: set[str] = set()
    read: set[str] = set()
    for sort, node in walk(QUERY, subquery["subquery"]["node"]):
        if sort == RELATION:
            own |= {str(node[key]).lower() for key in ("alias", "table_name") if node.get(key)}
        elif sort == EXPRESSION and node["class"] == "COLUMN_REF" and len(node["column_names"]) > 1:
            read.add(str(node["column_names"][-2]).lower())
    return bool(read - own)


def _columns_in(node: Node) -> list[Node]:
    found = (inner for sort, inner in walk(EXPRESSION, node) if sort == EXPRESSION)
    return [inner for inner in found if inner["class"] == "COLUMN_REF"]


def _column(node: Node) -> str:
    return str(node["column_names"][-1]).lower()


def _name_of(item: Node) -> str:
    if item["alias"]:
        return str(item["alias"]).lower()
    return _column(item) if item["class"] == "COLUMN_REF" else ""


def _signature(node: Node) -> str:
    """Give a text that is equal for expressions that are written alike, names in whatever case."""

    def bare(value: object) -> object:
        if isinstance(value, dict):
            return {key: bare(inner) for key, inner in value.items() if key not in ("query_location", "alias")}
        if isinstance(value, list):
            return [bare(inner) for inner in value]
        return value.lower() if isinstance(value, str) else value

    return json.dumps(bare(node), sort_keys=True)
