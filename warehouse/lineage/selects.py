"""What each column of a query is made of, and what decides on its rows, down to the tables that it reads.

CTEs, subqueries and set operations are followed to their ends, so that what comes out speaks of the query's tables
alone. Nothing is guessed: what is not understood raises `CannotTrace`, and `trace_query` then takes every column
to depend on everything that the query reads, marked with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp

from warehouse.lineage.expressions import is_aggregate, uses_of
from warehouse.lineage.from_clause import add_from
from warehouse.lineage.scope import Scope
from warehouse.lineage.stars import star_columns
from warehouse.lineage.uses import NONE, CannotTrace, Relation, Role, Uses, not_traced, within

Columns = tuple[tuple[str, Uses], ...]


def trace_query(
    text: str,
    tables: Mapping[str, Relation],
    *,
    names: Sequence[str] | None = None,
    observed: Mapping[str, list[str]] | None = None,
) -> Relation:
    """Trace a checked query.

    Parameters
    ----------
    text
        One SELECT in DuckDB's dialect, as `warehouse.queries.checked_query` lets through.
    tables
        What it may read, by name.
    names
        The names of its columns as DuckDB gives them; what is traced must agree with them.
    observed
        The columns of files, by the reader's first argument (`$files[1]`), where they were looked at.

    Returns
    -------
    Its columns, in order. Where something could not be traced, each depends on all that the query reads, and the
    uses bear the reason as their `doubt`.
    """
    query = sqlglot.parse_one(text, read="duckdb")
    tracer = _Tracer({name.lower(): relation for name, relation in tables.items()}, observed or {})
    try:
        found = tracer.trace(query, {}, None)
        return _agreed(found, names)
    except CannotTrace as why:
        read = {name: relation for name, relation in tracer.tables.items() if name in _tables_named(query)}
        return not_traced(read | tracer.file_relations, names or ["(every column)"], str(why))


def trace_expression(text: str, relation: Relation) -> Uses:
    """Trace one expression of a source's header over the columns of its SELECT."""
    scope = Scope(_no_subqueries)
    scope.add("delivery", relation)
    try:
        return uses_of(sqlglot.parse_one(text, read="duckdb"), scope)
    except CannotTrace as why:
        doubtful = not_traced({"delivery": relation}, ["expression"], str(why))
        return doubtful.columns[0][1]


def _no_subqueries(node: exp.Expr, _: Scope) -> Relation:
    raise CannotTrace(f"`{node.sql('duckdb')}` is a query inside an expression of a header")


def _tables_named(query: exp.Expr) -> set[str]:
    return {table.name.lower() for table in query.find_all(exp.Table)}


def _agreed(found: Relation, names: Sequence[str] | None) -> Relation:
    """Give the columns the names that DuckDB gives them; if there are others, something was misunderstood."""
    if names is None:
        return found
    if len(names) != len(found.columns):
        raise CannotTrace(f"DuckDB sees {len(names)} columns where {len(found.columns)} were traced")
    return Relation(tuple(zip(names, (uses for _, uses in found.columns), strict=True)), found.rows, found.open_name)


class _Tracer:
    """One query being traced. `file_relations` are the files that its readers have met so far."""

    def __init__(self, tables: dict[str, Relation], observed: Mapping[str, list[str]]) -> None:
        self.tables, self.observed = tables, observed
        self.file_relations: dict[str, Relation] = {}

    def trace(self, query: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """Trace a query of any kind; `ctes` are those in scope, `outer` the scope around it."""
        ctes = self._with(query, ctes, outer)
        if isinstance(query, exp.Subquery):
            return self._ordered(query, self.trace(query.this, ctes, outer), ctes, outer)
        if isinstance(query, exp.SetOperation):
            return self._ordered(query, self._set_operation(query, ctes, outer), ctes, outer)
        if isinstance(query, exp.Select):
            return self._select(query, ctes, outer)
        raise CannotTrace(f"`{query.sql('duckdb')[:60]}` is no SELECT that is understood")

    def _with(self, query: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None) -> Mapping[str, Relation]:
        found = dict(ctes)
        for cte in query.ctes if isinstance(query, exp.Query) else ():
            relation = self.trace(cte.this, found, outer)
            found[cte.alias.lower()] = relation.renamed(cte.alias_column_names)
        return found

    def _scope(self, ctes: Mapping[str, Relation], outer: Scope | None) -> Scope:
        return Scope(lambda query, scope: self.trace(query, ctes, scope), outer)

    def _set_operation(self, query: exp.SetOperation, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        left, right = self.trace(query.left, ctes, outer), self.trace(query.right, ctes, outer)
        if left.open_name or right.open_name:
            raise CannotTrace(f"not all columns of {left.open_name or right.open_name} are known, and it is combined")
        both = isinstance(query, exp.Union)
        if query.args.get("by_name"):
            columns = _by_name(left, right)
        elif len(left.columns) != len(right.columns):
            raise CannotTrace("the two sides of a set operation have different numbers of columns")
        else:
            columns = tuple(
                (name, uses | other if both else uses)
                for (name, uses), (_, other) in zip(left.columns, right.columns, strict=True)
            )
        rows = left.rows | right.rows
        if not both or query.args.get("distinct"):
            rows |= within(left.all_uses() | right.all_uses(), "group")
        return Relation(columns, rows)

    def _ordered(self, query: exp.Expr, found: Relation, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """Add what ORDER BY and LIMIT after a set operation or in brackets read."""
        scope = self._scope(ctes, outer)
        scope.add("", found)
        rows = found.rows | self._order_and_limit(query, scope, found.columns)
        return Relation(found.columns, rows, found.open_name)

    def _order_and_limit(self, query: exp.Expr, scope: Scope, columns: Columns) -> Uses:
        order = query.args.get("order")
        uses = NONE
        for part in order.expressions if order else ():
            if isinstance(part.this, exp.Var) and part.this.name.upper() == "ALL":
                uses |= within(frozenset().union(*(found for _, found in columns)), "order")
            else:
                uses |= _by_place(part.this, columns, scope.with_aliases(), "order")
        limits = [query.args.get("limit"), query.args.get("offset")]
        return uses | uses_of(limits, scope, "filter")

    def _select(self, select: exp.Select, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        scope = self._scope(ctes, outer)
        rows = add_from(select, scope, {**self.tables, **ctes}, self)
        scope.windows = {window.name.lower(): window for window in select.args.get("windows") or ()}
        columns, of_expansions = self._projections(select, scope)
        open_name = _open_star(select, scope)
        for clause, role in (("where", "filter"), ("having", "filter"), ("qualify", "filter")):
            node = select.args.get(clause)
            rows |= uses_of(node.this if node else None, scope if clause == "where" else scope.with_aliases(), role)  # type: ignore[arg-type]
        rows |= of_expansions | self._group(select, scope, columns) | _distinct(select, scope, columns)
        return Relation(columns, rows | self._order_and_limit(select, scope, columns), open_name)

    def _projections(self, select: exp.Select, scope: Scope) -> tuple[Columns, Uses]:
        """Trace the SELECT list; an alias can be used by what follows it. Also: what multiplies rows in it."""
        columns: list[tuple[str, Uses]] = []
        expansions = NONE
        for node in select.expressions:
            starred = star_columns(node, scope)
            if starred is not None:
                columns += starred
                continue
            if isinstance(node, (exp.Aliases, exp.Columns)):
                raise CannotTrace(f"`{node.sql('duckdb')}` stands for several columns")
            uses = uses_of(node.unalias(), scope)
            columns.append((_name_of(node), uses))
            if isinstance(node, exp.Alias):
                scope.aliases.setdefault(node.alias.lower(), uses)
            for call in node.find_all(exp.Explode, exp.Unnest):
                expansions |= uses_of(call, scope, "join")
        return tuple(columns), expansions

    def _group(self, select: exp.Select, scope: Scope, columns: Columns) -> Uses:
        group = select.args.get("group")
        if group is None:
            return NONE
        if group.args.get("all"):
            plain = [node for node in select.expressions if not is_aggregate(node)]
            if any(star_columns(node, scope) is not None for node in plain):
                return within(frozenset().union(*(uses for _, uses in columns)), "group")
            return uses_of([node.unalias() for node in plain], scope, "group")
        uses = NONE
        for node in group.iter_expressions():
            uses |= _by_place(node, columns, scope, "group")
        return uses


def _open_star(select: exp.Select, scope: Scope) -> str | None:
    """Tell whether `*` lets columns through that are not known, and of which table."""
    names = [relation.open_name for relation in scope.tables.values() if relation.open_name]
    has_star = any(isinstance(node, exp.Star) or node.is_star for node in select.expressions)
    if has_star and len(names) > 1:
        raise CannotTrace(f"`*` shows columns of {' and '.join(names)}, of which not all are known")
    return names[0] if has_star and names else None


def _by_name(left: Relation, right: Relation) -> Columns:
    found: dict[str, tuple[str, Uses]] = {}
    for name, uses in (*left.columns, *right.columns):
        shown, before = found.get(name.lower(), (name, NONE))
        found[name.lower()] = (shown, before | uses)
    return tuple(found.values())


def _by_place(node: exp.Expr, columns: Columns, scope: Scope, role: Role) -> Uses:
    """Trace a part of GROUP BY or ORDER BY, where a number means a column of the SELECT list."""
    if isinstance(node, exp.Literal) and node.is_int:
        place = int(node.name)
        if not 0 < place <= len(columns):
            raise CannotTrace(f"there is no column {place} to group or order by")
        return within(columns[place - 1][1], role)
    return uses_of(node, scope, role)


def _distinct(select: exp.Select, scope: Scope, columns: Columns) -> Uses:
    distinct = select.args.get("distinct")
    if distinct is None:
        return NONE
    if distinct.args.get("on"):
        return uses_of(distinct.args["on"], scope.with_aliases(), "group")
    return within(frozenset().union(*(uses for _, uses in columns)), "group")


def _name_of(node: exp.Expr) -> str:
    if isinstance(node, exp.Dot):
        return str(node.expression.name)
    return node.alias_or_name if isinstance(node, (exp.Alias, exp.Column)) else node.sql("duckdb")
