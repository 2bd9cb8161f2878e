"""Queries that give one row for each row of one relation, from that row alone, and the columns that they read.

Such a query says the same of a row whatever other rows stand beside it: of a page, of a batch of one, or of the rows of
a page that have a label. What is not understood to be so is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from warehouse.queries.allowed_functions import AGGREGATES, ORDERED_AGGREGATES
from warehouse.queries.checked_query import CheckedQuery

Node = dict[str, Any]
#: Functions of which one row makes several, or none.
_MAKE_ROWS = frozenset({"unnest"})
#: What a SELECT may have besides its list and its FROM, and why it may not here.
_CLAUSES = {
    "where_clause": "WHERE leaves rows out",
    "group_expressions": "GROUP BY puts rows together",
    "having": "HAVING leaves rows out",
    "qualify": "QUALIFY leaves rows out",
    "modifiers": "ORDER BY, LIMIT and DISTINCT look at other rows",
}
_CLASSES = {
    "WINDOW": "a window looks at other rows",
    "SUBQUERY": "a query within it looks at other rows",
    "STAR": "name the columns instead of `*`",
    "LAMBDA": "a lambda is not understood here",
    "POSITIONAL_REFERENCE": "name the columns instead of counting them",
}


def faults_of_rows(query: CheckedQuery, table: str) -> list[str]:
    """Say why a query is not one row for each row of `table`, from that row alone; nothing if it is."""
    tree: Node = json.loads(query.tree)
    if tree.get("type") != "SELECT_NODE" or tree["cte_map"]["map"]:
        return [f"{query.where}: it is one SELECT of expressions FROM {table}, without WITH or UNION."]
    source = tree["from_table"]
    if source.get("type") != "BASE_TABLE" or source.get("column_name_alias"):
        return [f"{query.where}: it reads FROM {table} alone, without joins and without other names for its columns."]
    whys = [why for clause, why in _CLAUSES.items() if tree.get(clause)]
    if tree.get("aggregate_handling") not in (None, "STANDARD_HANDLING"):
        whys.append("GROUP BY ALL puts rows together")
    for node in _nodes(tree["select_list"]):
        kind, name = node.get("class"), str(node.get("function_name", "")).lower()
        if kind in _CLASSES:
            whys.append(_CLASSES[kind])
        elif kind == "FUNCTION" and name in AGGREGATES | ORDERED_AGGREGATES:
            whys.append(f"`{name}` takes several rows together")
        elif kind == "FUNCTION" and name in _MAKE_ROWS:
            whys.append(f"`{name}` makes several rows of one")
    return [
        f"{query.where}: {why}; a row's score comes from that row of the page alone." for why in dict.fromkeys(whys)
    ]


def columns_read(query: CheckedQuery) -> list[str]:
    """Name the columns that such a query reads, as it writes them, each once."""
    tree: Node = json.loads(query.tree)
    source = tree["from_table"]
    relations = {str(source[key]).lower() for key in ("table_name", "alias") if source.get(key)}
    found = []
    for node in _nodes(tree["select_list"]):
        if node.get("class") == "COLUMN_REF":
            parts = [str(part) for part in node["column_names"]]
            found.append(parts[1] if len(parts) > 1 and parts[0].lower() in relations else parts[0])
    return list(dict.fromkeys(found))


def _nodes(part: Any) -> Iterator[Node]:
    if isinstance(part, dict):
        yield part
        for value in part.values():
            yield from _nodes(value)
    elif isinstance(part, list):
        for value in part:
            yield from _nodes(value)
