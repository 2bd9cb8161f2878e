"""The rewrite itself, over the tree that DuckDB parses and prints.

By part of a SELECT:

    FROM         begins with the pages; each relation meets the page, in its own join's condition
    $as_of       the page's instant
    SELECT       gains the page as its last column; `*` leaves out what was added
    GROUP BY     gains the page, PARTITION BY of every window and DISTINCT ON likewise
    USING        becomes ON, so that conditions can be added

Refused, and made page by page: LIMIT, recursion, subqueries within expressions, columns named by their place, RIGHT
and FULL joins, subqueries on the right of a join, grouping sets, aggregates over everything inside a CTE, and
sources of some size that are read whole on every page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from warehouse.batching.lifting.relations import (
    AS_OF_COLUMN,
    KNOWN,
    PAGE,
    PAGE_SQL,
    PAGES,
    SUPERSEDED,
    Frame,
    Met,
    TableShape,
    check_attributes,
    is_constant,
)
from warehouse.batching.syntax.parsing import Node, Workbench, children, rebuilt, walk
from warehouse.batching.syntax.shapes import NotUnderstood, Reason
from warehouse.system_sql import quote

__all__ = ["AS_OF_COLUMN", "KNOWN", "PAGE", "PAGES", "SUPERSEDED", "LiftedForm", "TableShape", "lift"]


@dataclass(frozen=True)
class LiftedForm:
    """A lifted query.

    Attributes
    ----------
    text
        Reads `PAGES` and, by their names, the sources and feature groups; its last column is `AS_OF_COLUMN`.
    may_lack_pages
        Whether the author's query has a row for a page of which no fact is known, and this one has none.
    aggregated
        Gives the pages of which some fact is known, where HAVING may take the row of such a page away; otherwise None.
    """

    text: str
    may_lack_pages: bool
    aggregated: str | None = None


def lift(query: str, sources: Mapping[str, TableShape], groups: Collection[str] = ()) -> LiftedForm | Reason:
    """Lift a query, or say why it has to be run for each page by itself.

    Parameters
    ----------
    query
        One SELECT for one instant, as `warehouse.queries.checked_query` has let it through.
    sources
        The sources that it may read, by name.
    groups
        The feature groups that it may read; their relations have the column `AS_OF_COLUMN`.
    """
    with Workbench() as bench:
        try:
            lifter = _Lifter(bench, sources, groups)
            node = lifter.query(bench.statement(query), {}, is_whole=True)
            text = bench.printed(node)
            aggregated = bench.printed(lifter.aggregated) if lifter.aggregated else None
            if not any(name.lower() in {table.lower() for table in _tables(node)} for name in groups):
                _bind(bench, text, sources)
        except NotUnderstood as reason:
            return Reason(str(reason))
    return LiftedForm(text, lifter.may_lack_pages, aggregated)


def _tables(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _tables(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node["table_name"])] if node.get("type") == "BASE_TABLE" else []
    return own + [name for value in node.values() for name in _tables(value)]


def _bind(bench: Workbench, text: str, sources: Mapping[str, TableShape]) -> None:
    bench.create_table(PAGES, {PAGE: "TIMESTAMP"})
    for name, shape in sources.items():
        bench.create_table(name, {**dict(shape.columns), KNOWN: "TIMESTAMP", SUPERSEDED: "TIMESTAMP"})
    bench.columns(text)


class _Lifter:
    """Lifts the parts of one query. `scope` has the CTEs by name: whether each depends on the page."""

    def __init__(self, bench: Workbench, sources: Mapping[str, TableShape], groups: Collection[str]) -> None:
        self.bench = bench
        self.sources = {name.lower(): shape for name, shape in sources.items()}
        self.groups = {name.lower() for name in groups}
        self.may_lack_pages = False
        self.aggregated: Node | None = None
        self.page = bench.expression(PAGE_SQL)

    def query(self, node: Node, scope: Mapping[str, bool], *, is_whole: bool = False) -> Node:
        """Lift a SELECT, or several that are put together by UNION, INTERSECT or EXCEPT."""
        entries, scope = self._ctes(node, scope)
        node = {**node, "cte_map": {**node["cte_map"], "map": entries}}
        if node["type"] == "SET_OPERATION_NODE":
            if node["setop_type"] == "UNION_BY_NAME":
                raise NotUnderstood("it has a UNION BY NAME")
            left, right = (self.query(node[side], scope) for side in ("left", "right"))
            return {**node, "left": left, "right": right, "modifiers": self._modifiers(node, Frame())}
        if node["type"] != "SELECT_NODE":
            raise NotUnderstood(f"it has a {node['type'].removesuffix('_NODE').replace('_', ' ').lower()}")
        return self._select(node, scope, is_whole)

    def _ctes(self, node: Node, scope: Mapping[str, bool]) -> tuple[list[Node], dict[str, bool]]:
        inner, entries = dict(scope), []
        for entry in node["cte_map"]["map"]:
            found = entry["value"]["query"]["node"]
            depends = not is_constant(found, _constants(inner))
            if depends and (entry["value"]["aliases"] or entry["value"]["key_targets"]):
                raise NotUnderstood("it gives a CTE names of its own for the columns")
            lifted = self.query(found, inner) if depends else found
            query = {**entry["value"]["query"], "node": lifted}
            entries.append({**entry, "value": {**entry["value"], "query": query}})
            inner[str(entry["key"]).lower()] = depends
        return entries, inner

    def _select(self, node: Node, scope: Mapping[str, bool], is_whole: bool) -> Node:
        frame = Frame()
        is_bounded = any(_compares_with_page(part) for part in _conjuncts(node.get("where_clause")))
        source = self._from(node["from_table"], scope, frame, is_bounded=is_bounded)
        if frame.merged and any(item["class"] == "STAR" and not item["relation_name"] for item in node["select_list"]):
            raise NotUnderstood("it selects * from a join with USING")
        lifted = {
            **node,
            "from_table": source,
            "select_list": [self._item(item, frame) for item in node["select_list"]],
            "modifiers": self._modifiers(node, frame),
        }
        for part in ("having", "qualify"):
            if node.get(part):
                lifted[part] = self._expression(node[part], frame)
        own = [self._expression(part, frame) for part in _conjuncts(node.get("where_clause"))]
        if conditions := [*own, *(self.bench.expression(text) for text in frame.conditions)]:
            lifted["where_clause"] = self._all_of(conditions)
        shown = {**self.page, "alias": AS_OF_COLUMN}
        lifted["select_list"].append(shown)
        lifted |= self._grouping(node, frame, is_whole)
        if self.may_lack_pages and node.get("having"):
            self.aggregated = {**lifted, "select_list": [shown], "having": None, "qualify": None, "modifiers": []}
        return lifted

    def _grouping(self, node: Node, frame: Frame, is_whole: bool) -> Node:
        """Add the page to GROUP BY."""
        groups = [self._expression(item, frame) for item in node["group_expressions"]]
        is_plain = [not self._aggregates(item) for item in node["select_list"]]
        if len(node["group_sets"]) > 1:
            raise NotUnderstood("it has several grouping sets")
        if node["aggregate_handling"] == "FORCE_AGGREGATES":
            # DuckDB groups by the items that read a column outside of aggregates; the page would be one of them.
            if any(plain and _reads_column(item) for plain, item in zip(is_plain, node["select_list"], strict=True)):
                return {}
            if all(is_plain):
                raise NotUnderstood("it has GROUP BY ALL, and neither groups nor aggregates")
        if not groups and all(is_plain) and not node.get("having"):
            return {}
        if not groups:
            if not is_whole:
                raise NotUnderstood("a part of it aggregates over all rows, and has a row where there are none")
            self.may_lack_pages = True
        return {
            "group_expressions": [*groups, self.page],
            "group_sets": [list(range(len(groups) + 1))],
            "aggregate_handling": "STANDARD_HANDLING",
        }

    def _modifiers(self, node: Node, frame: Frame) -> list[Node]:
        lifted = []
        for modifier in node["modifiers"]:
            if "LIMIT" in modifier["type"]:
                raise NotUnderstood("it has a LIMIT")
            changed = rebuilt(modifier, lambda item: self._expression(item, frame))
            if modifier.get("distinct_on_targets"):
                changed["distinct_on_targets"] = [*changed["distinct_on_targets"], self.page]
            lifted.append(changed)
        return lifted

    def _from(self, node: Node, scope: Mapping[str, bool], frame: Frame, *, is_bounded: bool) -> Node:
        if node["type"] == "EMPTY":
            return self.bench.relation(f"SELECT 1 FROM {quote(PAGES)}")
        if node["type"] != "JOIN":
            met = self._relation(node, scope, is_leftmost=True, is_bounded=is_bounded)
            frame.add(met.alias, met.columns)
            # The author's conditions come first: DuckDB joins by the first two inequalities that it meets, and those
            # of the author often bound a window from both sides.
            frame.conditions += [met.condition] if met.condition else []
            return {**self.bench.relation(f"SELECT 1 FROM {quote(PAGES)} JOIN x ON true"), "right": met.node}
        left = self._from(node["left"], scope, frame, is_bounded=is_bounded)
        return self._join(node, left, scope, frame, is_bounded)

    def _join(self, node: Node, left: Node, scope: Mapping[str, bool], frame: Frame, is_bounded: bool) -> Node:
        check_attributes(node)
        kind, how = node["join_type"], node["ref_type"]
        if kind not in ("INNER", "LEFT", "SEMI", "ANTI") or how not in ("REGULAR", "CROSS", "ASOF"):
            raise NotUnderstood(f"it has a {kind.lower()} {how.lower()} join")
        is_matched = bool(node["using_columns"]) or _has_equality(node.get("condition"))
        met = self._relation(node["right"], scope, is_leftmost=False, is_bounded=is_bounded or is_matched)
        if how == "ASOF" and SUPERSEDED in met.columns:
            raise NotUnderstood("an ASOF join takes one comparison, and a source needs another for the page")
        using = [f"{quote(str(frame.first))}.{quote(c)} = {quote(met.alias)}.{quote(c)}" for c in node["using_columns"]]
        if kind in ("INNER", "LEFT"):
            frame.merged |= {column.lower(): str(frame.first) for column in node["using_columns"]}
            frame.add(met.alias, met.columns)
        else:  # No column of it is seen outside the condition.
            frame.add(met.alias, ())
        own = [self._expression(node["condition"], frame)] if node.get("condition") else []
        added = [self.bench.expression(text) for text in (*using, met.condition) if text]
        joined = {**node, "left": left, "right": met.node, "using_columns": []}
        if not own and not added:
            return joined
        return {**joined, "condition": self._all_of([*own, *added]), "ref_type": "REGULAR" if how == "CROSS" else how}

    def _relation(self, node: Node, scope: Mapping[str, bool], *, is_leftmost: bool, is_bounded: bool) -> Met:
        alias = str(node.get("alias") or node.get("table_name") or "")
        if is_constant(node, _constants(scope)):
            return Met(node, alias or "almanac: constant")
        check_attributes(node)
        if node["type"] == "BASE_TABLE":
            return self._table(node, alias, scope, is_bounded)
        if node["type"] == "SUBQUERY" and is_leftmost:
            inner = {**node["subquery"], "node": self.query(node["subquery"]["node"], scope)}
            alias = alias or "almanac: subquery"
            return Met({**node, "alias": alias, "subquery": inner}, alias, (AS_OF_COLUMN,), _same_page(alias))
        what = {"SUBQUERY": "a subquery on the right of a join", "TABLE_FUNCTION": "a table function of $as_of"}
        raise NotUnderstood(f"it has {what.get(node['type'], node['type'].replace('_', ' ').lower())}")

    def _table(self, node: Node, alias: str, scope: Mapping[str, bool], is_bounded: bool) -> Met:
        name = str(node["table_name"]).lower()
        if name in scope or name in self.groups:
            return Met(node, alias, (AS_OF_COLUMN,), _same_page(alias))
        shape = self.sources[name]
        if not is_bounded and not shape.is_small:
            raise NotUnderstood(f"it reads all of {name} on every page")
        return Met(node, alias, (KNOWN, SUPERSEDED), shape.visible(alias))

    def _expression(self, node: Node, frame: Frame) -> Node:
        """Lift an expression: $as_of is the page, a window is parted by it, and * leaves out what was added."""
        kind = node["class"]
        if kind == "PARAMETER":
            return {**self.page, "alias": node["alias"]}
        if kind == "SUBQUERY":
            raise NotUnderstood("it has a subquery within an expression")
        if kind == "POSITIONAL_REFERENCE":
            raise NotUnderstood("it names a column by its place")
        if kind == "COLUMN_REF":
            return self._column(node, frame)
        changed = rebuilt(node, lambda item: self._expression(item, frame))
        if kind == "WINDOW":
            changed["partitions"] = [*changed["partitions"], self.page]
        elif kind == "STAR":
            if node.get("columns"):
                raise NotUnderstood("it has COLUMNS(...)")
            changed["exclude_list"] = [*node["exclude_list"], *frame.hidden(node["relation_name"])]
        return changed

    def _item(self, node: Node, frame: Frame) -> Node:
        """Lift a column of the result; one that is a bare name keeps it."""
        lifted = self._expression(node, frame)
        if node["class"] == "COLUMN_REF" and not node["alias"]:
            lifted = {**lifted, "alias": node["column_names"][-1] if lifted is not node else ""}
        return lifted

    def _column(self, node: Node, frame: Frame) -> Node:
        names = node["column_names"]
        if len(names) > 1:
            return node
        if names[0].lower() in frame.added:
            raise NotUnderstood(f"{names[0]} may mean a whole row")
        owner = frame.merged.get(names[0].lower())
        return {**node, "column_names": [owner, *names]} if owner else node

    def _aggregates(self, node: Node) -> bool:
        """Tell whether an expression aggregates; a window does not, though what is inside it may."""
        parts = children(node) if node["class"] == "WINDOW" else [node]
        called = [inner for part in parts for inner in walk(part) if inner["class"] == "FUNCTION"]
        return any(self.bench.is_aggregate(inner["function_name"]) for inner in called)

    def _all_of(self, conditions: list[Node]) -> Node:
        parts = [part for condition in conditions for part in _conjuncts(condition)]
        return parts[0] if len(parts) == 1 else {**self.bench.expression("a AND b"), "children": parts}


def _reads_column(item: Node) -> bool:
    return any(part["class"] in ("COLUMN_REF", "STAR") for part in walk(item))


def _constants(scope: Mapping[str, bool]) -> frozenset[str]:
    return frozenset(name for name, depends in scope.items() if not depends)


def _same_page(alias: str) -> str:
    return f"{quote(alias)}.{quote(AS_OF_COLUMN)} = {PAGE_SQL}"


def _conjuncts(node: Node | None) -> list[Node]:
    """Take a condition apart at its ANDs; BETWEEN is two comparisons, by which DuckDB can join."""
    if not node:
        return []
    if node["type"] == "CONJUNCTION_AND":
        return [part for child in node["children"] for part in _conjuncts(child)]
    if node["type"] != "COMPARE_BETWEEN":
        return [node]
    bounds = {"COMPARE_GREATERTHANOREQUALTO": "lower", "COMPARE_LESSTHANOREQUALTO": "upper"}
    shared = {"class": "COMPARISON", "alias": "", "query_location": node["query_location"], "left": node["input"]}
    return [{**shared, "type": kind, "right": node[bound]} for kind, bound in bounds.items()]


def _compares_with_page(node: Node) -> bool:
    kinds = {part["class"] for part in walk(node)}
    return node["class"] == "COMPARISON" and {"PARAMETER", "COLUMN_REF"} <= kinds


def _has_equality(node: Node | None) -> bool:
    return any(part["type"] == "COMPARE_EQUAL" for part in _conjuncts(node))
