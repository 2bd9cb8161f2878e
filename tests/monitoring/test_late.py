"""How late pages were, against what their product promises."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

from jobs.monitoring.late import late
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from tests.command_line import said
from tests.conftest import PAGE, PRODUCT, clock_at

HOUR = timedelta(hours=1)


def at(suite: Suite, now: datetime) -> Suite:
    return open_suite(suite.root, clock_at(now))


def test_a_page_is_late_by_its_first_publication_and_one_that_never_came_by_now(trained: Suite) -> None:
    path = trained.root / "sql/products/late_order/product.yaml"
    path.write_text(path.read_text() + "fresh_within: 2 hours\n")
    run_page(at(trained, PAGE + HOUR), PRODUCT, PAGE)
    run_page(at(trained, PAGE + 9 * HOUR), PRODUCT, PAGE)
    run_page(at(trained, PAGE + 27 * HOUR), PRODUCT, PAGE + 24 * HOUR)
    now = PAGE + 50 * HOUR
    found = {one.page: one for one in late(at(trained, now), PRODUCT, PAGE)}
    assert [found[PAGE + days * 24 * HOUR].late_by for days in range(3)] == [HOUR, 3 * HOUR, 2 * HOUR]
    assert [found[PAGE + days * 24 * HOUR].is_late for days in range(3)] == [False, True, False]
    assert found[PAGE + 48 * HOUR].published_at is None
    assert [one.late_by for one in late(at(trained, now), None, PAGE)] == [3 * HOUR, 2 * HOUR, HOUR]
    assert len(late(at(trained, now))) == 14


def test_without_a_promise_nothing_is_late(published: Suite) -> None:
    (one,) = late(published, PRODUCT, PAGE, PAGE + HOUR)
    assert (one.is_late, one.fresh_within) == (None, None)
    shown = said(published.root, "late", PRODUCT, "--from", "2026-03-10", "--to", "2026-03-11")
    assert "0 of 0 pages whose product promises a time (fresh_within) were later than that." in shown
    assert "never published" not in shown
    shown = said(published.root, "late", PRODUCT, "--from", "2026-03-10", "--to", "2026-03-12")
    assert "1 of 2 pages are due and were never published." in shown
    assert not re.search(r":\d\d\.\d", shown)  # no fractions of a second
    (row,) = json.loads(said(published.root, "late", "--from", "2026-03-10", "--to", "2026-03-11", "--json"))
    assert (row["product"], row["is_late"]) == (PRODUCT, None)
