"""How far back a product's queries look at a source: the lower bounds on `known_at` through which its facts pass.

A row of a source whose `known_at` fails a comparison in the WHERE of the SELECT that reads it cannot bear on the
result, whatever else the query does: it is dropped before rows are grouped, ranked or counted, and an outer join that
it takes part in gives a row that is dropped too. So a fact from before that bound changes no page. Only comparisons of
`known_at` with an expression of `$as_of` alone are looked at; where one reading of a source has none, its facts count
from the first on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb

from warehouse.batching.ranges.expressions import conjuncts, mentions_as_of, mentions_column
from warehouse.batching.ranges.windows import BOUND_TYPES, FLIPPED, SIDES, of_pages
from warehouse.batching.syntax.parsing import Node, Workbench
from warehouse.batching.syntax.shapes import AS_OF, KNOWN_AT, NotUnderstood
from warehouse.definitions import Definitions, Product
from warehouse.queries.checked_query import CheckedQuery

#: Joins that pair rows by a condition. An ASOF join prefers one row to another before WHERE is asked.
_PLAIN_JOINS = frozenset({"REGULAR", "CROSS", "NATURAL"})
_PAGES = "reach_pages"


@dataclass(frozen=True)
class Bound:
    """A lower bound as SQL over the column `as_of`; `is_strict`: what is known at that very instant is not read."""

    text: str
    is_strict: bool


@dataclass(frozen=True)
class Reach:
    """The lower bounds of each reading of one source: of one reading the latest counts, of all of them the earliest."""

    readings: tuple[tuple[Bound, ...], ...]
    _known: dict[datetime, datetime | None] = field(default_factory=dict, compare=False, repr=False)

    def since(self, as_of: datetime) -> datetime | None:
        """Give the instant before which no fact is read on the page `as_of`; None where that cannot be told."""
        if as_of not in self._known:
            lowers = [self._latest(bounds, as_of) for bounds in self.readings]
            told = [lower for lower in lowers if lower is not None]
            self._known[as_of] = min(told) if len(told) == len(lowers) and told else None
        return self._known[as_of]

    def _latest(self, bounds: Iterable[Bound], as_of: datetime) -> datetime | None:
        found = []
        with Workbench() as bench:
            for bound in bounds:
                page = f"(SELECT TIMESTAMP '{as_of.isoformat(sep=' ')}' AS {AS_OF})"
                try:
                    value = bench.value(f"SELECT CAST({bound.text} AS TIMESTAMP) FROM {page}")
                except duckdb.Error:
                    continue
                if isinstance(value, datetime) and datetime.min < value < datetime.max:
                    found.append(value + timedelta(microseconds=1) if bound.is_strict else value)
        return max(found, default=None)


def reach_of(definitions: Definitions, product: Product, source: str) -> Reach | None:
    """Say how far back the queries of a product's pages look at a source; None if some of them may read all of it."""
    queries = [product.entities, *(group.query for group in definitions.groups_of(product))]
    readings: list[tuple[Bound, ...]] = []
    for query in queries:
        if source not in query.tables:
            continue
        found = _readings(query, source)
        if found is None or not all(found):
            return None
        readings += found
    return Reach(tuple(readings)) if readings else None


def _readings(query: CheckedQuery, source: str) -> list[tuple[Bound, ...]] | None:
    """Give the bounds of every reading of a source in a query; None if it is read where no SELECT has it in FROM."""
    with Workbench() as bench:
        bench.create_table(_PAGES, {AS_OF: "TIMESTAMP"})
        try:
            tree = bench.statement(query.text)
        except NotUnderstood:
            return None
        nodes = list(_nodes(tree))
        if any(name == source for node in nodes for name in _cte_names(node)):
            return None
        n_read = sum(_is_reading(node, source) for node in nodes)
        readings = [
            tuple(_bounds(bench, select, arm, arms))
            for select in nodes
            if select.get("type") == "SELECT_NODE"
            for arms in [_arms(select.get("from_table")) or []]
            for arm in arms
            if _is_reading(arm, source)
        ]
    return readings if len(readings) == n_read else None


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        yield from itertools.chain.from_iterable(map(_nodes, value))


def _cte_names(node: Node) -> list[str]:
    found = node.get("cte_map")
    entries = found.get("map", []) if isinstance(found, dict) else []
    return [str(entry["key"]).lower() for entry in entries]


def _is_reading(node: Node, source: str) -> bool:
    return node.get("type") == "BASE_TABLE" and str(node.get("table_name")).lower() == source


def _arms(table: Node | None) -> list[Node] | None:
    """List what a FROM clause joins; None where it joins otherwise than by conditions."""
    if table is None:
        return []
    if table.get("type") != "JOIN":
        return [table]
    left, right = _arms(table["left"]), _arms(table["right"])
    if table.get("ref_type") not in _PLAIN_JOINS or left is None or right is None:
        return None
    return left + right


def _bounds(bench: Workbench, select: Node, arm: Node, arms: list[Node]) -> Iterator[Bound]:
    """Yield the lower bounds on the `known_at` of one table of a FROM clause in its WHERE."""
    if arm.get("column_name_alias") or select.get("where_clause") is None:
        return
    name = str(arm.get("alias") or arm["table_name"]).lower()
    if sum(str(other.get("alias") or other.get("table_name")).lower() == name for other in arms) > 1:
        return
    names = [[name, KNOWN_AT], *([[KNOWN_AT]] if len(arms) == 1 else [])]
    for part in conjuncts(select["where_clause"]):
        for edge, is_strict in _lower_edges(part, names):
            if mentions_as_of(edge) and not mentions_column(edge) and not _asks(edge):
                try:
                    text = bench.text(of_pages(edge))
                    ((_, kind),) = bench.columns(f"SELECT {text} FROM {_PAGES}")
                except NotUnderstood:
                    continue
                if kind in BOUND_TYPES:
                    yield Bound(text, is_strict)


def _asks(edge: Node) -> bool:
    return any(node.get("class") == "SUBQUERY" for node in _nodes(edge))


def _lower_edges(part: Node, names: list[list[str]]) -> Iterator[tuple[Node, bool]]:
    """Yield what a condition says that a column is not less than, and whether it has to be more."""

    def is_it(node: Mapping[str, Any]) -> bool:
        return node.get("class") == "COLUMN_REF" and [str(one).lower() for one in node["column_names"]] in names

    if part["type"] == "COMPARE_BETWEEN" and is_it(part["input"]):
        yield part["lower"], False
    elif part["class"] == "COMPARISON" and part["type"] in SIDES:
        kind, left, right = part["type"], part["left"], part["right"]
        if is_it(right):
            kind, left, right = FLIPPED[kind], right, left
        is_lower, is_moved = SIDES[kind]
        if is_it(left) and is_lower:
            yield right, is_moved
