"""Turns a query that gives one row for one row of a source into expressions that every reader of bundles repeats.

What DuckDB's syntax tree has is turned node by node, with the types that DuckDB gives each; whatever is not on the list
here is refused, with the reason. The export then compares what comes out with what DuckDB made of the source's rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from jobs.bundles.compiled_trees import NotExact
from jobs.bundles.key_columns import micros
from warehouse.queries.checked_query import CheckedQuery

Node = Mapping[str, Any]
#: Whole numbers by their width in bits.
BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}
_PLAIN = {"DOUBLE": "double", "BOOLEAN": "boolean", "VARCHAR": "text", "TIMESTAMP": "instant"}
_CLAUSES = ("group_expressions", "group_sets", "having", "qualify", "modifiers", "sample")
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "//": "whole_divide", "%": "remainder"}
#: By DuckDB's names: how a comparison is made of `equal` and `less`.
_COMPARED = {
    "COMPARE_EQUAL": ("equal", False, False),
    "COMPARE_NOTEQUAL": ("equal", False, True),
    "COMPARE_LESSTHAN": ("less", False, False),
    "COMPARE_GREATERTHAN": ("less", True, False),
    "COMPARE_LESSTHANOREQUALTO": ("less", True, True),
    "COMPARE_GREATERTHANOREQUALTO": ("less", False, True),
}
_PARTS = {
    **{name: name for name in ("year", "month", "day", "hour", "minute", "second", "isodow", "dow")},
    **{"dayofmonth": "day", "dayofweek": "dow", "weekday": "dow", "dayofyear": "doy", "doy": "doy"},
}


class Typed(NamedTuple):
    """An expression and its type: `integer` with a width in bits, `double`, `boolean`, `text`, `instant`.

    `null` is of any type, and a `decimal` literal of DOUBLE where it meets one.
    """

    expression: list[Any]
    kind: str
    bits: int = 0


@dataclass(frozen=True)
class RowWise:
    """A query of one row: what has to be true of the row, and by column what comes out, with which columns it reads."""

    source: str
    where: Typed | None
    values: Mapping[str, Typed]
    columns: tuple[str, ...]


def row_wise(query: CheckedQuery, columns: Mapping[str, str], as_of: datetime, wanted: Sequence[str]) -> RowWise:
    """Turn a query over one source into expressions.

    Parameters
    ----------
    query
        A SELECT of expressions FROM the source, with WHERE or without.
    columns
        The source's columns, with DuckDB's types.
    as_of
        What `$as_of` is.
    wanted
        Which of the query's columns are turned.

    Raises
    ------
    NotExact
        The query is none of the kind, or has something that not every reader repeats to the last bit.
    """
    tree: Node = json.loads(query.tree)
    if tree.get("type") != "SELECT_NODE" or tree["cte_map"]["map"] or any(tree.get(name) for name in _CLAUSES):
        raise NotExact(f"{query.where} is not one SELECT of expressions FROM one source, with WHERE or without")
    source = tree["from_table"]
    if source.get("type") != "BASE_TABLE" or source.get("column_name_alias"):
        raise NotExact(f"{query.where} does not read FROM one source alone")
    turned = _Turning(query.where, source, columns, as_of)
    listed = {_name_of(each): each for each in tree["select_list"]}
    lacking = [name for name in wanted if name.lower() not in listed]
    if lacking:
        raise NotExact(f"{query.where} does not name its column `{lacking[0]}`")
    values = {name: turned.of(listed[name.lower()]) for name in wanted}
    where = turned.of(tree["where_clause"]) if tree.get("where_clause") else None
    return RowWise(str(source["table_name"]), where, values, tuple(dict.fromkeys(turned.read)))


def _name_of(node: Node) -> str:
    plain = node["column_names"][-1] if node["class"] == "COLUMN_REF" else ""
    return str(node.get("alias") or plain).lower()


class _Turning:
    """Turns the nodes of one query."""

    def __init__(self, where: str, source: Node, columns: Mapping[str, str], as_of: datetime) -> None:
        self._where, self._as_of = where, as_of
        self._relations = {str(source[key]).lower() for key in ("table_name", "alias") if source.get(key)}
        self._columns = {name.lower(): (name, kind) for name, kind in columns.items()}
        self.read: list[str] = []

    def _not(self, what: str) -> NotExact:
        return NotExact(f"{self._where}: not every reader of bundles repeats {what} to the last bit")

    def of(self, node: Node) -> Typed:
        """Turn an expression."""
        turn = getattr(self, f"_of_{str(node['class']).lower()}", None)
        if turn is None:
            raise self._not(f"an expression of the kind {node['class']}")
        found: Typed = turn(node)
        return found

    def _of_column_ref(self, node: Node) -> Typed:
        names = [str(each) for each in node["column_names"]]
        if len(names) > 2 or (len(names) == 2 and names[0].lower() not in self._relations):
            raise self._not(f"`{'.'.join(names)}`")
        if names[-1].lower() not in self._columns:
            raise NotExact(f"{self._where} reads `{names[-1]}`, which no request gives")
        name, kind = self._columns[names[-1].lower()]
        self.read.append(name)
        if kind in BITS:
            return Typed(["column", name], "integer", BITS[kind])
        if kind not in _PLAIN:
            raise self._not(f"`{name}`, which is {kind}")
        return Typed(["column", name], _PLAIN[kind])

    def _of_constant(self, node: Node) -> Typed:
        told = node["value"]
        kind, value = told["type"]["id"], told.get("value")
        if told["is_null"]:
            return Typed(["null"], "null")
        if kind in BITS:
            bits = next(bits for bits in BITS.values() if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1))
            return Typed(["integer", str(value)], "integer", bits)
        # 1e400 is infinity, which JSON has no word for.
        if kind == "DOUBLE" and math.isfinite(value):
            return Typed(["double", value], "double")
        if kind == "DECIMAL" and isinstance(value, int) and abs(value) < 2**53:
            scale = told["type"]["type_info"]["scale"]
            if scale <= 22:
                return Typed(["double", value / 10**scale], "decimal")
        if kind == "BOOLEAN":
            return Typed(["boolean", bool(value)], "boolean")
        if kind == "VARCHAR":
            return Typed(["text", value], "text")
        raise self._not(f"a constant of the type {kind}")

    def _of_parameter(self, node: Node) -> Typed:
        return Typed(["integer", str(micros(self._as_of))], "instant")

    def _of_comparison(self, node: Node) -> Typed:
        if node["type"] not in _COMPARED:
            raise self._not(f"the comparison {node['type']}")
        return self._compared(node["type"], self.of(node["left"]), self.of(node["right"]))

    def _compared(self, kind: str, one: Typed, other: Typed) -> Typed:
        name, is_swapped, is_not = _COMPARED[kind]
        one, other = self._alike([one, other], "a comparison")
        if name == "less" and one.kind == "text":
            raise self._not("the order of texts")
        pair = [other.expression, one.expression] if is_swapped else [one.expression, other.expression]
        return Typed(["not", [name, *pair]] if is_not else [name, *pair], "boolean")

    def _of_between(self, node: Node) -> Typed:
        value = self.of(node["input"])
        low = self._compared("COMPARE_GREATERTHANOREQUALTO", value, self.of(node["lower"]))
        high = self._compared("COMPARE_LESSTHANOREQUALTO", value, self.of(node["upper"]))
        found = ["and", low.expression, high.expression]
        return Typed(found if node["type"] == "COMPARE_BETWEEN" else ["not", found], "boolean")

    def _of_conjunction(self, node: Node) -> Typed:
        parts = [self._truth(self.of(each)) for each in node["children"]]
        return Typed(["and" if node["type"] == "CONJUNCTION_AND" else "or", *parts], "boolean")

    def _truth(self, typed: Typed) -> list[Any]:
        if typed.kind not in ("boolean", "null"):
            raise self._not(f"{typed.kind} as a truth")
        return typed.expression

    def _of_operator(self, node: Node) -> Typed:
        kind, of = node["type"], [self.of(each) for each in node["children"]]
        if kind == "OPERATOR_NOT":
            return Typed(["not", self._truth(of[0])], "boolean")
        if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
            is_null = ["is_null", of[0].expression]
            return Typed(is_null if kind == "OPERATOR_IS_NULL" else ["not", is_null], "boolean")
        if kind == "OPERATOR_COALESCE":
            alike = self._alike(of, "coalesce")
            return Typed(["coalesce", *(each.expression for each in alike)], alike[0].kind, alike[0].bits)
        if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
            value, *others = self._alike(of, "IN")
            found = ["or", *(["equal", value.expression, each.expression] for each in others)]
            return Typed(found if kind == "COMPARE_IN" else ["not", found], "boolean")
        raise self._not(f"the operator {kind}")

    def _of_case(self, node: Node) -> Typed:
        whens = [self._truth(self.of(each["when_expr"])) for each in node["case_checks"]]
        thens = [self.of(each["then_expr"]) for each in node["case_checks"]]
        *found, otherwise = self._alike([*thens, self.of(node["else_expr"])], "CASE")
        checks = [[when, then.expression] for when, then in zip(whens, found, strict=True)]
        return Typed(["case", *checks, otherwise.expression], otherwise.kind, otherwise.bits)

    def _of_cast(self, node: Node) -> Typed:
        typed, kind = self.of(node["child"]), node["cast_type"]["id"]
        if node["try_cast"]:
            raise self._not("TRY_CAST")
        if kind == "DOUBLE" and typed.kind in ("integer", "boolean", "double", "decimal"):
            return self._double(typed)
        if kind in BITS and typed.kind == "boolean":
            return Typed(["to_integer", typed.expression], "integer", BITS[kind])
        if kind in BITS and typed.kind == "integer":
            return Typed(["add", BITS[kind], typed.expression, ["integer", "0"]], "integer", BITS[kind])
        raise self._not(f"a CAST of {typed.kind} to {kind}")

    def _of_function(self, node: Node) -> Typed:
        name, of = str(node["function_name"]).lower(), [self.of(each) for each in node["children"]]
        if name in _ARITHMETIC and len(of) == 2:
            return self._arithmetic(name, *of)
        if name == "/" and len(of) == 2:
            one, other = (self._double(each) for each in of)
            return Typed(["divide", one.expression, other.expression], "double")
        if name in ("-", "abs") and len(of) == 1:
            return self._alone(name, of[0])
        if name in _PARTS and len(of) == 1:
            return self._part(name, of[0])
        if name == "date_part" and len(of) == 2 and of[0].expression[0] == "text":
            return self._part(of[0].expression[1].lower(), of[1])
        if name in ("date_diff", "datediff") and len(of) == 3 and of[0].expression[0] == "text":
            span = of[0].expression[1].lower()
            if span in ("second", "minute", "hour", "day") and all(each.kind == "instant" for each in of[1:]):
                return Typed(["difference", span, of[1].expression, of[2].expression], "integer", 64)
        if name == "||" and len(of) == 2 and all(each.kind == "text" for each in of):
            return Typed(["join", of[0].expression, of[1].expression], "text")
        raise self._not(f"`{name}`, as it is used there,")

    def _arithmetic(self, name: str, one: Typed, other: Typed) -> Typed:
        if {one.kind, other.kind} <= {"integer"}:
            bits = _width([one, other])
            return Typed([_ARITHMETIC[name], bits, one.expression, other.expression], "integer", bits)
        if "double" in (one.kind, other.kind) and name in "+-*":
            one, other = self._double(one), self._double(other)
            return Typed([f"{_ARITHMETIC[name]}_double", one.expression, other.expression], "double")
        raise self._not(f"{one.kind} {name} {other.kind}")

    def _alone(self, name: str, typed: Typed) -> Typed:
        if typed.kind == "integer":
            bits = _width([typed])
            of = ["integer", "0"], typed.expression
            return Typed(["subtract", bits, *of] if name == "-" else ["absolute", bits, of[1]], "integer", bits)
        if typed.kind in ("double", "decimal"):
            return Typed(["negate_double" if name == "-" else "absolute_double", typed.expression], typed.kind)
        raise self._not(f"`{name}` of {typed.kind}")

    def _part(self, name: str, typed: Typed) -> Typed:
        if name not in _PARTS or typed.kind != "instant":
            raise self._not(f"the part `{name}` of {typed.kind}")
        return Typed(["part", _PARTS[name], typed.expression], "integer", 64)

    def _double(self, typed: Typed) -> Typed:
        if typed.kind in ("integer", "boolean"):
            return Typed(["to_double", typed.expression], "double")
        if typed.kind in ("double", "decimal", "null"):
            return Typed(typed.expression, "double")
        raise self._not(f"{typed.kind} as a number")

    def _alike(self, all_of: Sequence[Typed], what: str) -> list[Typed]:
        """Give expressions of one type, as DuckDB makes them."""
        kinds = {each.kind for each in all_of} - {"null"}
        if "double" in kinds and kinds <= {"double", "integer", "decimal"}:
            return [self._double(each) for each in all_of]
        if len(kinds) > 1 or "decimal" in kinds:
            raise self._not(f"{what} of {' and '.join(sorted(kinds))}")
        kind = next(iter(kinds), "null")
        bits = _width(all_of)
        return [Typed(each.expression, kind, bits) for each in all_of]


def _width(all_of: Sequence[Typed]) -> int:
    """Give the width in bits of what whole numbers come to, as DuckDB has it.

    A literal is of the type beside it where it fits into that, and an INTEGER or wider where it does not, or stands
    beside literals alone.
    """
    literals = [each.bits for each in all_of if each.expression[0] == "integer"]
    others = max((each.bits for each in all_of if each.expression[0] != "integer"), default=0)
    return others if max(literals, default=0) <= others else max(*literals, 32)
