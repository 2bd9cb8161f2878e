"""Rollouts of ranked lists: a list is served by one arm, and arms are compared by how well their lists are in order."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobs.models.arms.assignment import Assignment
from jobs.monitoring.evaluate import evaluate
from jobs.pages.predict import predict_pages
from jobs.rollout.look import look
from jobs.rollout.stages import abort, start
from jobs.suite import Suite
from jobs.training.train import train
from tests.conftest import NOW, PRODUCT
from tests.lakes import rows
from tests.rollout.worlds import at, page_of, with_plan
from tests.training.test_ranking import with_lists

P0 = datetime(2026, 2, 1, 18)
DAY = timedelta(days=1)


def start_with_both(suite: Suite) -> None:
    """Begin a rollout that gives some of the few lists to each version, whatever its salt comes to."""
    depots = [depot for (depot,) in rows(suite, "SELECT DISTINCT depot FROM sources.orders")]
    for _ in range(20):
        given = Assignment.from_json(start(suite, PRODUCT, ["v2"], first_page=P0).step.assignment)
        if {given.arm_of([depot]) for depot in depots} == {"v1", "v2"}:
            return
        abort(suite, PRODUCT, "one version has all lists")
    raise AssertionError("twenty salts gave all lists to one version")


def assert_each_arms_entries_are_kept(suite: Suite) -> None:
    """See that features are kept of what each arm lists, served or not: it may be given back."""
    keys = "as_of, depot, order_id"
    listed = f"SELECT {keys} FROM predictions.{{}} ORDER BY ALL"
    served, beside = (set(rows(suite, listed.format(table))) for table in (PRODUCT, f"{PRODUCT}_arms"))
    kept = set(rows(suite, f"SELECT {keys} FROM features.{PRODUCT} SEMI JOIN predictions.{PRODUCT} USING (as_of)"))
    assert beside - served
    assert served | beside <= kept


def test_lists_are_served_whole_and_compared_by_their_order(ingested: Suite) -> None:
    root = ingested.root
    for rule in ("0.5", "coalesce(courier_open_orders, 0)"):
        (root / f"sql/products/{PRODUCT}/score.sql").write_text(
            f"/*\ndescription: A rule.\n*/\nSELECT depot, order_id, {rule} AS score\nFROM page\n"
        )
        if rule == "0.5":
            with_lists(ingested, "list: [depot]\n  top: 4\n  at_most: 200\n  keep: 1 %", "{sql: score.sql}")
        train(at(root, NOW), PRODUCT, datetime(2026, 2, 1))
    with_plan(root, "{stages: [{canary: {share: 50%, pages: 5}}], margin: 0.0}")
    start_with_both(at(root, P0))
    suite = at(root, P0 + DAY)
    predict_pages(suite, suite.definitions.product(PRODUCT), [P0, P0 + DAY])
    by_list = f"SELECT as_of, depot, count(DISTINCT arm), count(*), max(rank) FROM predictions.{PRODUCT} GROUP BY ALL"
    found = rows(suite, by_list)
    assert {row[2] for row in found} == {1}
    assert all(n_rows == last for *_, n_rows, last in found)
    assert {row[0] for row in rows(suite, f"SELECT DISTINCT arm FROM predictions.{PRODUCT}")} == {"v1", "v2"}
    assert_each_arms_entries_are_kept(suite)
    made = look(at(root, P0 + 6 * DAY), PRODUCT)
    assert [one.page for one in made] == [P0, P0 + DAY]
    differences = {one.page: one.looks[0] for one in made}

    # Given back, the page is v1's alone, and its NDCG is what the look had of it.
    assert abort(at(root, P0 + DAY + timedelta(hours=1)), PRODUCT, "enough").given_back[-1] == P0 + DAY
    alone = page_of(suite, P0 + DAY)
    assert {row[0] for row in rows(suite, f"SELECT arm FROM predictions.{PRODUCT}_page")} == {"v1"}
    assert_each_arms_entries_are_kept(suite)
    (group,) = evaluate(at(root, NOW), PRODUCT, P0 + DAY, P0 + DAY + timedelta(seconds=1)).groups
    assert 1 - group["ndcg"] == pytest.approx(differences[P0 + DAY].live_loss)
    predict_pages(at(root, P0 + DAY), suite.definitions.product(PRODUCT), [P0 + DAY], version="v2")
    (group,) = evaluate(at(root, NOW), PRODUCT, P0 + DAY, P0 + DAY + timedelta(seconds=1)).groups
    assert 1 - group["ndcg"] == pytest.approx(differences[P0 + DAY].loss)
    predict_pages(at(root, P0 + DAY), suite.definitions.product(PRODUCT), [P0 + DAY])
    assert page_of(suite, P0 + DAY) == alone
