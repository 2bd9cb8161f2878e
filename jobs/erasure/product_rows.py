"""Which rows of a product's pages are a person's, by lineage: those whose keys come from what names the person.

Rows of others can still name the person in a column (a shop's best customer): such a cell becomes NULL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.erasure.person import Person, Rule
from jobs.suite import Suite
from jobs.suites.lineage import suite_lineage
from warehouse.definitions import Definitions, Product
from warehouse.lineage.expressions import only_kept_values
from warehouse.lineage.graph import Graph, Node

#: The schemas that hold rows of pages.
PAGE_SCHEMAS = ("features", "labels", "predictions")


@dataclass(frozen=True)
class ProductRows:
    """Of a product: `rules` tell a person's rows, and `naming` gives the values that a column names them by."""

    rules: tuple[Rule, ...]
    naming: Mapping[str, frozenset[str]]

    def rules_for(self, columns: Mapping[str, str]) -> list[Rule]:
        """Give the rules of a table that has some columns."""
        return [rule for rule in self.rules if all(column in columns for column in rule.columns)]


def rows_of_products(suite: Suite, person: Person) -> dict[str, ProductRows]:
    """Find out for each product of a suite which rows are a person's.

    Under which names their pages know the person is written down with them (`on_pages`): wrong rows, segments and
    errors quote those columns.
    """
    with only_kept_values():
        graph = suite_lineage(suite).graph
    found = {
        product.name: _rows_of(graph, suite.definitions, product, person)
        for product in suite.definitions.products.values()
    }
    names = dict[str, set[str]]()
    for rows in found.values():
        for column, values in rows.naming.items():
            names.setdefault(column, set()).update(values)
    person.on_pages = {column: sorted(values) for column, values in sorted(names.items())}
    return found


def _rows_of(graph: Graph, definitions: Definitions, product: Product, person: Person) -> ProductRows:
    columns = {node.column for kind in ("entities", "page") for node in graph.columns(kind, product.name)}
    origins = {column: _origins(graph, product.name, column) for column in {*columns, *product.keys}}
    naming = {column: _values(person, found) for column, found in origins.items()}
    rules = [Rule((key,), naming[key]) for key in product.keys if naming[key]]
    for name, keys in person.keys.items():
        source = definitions.sources[name]
        parts = [[key for key in product.keys if (name, part) in origins[key]] for part in source.key]
        if keys and all(parts):
            rules.append(Rule(tuple(part[0] for part in parts), frozenset(keys)))
            if len(source.key) == 1:
                for column, found in origins.items():
                    if (name, source.key[0]) in found:
                        naming[column] = naming[column] | frozenset(keys)
    return ProductRows(tuple(dict.fromkeys(rules)), {column: found for column, found in naming.items() if found})


def _origins(graph: Graph, product: str, column: str) -> set[tuple[str, str]]:
    """Give the columns of sources that a column's values come from."""
    found: set[tuple[str, str]] = set()
    for kind in ("entities", "page"):
        reached = graph.upstream(Node(kind, product, column), until="source", with_rows=False)
        found |= {(n.owner, n.column) for n, roles in reached.items() if n.kind == "source" and "value" in roles}
    return found


def _values(person: Person, origins: set[tuple[str, str]]) -> frozenset[str]:
    named = (person.named.get(source, {}).get(column, ()) for source, column in origins)
    return frozenset(value for values in named for value in values)
