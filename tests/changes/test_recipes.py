"""The recipes of docs/changes.md run as they stand there, after the edit that each is for."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from jobs.suite import Suite
from tests.changes.editing import GROUP, LABEL, YAML, edited
from tests.command_line import said
from tests.conftest import PAGE, PRODUCT
from tests.lakes import rows

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


def test_after_a_product_was_added_that_shares_with_another(published: Suite) -> None:
    products = published.root / "sql/products"
    shutil.copytree(products / PRODUCT, products / "late_order_east")
    entities = "sql/products/late_order_east/entities.sql"
    suite = edited(published, entities, "WHERE promised_at", "WHERE depot = 'east' AND promised_at")
    run_recipe(suite, "After a product was added")
    assert rows(suite, "SELECT count(DISTINCT as_of) FROM predictions.late_order_east") == [(3,)]
    columns = "order_id, courier_open_orders, depot_late_share_7d"
    found, wanted = (
        rows(suite, f"SELECT {columns} FROM features.{name} WHERE depot = 'east' AND as_of > $1 ORDER BY ALL", [PAGE])
        for name in ("late_order_east", PRODUCT)
    )
    assert found == wanted != []


def test_after_keys_were_changed(published: Suite) -> None:
    suite = edited(published, LABEL, "SELECT order_id,", "SELECT order_id, depot,")
    suite = edited(suite, YAML, "keys: [order_id] ", "keys: [order_id, depot] ")
    before = rows(suite, "SELECT order_id, probability FROM predictions.late_order ORDER BY ALL")
    found = run_recipe(suite, "After the keys of a product were changed")
    assert "the definitions have changed" in printed(found, "plan")
    # The depot was a feature that v1 learnt: it reads it still, and says the same.
    assert rows(suite, "SELECT order_id, probability FROM predictions.late_order ORDER BY ALL") == before
    assert rows(suite, "SELECT count(*) FROM predictions.late_order WHERE depot IS NULL") == [(0,)]
    assert "north" in printed(found, "late_order_current")
    assert "1 page, " in printed(found, "evaluate")


def test_predictions_as_a_source(published: Suite) -> None:
    source = re.search(r"## A product's predictions as a source\n\n```sql\n(.*?)```", TEXT, re.DOTALL)
    assert source
    (published.root / "sql/sources/said.sql").write_text(source[1])
    found = run_recipe(published, "Kept as sql/sources/said.sql")
    assert f"{PAGE:%Y-%m-%d %H:%M}" in printed(found, "count")
    assert "0:00:00" in printed(found, "max(known_at - published_at)") or "00:00:00" in printed(found, "max(known_at")
