"""How large batches are before there is any page to reckon by."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.batch_size import BatchSize, batch_size
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT, reopened
from warehouse.batching.batch import Batch
from warehouse.sandbox import Sandbox

PAGES = [PAGE + timedelta(days=n) for n in range(3)]
BEFORE_ALL = [datetime(2020, 1, day, 18) for day in (1, 2, 3)]
ENTITIES = "sql/products/late_order/entities.sql"


def looked_ahead(suite: Suite, pages: list[datetime]) -> BatchSize:
    size = BatchSize(0, None)
    definitions = suite.definitions
    with Sandbox(suite.lake) as sandbox, Batch(sandbox, definitions, definitions.product(PRODUCT)) as batch:
        size.look_ahead(batch, pages)
    return size


def test_two_pages_tell_what_all_of_them_will_take(ingested: Suite) -> None:
    expected = looked_ahead(ingested, PAGES)
    result = backfill(ingested, BackfillOrder(PRODUCT, PAGES[0], PAGES[-1] + timedelta(hours=1), features_only=True))
    assert expected.rows_per_page == max(page.n_rows for page in result.published if page.as_of != PAGES[0])
    with ingested.lake.reading() as connection:
        found = batch_size(connection, ingested.definitions.product(PRODUCT))
    assert 0 <= found.n_columns - expected.n_columns <= 3  # as_of and valid_until are not reckoned with


@pytest.mark.parametrize(
    ("before", "after", "pages"),
    [
        ("", "", BEFORE_ALL),
        ("FROM orders", "FROM orders SEMI JOIN courier_load USING (courier)", PAGES),
        ("order_id,", "order_id, order_id::INTEGER AS number,", PAGES),
    ],
    ids=["no entity on either", "features choose the entities", "the query fails on the data"],
)
def test_where_two_pages_tell_no_rows_columns_are_known(
    ingested: Suite, before: str, after: str, pages: list[datetime]
) -> None:
    path = ingested.root / ENTITIES
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1))
    suite = reopened(ingested)
    size = looked_ahead(suite, pages)
    assert not size.is_known
    assert size.n_columns > 5
