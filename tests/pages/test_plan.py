"""What the plan says of pages: their states, what is stale and why, and what making them would take."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.plan import Plan, plan
from jobs.pages.predict import predict_pages, run_page
from jobs.pages.states import PageState, grid_pages, page_states
from jobs.suite import Suite
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, reopened
from tests.lakes import files_of
from tests.versions import SECOND_FROM, train_and_promote_a_second_version
from warehouse.errors import RunFailed, UsageError
from warehouse.operations.leases import Leases

FIRST, UNTIL = PAGE, PAGE + timedelta(days=8)
CHECK = "sql/products/late_order/checks/not_this_day.sql"
COURIER = "sql/features/courier_load.sql"


def states_of(suite: Suite, first: datetime = FIRST, until: datetime = UNTIL) -> dict[datetime, PageState]:
    product = suite.definitions.product(PRODUCT)
    pages = grid_pages(product, first, until, suite.clock())
    return {state.as_of: state for state in page_states(suite, product, pages)}


def summary(found: Plan) -> list[tuple[str, int, str | None]]:
    return [(group.state, group.n_pages, group.why) for group in found.groups]


def pages_of(suite: Suite, first: datetime = FIRST, until: datetime = UNTIL) -> list[datetime]:
    return suite.definitions.product(PRODUCT).pages_between(first, until)


def test_every_state_a_page_can_have(trained: Suite) -> None:
    pages = pages_of(trained)
    (trained.root / CHECK).write_text(
        f"/*\ndescription: one bad day\n*/\nSELECT * FROM page WHERE as_of = TIMESTAMP '{pages[1]}'\n"
    )
    suite = reopened(trained)
    predict_pages(suite, suite.definitions.product(PRODUCT), pages[:3])
    courier = trained.root / COURIER
    whole = courier.read_text()
    courier.write_text(whole.replace("GROUP BY courier", "GROUP BY courier, depot"))
    with pytest.raises(RunFailed):
        run_page(reopened(trained), PRODUCT, pages[3])
    courier.write_text(whole)
    with Leases(suite.lake) as leases:
        leases.take(PRODUCT, [pages[4]])
        states = states_of(reopened(trained))
    shown = [states[page].state for page in pages]
    assert shown == ["published", "rejected", "published", "failed", "running", "missing", "missing", "missing"]
    assert "one bad day" in (states[pages[1]].why or "")
    assert "more than one row for the key" in (states[pages[3]].why or "")
    assert "makes it" in (states[pages[4]].why or "")
    assert states_of(reopened(trained))[pages[4]].state == "missing"
    found = plan(reopened(trained), PRODUCT, FIRST, UNTIL)
    assert [(group.state, group.n_pages) for group in found.groups] == [
        ("failed", 1),
        ("rejected", 1),
        ("missing", 4),
        ("published", 2),
    ]
    assert found.n_wanted == 6
    assert [(span.first, span.last) for span in found.groups[-1].spans] == [(pages[0],) * 2, (pages[2],) * 2]


def test_whitespace_and_comments_make_nothing_stale_but_meaning_does(trained: Suite) -> None:
    predict_pages(trained, trained.definitions.product(PRODUCT), pages_of(trained))
    path = trained.root / COURIER
    path.write_text(path.read_text().replace("SELECT courier", "SELECT  -- who carries it\n    courier"))
    assert summary(plan(reopened(trained), PRODUCT, FIRST, UNTIL)) == [("published", 8, None)]
    path.write_text(path.read_text().replace("sum(parcels)", "max(parcels)"))
    found = plan(reopened(trained), PRODUCT, FIRST, UNTIL)
    assert summary(found) == [("stale", 8, "the definitions have changed")]
    assert (found.n_wanted, found.n_stale) == (0, 8)


def test_late_facts_make_stale_what_they_were_known_before(trained: Suite) -> None:
    pages = pages_of(trained)
    predict_pages(trained, trained.definitions.product(PRODUCT), pages)
    at = pages[3] + timedelta(hours=1)
    (trained.root / "data/deliveries_late.csv").write_text(f"order_id,delivered_at\nnever-heard-of,{at}\n")
    ingestion = ingest(trained)[0].ingestion
    assert ingestion is not None
    found = plan(trained, PRODUCT, FIRST, UNTIL)
    why = f"ingestion {ingestion.ingest_id} brought facts of `deliveries` known before the page"
    assert summary(found) == [("stale", 4, why), ("published", 4, None)]
    assert [(span.first, span.last) for span in found.groups[0].spans] == [(pages[4], pages[7])]
    backfill(trained, BackfillOrder(PRODUCT, FIRST, UNTIL, only="stale"))
    assert summary(plan(trained, PRODUCT, FIRST, UNTIL)) == [("published", 8, None)]


def test_another_version_in_effect_makes_stale_what_it_would_write(trained: Suite) -> None:
    first, until = SECOND_FROM - timedelta(days=3), SECOND_FROM + timedelta(days=3)
    predict_pages(trained, trained.definitions.product(PRODUCT), pages_of(trained, first, until))
    train_and_promote_a_second_version(trained)
    found = plan(trained, PRODUCT, first, until)
    assert summary(found) == [("stale", 3, "made by v1; v2 is in effect"), ("published", 3, None)]
    assert found.groups[0].spans[0].first > SECOND_FROM


def test_pages_before_the_first_model_are_said_to_have_none(trained: Suite) -> None:
    found = plan(trained, PRODUCT, datetime(2026, 2, 26), datetime(2026, 3, 4))
    assert summary(found) == [("missing", 3, "no model was in effect"), ("missing", 3, None)]
    assert (found.n_wanted, found.n_without_model) == (3, 3)
    features = plan(trained, PRODUCT, datetime(2026, 2, 26), datetime(2026, 3, 4), features_only=True)
    assert summary(features) == [("missing", 3, None), ("published", 3, None)]


def test_the_plan_says_which_way_each_feature_group_goes(trained: Suite) -> None:
    assert {way.feature_group: (way.way, way.why) for way in plan(trained, PRODUCT).ways} == {
        "depot_history": ("lifted", "it reads something else than a single source"),
        "courier_load": ("lifted", "it reads something else than a single source"),
    }
    (trained.root / COURIER).write_text(
        "/*\ndescription: orders of late\nkey: [courier]\n*/\n"
        "SELECT courier, count(*) AS courier_orders FROM orders\n"
        "WHERE known_at >= $as_of - INTERVAL 7 DAY GROUP BY courier\n"
    )
    ways = {way.feature_group: way.way for way in plan(reopened(trained), PRODUCT).ways}
    assert ways["courier_load"] == "range"
    (trained.root / COURIER).write_text(
        "/*\ndescription: the largest order\nkey: [courier]\n*/\n"
        "SELECT DISTINCT courier, (SELECT max(parcels) FROM orders) AS courier_orders FROM orders\n"
    )
    plain = next(way for way in plan(reopened(trained), PRODUCT).ways if way.feature_group == "courier_load")
    assert plain.way == "page by page"
    assert plain.why is not None
    assert plain.why.startswith("it has a subquery within an expression; and ")


def test_the_plan_says_which_way_each_check_goes(trained: Suite) -> None:
    check = "/*\ndescription: the largest\n*/\nSELECT order_id FROM page ORDER BY parcels, order_id LIMIT 1\n"
    (trained.root / CHECK).write_text(check)
    found = plan(reopened(trained), PRODUCT)
    assert {way.check: (way.way, way.why) for way in found.check_ways} == {
        "not_all_alike": ("lifted", None),
        "not_this_day": ("page by page", "it has a LIMIT"),
    }
    assert plan(reopened(trained), PRODUCT, features_only=True).check_ways == []


def test_before_there_is_a_page_no_way_of_checking_it_is_told(ingested: Suite) -> None:
    assert plan(ingested, PRODUCT).check_ways == []


def test_the_cost_is_estimated_by_past_runs_of_like_size(trained: Suite) -> None:
    assert plan(trained, PRODUCT, FIRST, UNTIL).cost.seconds is None
    result = backfill(trained, BackfillOrder(PRODUCT, FIRST, UNTIL))
    cost = plan(trained, PRODUCT, UNTIL, UNTIL + timedelta(days=8)).cost
    assert cost.n_runs == 1
    assert cost.rows == result.n_rows
    assert cost.seconds is not None
    assert cost.seconds > 0


def test_what_is_fixed_and_what_each_page_takes_is_told_apart_before_many_are_promised(trained: Suite) -> None:
    until = FIRST + timedelta(days=24)
    run_page(trained, PRODUCT, FIRST - timedelta(days=1))
    planned = plan(trained, PRODUCT, FIRST, until)
    of_one_size = planned.cost
    assert of_one_size.seconds is None
    assert of_one_size.at_least is not None
    assert of_one_size.at_most == pytest.approx(planned.n_wanted * of_one_size.at_least)
    said = almanac(trained.root, "plan", PRODUCT, "--from", f"{FIRST}", "--to", f"{until}").stdout
    assert "by 1 past run, of another size" in " ".join(said.split())
    backfill(trained, BackfillOrder(PRODUCT, FIRST, UNTIL))
    of_two_sizes = plan(trained, PRODUCT, UNTIL, UNTIL + timedelta(days=20)).cost
    assert of_two_sizes.seconds is not None
    assert of_two_sizes.n_runs == 2
    assert of_two_sizes.seconds < of_one_size.at_most


def test_a_plan_changes_nothing(trained: Suite) -> None:
    before = trained.lake.newest_snapshot()
    files = files_of(trained.lake)
    plan(trained, PRODUCT)
    assert trained.lake.newest_snapshot() == before
    assert files_of(trained.lake) == files


def test_pages_are_planned_only_as_far_as_they_are_due(trained: Suite) -> None:
    found = plan(trained, PRODUCT, NOW - timedelta(days=2), NOW + timedelta(days=9))
    assert found.n_pages == 2
    with pytest.raises(UsageError, match=r"has no page from 2027-01-01 .* its grid is 0 18"):
        plan(trained, PRODUCT, datetime(2027, 1, 1))
