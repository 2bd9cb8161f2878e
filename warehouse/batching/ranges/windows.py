"""Which stretch of `known_at` each page reads, told by the bounds in WHERE and FILTER.

A bound compares `known_at` with an expression of `$as_of` alone. TIMESTAMP counts microseconds, so every
bound becomes one side of a half-open stretch [lower, upper): `known_at <= x` is `known_at < x + 1
microsecond`. The expressions themselves are left to DuckDB, which evaluates them once per page. A window is a
set of lower and a set of upper bounds: the greatest lower and the least upper count, and a NULL among them
lets no row through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from warehouse.batching.ranges.expressions import mentions_as_of, mentions_column
from warehouse.batching.syntax.parsing import Node, column, rebuilt, signature
from warehouse.batching.syntax.shapes import AS_OF, KNOWN_AT, NotUnderstood

# Comparison seen from known_at: whether it is a lower bound, and whether the edge moves by a microsecond.
SIDES = {
    "COMPARE_GREATERTHANOREQUALTO": (True, False),
    "COMPARE_GREATERTHAN": (True, True),
    "COMPARE_LESSTHAN": (False, False),
    "COMPARE_LESSTHANOREQUALTO": (False, True),
}
FLIPPED = {
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
}
BOUND_TYPES = frozenset({"TIMESTAMP", "DATE", "TIMESTAMP WITH TIME ZONE"})
# The earliest TIMESTAMP that is not infinite: one step above '-infinity'.
AFTER_NEGATIVE_INFINITY = "make_timestamp(-9223372022400000000)"


@dataclass(frozen=True)
class Bound:
    """One edge: a column of `range_bounds`, moved up by a microsecond where the comparison asks for it."""

    source: int
    is_moved: bool

    @property
    def sql(self) -> str:
        """Give the edge as a TIMESTAMP over the columns of `range_bounds`."""
        name = f"bound_{self.source}"
        if not self.is_moved:
            return name
        moved = f"{name} + INTERVAL 1 MICROSECOND"
        return f"CASE WHEN {name} = '-infinity' THEN {AFTER_NEGATIVE_INFINITY} ELSE {moved} END"


@dataclass(frozen=True)
class Window:
    """The facts with `known_at` at or above every lower bound and below every upper one."""

    lowers: frozenset[Bound]
    uppers: frozenset[Bound]

    def within(self, other: Window) -> Window:
        """Return what both windows let through."""
        return Window(self.lowers | other.lowers, self.uppers | other.uppers)

    @property
    def upper_sql(self) -> str:
        """Give the upper edge: the least of the bounds, which passes NULLs by."""
        return f"coalesce({_extreme('least', self.uppers)}, TIMESTAMP '-infinity')"

    @property
    def lower_sql(self) -> str:
        """Give the lower edge, never above the upper one; equal to it where a NULL lets nothing through."""
        lower = _extreme("greatest", self.lowers) if self.lowers else "TIMESTAMP '-infinity'"
        sources = sorted({bound.source for bound in self.lowers | self.uppers})
        missing = " OR ".join(f"bound_{source} IS NULL" for source in sources)
        return f"CASE WHEN {missing} THEN {self.upper_sql} ELSE least({lower}, {self.upper_sql}) END"


@dataclass
class BoundBook:
    """The distinct expressions of `$as_of` that bound some window; the first is where arrivals end.

    Parameters
    ----------
    type_of
        Gives the DuckDB type of an expression of `$as_of` alone (in which it is a TIMESTAMP).
    text
        Prints an expression.
    """

    type_of: Callable[[str], str]
    text: Callable[[Node], str]
    expressions: list[str] = field(default_factory=list)

    def arrivals(self, arrives_within: timedelta) -> Window:
        """Return the window of all facts that a page can see."""
        late = arrives_within // timedelta(microseconds=1)
        return Window(frozenset(), frozenset({self._bound(f"as_of - to_microseconds({late})", False)}))

    def read(self, condition: Node) -> Window:
        """Read a condition that mentions `$as_of` as a window, or refuse it."""
        if condition["type"] == "COMPARE_BETWEEN" and _is_known_at(condition["input"]):
            return Window(
                frozenset({self._edge(condition["lower"], False)}),
                frozenset({self._edge(condition["upper"], True)}),
            )
        if condition["class"] == "COMPARISON" and condition["type"] in SIDES:
            kind, left, right = condition["type"], condition["left"], condition["right"]
            if _is_known_at(right):
                kind, left, right = FLIPPED[kind], right, left
            if _is_known_at(left):
                is_lower, is_moved = SIDES[kind]
                edge = frozenset({self._edge(right, is_moved)})
                return Window(edge, frozenset()) if is_lower else Window(frozenset(), edge)
        raise NotUnderstood(f"{self.text(condition)} uses $as_of, but is no bound on known_at")

    def _edge(self, node: Node, is_moved: bool) -> Bound:
        if mentions_column(node):
            raise NotUnderstood(f"known_at is compared with {self.text(node)}, which is not of $as_of alone")
        text = self.text(of_pages(node))
        kind = self.type_of(text)
        if kind not in BOUND_TYPES:
            raise NotUnderstood(f"known_at is compared with {self.text(node)}, which is of type {kind}")
        return self._bound(text if kind == "TIMESTAMP" else f"CAST({text} AS TIMESTAMP)", is_moved)

    def _bound(self, expression: str, is_moved: bool) -> Bound:
        if expression not in self.expressions:
            self.expressions.append(expression)
        return Bound(self.expressions.index(expression), is_moved)


def of_pages(node: Node) -> Node:
    """Copy an expression with `$as_of` read from the column `as_of` of the pages."""
    return column(AS_OF) if node["class"] == "PARAMETER" else rebuilt(node, of_pages)


def split(parts: list[Node], book: BoundBook) -> tuple[Window, list[Node]]:
    """Part a conjunction into the window that it bounds and the conditions free of `$as_of`."""
    window, free = Window(frozenset(), frozenset()), []
    for part in parts:
        if mentions_as_of(part):
            window = window.within(book.read(part))
        else:
            free.append(part)
    return window, free


def _is_known_at(node: Node) -> bool:
    return signature(node) == signature(column(KNOWN_AT))


def _extreme(function: str, bounds: frozenset[Bound]) -> str:
    edges = [bound.sql for bound in sorted(bounds, key=lambda bound: (bound.source, bound.is_moved))]
    return edges[0] if len(edges) == 1 else f"{function}({', '.join(edges)})"
