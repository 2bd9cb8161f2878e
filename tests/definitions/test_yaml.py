"""YAML as definitions are written in it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from warehouse.definitions import load_definitions
from warehouse.definitions.yaml.yaml_text import read_yaml


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


@pytest.mark.parametrize("merge", ["<<: [{}, {}]", "<<: [{}, {}]\n  own{}: 1", "k: [{}, {}]"])
def test_a_few_lines_that_stand_for_billions_of_values_are_refused_at_once(merge: str) -> None:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    for number in range(1, 60):
        before = f"*a{number - 1}"
        lines.append(f"a{number}: &a{number}\n  " + merge.format(before, before, number))
    began = time.process_time()
    parsed = read_yaml("\n".join(lines), "a.yaml")
    assert "more than 100,000 values" in parsed.problems[0]
    assert time.process_time() - began < 5


def test_merges_and_aliases_of_ordinary_size_are_read() -> None:
    text = "one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\nthree: [*one, *one]"
    assert read_yaml(text, "a.yaml").data["two"] == {"a": 1, "b": 3}
