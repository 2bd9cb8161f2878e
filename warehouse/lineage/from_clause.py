"""FROM and its joins: which tables come into scope, and what decides on which of their rows meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sqlglot import exp

from warehouse.lineage.expressions import uses_of
from warehouse.lineage.files import file_reader
from warehouse.lineage.scope import Item, Scope
from warehouse.lineage.uses import NONE, CannotTrace, Relation, Uses, within


class Tracer(Protocol):
    """What traces the queries inside FROM, and keeps the files that were met."""

    observed: Mapping[str, list[str]]
    file_relations: dict[str, Relation]

    def trace(self, query: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """Trace a query that stands in FROM."""
        ...


def add_from(select: exp.Select, scope: Scope, tables: Mapping[str, Relation], tracer: Tracer) -> Uses:
    """Bring what FROM names into scope, and give what decides on the rows that it has.

    Raises
    ------
    CannotTrace
        If it holds something that is not understood, such as a PIVOT.
    """
    if select.args.get("laterals"):
        raise CannotTrace("LATERAL VIEW is not understood")
    first = select.args.get("from_")
    if first is None:
        return NONE
    return _From(scope, tables, tracer).add(first.this, select.args.get("joins") or [])


class _From:
    def __init__(self, scope: Scope, tables: Mapping[str, Relation], tracer: Tracer) -> None:
        self.scope, self.tables, self.tracer = scope, tables, tracer

    def add(self, first: exp.Expr, joins: list[exp.Join]) -> Uses:
        """Add a table with what is joined to it; give what decides on their rows."""
        rows, _ = self._item(first)
        for join in joins:
            rows |= self._join(join)
        return rows

    def _join(self, join: exp.Join) -> Uses:
        before = list(self.scope.items)
        rows, names = self._item(join.this)
        right = [item for item in self.scope.items if item not in before]
        using = [part.name for part in join.args.get("using") or ()]
        if join.method == "NATURAL":
            shown = {item.name.lower() for item in before if not item.is_hidden}
            using = [item.name for item in right if item.name.lower() in shown]
        elif join.method not in ("", "ASOF"):
            raise CannotTrace(f"a {join.method} join is not understood")
        for name in using:
            rows |= within(self._merge(name, before, right, join.side), "join")
        rows |= uses_of(join.args.get("on"), self.scope, "join")
        if join.kind in ("SEMI", "ANTI"):
            for name in names:
                self.scope.remove(name)
        return rows

    def _merge(self, name: str, left: list[Item], right: list[Item], side: str) -> Uses:
        """Make one column of the two that USING compares; give what both are made of."""
        ours = next((item for item in left if item.name.lower() == name.lower() and not item.is_hidden), None)
        theirs = next((item for item in right if item.name.lower() == name.lower()), None)
        if ours is None or theirs is None:
            raise CannotTrace(f"USING ({name}): it could not be found on both sides")
        before = ours.uses if ours.merged is None else ours.merged
        theirs.is_hidden = True
        if side in ("RIGHT", "FULL"):
            ours.merged = theirs.uses | (before if side == "FULL" else NONE)
        return before | theirs.uses

    def _item(self, item: exp.Expr) -> tuple[Uses, list[str]]:
        """Add one table, function or subquery; give what decides on its rows, and the names that it has brought."""
        if any(item.args.get(part) for part in ("pivots", "sample", "ordinality")):
            raise CannotTrace(f"`{item.sql('duckdb')[:60]}` is not understood")
        if isinstance(item, exp.Subquery) and isinstance(item.this, exp.Table) and not item.alias:
            known = set(self.scope.tables)
            rows = self.add(item.this, item.this.args.get("joins") or [])
            return rows, [name for name in self.scope.tables if name not in known]
        relation, name = self._relation(item)
        alias = item.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            relation = relation.renamed(part.name for part in alias.args["columns"])
        name = (item.alias or name).lower()
        if name in self.scope.tables:
            raise CannotTrace(f"two tables of FROM are called `{name}`")
        self.scope.add(name, relation)
        return relation.rows, [name]

    def _relation(self, item: exp.Expr) -> tuple[Relation, str]:
        if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
            found = self.tables.get(item.name.lower())
            if found is None:
                raise CannotTrace(f"the table `{item.name}` is not known")
            return found, item.name
        if isinstance(item, exp.Subquery):
            return self.tracer.trace(item.this, self.tables, self.scope), f"(subquery {len(self.scope.tables)})"
        if isinstance(item, exp.Lateral) and isinstance(item.this, exp.Subquery):
            return self.tracer.trace(item.this.this, self.tables, self.scope), f"(lateral {len(self.scope.tables)})"
        if isinstance(item, exp.Values):
            return self._values(item), "(values)"
        return self._function(item)

    def _values(self, item: exp.Values) -> Relation:
        rows = [part.expressions if isinstance(part, exp.Tuple) else [part] for part in item.expressions]
        uses = [frozenset().union(*(uses_of(cell, self.scope) for cell in cells)) for cells in zip(*rows, strict=True)]
        return Relation(tuple((f"col{place}", found) for place, found in enumerate(uses)), NONE)

    def _function(self, item: exp.Expr) -> tuple[Relation, str]:
        """Take a table function: a file reader, or one that makes rows of its arguments."""
        call = item.this if isinstance(item, (exp.Table, exp.Lateral)) else item
        reader = file_reader(call)
        if reader is not None:
            relation = reader.relation(self.tracer.observed.get(reader.files))
            self.tracer.file_relations[reader.files] = relation
            return relation, call.key
        if isinstance(call, exp.GenerateSeries):
            name = "range" if call.args.get("is_end_exclusive") else "generate_series"
        elif isinstance(call, (exp.Unnest, exp.Explode)):
            name = "unnest"
        else:
            raise CannotTrace(f"the table function `{call.sql('duckdb')[:60]}` is not understood")
        if isinstance(call, exp.Unnest) and len(call.expressions) > 1:
            raise CannotTrace(f"`{call.sql('duckdb')[:60]}` unnests several lists at once")
        arguments = [part for part in call.iter_expressions() if not isinstance(part, exp.TableAlias)]
        uses = uses_of(arguments, self.scope)
        return Relation(((name, uses),), within(uses, "join")), name
