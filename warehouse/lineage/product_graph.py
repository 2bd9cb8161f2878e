"""What a product makes of its queries: the page that groups are joined to, checks, models, predictions and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from warehouse.batching.page_columns import joined_on
from warehouse.definitions import Definitions, Product
from warehouse.lake.registry import FALLBACK, views_of_products
from warehouse.lineage.binding import Bound
from warehouse.lineage.graph import Graph, Node
from warehouse.lineage.uses import ROWS, Role

#: How the version is called that would be trained next.
NEXT = "next"


@dataclass(frozen=True)
class ModelUse:
    """A model version, or the one that would be trained next, and the feature columns that it is given.

    `learns` is false of a rule in SQL, which no label has a part in.
    """

    version: str
    features: Sequence[str]
    is_live: bool = False
    learns: bool = True


def draw_product(
    graph: Graph, definitions: Definitions, bound: Bound, product: Product, models: Sequence[ModelUse]
) -> None:
    """Draw what lies between a product's queries and what applications read."""
    _Product(graph, definitions, bound, product, models).draw()


@dataclass(frozen=True)
class _Product:
    graph: Graph
    definitions: Definitions
    bound: Bound
    product: Product
    models: Sequence[ModelUse]

    def draw(self) -> None:
        """Draw the page, the models, and the predictions with their views."""
        if self.product.name in self.bound.page_columns:
            self._page()
        for model in self.models:
            self._model(model)
        self._predictions()
        for view in views_of_products():
            if view == FALLBACK and self.product.header.fallback is None:
                continue
            self._view(view)

    def _node(self, kind: str, column: str) -> Node:
        return Node(kind, self.product.name, column)

    def _add(self, source: Node, target: Node, role: Role, where: str | None = None) -> None:
        self.graph.add(source, target, role, where or self.product.yaml_where)

    def _page(self) -> None:
        product, where = self.product, self.product.entities.where
        rows = self._node("page", ROWS)
        self._add(self._node("entities", ROWS), rows, "rows", where)
        for key in product.keys:
            self._add(self._node("entities", key), self._node("page", key), "value", where)
        for column in self.bound.page_columns[product.name]:
            target = self._node("page", column.name)
            if column.use is None:
                self._add(self._node("entities", column.column), target, "value", where)
                continue
            use = product.header.features[column.use]
            self._add(Node("group", use.group, column.column), target, "value")
            self._add(Node("group", use.group, ROWS), target, "rows")
            for key, on in joined_on(self.definitions, use).items():
                self._add(Node("group", use.group, key), target, "join")
                self._add(self._node("entities", on), target, "join")
        valid_until = self._node("page", "valid_until")
        self.graph.add_node(valid_until)
        if product.header.valid_until:
            self._add(self._node("page", product.header.valid_until), valid_until, "value")

    def _model(self, model: ModelUse) -> None:
        target = self._node("model", model.version)
        for name in model.features:
            self._add(self._node("page", name), target, "value")
        if not model.learns:
            return
        for key in self.product.keys:
            for kind in ("page", "label"):
                self._add(self._node(kind, key), target, "join")
        self._add(self._node("page", ROWS), target, "rows")
        self._add(self._node("label", ROWS), target, "rows")
        self._add(self._node("label", "label"), target, "value")

    def _predictions(self) -> None:
        rows = self._node("predictions", ROWS)
        scores = [self._node("predictions", name) for name in self.product.kind.columns]
        self._add(self._node("page", ROWS), rows, "rows")
        for name in (*self.product.keys, "valid_until"):
            self._add(self._node("page", name), self._node("predictions", name), "value")
        for model in self.models:
            for score in scores if model.is_live else ():
                self._add(self._node("model", model.version), score, "value")
                for name in model.features:
                    self._add(self._node("page", name), score, "value")
        for check in self.product.checks:
            if check.header.severity == "error":
                found = Node("check", f"{self.product.name}.{check.name}", ROWS)
                self._add(found, rows, "filter", check.query.where)

    def _view(self, view: str) -> None:
        owner = f"{self.product.name}_{view}"
        where = f"the view predictions.{owner}"
        rows = Node("predictions", owner, ROWS)
        self._add(self._node("predictions", ROWS), rows, "rows", where)
        if view == FALLBACK:
            self._fallback(owner, where, rows)
            return
        names = [*self.product.keys, "valid_until", *self.product.kind.columns]
        for name in names:
            self._add(self._node("predictions", name), Node("predictions", owner, name), "value", where)
        if view == "current":
            self._add(self._node("predictions", "valid_until"), rows, "filter", where)
            for key in self.product.keys:
                self._add(self._node("predictions", key), rows, "group", where)
        if view == "outcomes":
            self._add(self._node("label", "label"), Node("predictions", owner, "label"), "value", where)
            self._add(self._node("label", ROWS), rows, "rows", where)
            for key in self.product.keys:
                self._add(self._node("predictions", key), rows, "join", where)
                self._add(self._node("label", key), rows, "join", where)

    def _fallback(self, owner: str, where: str, rows: Node) -> None:
        """Draw what the view on entities that no page has is made of."""
        settings = self.product.header.fallback
        for name in settings.columns if settings else ():
            is_key = name in self.product.keys
            source = self._node("predictions" if is_key else "page", name)
            self._add(source, Node("predictions", owner, name), "value", where)
            self._add(source, rows, "group", where)
        of_labels = settings is not None and settings.of == "labels"
        if of_labels:
            self._add(self._node("label", ROWS), rows, "rows", where)
        for name in ("valid_until", *self.product.kind.columns):
            source = (
                self._node("label", "label") if of_labels and name != "valid_until" else self._node("predictions", name)
            )
            self._add(source, Node("predictions", owner, name), "value", where)
