"""From which instant on a page is due, and how batches learn from the pages before."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from jobs.pages.batch_size import BatchSize
from jobs.pages.states import grid_pages
from jobs.suite import open_suite
from tests.conftest import NOW, PAGE, PRODUCT, clock_at

DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


def test_a_page_is_due_at_its_own_instant_and_not_a_microsecond_before(starter: Path) -> None:
    product = open_suite(starter, clock_at(NOW)).definitions.product(PRODUCT)
    assert grid_pages(product, PAGE - DAY, None, PAGE) == [PAGE - DAY, PAGE]
    assert grid_pages(product, PAGE - DAY, None, PAGE - TICK) == [PAGE - DAY]
    assert grid_pages(product, PAGE - DAY, PAGE, PAGE + DAY) == [PAGE - DAY]


def test_larger_pages_count_at_once_and_smaller_ones_by_half() -> None:
    size = BatchSize(10, 100.0)
    size.learn(2, 800)
    assert size.rows_per_page == 400
    size.learn(4, 400)
    assert size.rows_per_page == 250
    size.learn(0, 0)
    assert size.rows_per_page == 250
