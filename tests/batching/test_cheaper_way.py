"""Of the two ways that many pages can be made at once, each group goes the one that costs less."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobs.suite import Suite
from tests.changes.editing import YAML, edited
from tests.conftest import PRODUCT
from warehouse.batching.batch import Batch
from warehouse.sandbox import Sandbox

FIRST = datetime(2026, 2, 10)
GROUPS = {
    # Three keys, and each fact is read on 28 pages.
    "depot_volume": (
        "depot",
        "SELECT depot, count(*) AS orders_28d FROM orders WHERE known_at >= $as_of - INTERVAL 28 DAY GROUP BY depot",
    ),
    # As many keys as facts: a total for each of them on each page, since another group reads them all.
    "order_lines": (
        "order_id",
        "SELECT order_id, count(*) AS lines, max(parcels) AS most FROM orders GROUP BY order_id",
    ),
    "order_again": ("order_id", "SELECT order_id, lines + most AS both FROM order_lines"),
}


def test_few_keys_of_long_windows_go_the_range_way_and_many_keys_of_few_facts_are_lifted(
    ingested: Suite,
) -> None:
    for name, (key, query) in GROUPS.items():
        header = f"/*\ndescription: For this test.\nkey: [{key}]\n*/\n"
        (ingested.root / f"sql/features/{name}.sql").write_text(header + query)
    listed = "".join(f"  - {name}\n" for name in ("courier_load", *GROUPS))
    suite = edited(ingested, YAML, "  - courier_load\n", listed)
    product = suite.definitions.product(PRODUCT)
    pages = product.pages_between(FIRST, FIRST + timedelta(days=40))
    with Sandbox(suite.lake) as sandbox, Batch(sandbox, suite.definitions, product) as batch:
        made = batch.compute(pages, suite.lake.staging / "features.parquet", 1, lambda _: None)
        ranges = batch._many_pages._ranges
        assert ranges is not None
        assert ranges.result().forms.keys() & GROUPS.keys() == {"depot_volume"}
        assert GROUPS.keys() <= batch._many_pages.done
        assert batch.differing == []
    assert sum(made.n_rows.values()) > 0
