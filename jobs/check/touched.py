"""Lineage of a change: which columns, versions, predictions and exports depend on the files that changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from jobs.suite import Suite
from jobs.suites.lineage import suite_lineage
from warehouse.lineage.graph import Graph, Node
from warehouse.lineage.impact import changes_of
from warehouse.lineage.uses import ROWS

_KIND_OF_FOLDER = {"sources": "source", "features": "group"}
_KIND_OF_FILE = {"entities.sql": "entities", "label.sql": "label"}


def touched_by(suite: Suite, files: Iterable[str]) -> list[dict[str, Any]]:
    """Give what depends on some files of definitions: what it is, whose, and which columns, in the order of data.

    Models are versions of the product that they are named after, `next` the one that would be trained. Targets of
    exports hold what predictions are.
    """
    graph = suite_lineage(suite).graph
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for node in _nodes(graph, files):
        found[node.kind, node.owner].add(node.column)
        for change in changes_of(graph, node):
            found[change.node.kind, change.node.owner].add(change.node.column)
    order = {key: min(Node(*key, column).place for column in columns) for key, columns in found.items()}
    rows: list[dict[str, Any]] = [
        {"what": kind, "name": owner, "columns": sorted(found[kind, owner] - {ROWS})}
        for kind, owner in sorted(found, key=lambda key: order[key])
    ]
    touched = {row["name"] for row in rows if row["what"] == "predictions"}
    return rows + [
        {"what": "export", "name": f"{name}.{target}", "columns": []}
        for name, product in suite.definitions.products.items()
        if name in touched
        for target in product.header.export
    ]


def _nodes(graph: Graph, files: Iterable[str]) -> list[Node]:
    """Give the columns that some files define; product.yaml joins them and names the model: the page's columns."""
    wanted = {_thing_of(path) for path in files} - {None}
    return sorted(node for node in graph.nodes if (node.kind, node.owner) in wanted)


def _thing_of(path: str) -> tuple[str, str] | None:
    parts = PurePosixPath(path).parts
    if len(parts) < 3 or parts[0] != "sql":
        return None
    folder, name = parts[1], parts[2]
    if folder in _KIND_OF_FOLDER:
        # NAME.FORMAT.sql is one format of the source NAME.
        return _KIND_OF_FOLDER[folder], name.partition(".")[0]
    if folder != "products":
        return None
    if parts[-1] in _KIND_OF_FILE:
        return _KIND_OF_FILE[parts[-1]], name
    return ("page", name) if parts[-1] == "product.yaml" else None
