"""A training frame has, of given entities at given instants, what was known then: the rows that pages have."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from jobs.pages.outcomes import settle_labels
from jobs.suite import Suite
from tests.conftest import NOW, PAGE, PRODUCT
from tests.lakes import rows
from warehouse.errors import NotFoundError, UsageError
from warehouse.reader import open_lake

BETWEEN = PAGE + timedelta(hours=7, minutes=13)


def test_rows_at_a_page_are_the_pages_with_their_labels(published: Suite) -> None:
    settle_labels(published, published.definitions.product(PRODUCT))
    lake = open_lake(published.root)
    page = lake.features(PRODUCT, page=PAGE).to_polars()
    asked = page.select("order_id", "as_of").sample(fraction=1, shuffle=True, seed=1)
    found = lake.training_frame(asked.with_columns(mine=pl.lit(1)), product=PRODUCT, label=True, known_by=NOW)
    got = found.to_polars()
    assert_frame_equal(got.select("order_id", "as_of"), asked)
    assert got.get_column("mine").sum() == asked.height
    features = got.drop("mine", "label").select(page.columns)
    assert_frame_equal(features, page, check_row_order=False)
    labels = dict(rows(published, "SELECT order_id, label FROM labels.late_order"))
    assert labels
    assert dict(got.select("order_id", "label").iter_rows()) == {
        order: labels.get(order) for order in asked.get_column("order_id")
    }
    assert found.to_arrow().num_rows == asked.height


def test_between_two_pages_it_is_what_was_known_at_that_very_instant(ingested: Suite) -> None:
    lake = open_lake(ingested.root)
    depots = pl.DataFrame({"depot": ["north", "nowhere"], "as_of": [BETWEEN, BETWEEN]})
    frame = lake.training_frame(depots, groups=["depot_history"]).to_polars()
    late = timedelta(minutes=5)
    ((wanted,),) = rows(
        ingested,
        f"""SELECT count(*) FROM sources.deliveries JOIN sources.orders USING (order_id)
        WHERE depot = 'north' AND orders.known_at < TIMESTAMP '{BETWEEN - late}'
        AND deliveries.known_at < TIMESTAMP '{BETWEEN - late}'
        AND deliveries.known_at >= TIMESTAMP '{BETWEEN - timedelta(days=28)}'""",
    )
    assert frame.get_column("depot_deliveries_28d").to_list() == [wanted, None]
    assert frame.columns[:2] == ["depot", "as_of"]


def test_each_row_has_its_own_instant_and_groups_their_own_keys(ingested: Suite) -> None:
    lake = open_lake(ingested.root)
    at = [datetime(2026, 2, day) for day in (3, 20, 3)]
    asked = pl.DataFrame({"depot": ["north", "north", "south"], "courier": ["c1", "c1", "c2"], "as_of": at})
    both = lake.training_frame(asked, groups=["depot_history", "courier_load"]).to_polars()
    assert both.height == 3
    for number in range(3):
        alone = lake.training_frame(asked[number : number + 1], groups=["depot_history", "courier_load"]).to_polars()
        assert_frame_equal(alone, both[number : number + 1])


def test_what_cannot_be_given_is_refused(ingested: Suite) -> None:
    lake = open_lake(ingested.root)
    asked = pl.DataFrame({"depot": ["north"], "as_of": [PAGE]})
    with pytest.raises(UsageError, match="either product= or groups="):
        lake.training_frame(asked)
    with pytest.raises(UsageError, match="label=True needs product="):
        lake.training_frame(asked, groups=["depot_history"], label=True)
    with pytest.raises(UsageError, match=r"the entities lack \['order_id'\]"):
        lake.training_frame(asked, product=PRODUCT)
    with pytest.raises(UsageError, match="without a zone"):
        lake.training_frame(asked.with_columns(pl.col("as_of").dt.replace_time_zone("UTC")), groups=["depot_history"])
    with pytest.raises(UsageError, match="come twice"):
        lake.training_frame(asked.with_columns(depot_deliveries_7d=pl.lit(1)), groups=["depot_history"])
    with pytest.raises(NotFoundError, match="Did you mean `depot_history`"):
        lake.training_frame(asked, groups=["depot_histry"])
    assert not list(ingested.lake.staging.glob("frame-*"))
