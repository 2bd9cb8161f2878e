"""A rollout by hand: all arms score every row, readers see one arm of each entity, and the end gives pages back."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.models.arms.assignment import Assignment
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.diff import diff
from jobs.pages.outcomes import settle_labels
from jobs.pages.predict import predict_pages, run_page
from jobs.pages.rollback import rollback as roll_page_back
from jobs.pages.states import page_states
from jobs.rollout.promotion import promote, retire
from jobs.rollout.stages import abort, advance, hold, start
from jobs.rollout.standing import standings
from jobs.suite import Suite
from jobs.suites.upkeep import upkeep
from jobs.training.register import Order
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import NOW, PRODUCT
from tests.lakes import rows
from tests.rollout.worlds import at, make, page_of, with_plan
from warehouse.errors import UsageError

P0 = datetime(2026, 3, 14, 18)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def _two(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live version and another one, a plan, and one page without a rollout."""
    root = tmp_path_factory.mktemp("two") / "shop"
    shutil.copytree(_trained, root)
    with_plan(root)
    for as_of in (datetime(2026, 3, 10), datetime(2026, 3, 12)):
        train(at(root, NOW), PRODUCT, as_of, order=Order("more labels"))
    make(root, P0)
    return root


@pytest.fixture
def two(_two: Path, tmp_path: Path) -> Path:
    shutil.copytree(_two, tmp_path / "shop")
    return tmp_path / "shop"


def alone(root: Path, page: datetime, version: str, tmp_path: Path) -> list[object]:
    """Give a page as one version writes it alone, in a copy of the suite."""
    copy = tmp_path / f"alone-{version}"
    shutil.copytree(root, copy)
    suite = at(copy, page)
    run_page(suite, PRODUCT, page, version=version)
    return page_of(suite, page)


def test_a_shadow_scores_every_row_and_shows_readers_the_live_version(two: Path, tmp_path: Path) -> None:
    suite = at(two, P0 + DAY)
    live_alone, v2_alone = (alone(two, P0 + DAY, version, tmp_path) for version in ("v1", "v2"))
    taken = start(suite, PRODUCT, ["v2"], reason="it knows March")
    assert (taken.step.effective_from, taken.step.stage) == (P0 + DAY, 0)
    make(two, P0 + DAY)
    assert page_of(suite, P0 + DAY) == live_alone
    assert page_of(suite, P0 + DAY, f"{PRODUCT}_arms") == v2_alone
    assert rows(suite, f"SELECT DISTINCT arm FROM predictions.{PRODUCT}_current") == [("v1",)]
    arms = rows(suite, "SELECT arm, n_rows, n_served FROM ledger.arms ORDER BY arm")
    n_rows = len(live_alone)
    assert arms == [("v1", n_rows, n_rows), ("v2", n_rows, 0)]
    (standing,) = standings(suite, PRODUCT)
    assert (standing.state, standing.pages, standing.matured) == ("goes on", 1, 0)
    assert "labels of the page 2026-03-15" in standing.waits
    states = page_states(suite, suite.definitions.product(PRODUCT), [P0, P0 + DAY])
    assert [state.stale for state in states] == [False, False]

    # Rows that were not served are kept while the rollout goes on, and as long as upkeep keeps pages after that.
    later, n_arms = at(two, P0 + 100 * DAY), f"SELECT count(*) FROM predictions.{PRODUCT}_arms"
    upkeep(later)
    assert rows(later, n_arms) == [(n_rows,)]
    abort(suite, PRODUCT, "seen enough")
    upkeep(at(two, P0 + 80 * DAY))
    assert rows(later, n_arms) == [(n_rows,)]
    upkeep(later)
    assert rows(later, n_arms) == [(0,)]
    assert page_of(later, P0 + DAY) == live_alone


def test_a_canary_serves_each_entity_by_one_arm_and_its_end_gives_the_page_back(two: Path, tmp_path: Path) -> None:
    first, second = P0 + DAY, P0 + 2 * DAY
    suite = at(two, first)
    product = suite.definitions.product(PRODUCT)
    predict_pages(suite, product, [P0 - 7 * DAY])
    settle_labels(suite, product)
    start(suite, PRODUCT, ["v2"])
    make(two, first)
    taken = advance(at(two, first), PRODUCT, "seen enough")
    assert taken.step.effective_from == second
    differed_before(suite, Assignment.from_json(taken.step.assignment))
    live_alone, v2_alone = (alone(two, second, version, tmp_path) for version in ("v1", "v2"))
    make(two, second)
    suite = at(two, second + timedelta(hours=1))
    served = dict(rows(suite, f"SELECT order_id, arm FROM predictions.{PRODUCT}_current"))
    own = {key for key, arm in served.items() if arm == "v2"}
    assert len(served) == len(live_alone)
    assert 0.1 < len(own) / len(served) < 0.5
    expected = [row for row in live_alone if row[0] not in own] + [row for row in v2_alone if row[0] in own]
    assert page_of(suite, second) == sorted(expected)
    beside = page_of(suite, second, f"{PRODUCT}_arms")
    assert sorted(beside) == sorted([r for r in live_alone if r[0] in own] + [r for r in v2_alone if r[0] not in own])

    # A page of then, made again, has the arms of then, whatever stage the rollout is in by now.
    arms_of = f"SELECT arm, count(*) FROM predictions.{PRODUCT} WHERE as_of = $1 GROUP BY ALL ORDER BY ALL"
    stood = rows(suite, arms_of, [first])
    backfill(suite, BackfillOrder(PRODUCT, first, second + DAY, only="all"))
    assert rows(suite, arms_of, [first]) == stood == [("v1", len(page_of(suite, first)))]
    assert page_of(suite, second) == sorted(expected)
    states = page_states(suite, suite.definitions.product(PRODUCT), [first, second])
    assert [state.why for state in states] == [None, None]

    snapshot = suite.lake.newest_snapshot()
    assert diff(suite, PRODUCT, second).n_changed == 0
    taken = abort(suite, PRODUCT, "the desk complains")
    assert (taken.step.action, taken.given_back) == ("abort", [second])
    assert page_of(suite, second) == live_alone
    assert page_of(suite, second, f"{PRODUCT}_arms") == v2_alone
    assert rows(suite, f"SELECT DISTINCT arm FROM predictions.{PRODUCT}_page") == [("v1",)]
    # What changed for readers is what the challenger had served.
    changed = diff(suite, PRODUCT, second, limit=1000)
    assert "the arms: v1" in " ".join(changed.why)
    assert 0 < changed.n_changed <= len(own)
    assert {row["order_id"] for row in changed.changed} <= own
    assert (changed.n_came, changed.n_went) == (0, 0)
    states = page_states(suite, suite.definitions.product(PRODUCT), [first, second])
    assert [state.why for state in states] == [None, None]
    assert standings(suite, PRODUCT)[0].waits == "the desk complains"

    # A page that is put back brings the arms that it had.
    roll_page_back(suite, PRODUCT, second, snapshot)
    assert page_of(suite, second) == sorted(expected)
    assert page_of(suite, second, f"{PRODUCT}_arms") == beside


def differed_before(suite: Suite, given: Assignment) -> None:
    """See that the balance which was recorded at the start is what came of each arm's units before."""
    came: dict[str, list[tuple[str, int]]] = {}
    newest = f"SELECT DISTINCT as_of FROM labels.{PRODUCT} ORDER BY as_of DESC LIMIT 60"
    for order, label in rows(suite, f"SELECT order_id, label FROM labels.{PRODUCT} WHERE as_of IN ({newest})"):
        came.setdefault(given.arm_of([order]), []).append((order, label))
    expected = [
        {
            "arm": arm,
            "n_rows": len(own),
            "n_units": len({order for order, _ in own}),
            "mean_label": pytest.approx(sum(label for _, label in own) / len(own)),
        }
        for arm, own in sorted(came.items())
    ]
    ((balance,),) = rows(suite, "SELECT balance FROM ledger.rollouts")
    assert len(expected) == 2
    assert json.loads(balance) == expected


def test_a_region_and_a_list_say_who_is_given_to_an_arm(two: Path) -> None:
    page = P0 + DAY
    for wrong in ("courier_open_parcel > 3", "order_id > 3"):
        with_plan(two, f"{{stages: [{{canary: {{where: '{wrong}', pages: 2}}}}], margin: 0.01}}")
        with pytest.raises(UsageError, match="cannot be asked of a page"):
            start(at(two, page), PRODUCT, ["v2"])
    with_plan(two, "{stages: [{canary: {where: 'courier_open_orders > 3', pages: 2}}], margin: 0.01}")
    start(at(two, page), PRODUCT, ["v2"])
    make(two, page)
    suite = at(two, page)
    wrong = (
        f"SELECT count(*), count(*) FILTER ((arm = 'v2') <> coalesce(courier_open_orders > 3, false))"
        f" FROM predictions.{PRODUCT}_page JOIN features.{PRODUCT} USING (as_of, order_id)"
    )
    ((n_rows, n_wrong),) = rows(suite, wrong)
    assert (n_rows > 0, n_wrong) == (True, 0)


def test_a_training_says_what_share_of_its_labels_predictions_may_have_influenced(two: Path) -> None:
    with_plan(two, "{stages: [{canary: {share: 30%, pages: 2}}], margin: 0.01, influenced: true, explore: 40%}")
    start(at(two, P0 + DAY), PRODUCT, ["v2"])
    make(two, P0 + DAY)
    # This one is made long after its outcomes, which it cannot have changed.
    run_page(at(two, NOW), PRODUCT, P0 + 2 * DAY)
    suite = at(two, NOW)
    settle_labels(suite, suite.definitions.product(PRODUCT))
    of_pages = f"""
        SELECT count(*) FILTER (arm IS DISTINCT FROM 'explore' AND published_at < as_of + INTERVAL 1 DAY),
               count(*) FILTER (arm = 'explore' AND published_at < as_of + INTERVAL 1 DAY)
        FROM predictions.{PRODUCT} JOIN labels.{PRODUCT} USING (as_of, order_id) WHERE label IS NOT NULL"""
    ((n_influenced, n_explored),) = rows(suite, of_pages)
    assert min(n_influenced, n_explored) > 5
    told = said(two, "train", PRODUCT, "--as-of", f"{NOW:%Y-%m-%d}")
    newest = "SELECT metrics['influenced_labels'], n_rows FROM ledger.models ORDER BY snapshot_id DESC LIMIT 1"
    ((share, n_rows),) = rows(suite, newest)
    # Some labels are of orders that are on no feature page.
    assert share * n_rows == pytest.approx(n_influenced, rel=0.01)
    assert f"{share:.1%} of its labels are of rows that a model had chosen for" in told


def test_what_would_change_a_comparison_in_the_middle_is_refused(two: Path) -> None:
    suite = at(two, P0 + DAY)
    with pytest.raises(UsageError, match="is in no rollout"):
        hold(suite, PRODUCT, "why not")
    with pytest.raises(UsageError, match="none of them the live one"):
        start(suite, PRODUCT, ["v1"])
    start(suite, PRODUCT, ["v2"])
    for change in (
        lambda: start(suite, PRODUCT, ["v3"]),
        lambda: promote(suite, PRODUCT, "v3", force=True, reason="now"),
        lambda: retire(suite, PRODUCT, "v2"),
    ):
        with pytest.raises(UsageError, match="rollout"):
            change()
    retire(suite, PRODUCT, "v3")
    assert hold(suite, PRODUCT, "over the holidays").step.held
    assert standings(suite)[0].state == "held"
    assert advance(suite, PRODUCT, "they are over").step.action == "resume"
    assert advance(suite, PRODUCT, "seen enough").step.stage == 1
    with pytest.raises(UsageError, match="last stage"):
        advance(suite, PRODUCT, "more")
    assert abort(suite, PRODUCT, "enough").step.is_end
    assert abort_is_over(suite)


def abort_is_over(suite: Suite) -> bool:
    with pytest.raises(UsageError, match="is in no rollout"):
        abort(suite, PRODUCT, "again")
    return True
