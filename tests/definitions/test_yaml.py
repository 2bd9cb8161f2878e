"""YAML as definitions are written in it."""

from __future__ import annotations

from pathlib import Path

from warehouse.definitions import load_definitions
from warehouse.definitions.yaml_text import read_yaml


def test_on_is_a_key_and_yes_a_word() -> None:
    assert read_yaml("{on: {key: column}, country: no, sure: true}", "a.yaml").data == {
        "on": {"key": "column"},
        "country": "no",
        "sure": True,
    }


def test_a_feature_group_is_joined_on_the_columns_that_it_is_mapped_to(starter: Path) -> None:
    product = starter / "sql/products/late_order/product.yaml"
    text = product.read_text().replace("  - depot_history\n", "  - {group: depot_history, on: {depot: courier}}\n")
    product.write_text(text)
    (use, _) = load_definitions(starter).product("late_order").header.features
    assert use.on == {"depot": "courier"}
