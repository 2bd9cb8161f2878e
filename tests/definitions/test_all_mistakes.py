"""All mistakes of all definitions are told at once, with file and line: in the files, and in what they refer to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.pages.plan import plan
from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.suites.doctor import doctor
from jobs.training.train import train
from tests.changes.editing import ENTITIES, GROUP, SOURCE, YAML
from tests.conftest import PAGE, PRODUCT, reopened
from warehouse.definitions import load_definitions
from warehouse.errors import DefinitionError


def edit(root: Path, path: str, *pairs: tuple[str, str]) -> None:
    text = (root / path).read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    (root / path).write_text(text)


def problems(root: Path) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        load_definitions(root)
    return caught.value.problems


def line_of(root: Path, path: str, words: str) -> int:
    lines = (root / path).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if words in line)


def test_a_dozen_mistakes_in_five_files_are_told_at_once(starter: Path) -> None:
    edit(
        starter,
        YAML,
        ("  - depot_history", "  - depot_histry\n  - {group: courier_load, on: {curier: courier}}"),
        ("kind: binary", "kind: binry"),
        ("seed: 1", "sead: 1"),
        ("valid_for: 24 hours\n", ""),
        ('cron: "0 18 * * *"', 'cron: "0 18 * *"'),
        ("since: 2026-01-15", "since: 2026-01-15T00:00:00+01:00"),
        ("keys: [order_id]", "keys: [as_of]"),
    )
    edit(starter, SOURCE, ("known_at: ordered_at", "known_at: now()"), ("key: [order_id]", "key: [known_at]"))
    edit(starter, GROUP, ("owner: you", "ownr: you"), ("FROM deliveries", "FROM delivries"))
    edit(starter, ENTITIES, ("FROM orders", "FROM ordrs"))
    found = problems(starter)
    wanted = {
        (YAML, "depot_histry"): "there is no feature group `depot_histry`. Did you mean `depot_history`?",
        (YAML, "binry"): "label.kind",
        (YAML, "sead"): "unknown key `model.sead`. Did you mean `seed`?",
        (YAML, "cron:"): "cron expression '0 18 * *'",
        (YAML, "pages:"): "`since` is an instant in UTC",
        (YAML, "keys: ["): "the keys have ['as_of']",
        (SOURCE, "known_at: now()"): "now",
        (SOURCE, "key: [known_at]"): "the key has ['known_at']",
        (GROUP, "ownr"): "unknown key `ownr`",
        (GROUP, "delivries"): "there is no table `delivries`. Did you mean `deliveries`?",
        (ENTITIES, "ordrs"): "there is no table `ordrs`. Did you mean `orders`?",
    }
    for (path, at), words in wanted.items():
        line = line_of(starter, path, at)
        if at == "cron:":
            line = line_of(starter, path, "pages:")
        assert any(one.startswith(f"{path}:{line}: ") and words in one for one in found), (path, at, found)
    assert any("give either `valid_for`" in one for one in found)
    assert all(re.match(r"sql/[a-z_/.]+(:\d+)?: ", one) for one in found)
    assert len(found) == len(set(found))


def test_a_mapped_column_that_is_no_key_of_its_group_is_a_mistake(starter: Path) -> None:
    edit(starter, YAML, ("  - courier_load", "  - {group: courier_load, on: {curier: courier}}"))
    (found,) = problems(starter)
    line = line_of(starter, YAML, "curier")
    assert found == f"{YAML}:{line}: `on` maps `curier`, which is no key column of `courier_load`: courier."


def test_what_binding_tells_is_told_all_at_once_before_a_page_is_computed(ingested: Suite) -> None:
    root, label, check = ingested.root, f"sql/products/{PRODUCT}/label.sql", f"sql/products/{PRODUCT}/checks/x.sql"
    edit(
        root,
        YAML,
        ("  - courier_load", "  - {group: courier_load, on: {courier: depot_deliveries_28d}}\n  - again"),
        ("seed: 1", "seed: 1\n  leave_out: [parcels]"),
    )
    again = (
        "/*\ndescription: x\nkey: [depot]\n*/\nSELECT depot, count(*) AS depot_deliveries_7d FROM orders GROUP BY depot"
    )
    (root / "sql/features/again.sql").write_text(again)
    (root / check).write_text("/*\ndescription: x\n*/\nSELECT order_id\nFROM page\nWHERE nothing IS NULL\n")
    edit(root, label, ("SELECT order_id, ", "SELECT depot, "))
    suite = reopened(ingested)
    joined = f"{YAML}:{line_of(root, YAML, 'on: {')}: the feature group `courier_load` is joined on"
    twice = f"{YAML}:{line_of(root, YAML, '- again')}: the column `depot_deliveries_7d` comes from"
    no_key = f"{label}: it must select the keys and `label`; ['order_id'] are gone"
    with pytest.raises(DefinitionError) as caught:
        plan(suite, PRODUCT)
    found = caught.value.problems
    # The check reads the page, which is not made: it is told of once the page is.
    assert [one.startswith(words) for one, words in zip(found, (twice, joined, no_key), strict=True)] == [True] * 3
    for work in (lambda: train(suite, PRODUCT, PAGE), lambda: run_page(suite, PRODUCT, PAGE)):
        with pytest.raises(DefinitionError) as caught:
            work()
        assert caught.value.problems == found
    told = [finding.detail for finding in doctor(root, suite.clock) if finding.subject == "definitions"]
    assert told[-3:] == found
    edit(root, YAML, ("on: {courier: depot_deliveries_28d}", "on: {courier: courier}"), ("[parcels]", "[parcel]"))
    edit(root, "sql/features/again.sql", ("AS depot_deliveries_7d", "AS again"))
    edit(root, label, ("SELECT depot, ", "SELECT order_id, "))
    with pytest.raises(DefinitionError, match=rf"{YAML}:\d+: `model.leave_out` names `parcel`, which is no column"):
        plan(reopened(suite), PRODUCT)
    edit(root, YAML, ("[parcel]", "[parcels]"))
    with pytest.raises(DefinitionError, match=f"{check}:6: Binder Error: .*nothing"):
        plan(reopened(suite), PRODUCT)
    (root / check).unlink()
    assert plan(reopened(suite), PRODUCT).n_pages > 0


def test_each_circle_of_feature_groups_is_told_once(starter: Path) -> None:
    for name, other in {"a": "b", "b": "a", "c": "d", "d": "c"}.items():
        text = f"/* {{description: x, key: [depot]}} */ SELECT depot, 1 AS {name} FROM {other}\n"
        (starter / f"sql/features/{name}.sql").write_text(text)
    assert len([one for one in problems(starter) if "in a circle" in one]) == 2
