"""The commands lineage and impact, as people, programs and documents read them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jobs.suite import Suite
from tests.command_line import almanac, said

ROOT = Path(__file__).parents[2]


EXAMPLES = re.findall(r"```\n\$ almanac (.*?)\n(.*?)```", (ROOT / "docs/lineage.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_examples_of_the_documentation_print_what_it_shows(command: str, shown: str, starter: Path) -> None:
    printed = said(starter, *command.split()).splitlines()
    for line, wanted in zip(printed, shown.splitlines(), strict=False):
        if "━" not in wanted:
            assert line.startswith(wanted), (line, wanted)


def test_the_whole_suite_is_shown_thing_by_thing(starter: Path) -> None:
    printed = said(starter, "lineage")
    for thing in ("predictions late_order", "feature group courier_load", "source orders", "file data/orders*.csv"):
        assert thing in printed


def test_a_product_is_summed_up_by_its_sources_columns(starter: Path) -> None:
    printed = said(starter, "lineage", "late_order")
    (line,) = [line for line in printed.splitlines() if "depot_late_share_7d" in line]
    cells = [cell.strip() for cell in line.split("│")]
    assert cells[1] == "depot_late_share_7d"
    assert "orders.promised_at" in cells[2]
    assert cells[3] == "deliveries.known_at"


def test_json_has_the_graph_of_a_column(starter: Path) -> None:
    found = json.loads(said(starter, "lineage", "late_order.probability", "--json"))
    assert found["column"] == "predictions:late_order.probability"
    edges = {(edge["from"], edge["to"], edge["role"]) for edge in found["edges"]}
    assert ("source:orders.parcels", "group:courier_load.courier_open_parcels", "value") in edges
    assert ("label:late_order.label", "model:late_order.next", "value") in edges
    assert {edge["from"] for edge in found["edges"]} | {edge["to"] for edge in found["edges"]} <= {
        node["id"] for node in found["nodes"]
    }


@pytest.mark.parametrize(
    "arguments", [("lineage",), ("lineage", "late_order"), ("lineage", "late_order.depot"), ("impact", "orders.depot")]
)
def test_mermaid_names_only_boxes_that_it_has_drawn(arguments: tuple[str, ...], starter: Path) -> None:
    lines = said(starter, *arguments, "--mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    boxes = {found[1] for line in lines if (found := re.match(r"\s*(?:subgraph )?(\w+) ?\[", line))}
    arrows = [found for line in lines if (found := re.match(r'\s*(\w+) -->(?:\|"[^"]*"\|)? (\w+)$', line))]
    assert arrows
    assert {name for arrow in arrows for name in arrow.groups()} <= boxes


def test_an_impact_as_json_says_what_breaks_and_what_depends(starter: Path) -> None:
    found = json.loads(said(starter, "impact", "orders.courier", "--json"))
    assert {"kind": "group", "name": "courier_load"}.items() <= next(
        item for item in found["breaks"] if item["name"] == "courier_load"
    ).items()
    changed = {item["id"]: item["roles"] for item in found["changes"]}
    assert changed["page:late_order.courier_open_orders"] == ["group", "join"]
    assert "page:late_order.depot_late_share_7d" not in changed


def test_another_type_is_followed_through_the_suite(starter: Path) -> None:
    found = json.loads(said(starter, "impact", "orders.parcels", "--type", "double", "--json"))
    assert found["event"] == "becomes double"
    assert found["breaks"] == []
    retyped = {item["id"]: item["after"] for item in found["retyped"]}
    assert retyped["page:late_order.parcels"] == retyped["group:courier_load.courier_open_parcels"] == "DOUBLE"


def test_a_column_of_the_files_can_be_asked_for(starter: Path) -> None:
    found = json.loads(said(starter, "impact", "orders.depot", "--of-file", "--json"))
    assert found["column"] == "file:data/orders*.csv.depot"
    assert [(item["kind"], item["name"]) for item in found["breaks"]] == [("source", "orders")]


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("lineage", "late_orders"), "Did you mean `late_order`?"),
        (("lineage", "late_order.depott"), "Did you mean `depot`?"),
        (("impact", "orders.parcel"), "Did you mean `parcels`?"),
        (("impact", "orders"), "has no column named"),
        (("impact", "orders.parcels", "--type", "NUMBR("), "not a DuckDB type"),
        (("impact", "orders.depot", "--of-file", "--type", "INTEGER"), "is a file"),
        (("lineage", "--json", "--mermaid"), "give one of them"),
    ],
)
def test_a_question_without_an_answer_says_what_can_be_asked(
    arguments: tuple[str, ...], answer: str, starter: Path
) -> None:
    done = almanac(starter, *arguments)
    assert done.returncode == 2
    assert answer in done.stderr


def test_a_query_that_cannot_be_traced_is_marked_and_explained(starter: Path) -> None:
    group = starter / "sql/features/courier_load.sql"
    head, _, _ = group.read_text().partition("SELECT")
    group.write_text(f"{head}SELECT COLUMNS('^(courier|depot)$') FROM orders ANTI JOIN deliveries USING (order_id)")
    product = starter / "sql/products/late_order/product.yaml"
    product.write_text(product.read_text().replace("- courier_load", "- {group: courier_load, prefix: c_}"))
    done = almanac(starter, "lineage", "late_order.c_depot")
    assert done.returncode == 0, done.stderr
    assert "value?: orders.promised_at" in done.stdout
    assert "not certain: sql/features/courier_load.sql" in done.stderr
    found = json.loads(said(starter, "lineage", "late_order.c_depot", "--json"))
    assert any("COLUMNS" in edge["doubt"] for edge in found["edges"])


def test_the_versions_that_were_given_a_feature_are_named(trained: Suite) -> None:
    printed = said(trained.root, "lineage", "late_order.courier_open_parcels")
    assert "model late_order v1" in printed
    assert "makes the facts anew without it" in almanac(trained.root, "impact", "orders.depot").stderr
