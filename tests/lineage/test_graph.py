"""What follows from a column that only decides on rows: all columns of those rows."""

from __future__ import annotations

from warehouse.lineage.graph import Graph, Node
from warehouse.lineage.uses import ROWS


def test_what_decides_on_the_rows_of_a_thing_reaches_its_columns_and_on() -> None:
    depot, rows = Node("source", "orders", "depot"), Node("group", "volume", ROWS)
    count, other = Node("group", "volume", "n"), Node("group", "another", "n")
    graph = Graph()
    graph.add(depot, rows, "rows", "sql/features/volume.sql")
    for node in (count, other):
        graph.add_node(node)
    found = graph.downstream(depot)
    assert found[count] == found[rows]
    assert other not in found
