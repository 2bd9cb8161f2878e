"""What breaks, and what changes, if a source's column goes or gets another type: told before it does.

What breaks is asked of DuckDB's binder, over the suite without the column (`binding`); what changes is read off the
graph (`graph`). Something that breaks fails to run; something that changes runs, and may give other values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.definitions import Definitions, Product
from warehouse.lineage.binding import Bound, Part, bind_suite
from warehouse.lineage.graph import Graph, Node
from warehouse.lineage.product_graph import NEXT, ModelUse
from warehouse.lineage.suite_graph import SourceColumns
from warehouse.lineage.uses import Role


@dataclass(frozen=True)
class Broken:
    """Something that would fail to run, and why."""

    kind: str
    name: str
    why: str


@dataclass(frozen=True)
class Changed:
    """A column that may have other values, or a model or check that sees them, with the roles of the column in it."""

    node: Node
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Retyped:
    """A column that would get another type."""

    node: Node
    before: str
    after: str


@dataclass
class Impact:
    """The answer for one column. `event` says what is asked: that it goes, or becomes another type."""

    column: Node
    event: str
    breaks: list[Broken] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    retyped: list[Retyped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def changes_of(graph: Graph, column: Node) -> list[Changed]:
    """Give everything that a column has an influence on, in the order in which data passes."""
    found = graph.downstream(column)
    return [Changed(node, tuple(sorted(found[node]))) for node in sorted(found, key=lambda node: node.place)]


def breaks_of(
    definitions: Definitions,
    before: Bound,
    changed: Mapping[str, SourceColumns],
    models: Mapping[str, Sequence[ModelUse]],
) -> tuple[list[Broken], list[Retyped]]:
    """Give what would fail over sources as they would be, and which columns would have another type."""
    after = bind_suite(definitions, {name: source.shown for name, source in changed.items()})
    problems = {part: why for part, why in after.problems.items() if part not in before.problems}
    broken = [Broken(kind, name, why) for (kind, name), why in problems.items()]
    for product in definitions.products.values():
        broken += _of_product(product, problems, after, models.get(product.name, ()))
    return broken, _retyped(before, after)


def _of_product(
    product: Product, problems: Mapping[Part, str], after: Bound, models: Sequence[ModelUse]
) -> list[Broken]:
    """Give what follows for a product's models and predictions."""
    name = product.name
    if why := problems.get(("page", name)):
        return [Broken("predictions", name, f"no page can be made or trained on: {why}")]
    found = []
    if why := problems.get(("label", name)):
        found.append(Broken("model", f"{name}.{NEXT}", f"no version can be trained, and outcomes are not known: {why}"))
    page = after.columns.get(("page", name))
    if page is None:
        return found
    unknown = sorted(set(product.header.model.leave_out) - page.keys())
    if unknown:
        found.append(Broken("model", f"{name}.{NEXT}", f"model.leave_out names {unknown}, which the page lacks"))
    for model in models:
        gone = sorted(set(model.features) - page.keys())
        if gone and model.version != NEXT:
            why = f"it is given {', '.join(gone)}, which the page lacks"
            found.append(Broken("model", f"{name}.{model.version}", why))
            if model.is_live:
                found.append(Broken("predictions", name, f"the live version {model.version} cannot score: {why}"))
    for check in product.checks:
        why = problems.get(("check", f"{name}.{check.name}"))
        if why:
            found.append(Broken("predictions", name, f"no page can be checked: {why}"))
    return found


def _retyped(before: Bound, after: Bound) -> list[Retyped]:
    found = []
    for (kind, owner), columns in after.columns.items():
        for column, now in columns.items():
            was = before.columns.get((kind, owner), {}).get(column)
            if was is not None and was != now:
                found.append(Retyped(Node(kind, owner, column), was, now))
    return sorted(found, key=lambda item: item.node.place)
