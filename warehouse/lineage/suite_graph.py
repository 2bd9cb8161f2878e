"""A suite's graph of columns, from the files of its sources to its predictions, drawn from its definitions.

Every SQL file is traced once. What a source's header makes of the rows of its SELECT is drawn as ingestion does it;
what a product makes of its queries is left to `product_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.definitions import Definitions, Product, Source
from warehouse.definitions.product import Check
from warehouse.definitions.source import SYSTEM_COLUMNS
from warehouse.lineage.binding import Bound, header_expressions
from warehouse.lineage.files import label_of
from warehouse.lineage.graph import Graph, Node
from warehouse.lineage.product_graph import ModelUse, draw_product
from warehouse.lineage.sample_files import readers_of
from warehouse.lineage.selects import trace_expression, trace_query
from warehouse.lineage.uses import ROWS, Relation, Use, table
from warehouse.queries.checked_query import CheckedQuery


@dataclass(frozen=True)
class SourceColumns:
    """The columns of a source, with types: what its SELECT yields, and what else the lake's table still holds.

    `observed` has the columns of its files by the reader's first argument (`$files[1]`), where they were looked at.
    `selected` is empty if nothing could tell.
    """

    selected: Mapping[str, str]
    kept: Mapping[str, str] = field(default_factory=dict)
    observed: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, str]:
        """What queries can read, `known_at` left out."""
        return {**self.selected, **self.kept}


def draw_suite(
    definitions: Definitions,
    sources: Mapping[str, SourceColumns],
    bound: Bound,
    models: Mapping[str, Sequence[ModelUse]],
) -> Graph:
    """Draw the graph of a suite.

    Parameters
    ----------
    sources
        The columns of each source, by its name.
    bound
        What `bind_suite` found over these columns: the names that DuckDB gives to what queries yield.
    models
        The versions of each product, by its name.
    """
    drawing = _Drawing(definitions, bound, Graph())
    for source in definitions.sources.values():
        drawing.source(source, sources[source.name])
    for group in definitions.groups.values():
        drawing.query("group", group.name, group.query)
    for product in definitions.products.values():
        drawing.query("entities", product.name, product.entities)
        drawing.query("label", product.name, product.label)
        versions = models.get(product.name, ())
        draw_product(drawing.graph, definitions, bound, product, versions)
        for check in product.checks:
            drawing.check(product, check, [version.version for version in versions if version.is_live])
    return drawing.graph


@dataclass(frozen=True)
class _Drawing:
    definitions: Definitions
    bound: Bound
    graph: Graph

    def source(self, source: Source, columns: SourceColumns) -> None:
        """Draw a source: its SELECT over files, or that of each format, and what its header makes of the rows."""
        for part in source.parts:
            names, observed = list(columns.selected), columns.observed
            if source.entries:
                seen = observed.get(str(part.header.files))
                names, observed = [], {reader.files: seen for reader in readers_of(part)} if seen else {}
            self._source_part(part, trace_query(part.query.text, {}, names=names or None, observed=observed))
        for name in columns.kept:
            self.graph.add_node(Node("source", source.name, name))

    def _source_part(self, source: Source, found: Relation) -> None:
        header, where = source.header, source.file.where

        def node_of(use: Use) -> Node:
            if use.relation == source.name:
                return Node("source", source.name, use.column)
            return Node("file", label_of(use.relation, header), use.column)

        self._relation("source", source.name, found, where, node_of)
        rows, known_at = Node("source", source.name, ROWS), Node("source", source.name, "known_at")
        for key, text in header_expressions(source).items():
            for use in trace_expression(text, _delivery(source.name, found)):
                self.graph.add(node_of(use), rows, "filter", f"{where}: {key}", use.doubt)
                if key in ("known_at", "restated_at"):
                    self.graph.add(node_of(use), known_at, use.role, f"{where}: {key}", use.doubt)
        for key in source.key:
            self.graph.add(Node("source", source.name, key), rows, "group", f"{where}: key")

    def query(self, kind: str, owner: str, query: CheckedQuery) -> None:
        """Draw a query over sources and feature groups."""
        names = self.bound.columns.get((kind, owner))
        found = trace_query(query.text, self._tables(query), names=list(names) if names else None)
        self._relation(kind, owner, found, query.where, self._node)

    def check(self, product: Product, check: Check, live: Sequence[str]) -> None:
        """Draw a check: what it finds depends on all that it reads. A score comes straight from the live model."""
        tables = self._tables(check.query)
        if "page" in check.query.tables:
            known = self.bound.columns.get(("page", product.name))
            more = (*product.kind.columns, "model_version")
            tables["page"] = table("page", [*(known or ()), *more], is_open=known is None)
        found = trace_query(check.query.text, tables)
        target = Node("check", f"{product.name}.{check.name}", ROWS)
        for use in found.all_uses() | found.rows:
            if use.relation != "page":
                nodes = [self._node(use)]
            elif use.column in (*product.kind.columns, "model_version"):
                nodes = [Node("model", product.name, version) for version in live]
            else:
                nodes = [Node("page", product.name, use.column)]
            for node in nodes:
                self.graph.add(node, target, use.role, check.query.where, use.doubt)

    def _tables(self, query: CheckedQuery) -> dict[str, Relation]:
        """Give the sources and feature groups that a query reads. One that does not bind is open: it may have any."""
        tables = {}
        for name in query.tables & (self.definitions.sources.keys() | self.definitions.groups.keys()):
            part = ("source" if name in self.definitions.sources else "group", name)
            columns = self.bound.columns.get(part)
            tables[name] = table(name, columns or (), is_open=columns is None)
        return tables

    def _node(self, use: Use) -> Node:
        return Node("source" if use.relation in self.definitions.sources else "group", use.relation, use.column)

    def _relation(self, kind: str, owner: str, found: Relation, where: str, node_of: Callable[[Use], Node]) -> None:
        rows = Node(kind, owner, ROWS)
        self.graph.add_node(rows)
        for use in found.rows:
            self.graph.add(node_of(use), rows, use.role, where, use.doubt)
        for name, uses in found.columns:
            column = Node(kind, owner, name)
            self.graph.add_node(column)
            for use in uses:
                self.graph.add(node_of(use), column, use.role, where, use.doubt)


def _delivery(name: str, found: Relation) -> Relation:
    """Give what a source's header sees: the SELECT's columns, with the helpers that the lake does not keep."""
    helpers = tuple((column, uses) for column, uses in found.columns if column in SYSTEM_COLUMNS)
    own = table(name, [column for column in found.names if column not in SYSTEM_COLUMNS])
    return Relation(own.columns + helpers, own.rows, name if found.open_name else None)
