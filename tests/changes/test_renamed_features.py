"""A version that reads a column which the definitions do not give any more writes no page, on no way that scores."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobs.models.bench import bench
from jobs.pages.backfill import BackfillOrder, backfill, prepare_backfill
from jobs.pages.diff import diff
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.plan import plan
from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.progress import Silent
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote
from jobs.rollout.promotion import rollback as go_back
from jobs.suite import Suite
from jobs.suites.doctor import doctor
from jobs.suites.status import status
from jobs.training.train import train
from tests.changes.editing import ENTITIES, GROUP, YAML, edited
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_LATER, clock_at
from tests.lakes import rows
from warehouse.errors import UsageError

LACKS = r"v1 can write no page: it reads `depot_deliveries_7d` \(renamed to `depot_deliveries_week`\?\)"
NEXT = PAGE + timedelta(days=1)


def renamed(suite: Suite) -> Suite:
    return edited(suite, GROUP, "AS depot_deliveries_7d", "AS depot_deliveries_week")


def published_pages(suite: Suite) -> list[tuple[object, ...]]:
    return rows(suite, "SELECT * FROM predictions.late_order ORDER BY ALL")


def test_neither_run_nor_backfill_gives_a_live_model_null_for_a_renamed_feature(published: Suite) -> None:
    suite, before = renamed(published), published_pages(published)
    product = suite.definitions.product(PRODUCT)
    # The pages' features are there already, and their table still has the old column, NULL.
    ensure_feature_pages(suite, product, [PAGE, NEXT], Silent())
    for page in (PAGE, NEXT):
        with pytest.raises(UsageError, match=LACKS):
            run_page(suite, PRODUCT, page)
    order = BackfillOrder(PRODUCT, PAGE, NEXT + timedelta(seconds=1), only="all")
    for work in (prepare_backfill, backfill):
        with pytest.raises(UsageError, match=LACKS):
            work(suite, order)  # type: ignore[operator]
    assert published_pages(suite) == before


def test_a_chunk_refuses_by_itself_too(published: Suite) -> None:
    from jobs.models.versions import model_history
    from jobs.pages.make import PageOrder, make_pages

    suite = renamed(published)
    product = suite.definitions.product(PRODUCT)
    with suite.lake.reading() as connection:
        (model,) = model_history(connection, PRODUCT).models
    for _ in range(2):
        with pytest.raises(UsageError, match=LACKS):
            make_pages(suite, PageOrder(product, [NEXT], model), Silent())
        ensure_feature_pages(suite, product, [NEXT], Silent())


def test_plan_status_and_doctor_say_that_no_page_can_be_made(published: Suite) -> None:
    suite = renamed(published)
    found = plan(suite, PRODUCT, PAGE, NEXT + timedelta(seconds=1))
    assert found.n_wanted == found.n_stale == 0
    assert found.n_unfit == 1
    assert len(found.unfit) == 1
    assert "depot_deliveries_7d" in found.unfit[0]
    assert all("v1 can write no page" in str(group.why) for group in found.groups)
    (row,) = status(suite).products
    assert "almanac promote late_order VERSION" in row["cannot_write"]
    (finding,) = [one for one in doctor(suite.root, clock_at(NOW)) if one.subject == "model late_order v1"]
    assert finding.state == "error"
    assert "almanac train late_order" in finding.detail


def test_once_another_version_is_live_pages_are_made_again(published: Suite) -> None:
    file = published.root / YAML
    file.write_text(file.read_text() + "gates: {not_worse: {metric: log_loss, margin: 10}}\n")
    suite = renamed(published)
    made = train(suite, PRODUCT, TRAINED_LATER)
    assert not made.went_live
    assert "not compared: late_order v1 can write no page" in made.why
    with pytest.raises(UsageError, match=LACKS):
        compare(suite, PRODUCT, ("v1", "v2"))
    promote(suite, PRODUCT, "v2", force=True, reason="v1 reads a column that is gone")
    page = datetime(2026, 3, 25, 18)
    assert run_page(suite, PRODUCT, page).published[-1].model_version == "v2"
    (row,) = status(suite).products
    assert row["cannot_write"] is None
    # Those of before are v1's, and say so.
    states = page_states(suite, suite.definitions.product(PRODUCT), [PAGE, page])
    assert [state.unfit is None for state in states] == [False, True]
    assert states[0].stale
    with pytest.raises(UsageError, match=LACKS):
        promote(suite, PRODUCT, "v1", force=True, reason="back", effective_from=page)
    with pytest.raises(UsageError, match=LACKS):
        go_back(suite, PRODUCT, reason="v2 is worse")
    # Once the definitions are what they were, it does.
    suite = edited(suite, GROUP, "AS depot_deliveries_week", "AS depot_deliveries_7d")
    assert go_back(suite, PRODUCT, reason="v2 is worse").decision.version == "v1"


def test_measuring_and_comparing_refuse_what_cannot_be_scored(published: Suite) -> None:
    suite = renamed(published)
    with pytest.raises(UsageError, match=LACKS):
        bench(suite, PRODUCT, "v1")
    # The page itself was made under the old definitions, and has the column.
    assert diff(suite, PRODUCT, PAGE, "v1").n_changed == 0
    ensure_feature_pages(suite, suite.definitions.product(PRODUCT), [PAGE], Silent())
    with pytest.raises(UsageError, match=LACKS):
        diff(suite, PRODUCT, PAGE, "v1")


def test_a_feature_that_turned_from_text_to_number_is_not_given_to_the_model(published: Suite) -> None:
    suite = edited(published, ENTITIES, "    depot,\n    courier,", "    depot,\n    length(courier) AS courier,")
    with pytest.raises(UsageError, match=r"`courier` \(VARCHAR then, BIGINT now\) changed between text and number"):
        run_page(suite, PRODUCT, NEXT)


def test_a_feature_taken_back_lets_the_live_version_go_on(published: Suite) -> None:
    suite, before = renamed(published), rows(published, "SELECT order_id, probability FROM predictions.late_order_page")
    suite = edited(suite, GROUP, "AS depot_deliveries_week", "AS depot_deliveries_7d")
    run_page(suite, PRODUCT, PAGE)
    assert sorted(rows(suite, "SELECT order_id, probability FROM predictions.late_order_page")) == sorted(before)
