"""The worked examples of docs/models.md run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from jobs.cli import app
from jobs.cli.options import State
from jobs.suite import Suite
from tests.conftest import reopened

TEXT = (Path(__file__).parent.parent / "docs/models.md").read_text()
YAML = "sql/products/late_order/product.yaml"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


def almanac(line: str) -> str:
    done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0, f"{line}: {done.output}"
    return done.output


def test_the_worked_example_runs(ingested: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "suite", ingested.root)
    (example,) = blocks("sh")
    printed = {line: almanac(line) for line in example.splitlines()}

    def said(words: str) -> str:
        return next(text for line, text in printed.items() if words in line)

    assert "v1 is live for the pages from 2026-03-01" in said("--as-of 2026-03-01")
    assert "v2 is registered and not live" in said("three more weeks")
    assert "harbour" in said("compare")
    assert "v2, in effect from 2026-03-20" in said("live late_order")
    assert "the same raw predictions, in every bit" in said("reproduce")
    assert "v1 writes the pages from 2026-03-20" in said("rollback")
    assert "v2 is retired" in said("retire")


def test_the_gates_and_the_pipeline_are_understood(ingested: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "suite", ingested.root)
    gates, model = (yaml.safe_load(block) for block in blocks("yaml"))
    path = ingested.root / YAML
    product: dict[str, Any] = yaml.safe_load(path.read_text()) | gates
    product["model"] = model
    path.write_text(yaml.safe_dump(product))
    header = reopened(ingested).definitions.product("late_order").header
    assert header.gates is not None
    assert header.gates.segments[0].by == "depot"
    assert "parity" in almanac("almanac train late_order --as-of 2026-03-01")


def test_a_version_is_continued_as_documented(ingested: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "suite", ingested.root)
    path = ingested.root / YAML
    product: dict[str, Any] = yaml.safe_load(path.read_text())
    product["model"] = {"estimator": "naive_bayes"}
    path.write_text(yaml.safe_dump(product))
    almanac("almanac train late_order --as-of 2026-03-01")
    (line,) = (line.strip() for line in TEXT.splitlines() if "--stateful --as-of" in line)
    shown = almanac(line)
    assert "v1.1" in shown
    assert "Both ways, on the same held-out rows" in shown
    assert "Both ways" not in almanac(f"{line.replace('04-01', '04-05')} --from v1.1 --alone")
