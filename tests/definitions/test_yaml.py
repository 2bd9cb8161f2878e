"""YAML as definitions are written in it."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from warehouse.definitions import load_definitions
from warehouse.definitions.yaml import yaml_text
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


def shape(node: yaml.Node | None, *, lines: bool = True) -> object:
    """Say what a node is: tags, texts, and the lines on which its keys and items begin."""
    if node is None:
        return None
    line = node.start_mark.line if lines else 0
    if isinstance(node, yaml.MappingNode):
        return node.tag, line, [(shape(key), shape(value, lines=bool(value.value))) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return node.tag, line, [shape(item, lines=bool(item.value)) for item in node.value]
    return node.tag, line, node.value


def read_by(compose: Callable[[str], yaml.Node | None], text: str) -> object:
    try:
        return shape(compose(text), lines=False)
    except (yaml.YAMLError, ValueError) as error:
        return str(error)


def test_libyaml_reads_each_text_as_pyyaml_does_or_leaves_it_to_it() -> None:
    texts = [file.read_text() for file in Path("docs").glob("*.md")]
    blocks = [block for text in texts for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    blocks += [file.read_text() for file in [*Path("sql").rglob("*.yaml"), Path("schedules.yaml")]]
    chance = random.Random(11)
    parts = [
        *":-{}[],#&*!|>'\"%@` \n\t?~<=\\\r",
        "on",
        "1_0",
        "é",
        "\x85",
        "\ufeff",
        ": ",
        "- ",
        "\n  ",
        "<<",
        "2013-01-01",
    ]
    for _ in range(3000):
        text = list(chance.choice(blocks)[: chance.randint(5, 300)])
        for _ in range(chance.randint(0, 4)):
            place = chance.randint(0, len(text))
            text[place : place + chance.choice([0, 0, 1, 3])] = chance.choice(parts)
        written = "".join(text)
        by_pyyaml = read_by(lambda text: yaml.compose(text, Loader=yaml_text._Loader), written)
        assert read_by(yaml_text._composed, written) == by_pyyaml, written
