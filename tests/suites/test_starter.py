"""`almanac init`: the example works and is worth something; without it a suite is empty, and in order."""

from __future__ import annotations

from pathlib import Path

from jobs.models.model_table import labelled_pages, model_card
from jobs.suite import Suite
from tests.command_line import almanac, said
from tests.conftest import PRODUCT
from warehouse.definitions import load_definitions


def test_a_bare_suite_is_empty_and_in_order(tmp_path: Path) -> None:
    shown = said(tmp_path, "init", str(tmp_path / "bare"), "--bare")
    assert "Made an empty suite" in shown
    definitions = load_definitions(tmp_path / "bare")
    assert not [*definitions.sources, *definitions.groups, *definitions.products]
    assert not list((tmp_path / "bare").rglob("*.sql"))
    assert "upkeep" in said(tmp_path / "bare", "agenda", "--from", "2026-03-01", "--to", "2026-03-02")
    assert said(tmp_path / "bare", "plan") == ""
    again = almanac(tmp_path, "init", str(tmp_path / "bare"), "--bare")
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)


def test_the_example_s_model_beats_the_base_rate(trained: Suite) -> None:
    metrics = model_card(trained, PRODUCT, "v1").model.metrics
    assert metrics["validation_log_loss"] < metrics["validation_log_loss_of_base_rate"]
    assert metrics["validation_brier"] < metrics["validation_brier_of_base_rate"]


def test_models_counts_the_pages_that_had_labels_and_counts_are_printed_as_counts(trained: Suite) -> None:
    model = model_card(trained, PRODUCT, "v1").model
    assert 0 < labelled_pages(model) <= model.n_pages
    shown = said(trained.root, "models", "show", PRODUCT, "v1")
    assert f"{labelled_pages(model)} with labels, of {model.n_pages}" in shown
    counted = int(model.metrics["validation_n_rows"])
    assert f" {counted:,} " in shown
    assert f"{counted}.0000" not in shown
    assert ".0000" not in next(line for line in shown.splitlines() if "peak_memory_bytes" in line)
