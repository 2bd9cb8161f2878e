"""The model card: what the ledger has of a version, for people to read."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.monitoring.performance.fairness import judge_fairness
from jobs.monitoring.performance.judge import judge_performance
from jobs.monitoring.report.card import card_sections
from jobs.monitoring.report.document import Section, as_html, as_markdown
from jobs.rollout.promotion import promote
from jobs.suite import Suite
from jobs.training.train import train
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, reopened
from warehouse.errors import NotFoundError

YAML = f"sql/products/{PRODUCT}/product.yaml"


def sections(suite: Suite, version: str = "v1") -> dict[str, Section]:
    return {section.title: section for section in card_sections(suite, PRODUCT, version)[1]}


def test_a_card_says_what_the_ledger_has(published: Suite) -> None:
    path = published.root / YAML
    path.write_text(
        path.read_text()
        + "gates: {metrics: {log_loss: {at_most: 5}}}\n"
        + "monitor: {segments: [depot], fairness: {by: [depot], min_rows: 2}}\n"
    )
    suite = reopened(published, NOW + timedelta(days=30))
    judge_fairness(suite, PRODUCT, judge_performance(suite, PRODUCT))
    train(suite, PRODUCT, PAGE + timedelta(days=20))
    card = sections(suite)
    model = suite.definitions.product(PRODUCT)
    assert model.header.description in card["Purpose"].sentences
    assert "It wrote 1 page, as they stand now." in card["Purpose"].sentences[-1]
    assert "sources deliveries, orders, through the feature groups" in card["Data"].sentences[1]
    assert "with labels known before 2026-03-01" in card["Data"].sentences[-1]
    assert {row["metric"] for row in card["Held out"].rows} >= {"log_loss", "roc_auc"}
    rows = [row["rows"] for row in card["Published predictions"].rows]
    assert rows[0] == "all"
    assert "depot = north" in rows
    assert {row["by_columns"] for row in card["Groups"].rows} == {"depot"}
    assert card["What it goes by"].rows[0]["loss_grows_by"] >= card["What it goes by"].rows[-1]["loss_grows_by"]
    assert "No gate has judged it." in card["Limits"].sentences
    judged = sections(suite, "v2")
    assert {row["gate"] for row in judged["Gates"].rows} >= {"log_loss"}
    assert "No gate has judged it." not in judged["Limits"].sentences
    assert judged["Published predictions"].sentences == ["No page of this version has been judged by its labels."]
    promote(suite, PRODUCT, "v2", force=True, reason="a | b\n# c")
    assert judged != sections(suite, "v2")
    text = as_markdown("card", card_sections(suite, PRODUCT, "v2")[1])
    assert "a \\| b \\# c" in text
    with pytest.raises(NotFoundError):
        card_sections(suite, PRODUCT, "v9")


def test_what_is_named_changes_neither_layout() -> None:
    section = Section("<b>", ["1 < 2 & *all*"], [{"a": "x | y", "b": None}])
    lines = ["# t", "## \\<b\\>", "1 \\< 2 & \\*all\\*", "| a | b |\n| --- | --- |\n| x \\| y |  |"]
    assert as_markdown("t", [section]) == "\n\n".join(lines) + "\n"
    text = as_html("t", [section])
    assert "<h2>&lt;b&gt;</h2><p>1 &lt; 2 &amp; *all*</p>" in text
    assert not re.search(r"https?:|src=|href=|url\(|@import|<script|<link", text)


def test_the_command_prints_it_or_writes_a_file(trained: Suite, tmp_path: Path) -> None:
    assert said(trained.root, "models", "card", PRODUCT, "v1").startswith("# late\\_order v1\n")
    said(trained.root, "models", "card", PRODUCT, "v1", "--output", str(tmp_path / "card.html"))
    assert (tmp_path / "card.html").read_text().startswith("<!doctype html>")
    said(trained.root, "models", "card", PRODUCT, "v1", "--output", str(tmp_path / "card.txt"), "--format", "html")
    assert (tmp_path / "card.txt").read_text() == (tmp_path / "card.html").read_text()
    failed = almanac(trained.root, "models", "card", PRODUCT, "v1", "--output", str(tmp_path / "no" / "card.md"))
    assert failed.returncode == 2
    assert "cannot be written" in failed.stderr
