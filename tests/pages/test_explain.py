"""Explain: contributions of a published row and page, from the base to what was published; nothing is recorded."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from jobs.pages.explain import Question, explain_page, explain_row
from jobs.suite import Suite
from tests.command_line import almanac, said
from tests.conftest import PAGE, PRODUCT
from warehouse.errors import NotFoundError, UsageError


def first_key(suite: Suite) -> dict[str, str]:
    keys = suite.definitions.product(PRODUCT).keys
    with suite.lake.reading() as connection:
        listed = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in keys)
        row = connection.execute(f"SELECT {listed} FROM predictions.{PRODUCT} ORDER BY ALL LIMIT 1").fetchone()
    assert row is not None
    return dict(zip(keys, row, strict=True))


def test_a_rows_contributions_lead_from_the_base_to_what_was_published(published: Suite) -> None:
    found = explain_row(published, PRODUCT, PAGE, first_key(published))
    assert found.version == "v1"
    total = found.base + sum(step["contribution"] for step in found.steps)
    assert total == pytest.approx(found.raw, abs=1e-12)
    assert found.steps[-1]["score"] == pytest.approx(found.score, abs=1e-12)
    sizes = [abs(step["contribution"]) for step in found.steps]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0


def test_columns_that_count_as_one_are_one_step(published: Suite) -> None:
    key = first_key(published)
    alone = explain_row(published, PRODUCT, PAGE, key)
    two = [step["column"] for step in alone.steps[:2]]
    together = explain_row(published, PRODUCT, PAGE, key, Question({"both": two}))
    assert len(together.steps) == len(alone.steps) - 1
    [both] = [step for step in together.steps if step["column"] == "both"]
    assert len(both["value"]) == 2
    assert together.raw == pytest.approx(alone.raw, abs=1e-12)


def test_a_pages_means_are_those_of_its_rows(published: Suite) -> None:
    found = explain_page(published, PRODUCT, PAGE)
    assert found.n_explained == found.n_rows
    few = explain_page(published, PRODUCT, PAGE, question=Question(max_rows=5))
    assert few.n_explained == 5
    [row] = [row for row in found.columns if row["column"] == found.columns[0]["column"]]
    assert row["mean_size"] >= abs(row["mean"]) > 0


def test_what_cannot_be_explained_is_refused(published: Suite) -> None:
    with pytest.raises(UsageError, match="looked up by"):
        explain_row(published, PRODUCT, PAGE, {"nobody": "1"})
    missing = dict.fromkeys(first_key(published), "-12345")
    with pytest.raises(NotFoundError, match="no row with"):
        explain_row(published, PRODUCT, PAGE, missing)
    with pytest.raises(NotFoundError):
        explain_page(published, PRODUCT, PAGE + timedelta(days=300))
    with pytest.raises(UsageError, match="does not read"):
        explain_page(published, PRODUCT, PAGE, question=Question({"x": ["no_such_column"]}))


def test_the_command_prints_both(published: Suite) -> None:
    root, page = published.root, PAGE.isoformat()
    assert json.loads(said(root, "explain", PRODUCT, "--page", page, "--json"))["version"] == "v1"
    keys = [text for name, value in first_key(published).items() for text in ("--key", f"{name}={value}")]
    one = said(root, "explain", PRODUCT, "--page", page, *keys)
    assert "base" in one
    assert "path-dependent" in one
    assert almanac(root, "explain", PRODUCT, "--page", page, *keys, "--by", "depot").returncode == 2
