"""A query traced through its clauses: would its rows on the shards, put together, be its rows?

The columns that shards are made by are followed from the sources. Each GROUP BY, PARTITION BY, DISTINCT and join
between parts has to hold all of them, and what looks at all rows at once (an aggregate without groups, LIMIT, a
subquery in an expression) may read no part. Names are resolved as DuckDB does; one that is not understood holds
nothing, so that a clause is refused rather than misread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from warehouse.batching.splitting.joins import Equal, equalities, join
from warehouse.batching.splitting.relations import NO_PLACES, Column, From, Places, Relation, held, of_relation
from warehouse.batching.syntax.shapes import NotUnderstood
from warehouse.queries.allowed_functions import AGGREGATES, ORDERED_AGGREGATES
from warehouse.queries.syntax_tree import EXPRESSION, RELATION, STATEMENT, Node, parts, walk

_AGGREGATES = AGGREGATES | ORDERED_AGGREGATES


@dataclass(frozen=True)
class Fault:
    """Why rows would differ, and the node of the syntax tree that makes them."""

    sentence: str
    node: Node


class Trace:
    """One query traced, with its sources parted by certain columns.

    Parameters
    ----------
    tables
        What it may read by name: sources, and feature groups as they were traced.
    n_places
        How many columns the shards are made by.
    """

    def __init__(self, tables: Mapping[str, Relation], n_places: int) -> None:
        self._tables, self._all = tables, frozenset(range(n_places))
        self.faults: list[Fault] = []

    def query(self, node: Node, ctes: Mapping[str, Relation] | None = None) -> Relation:
        """Trace a query; `ctes` are those around it.

        Raises
        ------
        NotUnderstood
            If it is of a kind that nothing is known of.
        """
        known = dict(ctes or {})
        for entry in (node.get("cte_map") or {}).get("map") or ():
            value = entry["value"]
            known[entry["key"].lower()] = self.query(value["query"]["node"], known).renamed(value["aliases"])
        if node["type"] == "SELECT_NODE":
            return self._select(node, known)
        if node["type"] == "SET_OPERATION_NODE":
            return self._set_operation(node, known)
        raise NotUnderstood("it is no SELECT")

    def _complain(self, sentence: str, node: Node) -> None:
        self.faults.append(Fault(sentence, node))

    def _require(self, places: Places, sentence: str, node: Node) -> None:
        if not self._all <= places:
            self._complain(sentence, node)

    # SELECT

    def _select(self, node: Node, ctes: Mapping[str, Relation]) -> Relation:
        found = self._from(node["from_table"], ctes, _needed(node))
        clauses = [*node["select_list"], *node["group_expressions"]]
        clauses += [node[name] for name in ("where_clause", "having", "qualify") if node[name] is not None]
        for modifier in node["modifiers"]:
            clauses += [child for _, sort, child in parts("modifier", modifier) if sort == EXPRESSION]
            clauses += [order["expression"] for order in modifier.get("orders") or ()]
        scope = _Scope(found, node["select_list"])
        for clause in clauses:
            self._expression(clause, scope, ctes)
        columns = tuple(scope.columns())
        result = Relation(columns, found.is_whole, found.is_open or scope.picks_columns)
        if found.is_whole:
            return result
        if _is_grouped(node, clauses):
            self._grouped(node, scope)
        self._modified(node, result, scope)
        return result

    def _grouped(self, node: Node, scope: _Scope) -> None:
        if len(node["group_sets"] or ()) > 1:
            self._complain("it groups by several sets of columns", node["group_expressions"][0])
        groups = node["group_expressions"]
        if node["aggregate_handling"] == "FORCE_AGGREGATES":
            groups = [item for item in node["select_list"] if not _aggregates(item)]
        if not groups:
            self._complain("it aggregates all rows, with no GROUP BY", node["select_list"][0])
            return
        self._require(held(map(scope.places, groups)), "its GROUP BY does not hold", groups[0])

    def _modified(self, node: Node, result: Relation, scope: _Scope | None) -> None:
        for modifier in node["modifiers"]:
            if modifier["type"].startswith("LIMIT"):
                self._complain("its LIMIT counts rows of all shards", modifier.get("limit") or node)
            if modifier["type"] == "DISTINCT_MODIFIER":
                targets = modifier["distinct_on_targets"]
                places = held(column.places for column in result.columns)
                if targets:
                    places = held(scope.places(each) for each in targets) if scope is not None else NO_PLACES
                self._require(places, "its DISTINCT does not hold", targets[0] if targets else _first(node))

    def _expression(self, node: Node, scope: _Scope, ctes: Mapping[str, Relation]) -> None:
        """See that an expression looks at no rows but those that its shard has."""
        if node["class"] == "WINDOW" and not scope.found.is_whole:
            self._require(held(map(scope.places, node["partitions"])), "its window does not hold", node)
        for _, sort, child in parts(EXPRESSION, node):
            if sort == STATEMENT:
                self._subquery(child, node, ctes)
            elif sort == EXPRESSION:
                self._expression(child, scope, ctes)
            else:
                for inner in _expressions(sort, child):
                    self._expression(inner, scope, ctes)

    def _subquery(self, statement: Node, node: Node, ctes: Mapping[str, Relation]) -> None:
        """See that a subquery in an expression reads nothing of which a shard has a part only."""
        own: set[str] = set()
        for sort, inner in walk(STATEMENT, statement):
            own |= {entry["key"].lower() for entry in (inner.get("cte_map") or {}).get("map") or ()}
            if sort == RELATION and inner["type"] == "BASE_TABLE":
                name = inner["table_name"].lower()
                if name not in own and not self._table(name, ctes).is_whole:
                    self._complain(f"its subquery reads {name}", node)

    # FROM

    def _table(self, name: str, ctes: Mapping[str, Relation]) -> Relation:
        found = ctes.get(name) or self._tables.get(name)
        if found is None:
            raise NotUnderstood(f"the table `{name}` is not known")
        return found

    def _from(self, node: Node | None, ctes: Mapping[str, Relation], equal: Equal) -> From:
        if node is None or node["type"] == "EMPTY":
            return From((), is_whole=True)
        if node["type"] == "JOIN":
            left, right = (self._from(node[side], ctes, equal) for side in ("left", "right"))
            if node["condition"] is not None:
                self._expression(node["condition"], _Scope(_together(left, right), ()), ctes)
            # What WHERE leaves out, an ASOF join has chosen before.
            by_where = equal if node["join_type"] == "INNER" and node["ref_type"] != "ASOF" else ()
            pairs = [*equalities(node["condition"]), *by_where]
            return join(node, left, right, len(self._all), pairs, self._complain)
        names = node.get("column_name_alias") or ()
        if node["type"] == "BASE_TABLE":
            name = node["table_name"]
            return of_relation(self._table(name.lower(), ctes).renamed(names), node["alias"] or name)
        if node["type"] == "SUBQUERY":
            return of_relation(self.query(node["subquery"]["node"], ctes).renamed(names), node["alias"])
        if node["type"] in ("TABLE_FUNCTION", "EXPRESSION_LIST"):
            nothing = _Scope(From((), is_whole=True), ())
            for inner in _expressions(RELATION, node):
                self._expression(inner, nothing, ctes)
            shown = Relation((), is_whole=True, is_open=True).renamed(names or node.get("expected_names") or ())
            return of_relation(shown, node["alias"])
        raise NotUnderstood(f"FROM holds a {node['type'].lower()}")

    # UNION and the like

    def _set_operation(self, node: Node, ctes: Mapping[str, Relation]) -> Relation:
        left, right = self.query(node["left"], ctes), self.query(node["right"], ctes)
        is_open = left.is_open or right.is_open
        if left.is_whole and right.is_whole:
            return Relation(tuple(Column(column.name) for column in left.columns), True, is_open)
        word = node["setop_type"].replace("_BY_NAME", "")
        if left.is_whole or right.is_whole:
            self._complain(f"one side of its {word} is read whole by every shard, and the other is not", _first(node))
        columns = _both(left, right, by_name=node["setop_type"].endswith("_BY_NAME"))
        if word != "UNION" or not node["setop_all"]:
            self._require(held(column.places for column in columns), f"its {word} does not hold", _first(node))
        result = Relation(columns, False, is_open)
        self._modified(node, result, None)
        return result


def _both(left: Relation, right: Relation, *, by_name: bool) -> tuple[Column, ...]:
    """Give the columns of two relations put below each other."""
    if by_name:
        others = {column.name: column.places for column in right.columns}
        columns = [Column(one.name, one.places & others.get(one.name, NO_PLACES)) for one in left.columns]
        known = {column.name for column in columns}
        return (*columns, *(Column(one.name) for one in right.columns if one.name not in known))
    if left.is_open or right.is_open or len(left.columns) != len(right.columns):
        return tuple(Column(column.name) for column in left.columns)
    pairs = zip(left.columns, right.columns, strict=True)
    return tuple(Column(one.name, one.places & other.places) for one, other in pairs)


class _Scope:
    """What the names in one SELECT hold."""

    def __init__(self, found: From, items: Sequence[Node]) -> None:
        self.found, self._items = found, items
        self._aliases = {str(item["alias"]).lower(): item for item in items if item["alias"]}
        #: Whether the SELECT list picks columns by a pattern, so that not all of them are known.
        self.picks_columns = any(item["class"] == "STAR" and _is_pattern(item) for item in items)

    def places(self, node: Node) -> Places:
        """Give the places that an expression holds: a column, a name of the SELECT list, or the number of one."""
        if node["class"] == "CONSTANT" and isinstance(node["value"].get("value"), int):
            place = node["value"]["value"] - 1
            return self._of_item(self._items[place]) if 0 <= place < len(self._items) else NO_PLACES
        return self._of_name(node) if node["class"] == "COLUMN_REF" else NO_PLACES

    def _of_name(self, node: Node) -> Places:
        names = [str(name).lower() for name in node["column_names"]]
        named = self._aliases.get(names[0]) if len(names) == 1 else None
        is_column = bool(self.found.find(names)) or self.found.is_open
        of_column = self.found.places(names)
        if named is None or named is node:
            return of_column
        # An alias, or a column of that name: it holds what both do.
        of_alias = self._of_item(named)
        return of_column & of_alias if is_column else of_alias

    def _of_item(self, item: Node) -> Places:
        if item["class"] != "COLUMN_REF" or any(item is not one and _same_name(item, one) for one in self._items):
            return NO_PLACES
        return self.found.places([str(name).lower() for name in item["column_names"]])

    def columns(self) -> Iterator[Column]:
        """Give the columns of the SELECT list."""
        for item in self._items:
            if item["class"] == "STAR":
                yield from self._star(item)
            elif item["class"] == "COLUMN_REF":
                name = str(item["alias"] or item["column_names"][-1]).lower()
                yield Column(name, self._of_name({**item, "alias": ""}) if not item["alias"] else self._plain(item))
            else:
                yield Column(str(item["alias"]).lower())

    def _plain(self, item: Node) -> Places:
        """Give what a column of the SELECT list under another name holds: FROM's, or an alias that came before."""
        names = [str(name).lower() for name in item["column_names"]]
        if self.found.find(names) or names[0] == str(item["alias"]).lower():
            return self.found.places(names)
        return self._of_name(item)

    def _star(self, star: Node) -> Iterator[Column]:
        if _is_pattern(star):
            return  # What it shows holds nothing that is known.
        table = str(star.get("relation_name") or "").lower()
        left_out = {str(name).lower() for name in star.get("exclude_list") or ()}
        changed = {str(entry.get("key", "")).lower() for entry in star.get("replace_list") or ()}
        if star.get("qualified_exclude_list") or star.get("rename_list"):
            changed = {item.name for item in self.found.items}
        for item in self.found.items:
            shown = item.table == table if table else not item.is_hidden
            if shown and item.name not in left_out:
                yield Column(item.name, NO_PLACES if item.name in changed else item.places)


def _is_pattern(star: Node) -> bool:
    return bool(star.get("columns")) or star.get("expr") is not None


def _same_name(item: Node, other: Node) -> bool:
    """Tell whether a column of the SELECT list bears the name of another one's alias, which it may then mean."""
    return bool(other["alias"]) and str(other["alias"]).lower() == str(item["column_names"][0]).lower()


def _together(left: From, right: From) -> From:
    return From((*left.items, *right.items), left.is_whole and right.is_whole, left.is_open or right.is_open)


def _needed(node: Node) -> Equal:
    """Give what WHERE needs to be equal, where all joins are inner ones, so that it may as well stand in their ON."""
    joins = [
        inner for sort, inner in walk(RELATION, node["from_table"]) if sort == RELATION and inner["type"] == "JOIN"
    ]
    return equalities(node["where_clause"]) if all(one["join_type"] == "INNER" for one in joins) else []


def _is_grouped(node: Node, clauses: Iterable[Node]) -> bool:
    if node["group_expressions"] or node["group_sets"] or node["having"] is not None:
        return True
    if node["aggregate_handling"] == "FORCE_AGGREGATES":
        return True
    return any(map(_aggregates, clauses))


def _aggregates(node: Node) -> bool:
    """Tell whether an expression aggregates the rows of its SELECT; a window's own function does not."""
    if node["class"] == "FUNCTION" and node["function_name"].lower() in _AGGREGATES:
        return True
    return any(_aggregates(child) for _, sort, child in parts(EXPRESSION, node) if sort == EXPRESSION)


def _expressions(sort: str, node: Node) -> Iterable[Node]:
    """Give the expressions directly inside a node that is none itself."""
    for _, inner, child in parts(sort, node):
        if inner == EXPRESSION:
            yield child
        elif inner not in (STATEMENT, "query", RELATION):
            yield from _expressions(inner, child)


def _first(node: Node) -> Node:
    """Give an expression that stands where a query begins, to say where it is."""
    while node["type"] == "SET_OPERATION_NODE":
        node = node["left"]
    return node["select_list"][0] if node["select_list"] else node
