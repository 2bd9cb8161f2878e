"""The grammar of DuckDB's syntax trees (`json_serialize_sql`), as far as authors' queries may use it.

For every kind of node it says which keys the node has and what stands below each: another node, a list of nodes, or a
leaf. Whoever walks a tree by this grammar passes by nothing. What is not in it, a kind of node, a key, or a
node where a leaf is expected, is a fault and gets refused: DuckDB's next version may put an expression there.

Seen in the trees of duckdb 1.5.5; the same keys stand in its `src/include/duckdb/storage/serialization/*.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = dict[str, Any]

#: Sorts of nodes.
QUERY, STATEMENT, RELATION, EXPRESSION, MODIFIER, ORDER = (
    "query",
    "statement",
    "relation",
    "expression",
    "modifier",
    "order",
)
#: Sorts of what is no node: a leaf is a scalar or a list of leaves, a data type and a constant hold neither names of
#: tables nor expressions, and of nothing there is nothing.
LEAF, DATA_TYPE, CONSTANT, NOTHING = "leaf", "data type", "constant", "nothing"

#: What stands below a key: a sort, a list of what its one member says, or an object with just these keys.
Shape = str | list[Any] | dict[str, Any]

_COMMON: Mapping[str, Shape] = {"class": LEAF, "type": LEAF, "alias": LEAF, "query_location": LEAF}
_RELATION: Mapping[str, Shape] = {"type": LEAF, "alias": LEAF, "query_location": LEAF, "sample": NOTHING}
_CTES: Shape = {
    "map": [
        {
            "key": LEAF,
            "value": {"aliases": LEAF, "query": STATEMENT, "materialized": LEAF, "key_targets": [EXPRESSION]},
        }
    ]
}
_QUERY: Mapping[str, Shape] = {"type": LEAF, "modifiers": [MODIFIER], "cte_map": _CTES}
_COLUMN_NAME: Shape = {"catalog": LEAF, "schema": LEAF, "table": LEAF, "column": LEAF}
_ORDER: Mapping[str, Shape] = {"type": LEAF, "null_order": LEAF, "expression": EXPRESSION}

#: By sort and kind (an expression's is its `class`, that of all others their `type`): the keys, and what stands there.
GRAMMAR: Mapping[str, Mapping[str, Mapping[str, Shape]]] = {
    QUERY: {
        "SELECT_NODE": {
            **_QUERY,
            "select_list": [EXPRESSION],
            "from_table": RELATION,
            "where_clause": EXPRESSION,
            "group_expressions": [EXPRESSION],
            "group_sets": LEAF,
            "aggregate_handling": LEAF,
            "having": EXPRESSION,
            "sample": NOTHING,
            "qualify": EXPRESSION,
        },
        "SET_OPERATION_NODE": {**_QUERY, "setop_type": LEAF, "setop_all": LEAF, "left": QUERY, "right": QUERY},
    },
    STATEMENT: {"": {"node": QUERY, "named_param_map": [{"key": LEAF, "value": LEAF}]}},
    RELATION: {
        "BASE_TABLE": {
            **_RELATION,
            "schema_name": LEAF,
            "table_name": LEAF,
            "column_name_alias": LEAF,
            "catalog_name": LEAF,
            "at_clause": NOTHING,
        },
        "JOIN": {
            **_RELATION,
            "left": RELATION,
            "right": RELATION,
            "condition": EXPRESSION,
            "join_type": LEAF,
            "ref_type": LEAF,
            "using_columns": LEAF,
            "delim_flipped": LEAF,
            "duplicate_eliminated_columns": [EXPRESSION],
        },
        "SUBQUERY": {**_RELATION, "subquery": STATEMENT, "column_name_alias": LEAF},
        "EMPTY": _RELATION,
        "TABLE_FUNCTION": {
            **_RELATION,
            "function": EXPRESSION,
            "column_name_alias": LEAF,
            "with_ordinality": LEAF,
        },
        "EXPRESSION_LIST": {
            **_RELATION,
            "expected_names": LEAF,
            "expected_types": [DATA_TYPE],
            "values": [[EXPRESSION]],
        },
    },
    EXPRESSION: {
        "COLUMN_REF": {**_COMMON, "column_names": LEAF},
        "FUNCTION": {
            **_COMMON,
            "function_name": LEAF,
            "schema": LEAF,
            "catalog": LEAF,
            "children": [EXPRESSION],
            "filter": EXPRESSION,
            "order_bys": MODIFIER,
            "distinct": LEAF,
            "is_operator": LEAF,
            "export_state": LEAF,
        },
        "COMPARISON": {**_COMMON, "left": EXPRESSION, "right": EXPRESSION},
        "CONJUNCTION": {**_COMMON, "children": [EXPRESSION]},
        "CONSTANT": {**_COMMON, "value": CONSTANT},
        "OPERATOR": {**_COMMON, "children": [EXPRESSION]},
        "CASE": {
            **_COMMON,
            "case_checks": [{"when_expr": EXPRESSION, "then_expr": EXPRESSION}],
            "else_expr": EXPRESSION,
        },
        "CAST": {**_COMMON, "child": EXPRESSION, "cast_type": DATA_TYPE, "try_cast": LEAF},
        "BETWEEN": {**_COMMON, "input": EXPRESSION, "lower": EXPRESSION, "upper": EXPRESSION},
        "STAR": {
            **_COMMON,
            "relation_name": LEAF,
            "exclude_list": LEAF,
            "replace_list": [{"key": LEAF, "value": EXPRESSION}],
            "columns": LEAF,
            "expr": EXPRESSION,
            "qualified_exclude_list": [_COLUMN_NAME],
            "rename_list": [{"key": _COLUMN_NAME, "value": LEAF}],
        },
        "PARAMETER": {**_COMMON, "identifier": LEAF},
        "LAMBDA": {**_COMMON, "lhs": EXPRESSION, "expr": EXPRESSION},
        "WINDOW": {
            **_COMMON,
            "function_name": LEAF,
            "schema": LEAF,
            "catalog": LEAF,
            "children": [EXPRESSION],
            "partitions": [EXPRESSION],
            "orders": [ORDER],
            "start": LEAF,
            "end": LEAF,
            "start_expr": EXPRESSION,
            "end_expr": EXPRESSION,
            "offset_expr": EXPRESSION,
            "default_expr": EXPRESSION,
            "ignore_nulls": LEAF,
            "filter_expr": EXPRESSION,
            "exclude_clause": LEAF,
            "distinct": LEAF,
            "arg_orders": [ORDER],
        },
        "SUBQUERY": {
            **_COMMON,
            "subquery_type": LEAF,
            "subquery": STATEMENT,
            "child": EXPRESSION,
            "comparison_type": LEAF,
        },
        "COLLATE": {**_COMMON, "child": EXPRESSION, "collation": LEAF},
        "POSITIONAL_REFERENCE": {**_COMMON, "index": LEAF},
    },
    MODIFIER: {
        "LIMIT_MODIFIER": {"type": LEAF, "limit": EXPRESSION, "offset": EXPRESSION},
        "LIMIT_PERCENT_MODIFIER": {"type": LEAF, "limit": EXPRESSION, "offset": EXPRESSION},
        "ORDER_MODIFIER": {"type": LEAF, "orders": [ORDER]},
        "DISTINCT_MODIFIER": {"type": LEAF, "distinct_on_targets": [EXPRESSION]},
    },
    ORDER: dict.fromkeys(("ORDER_DEFAULT", "ASCENDING", "DESCENDING"), _ORDER),
}

#: What an expression of a class may be. A window's are listed with the functions.
_EXPRESSION_TYPES: Mapping[str, frozenset[str]] = {
    "COLUMN_REF": frozenset({"COLUMN_REF"}),
    "FUNCTION": frozenset({"FUNCTION"}),
    "COMPARISON": frozenset(
        f"COMPARE_{name}"
        for name in (
            *("EQUAL", "NOTEQUAL", "LESSTHAN", "GREATERTHAN", "LESSTHANOREQUALTO", "GREATERTHANOREQUALTO"),
            *("DISTINCT_FROM", "NOT_DISTINCT_FROM"),
        )
    ),
    "CONJUNCTION": frozenset({"CONJUNCTION_AND", "CONJUNCTION_OR"}),
    "CONSTANT": frozenset({"VALUE_CONSTANT"}),
    "OPERATOR": frozenset(
        """
        OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_NULLIF OPERATOR_TRY
        OPERATOR_UNPACK COMPARE_IN COMPARE_NOT_IN ARRAY_EXTRACT ARRAY_SLICE ARRAY_CONSTRUCTOR STRUCT_EXTRACT
        GROUPING_FUNCTION
        """.split()
    ),
    "CASE": frozenset({"CASE_EXPR"}),
    "CAST": frozenset({"OPERATOR_CAST"}),
    "BETWEEN": frozenset({"COMPARE_BETWEEN", "COMPARE_NOT_BETWEEN"}),
    "STAR": frozenset({"STAR"}),
    "PARAMETER": frozenset({"VALUE_PARAMETER"}),
    "LAMBDA": frozenset({"LAMBDA"}),
    "SUBQUERY": frozenset({"SUBQUERY"}),
    "COLLATE": frozenset({"COLLATE"}),
    "POSITIONAL_REFERENCE": frozenset({"POSITIONAL_REFERENCE"}),
}
#: The parts of a data type; `UNBOUND` is a type by its name, which the binder resolves.
_TYPE_PARTS: Mapping[str | None, Mapping[str, Shape]] = {
    "ARRAY_TYPE_INFO": {"child_type": DATA_TYPE, "size": LEAF},
    "DECIMAL_TYPE_INFO": {"width": LEAF, "scale": LEAF},
    "LIST_TYPE_INFO": {"child_type": DATA_TYPE},
    "STRUCT_TYPE_INFO": {"child_types": [{"first": LEAF, "second": DATA_TYPE}]},
    "UNBOUND_TYPE_INFO": {"name": LEAF, "catalog": LEAF, "schema": LEAF, "user_type_modifiers": [CONSTANT]},
}
_TYPE_COMMON: Mapping[str, Shape] = {"type": LEAF, "alias": LEAF, "extension_info": NOTHING}


def kind_of(sort: str, node: Node) -> str:
    """Give the kind of a node, by which `GRAMMAR` knows it."""
    if sort == STATEMENT:
        return ""
    return str(node.get("class" if sort == EXPRESSION else "type"))


def fault(sort: str, node: Any) -> str | None:
    """Say what of a node is not in the grammar, its inner nodes left aside; None if all of it is."""
    if not isinstance(node, dict):
        return f"a {type(node).__name__} where {'an' if sort[0] in 'eo' else 'a'} {sort} belongs"
    kind = kind_of(sort, node)
    grammar = GRAMMAR[sort].get(kind)
    if grammar is None:
        return plain_name(str(node.get("type", kind)))
    if sort == EXPRESSION and kind != "WINDOW" and node.get("type") not in _EXPRESSION_TYPES[kind]:
        return plain_name(str(node.get("type")))
    return _fault_inside(dict(grammar), node, plain_name(kind))


def _fault_inside(shape: Shape, value: Any, where: str) -> str | None:
    if isinstance(shape, list):
        if not isinstance(value, list):
            return where
        return next(filter(None, (_fault_inside(shape[0], item, where) for item in value)), None)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return where
        if unknown := sorted(value.keys() - shape.keys()):
            return f"{where} ({unknown[0]})"
        return next(filter(None, (_fault_inside(shape[key], value[key], f"{where} ({key})") for key in value)), None)
    if shape in (LEAF, NOTHING, DATA_TYPE, CONSTANT):
        return None if _IS_SOUND[shape](value) else where
    return None


def _is_leaf(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_leaf(item) for item in value)
    return value is None or isinstance(value, str | int | float)


def _is_data_type(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() - {"id", "type_info"} or not isinstance(value.get("id"), str):
        return False
    info = value.get("type_info")
    if info is None:
        return True
    parts = _TYPE_PARTS.get(info.get("type")) if isinstance(info, dict) else None
    if parts is None or info.get("catalog") or info.get("schema"):
        return False
    return _fault_inside({**_TYPE_COMMON, **parts}, info, "type") is None


def _is_constant(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() - {"type", "is_null", "value"}:
        return False
    held = value.get("value")
    # A HUGEINT is written as its two halves.
    is_wide = isinstance(held, dict) and held.keys() == {"upper", "lower"} and all(map(_is_leaf, held.values()))
    return _is_data_type(value.get("type")) and (is_wide or _is_leaf(held))


_IS_SOUND = {
    LEAF: _is_leaf,
    NOTHING: lambda value: value is None,
    DATA_TYPE: _is_data_type,
    CONSTANT: _is_constant,
}


def parts(sort: str, node: Node) -> Iterator[tuple[str, str, Node]]:
    """Give every node directly below one without a `fault`: the key under which it stands, its sort, and itself."""
    for key, shape in GRAMMAR[sort][kind_of(sort, node)].items():
        for found, child in _nodes(shape, node.get(key)):
            yield key, found, child


def _nodes(shape: Shape, value: Any) -> Iterator[tuple[str, Node]]:
    if value is None:
        return
    if isinstance(shape, list):
        for item in value:
            yield from _nodes(shape[0], item)
    elif isinstance(shape, dict):
        for key in shape:
            yield from _nodes(shape[key], value.get(key))
    elif shape not in _IS_SOUND:
        yield shape, value


def names(sort: str, node: Node) -> Iterator[str]:
    """Give every text that stands directly in a node, outside of constants and data types: names, above all."""
    for key, shape in GRAMMAR[sort][kind_of(sort, node)].items():
        yield from _texts(shape, node.get(key))


def _texts(shape: Shape, value: Any) -> Iterator[str]:
    if isinstance(value, str) and shape == LEAF:
        yield value
    elif isinstance(value, list) and (shape == LEAF or isinstance(shape, list)):
        for item in value:
            yield from _texts(LEAF if shape == LEAF else shape[0], item)
    elif isinstance(value, dict) and isinstance(shape, dict):
        for key in shape:
            yield from _texts(shape[key], value.get(key))


def walk(sort: str, node: Node) -> Iterator[tuple[str, Node]]:
    """Give a node without faults and every node below it, with their sorts."""
    yield sort, node
    for _, inner, child in parts(sort, node):
        yield from walk(inner, child)


def plain_name(kind: str) -> str:
    """Write a kind of node as people would."""
    return kind.removeprefix("WINDOW_").removesuffix("_NODE").replace("_", " ").lower()
