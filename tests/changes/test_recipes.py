"""The recipes of docs/changes.md run as they stand there, after the edit that each is for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from jobs.suite import Suite
from tests.changes.editing import GROUP, LABEL, edited
from tests.command_line import said

TEXT = (Path(__file__).parent.parent.parent / "docs/changes.md").read_text()


def run_recipe(suite: Suite, after: str) -> dict[str, str]:
    """Run the block of commands that follows some words of the page; give what each command printed."""
    block = re.search(rf"{re.escape(after)}.*?```sh\n(.*?)```", TEXT, re.DOTALL)
    assert block
    return {line: said(suite.root, *shlex.split(line)[1:]) for line in block[1].splitlines()}


def printed(found: dict[str, str], words: str) -> str:
    return next(text for line, text in found.items() if words in line)


def test_after_a_feature_was_renamed(published: Suite) -> None:
    suite = edited(published, GROUP, "AS depot_deliveries_7d", "AS depot_deliveries_week")
    found = run_recipe(suite, "After a feature was renamed")
    assert "v1 can write no page" in printed(found, "plan")
    assert "v2 is live" in printed(found, "promote")
    assert "v2" in printed(found, "almanac run")


def test_after_a_label_was_mended(published: Suite) -> None:
    suite = edited(published, LABEL, "(delivered_at > promised_at)", "(delivered_at > promised_at - INTERVAL 1 HOUR)")
    found = run_recipe(suite, "After label.sql was mended")
    assert "note: v1 learnt another label" in printed(found, "evaluate")
    assert "not compared" in printed(found, "compare")
    assert "v2 is live" in printed(found, "promote")
