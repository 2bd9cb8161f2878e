"""What an expression is made of: every column in it, each with its role.

Only a few kinds of expression treat their parts differently: FILTER, window frames, ORDER BY inside an aggregate,
lambdas, subqueries. All others pass on the role that they stand in themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

from sqlglot import exp

from warehouse.lineage.scope import Scope
from warehouse.lineage.uses import NONE, CannotTrace, Role, Uses, seen_through, within
from warehouse.queries.allowed_functions import AGGREGATES, ORDERED_AGGREGATES

_AGGREGATES = AGGREGATES | ORDERED_AGGREGATES
#: Whether what is worked out of values, such as their number, is told apart from what is one of them.
_ONLY_KEPT: ContextVar[bool] = ContextVar("almanac_only_kept_values", default=False)
#: What gives no value that it was given: a count, a sum, arithmetic, a comparison, a length, a span of time.
_WORKED_OUT = (
    *(exp.Count, exp.CountIf, exp.ApproxDistinct, exp.Sum, exp.Avg, exp.Stddev, exp.Variance, exp.RowNumber),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Predicate, exp.Connector, exp.Not),
    *(exp.Length, exp.DateDiff, exp.Extract),
)


@contextlib.contextmanager
def only_kept_values() -> Iterator[None]:
    """Have a column depend as a `value` only on those whose very values it may have: not on what it counts or adds up.

    So a column that names somebody is told from one that happens to have the same number.
    """
    before = _ONLY_KEPT.set(True)
    try:
        yield
    finally:
        _ONLY_KEPT.reset(before)


def uses_of(node: object, scope: Scope, role: Role = "value", bound: frozenset[str] = frozenset()) -> Uses:
    """Give the columns that an expression is made of.

    Parameters
    ----------
    node
        A sqlglot expression, a list of them, or None.
    scope
        What its names refer to.
    role
        The role in which the expression itself stands.
    bound
        Names that a lambda around it has bound; they are no columns.

    Raises
    ------
    CannotTrace
        If it holds a name that is not found, or a construct that stands for columns unknown here.
    """
    if isinstance(node, (list, tuple)):
        return _union(uses_of(part, scope, role, bound) for part in node)
    if not isinstance(node, exp.Expr) or isinstance(node, exp.DataType):
        return NONE
    for kind, visit in _VISITORS:
        if isinstance(node, kind):
            return visit(node, scope, role, bound)
    return _union(uses_of(part, scope, role, bound) for part in node.iter_expressions())


def is_aggregate(node: exp.Expr) -> bool:
    """Tell whether an expression of the SELECT list aggregates: GROUP BY ALL groups by those that do not."""
    for part in node.walk(prune=lambda inner: isinstance(inner, (exp.Window, exp.Query))):
        if isinstance(part, exp.AggFunc) and not isinstance(part.parent, exp.Window):
            return True
        if isinstance(part, exp.Anonymous) and part.name.lower() in _AGGREGATES:
            return not isinstance(part.parent, exp.Window)
    return False


def _union(parts: Iterable[Uses]) -> Uses:
    return frozenset().union(*parts)


def _column(node: exp.Column, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    parts = [part.name for part in node.parts]
    if parts[0].lower() in bound:
        return NONE
    if isinstance(node.this, exp.Star):
        if scope.of_table(parts[0]) is None:
            raise CannotTrace(f"`{node.sql('duckdb')}` stands for columns that are not known here")
        return within(scope.whole_row(parts[0]), role)
    return within(scope.look_up(parts), role)


def _subquery(node: exp.Expr, scope: Scope, role: Role, _: frozenset[str]) -> Uses:
    relation = scope.nested(node, scope)
    return within(relation.all_uses() | relation.rows, role)


def _exists(node: exp.Exists, scope: Scope, role: Role, _: frozenset[str]) -> Uses:
    return within(scope.nested(node.this, scope).rows, role)


def _filter(node: exp.Filter, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    condition = uses_of(node.expression.this, scope, seen_through(role, "filter"), bound)
    return uses_of(node.this, scope, role, bound) | condition


def _window(node: exp.Window, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    named = scope.windows.get(node.alias.lower()) if node.alias else None
    if node.alias and named is None:
        raise CannotTrace(f"the window `{node.alias}` could not be found")
    spec = node.args.get("spec")
    bounds = [spec.args.get("start"), spec.args.get("end")] if spec else []
    return (
        uses_of(None if isinstance(node.this, exp.Identifier) else node.this, scope, role, bound)
        | uses_of(node.args.get("partition_by"), scope, seen_through(role, "group"), bound)
        | uses_of(node.args.get("order"), scope, role, bound)
        | uses_of(bounds, scope, seen_through(role, "order"), bound)
        | (_window(named, scope, role, bound) if named else NONE)
    )


def _order(node: exp.Order, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    order = uses_of(node.expressions, scope, seen_through(role, "order"), bound)
    return uses_of(node.this, scope, role, bound) | order


def _within_group(node: exp.WithinGroup, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    # percentile_cont(0.5) WITHIN GROUP (ORDER BY x): x is what it takes the value from.
    return uses_of([node.this, *node.expression.expressions], scope, role, bound)


def _lambda(node: exp.Lambda, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    return uses_of(node.this, scope, role, bound | {name.name.lower() for name in node.expressions})


def _comprehension(node: exp.Comprehension, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    inner = bound | {part.name.lower() for part in (node.expression, node.args.get("position")) if part}
    parts = uses_of([node.this, node.args.get("condition")], scope, role, inner)
    return uses_of(node.args["iterator"], scope, role, bound) | parts


def _named_value(node: exp.PropertyEQ, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    return uses_of(node.expression, scope, role, bound)


def _star(node: exp.Star, *_: object) -> Uses:
    if isinstance(node.parent, exp.Count):
        return NONE
    raise CannotTrace(f"`{(node.parent or node).sql('duckdb')}` picks columns by a pattern or an expression")


def _worked_out(node: exp.Expr, scope: Scope, role: Role, bound: frozenset[str]) -> Uses:
    inner: Role = "rows" if role == "value" and _ONLY_KEPT.get() else role
    return _union(uses_of(part, scope, inner, bound) for part in node.iter_expressions())


def _refuse(node: exp.Expr, *_: object) -> Uses:
    raise CannotTrace(f"`{node.sql('duckdb')}` is not understood")


_Visitor = Callable[..., Uses]
#: The kinds of expression that are more than their parts; the first that fits is taken.
_VISITORS: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], _Visitor], ...] = (
    (exp.Column, _column),
    (exp.Exists, _exists),
    (exp.Query, _subquery),
    (exp.Filter, _filter),
    (exp.Window, _window),
    (exp.WithinGroup, _within_group),
    (exp.Order, _order),
    (exp.Lambda, _lambda),
    (exp.Comprehension, _comprehension),
    ((exp.PropertyEQ, exp.Kwarg), _named_value),
    (exp.Star, _star),
    ((exp.Columns, exp.Table, exp.Pivot), _refuse),
    (_WORKED_OUT, _worked_out),
)
