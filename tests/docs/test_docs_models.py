"""The worked examples of docs/models.md run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from jobs.suite import Suite
from tests.command_line import said
from tests.conftest import reopened

TEXT = (Path(__file__).parents[2] / "docs/models.md").read_text()
YAML = "sql/products/late_order/product.yaml"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


def run(suite: Suite, line: str) -> str:
    return said(suite.root, *shlex.split(line)[1:])


def test_the_worked_example_runs(ingested: Suite) -> None:
    (example,) = blocks("sh")
    printed = {line: run(ingested, line) for line in example.splitlines()}

    def shown(words: str) -> str:
        return next(text for line, text in printed.items() if words in line)

    assert "v1 is live for the pages from 2026-03-01" in shown("--as-of 2026-03-01")
    assert "v2 is registered and not live" in shown("three more weeks")
    assert "harbour" in shown("compare")
    assert "v2, in effect from 2026-03-20" in shown("live late_order")
    assert "the same raw predictions, in every bit" in shown("reproduce")
    assert "v1 writes the pages from 2026-03-20" in shown("rollback")
    assert "v2 is retired" in shown("retire")


def test_the_gates_and_the_pipeline_are_understood(ingested: Suite) -> None:
    gates, model, search = (yaml.safe_load(block) for block in blocks("yaml"))
    path = ingested.root / YAML
    product: dict[str, Any] = yaml.safe_load(path.read_text()) | gates
    product["model"] = model
    product["search"] = search["search"] | {"without": product["features"][:1]}  # those of the docs are the flights'
    path.write_text(yaml.safe_dump(product))
    header = reopened(ingested).definitions.product("late_order").header
    assert header.gates is not None
    assert header.gates.segments[0].by == "depot"
    assert header.search is not None
    assert [one.estimator for one in header.search.candidates] == [
        "hist_gradient_boosting_classifier",
        "logistic_regression",
    ]
    assert "parity" in run(ingested, "almanac train late_order --as-of 2026-03-01")


def test_a_version_is_continued_as_documented(ingested: Suite) -> None:
    path = ingested.root / YAML
    product: dict[str, Any] = yaml.safe_load(path.read_text())
    product["model"] = {"estimator": "naive_bayes"}
    path.write_text(yaml.safe_dump(product))
    run(ingested, "almanac train late_order --as-of 2026-03-01")
    (line,) = (line.strip() for line in TEXT.splitlines() if "--stateful --as-of" in line)
    shown = run(ingested, line)
    assert "v1.1" in shown
    assert "Both ways, on the same held-out rows" in shown
    assert "Both ways" not in run(ingested, f"{line.replace('04-01', '04-05')} --from v1.1 --alone")
