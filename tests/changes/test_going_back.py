"""A definition that is taken back: its facts are there, and nothing is made of them before they are caught up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.suites.doctor import doctor
from jobs.training.train import train
from tests.changes.editing import SOURCE, edited
from tests.conftest import NOW, PAGE, PRODUCT, reopened
from tests.lakes import rows
from warehouse.errors import UsageError

HOUR = timedelta(hours=1)
LATE = f"late,north,Swift,9,{PAGE - HOUR:%F %T},{PAGE + 5 * HOUR:%F %T}\n"
MAKES: dict[str, Callable[[Suite], object]] = {
    "run": lambda suite: run_page(suite, PRODUCT, PAGE),
    "backfill": lambda suite: backfill(suite, BackfillOrder(PRODUCT, PAGE, PAGE + HOUR, "all")),
    "train": lambda suite: train(suite, PRODUCT, PAGE),
}


@pytest.fixture
def taken_back(published: Suite) -> Suite:
    """A suite with a delivery that was taken in under a definition which was then taken back."""
    changed = edited(published, SOURCE, "parcels >= 1", "parcels >= 0", NOW + HOUR)
    (changed.root / "data/orders-2.csv").write_text(f"order_id,depot,courier,parcels,ordered_at,promised_at\n{LATE}")
    ingest(changed)
    return edited(changed, SOURCE, "parcels >= 0", "parcels >= 1", NOW + 2 * HOUR)


def told(suite: Suite) -> list[str]:
    return [one.detail for one in doctor(suite.root, suite.clock) if one.subject == "source orders"]


def test_nothing_is_made_of_facts_that_lack_a_delivery(taken_back: Suite) -> None:
    snapshot = taken_back.lake.newest_snapshot()
    for make in MAKES.values():
        with pytest.raises(
            UsageError, match=r"1 delivery was taken in under another definition .*`almanac ingest orders"
        ):
            make(taken_back)
    assert taken_back.lake.newest_snapshot() == snapshot
    assert any("1 delivery was taken in under another definition" in said for said in told(taken_back))


def test_once_it_is_caught_up_the_page_has_what_was_delivered_meanwhile(taken_back: Suite) -> None:
    (result,) = (one for one in ingest(taken_back) if one.source == "orders")
    assert len(result.caught_up) == 1
    run_page(reopened(taken_back, NOW + 3 * HOUR), PRODUCT, PAGE)
    query = "SELECT parcels FROM features.late_order WHERE as_of = $1 AND order_id = 'late'"
    assert rows(taken_back, query, [PAGE]) == [(9,)]
    assert not any("another definition" in said for said in told(taken_back))
