"""Lineage: from files to predictions, thing by thing, and what a source's column has an influence on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from jobs.suites.lineage import SuiteLineage, suite_lineage
from jobs.web.parts import paths
from jobs.web.parts.cells import Cell, Table
from jobs.web.parts.document import Document, Section
from jobs.web.parts.seen import Seen
from jobs.web.parts.strips import Box, ways_of
from warehouse.errors import NotFoundError
from warehouse.lineage.graph import KINDS, TITLES, Node
from warehouse.lineage.impact import changes_of

Thing = tuple[str, str]
#: What is drawn; checks, entities and labels stand in the tables.
_DRAWN = ("file", "source", "group", "page", "model", "predictions")


def lineage(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show the suite's graph of things, and the columns of its sources."""
    drawn = _of(seen)
    things = sorted({(node.kind, node.owner) for node in drawn.graph.nodes}, key=lambda t: (KINDS.index(t[0]), t[1]))
    # Views of predictions, such as PRODUCT_current, have the name of no product.
    products = seen.suite.definitions.products
    shown = [(kind, owner) for kind, owner in things if kind in _DRAWN and (kind != "predictions" or owner in products)]
    boxes = [Box(_title(kind, owner), _DRAWN.index(kind), _link(seen, kind, owner)) for kind, owner in shown]
    places = {thing: place for place, thing in enumerate(shown)}
    ways = sorted(
        {
            (places[source], places[target])
            for edge in drawn.graph.edges()
            for source, target in [((edge.source.kind, edge.source.owner), (edge.target.kind, edge.target.owner))]
            if source != target and source in places and target in places
        }
    )
    picture = ways_of("From files to predictions", boxes, ways) if boxes else ""
    sections = [Section("Graph", pictures=[picture] if picture else [], commands=["almanac lineage --mermaid"])]
    sections += [_columns(drawn, kind, owner) for kind, owner in things if kind == "source"]
    if drawn.doubts:
        sections.append(Section("Not certain", drawn.doubts))
    return Document(paths.LINEAGE, "Lineage", sections)


def _of(seen: Seen) -> SuiteLineage:
    """Draw the suite's graph, once for each state of its files and the lake."""
    return seen.remembered("lineage", lambda: suite_lineage(seen.suite))


def _title(kind: str, owner: str) -> str:
    # Of a path the end tells more than the beginning.
    return f"{TITLES[kind]} {owner.rpartition('/')[2] if kind == 'file' else owner}"


def _link(seen: Seen, kind: str, owner: str) -> str | None:
    """Give where a thing leads to, from the page of the lineage, which lies at the root of the site."""
    if kind == "source" and owner in seen.suite.definitions.sources:
        return paths.of_source(owner)
    if kind in ("page", "predictions") and owner in seen.suite.definitions.products:
        return paths.of_product(owner)
    return None


def _columns(drawn: SuiteLineage, kind: str, owner: str) -> Section:
    rows = []
    for node in drawn.graph.columns(kind, owner):
        reached = drawn.graph.downstream(node)
        products = sorted({other.owner for other in reached if other.kind == "page"})
        groups = sorted({other.owner for other in reached if other.kind == "group"})
        rows.append(
            [
                Cell(node.column, link=paths.of_traced(owner, node.column)),
                Cell(", ".join(groups)),
                Cell(", ".join(products)),
            ]
        )
    heads = ["column", "feature groups that depend on it", "products that depend on it"]
    return Section(f"Columns of {owner}", table=Table(heads, rows), commands=["almanac lineage --json"])


def traced(seen: Seen, names: Mapping[str, str]) -> Document:
    """Show what a source's column has an influence on."""
    drawn = _of(seen)
    node = _node(drawn, names["source"], names["column"])
    changes = changes_of(drawn.graph, node)
    rows = [
        [Cell(f"{TITLES[each.node.kind]} {each.node.owner}"), Cell(each.node.column), Cell(", ".join(each.roles))]
        for each in changes
    ]
    made = [
        [Cell(f"{TITLES[edge.source.kind]} {edge.source.owner}"), Cell(edge.source.column), Cell(edge.role)]
        for edge in drawn.graph.into(node)
    ]
    heads = ["thing", "column", "roles"]
    asked = [f"almanac impact {shlex.quote(f'{node.owner}.{node.column}')}"]
    sections = [
        Section("What may change with it", table=Table(heads, rows), nothing="Nothing uses it.", commands=asked),
        Section("What it is made of", table=Table(heads, made), nothing="That could not be told."),
    ]
    path = paths.of_traced(node.owner, node.column)
    return Document(path, f"{node.owner}.{node.column}", sections, [("Lineage", paths.LINEAGE)])


def _node(drawn: SuiteLineage, source: str, column: str) -> Node:
    for node in drawn.graph.nodes:
        if node.kind == "source" and paths.slug(node.owner) == source and paths.slug(node.column) == column:
            return node
    raise NotFoundError(f"no source has a column of the path {source}/{column}.")
