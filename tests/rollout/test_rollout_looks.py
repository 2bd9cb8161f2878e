"""A rollout by itself: looks after matured pages, what follows from them, and that a killed one is made once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.models.model_table import live
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.outcomes import settle_labels
from jobs.pages.predict import predict_pages
from jobs.rollout.look import Looked, look
from jobs.rollout.stages import abort, hold, start
from jobs.rollout.standing import standings
from jobs.suite import Suite
from tests.command_line import said
from tests.conftest import PRODUCT
from tests.lakes import rows
from tests.page_makers import PageMaker
from tests.rollout.worlds import YAML, at, live_through, page_of, with_plan
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import ACUTE, CLOSED, OPEN, Alarm

P0 = datetime(2026, 2, 1, 18)
DAY = timedelta(days=1)


def lived(root: Path) -> list[Looked]:
    """Live through 8 pages at once, and then some at a time, until a rollout is over."""
    found = list(live_through(root, P0, 8, 8))
    place = 8
    while found[-1].decision not in ("promote", "abort") and place < 40:
        found += live_through(root, P0 + place * DAY, 4)
        place += 4
    return found


def ledger_of(suite: Suite, table: str) -> list[tuple[object, ...]]:
    """Give rows of the ledger without what tells one run from another."""
    left_out = "'run_id', 'snapshot_id', 'rollout_id', 'salt'"
    return rows(suite, f"SELECT COLUMNS(n -> n NOT IN ({left_out})) FROM ledger.{table} ORDER BY ALL")


def test_a_better_version_goes_through_the_stages_and_is_promoted(rules: Path) -> None:
    with_plan(
        rules, "{stages: [{shadow: {pages: 3}}, {canary: {share: 30%, pages: 3}}], margin: 0.0, acute: {shift: 1}}"
    )
    start(at(rules, P0), PRODUCT, ["v2"], first_page=P0)
    decided = [(one.page, one.decision) for one in lived(rules)]
    actions = [action for _, action in decided if action != "wait"]
    assert actions == ["advance", "promote"]
    suite = at(rules, decided[-1][0] + 6 * DAY)  # type: ignore[operator]
    course = rows(suite, "SELECT action, effective_from, decided_by, page FROM ledger.rollout_steps ORDER BY number")
    assert [row[0] for row in course] == ["start", "advance", "promote"]
    assert [row[2] for row in course[1:]] == ["almanac", "almanac"]
    promotion = live(suite, PRODUCT, course[2][1]).promotion
    assert promotion is not None
    assert (promotion.version, promotion.effective_from, promotion.action) == ("v2", course[2][1], "promote")
    before = live(suite, PRODUCT, course[2][1] - DAY).promotion
    assert before is not None
    assert before.version == "v1"
    # One look a page, in order; fewer than nine pages decide nothing.
    looks = rows(suite, "SELECT as_of, decision, e_good, figures['bound'] FROM ledger.looks ORDER BY as_of")
    assert len({row[0] for row in looks}) == len(looks) == len(decided)
    first = next(place for place, row in enumerate(looks) if row[1] == "advance")
    assert first >= 8
    assert all(row[2] >= row[3] for row in looks if row[1] != "wait")
    said_of_it = said(rules, "rollout", PRODUCT)
    assert "promote" in said_of_it
    assert "it is not worse by" in said_of_it


def test_a_worse_version_is_out_and_readers_have_the_live_page_again(rules: Path) -> None:
    with_plan(rules, "{stages: [{canary: {share: 40%, pages: 30}}], margin: 0.0, acute: {shift: 1}}")
    start(at(rules, P0), PRODUCT, ["v3"], first_page=P0)
    decided = list(lived(rules))
    assert [one.decision for one in decided if one.decision != "wait"] == ["abort"]
    assert decided[-1].given_back
    suite = at(rules, decided[-1].page + 9 * DAY)  # type: ignore[operator]
    newest = max(decided[-1].given_back)
    of_page = f"SELECT DISTINCT probability FROM predictions.{PRODUCT} WHERE as_of = $1"
    assert rows(suite, of_page, [newest]) == [(0.5,)]
    older = rows(suite, f"SELECT count(DISTINCT arm) FROM predictions.{PRODUCT} WHERE as_of = $1", [P0])
    assert older == [(2,)]
    assert page_of(suite, newest)
    assert standings(suite, PRODUCT)[0].state == "abort"
    assert look(suite, PRODUCT) == []


def test_arms_are_compared_by_what_they_served_where_predictions_influence_outcomes(rules: Path) -> None:
    stages = "[{shadow: {pages: 1}}, {canary: {share: 50%, pages: 2}}]"
    more = "influenced: true, explore: 20%, guardrails: [brier], acute: {shift: 1}"
    with_plan(rules, f"{{stages: {stages}, margin: 0.0, {more}}}")
    start(at(rules, P0 - DAY), PRODUCT, ["v2"], first_page=P0 - DAY)
    alarm = Alarm("a1", PRODUCT, ACUTE, OPEN, P0 - DAY, P0 - DAY)
    with at(rules, P0).lake.commit("an alarm") as commit:
        ledger.append(commit, [replace(alarm, snapshot_id=commit.snapshot_id)])
    (held,) = live_through(rules, P0 - DAY, 1, 1)
    assert held.decision == "wait"
    assert "the acute alarm a1 is open" in held.reason
    assert "else advance" in held.reason
    with at(rules, P0).lake.commit("it is over") as commit:
        ledger.append(commit, [replace(alarm, state=CLOSED, snapshot_id=commit.snapshot_id)])
    assert [one.decision for one in live_through(rules, P0, 1, 1)] == ["advance"]
    found = list(live_through(rules, P0 + 6 * DAY, 3, 3))
    assert [one.decision for one in found] == ["wait"] * 3
    suite = at(rules, P0 + 20 * DAY)
    loss = "-avg(if(label = 1, ln(probability), ln(1 - probability)))"
    by_hand = rows(suite, f"SELECT as_of, arm, {loss} FROM predictions.{PRODUCT}_outcomes GROUP BY ALL")
    mean = {(page, arm): value for page, arm, value in by_hand}
    looks = rows(suite, "SELECT as_of, loss, live_loss, difference, figures FROM ledger.looks ORDER BY as_of")
    for page, own, live_loss, difference, figures in looks[2:]:
        assert own == pytest.approx(mean[page, "v2"])
        assert live_loss == pytest.approx(mean[page, "v1"])
        # A coin predicts nothing, so that it narrows nothing: the difference is that of the means.
        assert difference == pytest.approx(own - live_loss)
        assert figures["narrowed"] == pytest.approx(0.0, abs=1e-9)
        assert "guardrail brier" in figures
    # A share that no model chooses for: the live version's rows, marked, which count for nobody and stay as they are.
    arms = f"SELECT as_of, arm, model_version, count(*) FROM predictions.{PRODUCT} GROUP BY ALL ORDER BY ALL"
    before = [row[1:] for row in rows(suite, arms) if row[1] == "explore"]
    assert len(before) == 5
    assert {version for _, version, _ in before} == {"v1"}
    share = sum(n for _, _, n in before) / sum(row[3] for row in rows(suite, arms))
    assert 0.1 < share < 0.3
    pages = [P0 + 8 * DAY]
    predict_pages(at(rules, pages[0]), suite.definitions.product(PRODUCT), pages)
    explored = f"SELECT order_id FROM predictions.{PRODUCT} WHERE arm = 'explore' ORDER BY ALL"
    kept = rows(suite, explored)
    assert abort(at(rules, pages[0]), PRODUCT, "enough").given_back == pages
    assert rows(suite, explored) == kept
    assert {row[1] for row in rows(suite, arms) if row[0] == pages[0]} == {"v1", "explore"}


def test_a_version_that_predicts_otherwise_is_out_before_any_label(rules: Path) -> None:
    with_plan(rules, "{stages: [{canary: {share: 40%, pages: 3}}], margin: 0.0}")
    start(at(rules, P0), PRODUCT, ["v3", "v4"], first_page=P0)
    suite = at(rules, P0)
    predict_pages(suite, suite.definitions.product(PRODUCT), [P0])
    assert dict(rows(suite, f"SELECT arm, count(*) FROM predictions.{PRODUCT}_page GROUP BY ALL")).keys() == {
        "v1",
        "v3",
        "v4",
    }
    kept = rows(suite, f"SELECT order_id FROM predictions.{PRODUCT}_page WHERE arm = 'v3' ORDER BY ALL")
    (found,) = look(suite, PRODUCT)
    assert "its mean prediction differs from the live version's by 0.47" in found.reason
    assert dict(rows(suite, f"SELECT arm, count(*) FROM predictions.{PRODUCT}_page GROUP BY ALL")).keys() == {
        "v1",
        "v3",
    }
    assert rows(suite, f"SELECT order_id FROM predictions.{PRODUCT}_page WHERE arm = 'v3' ORDER BY ALL") == kept
    (standing,) = standings(suite, PRODUCT)
    assert (standing.state, standing.versions) == ("goes on", ["v3"])
    # Labels are not there: it says so, and looks at nothing.
    assert look(suite, PRODUCT) == []
    assert f"labels of the page {P0}" in standing.waits
    assert "2026-02-06" in standing.waits
    abort(suite, PRODUCT, "enough")
    # A page after it bears no arm, and does not need the rows that were not served.
    for file in (suite.lake.data / "predictions" / f"{PRODUCT}_arms").glob("*.parquet"):
        file.unlink()
    for page in (P0, P0 + DAY):
        predict_pages(at(rules, P0 + DAY), suite.definitions.product(PRODUCT), [page])
    assert rows(suite, f"SELECT DISTINCT as_of, arm FROM predictions.{PRODUCT} ORDER BY as_of") == [
        (P0, None),
        (P0 + DAY, None),
    ]


def test_an_undecided_rollout_ends_and_a_held_one_waits(rules: Path) -> None:
    with_plan(rules, "{stages: [{shadow: {pages: 2}}], margin: 0.001, at_most: 4, acute: {shift: 1}}")
    start(at(rules, P0), PRODUCT, ["v2"], first_page=P0)
    hold(at(rules, P0), PRODUCT, "over the holidays")
    held = list(live_through(rules, P0, 4))
    assert [one.decision for one in held] == ["wait"] * 4
    assert "it is held: over the holidays; else undecided" in held[-1].reason
    abort(at(rules, P0 + 9 * DAY), PRODUCT, "anew")
    start(at(rules, P0 + 9 * DAY), PRODUCT, ["v2"])
    assert [one.decision for one in live_through(rules, P0 + 4 * DAY, 4)] == ["wait"] * 3 + ["undecided"]


def test_a_label_that_means_something_else_ends_a_rollout(rules: Path) -> None:
    with_plan(rules, "{stages: [{shadow: {pages: 2}}], margin: 0.001, acute: {shift: 1}}")
    start(at(rules, P0), PRODUCT, ["v2"], first_page=P0)
    assert len(list(live_through(rules, P0, 1, 1))) == 1
    # A page that is made again is looked at again, once, and counts once.
    suite = at(rules, P0 + 6 * DAY)
    assert look(suite, PRODUCT) == []
    predict_pages(suite, suite.definitions.product(PRODUCT), [P0])
    (again,) = look(suite, PRODUCT)
    assert (again.page, again.looks[0].figures["n_used"]) == (P0, 0)
    assert "1 of 2 matured pages" in again.reason
    assert look(suite, PRODUCT) == []
    counted = rows(suite, "SELECT count(*), count(DISTINCT as_of), count(DISTINCT difference) FROM ledger.looks")
    assert counted == [(2, 1, 1)]
    label = rules / YAML.replace("product.yaml", "label.sql")
    label.write_text(
        label.read_text().replace("delivered_at > promised_at", "delivered_at > promised_at + INTERVAL 1 HOUR")
    )
    (found,) = look(at(rules, P0 + 6 * DAY), PRODUCT)
    assert (found.decision, "has changed since it began" in found.reason) == ("abort", True)


def test_a_challenger_that_cannot_score_never_keeps_a_page_back(rules: Path) -> None:
    with_plan(rules, "{stages: [{canary: {share: 40%, pages: 3}}], margin: 0.0, acute: {shift: 1}}")
    start(at(rules, P0), PRODUCT, ["v3", "v5"], first_page=P0)
    suite = at(rules, P0)
    made = predict_pages(suite, suite.definitions.product(PRODUCT), [P0])
    assert [page.kind for page in made.published] == ["features", "predictions"]
    assert rows(suite, f"SELECT DISTINCT probability FROM predictions.{PRODUCT}_page") == [(0.5,)]
    (standing,) = standings(suite, PRODUCT)
    assert (standing.state, standing.versions, standing.steps[-1].action) == ("goes on", ["v3"], "drop")
    assert "probability 2.0" in str(standing.steps[-1].reason)
    # The next page has the arm that is left.
    predict_pages(at(rules, P0 + DAY), suite.definitions.product(PRODUCT), [P0 + DAY])
    arms = rows(suite, f"SELECT DISTINCT arm FROM predictions.{PRODUCT}_page ORDER BY arm")
    assert arms == [("v1",), ("v3",)]


def test_rows_that_are_lost_in_one_arm_are_found(rules: Path) -> None:
    with_plan(rules, "{stages: [{canary: {share: 40%, pages: 9}}], margin: 0.0, acute: {shift: 1}}")
    start(at(rules, P0), PRODUCT, ["v3"], first_page=P0)
    pages = [P0 + n * DAY for n in range(6)]
    suite, now = at(rules, pages[-1]), pages[-1] + 5 * DAY
    predict_pages(suite, suite.definitions.product(PRODUCT), pages)
    settle_labels(at(rules, now), suite.definitions.product(PRODUCT))
    with suite.lake.commit("rows are lost") as commit:
        theirs = f"SELECT as_of, order_id FROM predictions.{PRODUCT} WHERE arm = 'v3'"
        commit.execute(f"DELETE FROM labels.{PRODUCT} WHERE (as_of, order_id) IN ({theirs})")
    found = look(at(rules, now), PRODUCT)
    assert found[-1].decision == "abort"
    assert "do not have the ratio of their shares" in found[-1].reason
    assert "v3 0 for" in found[-1].reason


def test_a_version_whose_gates_do_not_pass_is_not_promoted(rules: Path) -> None:
    header = rules / YAML
    header.write_text(header.read_text() + "gates: {metrics: {log_loss: {at_most: 0.01}}, pages: 5}\n")
    plan = "{stages: [{shadow: {pages: 2}}], margin: 0.0, at_most: 13, acute: {shift: 1}}"
    header.write_text(header.read_text() + f"rollout: {plan}\n")
    start(at(rules, P0), PRODUCT, ["v2"], first_page=P0)
    found = list(live_through(rules, P0, 13, 13))
    assert {one.decision for one in found[:-1]} == {"wait"}
    assert any("it is not worse, but its gates do not pass: log_loss" in one.reason for one in found)
    assert found[-1].decision == "undecided"
    assert "v1" in said(rules, "live", PRODUCT)


N_KILLED = 8


def make_and_look(suite: Suite) -> None:
    """Make the pages that are missing, with their arms, and then the looks."""
    suite = at(suite.root, P0 + (N_KILLED + 4) * DAY)
    backfill(suite, BackfillOrder(PRODUCT, P0, P0 + N_KILLED * DAY, pages_per_commit=2))
    look(suite, PRODUCT)


def test_pages_with_arms_and_looks_that_are_killed_are_made_once(rules: Path, tmp_path: Path) -> None:
    with_plan(rules, "{stages: [{canary: {share: 40%, pages: 30}}], margin: 0.0, acute: {shift: 1}}")
    start(at(rules, P0), PRODUCT, ["v3"], first_page=P0)
    whole = tmp_path / "whole"
    shutil.copytree(rules, whole)
    now = P0 + (N_KILLED + 4) * DAY
    make_and_look(at(whole, now))
    wait_s, n_killed = 0.3, 0
    counts = f"FROM predictions.{PRODUCT} SELECT as_of GROUP BY ALL HAVING count(*) <> count(DISTINCT order_id)"
    both = f"SELECT as_of FROM predictions.{PRODUCT} EXCEPT SELECT as_of FROM predictions.{PRODUCT}_arms"
    for _ in range(30):
        maker = PageMaker(at(rules, now), make_and_look)
        maker.let_go()
        if maker.ends_within(wait_s):
            maker.told()
            break
        maker.kill()
        wait_s, n_killed = wait_s * 1.6, n_killed + 1
        # Whole or not at all: each page that is there has all rows of all arms.
        suite = at(rules, P0)
        if rows(suite, f"SELECT 1 FROM duckdb_tables() WHERE table_name = '{PRODUCT}_arms'"):
            assert rows(suite, counts) == rows(suite, both) == []
    else:
        pytest.fail("it never got done")
    assert n_killed
    killed, unharmed = at(rules, now), at(whole, now)
    for table in ("looks", "rollout_steps"):
        assert ledger_of(killed, table) == ledger_of(unharmed, table)
    for table in (PRODUCT, f"{PRODUCT}_arms"):
        every = f"SELECT * EXCLUDE (run_id, published_at) FROM predictions.{table} ORDER BY ALL"
        assert rows(killed, every) == rows(unharmed, every)
        assert len({row[0] for row in rows(killed, f"SELECT as_of FROM predictions.{table}")}) == N_KILLED
