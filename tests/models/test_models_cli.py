"""The commands on models print what was decided, for people and for programs, and end with the right code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs.suite import Suite
from tests import command_line
from tests.conftest import PRODUCT


def almanac(root: Path, *arguments: str, code: int = 0) -> str:
    done = command_line.almanac(root, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def as_json(root: Path, *arguments: str) -> Any:
    return json.loads(almanac(root, *arguments, "--json"))


def test_a_models_life_from_the_command_line(trained: Suite) -> None:
    root = trained.root
    made = as_json(root, "train", PRODUCT, "--as-of", "2026-03-12", "--window", "40d", "--reason", "a test")
    assert (made["version"], made["went_live"], made["reason"]) == ("v2", False, "a test")
    assert made["first_page"] >= "2026-01-31"
    assert [row["state"] for row in as_json(root, "models")] == ["live", "registered"]
    assert as_json(root, "models", PRODUCT) == as_json(root, "models", "list", PRODUCT)
    assert "v2" in almanac(root, "models")
    assert "model versions" in almanac(root, "models", "--help").lower()

    shown = almanac(root, "models", "show", PRODUCT, "v2")
    for part in ("a test", "Permutation importance", "Calibration", "scikit-learn", "registered", "Decisions"):
        assert part in shown
    assert as_json(root, "models", "show", PRODUCT, "v2")["model"]["rows_hash"]

    assert "v2 is live for the pages from 2026-03-12" in almanac(root, "promote", PRODUCT, "v2", "--reason", "better")
    assert "better" in almanac(root, "live", PRODUCT, "--at", "2026-03-13")
    assert as_json(root, "live", PRODUCT, "--at", "2026-03-11")["promotion"]["version"] == "v1"
    assert "v1 writes the pages" in almanac(root, "models", "rollback", PRODUCT, "--reason", "worse")
    assert as_json(root, "retire", PRODUCT, "v2", "--reason", "worse")["action"] == "retire"
    assert "is retired" in almanac(root, "promote", PRODUCT, "v2", code=2)
    forced = ("--force", "--reason", "it was not worse", "--effective-from", "2026-03-20")
    assert as_json(root, "promote", PRODUCT, "v2", *forced)["forced"] is True


def test_a_gate_that_does_not_pass_ends_with_one_and_a_usage_mistake_with_two(trained: Suite) -> None:
    path = trained.root / "sql/products/late_order/product.yaml"
    path.write_text(path.read_text() + "gates: {metrics: {roc_auc: {at_least: 0.999}}, min_pages: 1}\n")
    assert "was not promoted" in almanac(trained.root, "promote", PRODUCT, "v1", code=1)
    made = as_json(trained.root, "train", PRODUCT, "--as-of", "2026-03-12", "--no-promote")
    assert [gate["passed"] for gate in made["gates"]] == [False, True]
    assert "no model version `v7`" in almanac(trained.root, "models", "show", PRODUCT, "v7", code=2)
    assert "no product" in almanac(trained.root, "models", "nothing", code=2)
    assert "--window" in almanac(trained.root, "train", PRODUCT, "--window", "many", code=2)
