"""Two pages side by side: which rows changed, in which features, and under which version."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from jobs.pages.diff_pages import diff_pages
from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.command_line import almanac, said
from tests.conftest import PAGE, PRODUCT
from tests.lakes import rows
from warehouse.errors import NotFoundError, UsageError

NEXT = PAGE + timedelta(days=1)


def test_rows_of_two_pages_are_matched_and_what_differs_is_named(published: Suite) -> None:
    run_page(published, PRODUCT, NEXT)
    found = diff_pages(published, PRODUCT, NEXT, PAGE, limit=1000)
    by_hand = rows(
        published,
        """SELECT order_id, before.probability, after.probability FROM
        (FROM predictions.late_order WHERE as_of = $1) AS before FULL JOIN
        (FROM predictions.late_order WHERE as_of = $2) AS after USING (order_id)""",
        [PAGE, NEXT],
    )
    assert found.n_came == sum(before is None for _, before, _ in by_hand)
    assert found.n_went == sum(after is None for _, _, after in by_hand)
    changed = {key: (b, a) for key, b, a in by_hand if b is not None and a is not None and b != a}
    assert {row["order_id"]: (row["before"], row["after"]) for row in found.changed} == changed
    assert found.n_changed == len(changed) > 0
    sizes = [abs(row["change"]) for row in found.changed]
    assert sizes == sorted(sizes, reverse=True)
    assert found.largest_change == sizes[0]
    of_page = dict(
        rows(published, "SELECT order_id, depot_deliveries_28d FROM features.late_order WHERE as_of = $1", [PAGE])
    )
    of_next = dict(
        rows(published, "SELECT order_id, depot_deliveries_28d FROM features.late_order WHERE as_of = $1", [NEXT])
    )
    differing = [row for row in found.changed if of_page[row["order_id"]] != of_next[row["order_id"]]]
    counts = {one["feature"]: one["differs_in"] for one in found.features}
    assert counts.get("depot_deliveries_28d", 0) == len(differing)
    for row in differing:
        assert row["features"]["depot_deliveries_28d"] == [of_page[row["order_id"]], of_next[row["order_id"]]]
    assert found.before.model_version == found.after.model_version == "v1"


def test_the_command_shows_it_and_says_what_it_needs(published: Suite) -> None:
    run_page(published, PRODUCT, NEXT)
    pages = ["--page", f"{NEXT:%Y-%m-%dT%H:%M}", "--against-page", f"{PAGE:%Y-%m-%dT%H:%M}"]
    shown = said(published.root, "diff", PRODUCT, *pages, "--limit", "3")
    assert "two pages by order_id" in shown
    assert "Features that differ" in shown
    told = json.loads(said(published.root, "diff", PRODUCT, *pages, "--key", "order_id", "--json"))
    assert told["keys"] == ["order_id"]
    both = almanac(published.root, "diff", PRODUCT, *pages, "--against", "v1")
    assert (both.returncode, "another page" in both.stderr) == (2, True)
    alone = almanac(published.root, "diff", PRODUCT, *pages[:2], "--key", "order_id")
    assert (alone.returncode, "goes with --against-page" in alone.stderr) == (2, True)


def test_keys_that_several_rows_share_or_that_are_no_columns_are_refused(published: Suite) -> None:
    run_page(published, PRODUCT, NEXT)
    with pytest.raises(UsageError, match=r"rows of depot .*name keys of which each row has its own"):
        diff_pages(published, PRODUCT, NEXT, PAGE, ["depot"])
    with pytest.raises(UsageError, match=r"the page has no such column\. It has: "):
        diff_pages(published, PRODUCT, NEXT, PAGE, ["nothing"])
    with pytest.raises(UsageError, match="are both"):
        diff_pages(published, PRODUCT, PAGE, PAGE)
    with pytest.raises(NotFoundError, match="not published"):
        diff_pages(published, PRODUCT, NEXT, PAGE - timedelta(days=1))
