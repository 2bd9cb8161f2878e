"""A quicker way that gives other rows is not used, neither for its query nor for what reads that query."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from jobs.suite import Suite
from tests.changes.editing import YAML, edited
from tests.conftest import PRODUCT
from warehouse.batching import lifted_pass
from warehouse.batching.batch import Batch
from warehouse.batching.comparison import differing_rows
from warehouse.sandbox import Sandbox

FIRST = datetime(2026, 3, 2)
GROUPS = {
    "order_lines": "SELECT order_id, count(*) AS lines FROM orders GROUP BY order_id",
    "order_again": "SELECT order_id, lines * 10 AS again FROM order_lines",
}


def test_what_reads_a_query_whose_rows_differ_is_made_page_by_page_too(
    ingested: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, query in GROUPS.items():
        header = "/*\ndescription: For this test.\nkey: [order_id]\n*/\n"
        (ingested.root / f"sql/features/{name}.sql").write_text(header + query)
    suite = edited(ingested, YAML, "  - courier_load\n", "  - courier_load\n  - order_lines\n  - order_again\n")
    lift = lifted_pass._lifted

    def wrongly(text: str, *rest: Any) -> Any:
        form = lift(text, *rest)
        return replace(form, text=form.text.replace("count", "1 + count")) if GROUPS["order_lines"] in text else form

    monkeypatch.setattr(lifted_pass, "_lifted", wrongly)
    product = suite.definitions.product(PRODUCT)
    pages = product.pages_between(FIRST, FIRST + timedelta(days=6))
    with Sandbox(suite.lake) as sandbox, Batch(sandbox, suite.definitions, product) as batch:
        batch.compute(pages, suite.lake.staging / "features.parquet", 1, lambda _: None)
        assert batch._many_pages.done.isdisjoint(GROUPS)
        assert any("order_lines.sql" in said for said in batch.differing)
        found = batch.cursor.execute(f"SELECT DISTINCT again FROM {batch.table('order_again')}").fetchall()
    assert found == [(10,)]


@pytest.mark.parametrize(
    ("fast", "plain", "differ"),
    [
        ("2.0", "2.0", 0),
        ("2.0", "2.0 + 1e-9", 0),
        ("2.0", "2.0 + 3e-9", 1),
        ("NULL", "NULL", 0),
        ("NULL", "2.0", 1),
        ("2.0", "NULL", 1),
    ],
)
def test_sums_in_floating_point_are_equal_within_a_billionth_and_never_to_none(
    fast: str, plain: str, differ: int
) -> None:
    rows = [f"(SELECT * FROM (VALUES ('a', {value}::DOUBLE)) AS rows (k, x))" for value in (fast, plain)]
    with duckdb.connect() as connection:
        assert differing_rows(connection, *rows, key=["k"], exact=["k"], close=["x"]) == differ
