"""Checks that every product has, whether it declares any or not."""

from __future__ import annotations

from datetime import timedelta

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import Suite
from tests.changes.editing import ENTITIES, edited
from tests.conftest import PAGE, PRODUCT
from tests.lakes import rows

DAY = timedelta(days=1)


def test_a_page_of_far_more_or_fewer_rows_than_the_pages_before_it_is_told_of_and_published(trained: Suite) -> None:
    """A tenth of the orders, but for one page: of that there are too many, and then too few for what it brought."""
    large = PAGE + 3 * DAY
    suite = edited(
        trained,
        ENTITIES,
        "WHERE promised_at > $as_of",
        f"WHERE promised_at > $as_of AND ($as_of = TIMESTAMP '{large}' OR order_id LIKE '%0')",
    )
    made = backfill(suite, BackfillOrder(PRODUCT, PAGE, PAGE + 5 * DAY, pages_per_commit=1))
    assert len({record.as_of for record in made.published if record.kind == "predictions"}) == 5
    query = "SELECT as_of, severity, message FROM ledger.checks WHERE name = 'row_count_band' AND NOT passed"
    told = {as_of: (severity, message) for as_of, severity, message in rows(suite, query)}
    assert told.keys() == {large, large + DAY}
    assert {severity for severity, _ in told.values()} == {"warning"}
    assert "the last 3 pages had" in told[large][1]
    assert "the last 4 pages had" in told[large + DAY][1]
