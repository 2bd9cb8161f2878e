"""Performance of pages: figures of full labels, as known at an instant, judged once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from jobs.monitoring.evaluate import evaluate
from jobs.monitoring.judging.circumstances import circumstances_of
from jobs.monitoring.performance.judge import judge_performance
from jobs.monitoring.performance.records import Performance
from jobs.monitoring.profile import compare_page, monitor
from jobs.pages.outcomes import settle_labels
from jobs.pages.predict import predict_pages
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import NOW, PRODUCT, clock_at, reopened
from tests.lakes import rows

FIRST, UNTIL = datetime(2026, 3, 8), datetime(2026, 4, 8)
YOUNG = NOW - timedelta(days=5)


@pytest.fixture(scope="module")
def _watched(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("watched") / "shop"
    shutil.copytree(_trained, root)
    suite = open_suite(root, clock_at(NOW))
    product = suite.definitions.product(PRODUCT)
    predict_pages(suite, product, product.pages_between(FIRST, UNTIL))
    suite.lake.close()
    return root


@pytest.fixture
def watched(_watched: Path, tmp_path: Path) -> Suite:
    """A suite with a month of pages, those of the last five days without all labels."""
    shutil.copytree(_watched, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def told(row: Performance) -> Performance:
    """What a judgement says, whoever made it and when."""
    return replace(row, known_by=NOW, run_id="", labels_run_id=None, snapshot_id=0)


def test_metrics_of_matured_pages_are_those_of_full_labels(watched: Suite) -> None:
    judged = judge_performance(watched, PRODUCT).rows
    assert {row.as_of for row in judged if not row.is_mature} == {r.as_of for r in judged if r.as_of > YOUNG}
    final = evaluate(watched, PRODUCT, FIRST, UNTIL, "as_of").groups
    of_page = {group["group"]: group for group in final}
    for row in judged:
        if row.is_mature:
            assert row.metrics == {
                name: value for name, value in of_page[row.as_of].items() if name in row.metrics and value is not None
            }
            assert {"log_loss", "brier", "base_rate"} <= row.metrics.keys()
        else:
            assert not row.metrics
            assert row.excess is row.evidence is None
    outcomes = "SELECT probability, label FROM predictions.late_order_outcomes WHERE as_of = $1"
    one = next(row for row in judged if "roc_auc" in row.metrics)
    p, y = np.array(rows(watched, outcomes, [one.as_of])).T
    assert one.metrics["roc_auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert one.loss == pytest.approx(log_loss(y, p), abs=1e-12)
    assert one.expected_loss == pytest.approx(-np.mean(p * np.log(p) + (1 - p) * np.log(1 - p)), abs=1e-12)


@pytest.mark.parametrize("label", ["delivered_at > promised_at", "delivered_at <= promised_at"])
def test_figures_as_known_at_an_instant_are_the_final_ones_whichever_labels_come_first(
    watched: Suite, label: str
) -> None:
    # Orders in time are known before late ones: with the other label it is the ones that come first.
    file = watched.root / f"sql/products/{PRODUCT}/label.sql"
    file.write_text(file.read_text().replace("delivered_at > promised_at", label))
    suite = reopened(watched)
    final = {row.as_of: told(row) for row in judge_performance(suite, PRODUCT).rows}
    at = datetime(2026, 3, 25, 12)
    then = judge_performance(suite, PRODUCT, at).rows
    assert max(row.as_of for row in then) == datetime(2026, 3, 24, 18)
    matured = [row for row in then if row.is_mature]
    assert len(matured) == 12
    assert [told(row) for row in matured] == [final[row.as_of] for row in matured]
    young = [row for row in then if not row.is_mature]
    assert [row.as_of.day for row in young] == [20, 21, 22, 23, 24]
    assert any(0 < row.n_labelled < row.n_rows for row in young)
    assert all(row.estimate_low is not None and not row.metrics for row in young)
    # A page of the same age, seven days before, had so many of its labels.
    assert [0 <= (row.maturity or 0) <= 1 for row in young] == [True] * 5
    assert (young[0].maturity or 0) > (young[-1].maturity or 0)


def test_each_day_says_what_a_later_day_says_of_it_and_nothing_is_said_twice(watched: Suite) -> None:
    with watched.lake.commit("as before the first look at labels") as commit:
        commit.execute("DELETE FROM labels.late_order")
        commit.execute("DELETE FROM ledger.pages WHERE kind = 'labels'")
    for day in (datetime(2026, 3, 20), datetime(2026, 4, 2)):
        written = judge_performance(reopened(watched, day), PRODUCT).rows
        again = judge_performance(reopened(watched), PRODUCT, day).rows
        assert [told(row) for row in written] == [told(row) for row in again]
    count = "SELECT count(*), count(DISTINCT known_by) FROM ledger.performance"
    before = rows(watched, count)
    judge_performance(reopened(watched, datetime(2026, 4, 2)), PRODUCT)
    assert rows(watched, count) == before
    assert rows(watched, "SELECT count(*) FROM ledger.newest_performance") == [(25,)]
    # Each page has a row when it came, and one when its labels had; a young one may have one more.
    most = "SELECT max(n), min(n) FROM (SELECT count(*) AS n FROM ledger.performance WHERE is_mature GROUP BY as_of)"
    assert rows(watched, most) == [(1, 1)]


def test_evidence_stays_where_validation_held_out_too_few_pages_to_say_how_they_differ(paged: Suite) -> None:
    header = paged.root / f"sql/products/{PRODUCT}/product.yaml"
    few = header.read_text().replace("  seed: 1\n", "  seed: 1\n  validation: {folds: 1, share: 0.05}\n")
    assert few != header.read_text()
    header.write_text(few)
    suite = reopened(paged)
    train(suite, PRODUCT, datetime(2026, 3, 5))
    product = suite.definitions.product(PRODUCT)
    predict_pages(suite, product, product.pages_between(FIRST, datetime(2026, 3, 14)))
    for day in (17, 18, 19):
        judge_performance(reopened(paged, datetime(2026, 3, day)), PRODUCT)
    # The first page stands in for validation on each of the days: a page whose labels are all there is no news.
    most = "SELECT max(n), count(*) FROM (SELECT count(*) AS n FROM ledger.performance WHERE is_mature GROUP BY as_of)"
    assert rows(paged, most) == [(1, 6)]


def test_the_command_shows_judgements(watched: Suite) -> None:
    shown = said(watched.root, "monitor", PRODUCT, "--from", "2026-03-08", "--to", "2026-03-11")
    assert "2026-03-09 18:00" in shown
    assert "of 365" in shown
    found = json.loads(said(watched.root, "monitor", PRODUCT, "--json", "--as-known-at", "2026-03-25T12:00"))
    assert len(found["performance"]["pages"]) == 14
    assert "5 pages of v1 without all labels; their loss is estimated at" in found["performance"]["notes"][0]


OF_LABELS = "SELECT as_of, n_rows, counts FROM ledger.profiles WHERE kind = 'labels' ORDER BY as_of"


def test_labels_have_a_profile_once_all_of_their_page_had_the_time_to_come(watched: Suite) -> None:
    product, day = watched.definitions.product(PRODUCT), datetime(2026, 4, 5)
    with watched.lake.commit("as before the first look at labels") as commit:
        commit.execute("DELETE FROM labels.late_order")
        commit.execute("DELETE FROM ledger.pages WHERE kind = 'labels'")
        commit.execute("DELETE FROM ledger.profiles WHERE kind = 'labels'")
    settle_labels(reopened(watched, day), product)
    profiled = rows(watched, OF_LABELS)
    counted = (
        "SELECT as_of, count(*), [n FOR n IN [count(*) FILTER (label = 0), count(*) FILTER (label = 1)] IF n > 0]"
        " FROM labels.late_order WHERE as_of <= $1 GROUP BY as_of ORDER BY as_of"
    )
    assert profiled == rows(watched, counted, [day - timedelta(days=5)])
    # A day later one more page has all of its labels; those that have a profile are not made again.
    later = reopened(watched, day + timedelta(days=1))
    settle_labels(later, product)
    assert rows(later, OF_LABELS)[:-1] == profiled
    page = profiled[-1][0] + timedelta(days=1)
    (found,) = compare_page(later, PRODUCT, page, "label")
    assert (found.kind, found.columns[0].column, found.columns[0].missing) == ("labels", "label", 0.0)
    assert [one.date() for one in found.reference] == [page.date() - timedelta(weeks=n) for n in (3, 2, 1)]
    assert found.columns[0].psi is not None
    # They are for reading: what is judged of pages does not wait for labels, nor changes with them.
    with later.lake.reading() as connection:
        assert set(circumstances_of(connection, product).profiled) == {"features", "predictions"}


def test_labels_of_before_there_were_profiles_get_the_ones_that_they_would_have_had(watched: Suite) -> None:
    settle_labels(watched, watched.definitions.product(PRODUCT))
    before = rows(watched, OF_LABELS)
    with watched.lake.commit("as a lake of before") as commit:
        commit.execute("DELETE FROM ledger.profiles WHERE kind = 'labels'")
    (found,) = [one for one in monitor(watched, PRODUCT, make_profiles=True) if one.kind == "labels"]
    assert (found.published, found.had, found.made) == (len(before), 0, len(before))
    assert rows(watched, OF_LABELS) == before
