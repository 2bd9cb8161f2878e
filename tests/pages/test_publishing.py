"""A page is published whole or not at all, with its check results and its ledger rows, in one commit."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.outcomes import settle_labels
from jobs.pages.predict import predict_pages, run_page
from jobs.pages.states import page_states
from jobs.suite import Suite
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, reopened
from tests.lakes import page_rows, rows
from warehouse.errors import RunFailed

CHECKS = "sql/products/late_order/checks"
REFUSES_EVERYTHING = (
    "/*\ndescription: no order may be likely to be late\n*/\nSELECT * FROM page WHERE probability >= 0\n"
)


def test_a_page_is_one_commit_with_its_checks_and_its_run(trained: Suite) -> None:
    before = trained.lake.newest_snapshot()
    result = run_page(trained, PRODUCT, PAGE)
    page = next(record for record in result.published if record.kind == "predictions")
    assert page.snapshot_id == before + 1
    assert rows(trained, "SELECT count(*) FROM predictions.late_order WHERE as_of = $1", [PAGE]) == [(page.n_rows,)]
    at_commit = rows(
        trained,
        "SELECT count(*) FROM ledger.checks WHERE run_id = $1 AND passed",
        [page.run_id],
        snapshot_id=page.snapshot_id,
    )
    assert at_commit[0][0] >= 6
    # One snapshot earlier nothing of it was there.
    assert rows(trained, "SELECT count(*) FROM ledger.runs WHERE run_id = $1", [page.run_id], before) == [(0,)]


def test_every_prediction_carries_what_it_comes_from(published: Suite) -> None:
    columns = [row[0] for row in rows(published, "DESCRIBE predictions.late_order")]
    wanted = ["order_id", "as_of", "valid_until", "probability", "model_version", "run_id", "published_at", "hindsight"]
    assert columns == ["order_id", "as_of", "valid_until", "probability", "model_version", *wanted[5:]]
    nulls = " OR ".join(f"{name} IS NULL" for name in wanted)
    assert rows(published, f"SELECT count(*) FROM predictions.late_order WHERE {nulls}") == [(0,)]
    run = rows(
        published,
        "SELECT definitions, ingest_id, snapshot_id, n_rows, wall_s, cpu_s, peak_memory_bytes, model_version"
        " FROM ledger.runs WHERE run_id = (SELECT any_value(run_id) FROM predictions.late_order)",
    )[0]
    assert all(value for value in run)
    texts = rows(published, "SELECT files FROM ledger.definitions WHERE definitions = $1", [run[0]])[0][0]
    assert "sql/products/late_order/entities.sql" in texts


def test_making_a_page_again_replaces_it_with_the_same_rows(published: Suite) -> None:
    first = page_rows(published, PRODUCT)
    again = run_page(published, PRODUCT, PAGE)
    assert page_rows(published, PRODUCT) == first
    assert len(first) == again.n_rows > 0


def test_a_page_reuses_the_features_that_are_there(published: Suite) -> None:
    features = page_rows(published, PRODUCT, "features")
    again = run_page(published, PRODUCT, PAGE)
    assert [record.kind for record in again.published] == ["predictions"]
    assert page_rows(published, PRODUCT, "features") == features


def test_changed_definitions_make_features_anew(published: Suite) -> None:
    path = published.root / "sql/features/courier_load.sql"
    path.write_text(path.read_text().replace("sum(parcels)", "max(parcels)"))
    again = run_page(reopened(published), PRODUCT, PAGE)
    assert {record.kind for record in again.published} == {"features", "predictions"}


def test_a_failing_check_leaves_the_earlier_page_and_keeps_the_wrong_rows(published: Suite) -> None:
    before = page_rows(published, PRODUCT)
    (published.root / CHECKS / "too_likely.sql").write_text(REFUSES_EVERYTHING)
    result = run_page(reopened(published), PRODUCT, PAGE)
    assert result.rejected == {PAGE}
    assert result.published == []
    assert page_rows(published, PRODUCT) == before
    kept = rows(published, "SELECT name, count(*) FROM ledger.wrong_rows GROUP BY name")
    assert kept == [("too_likely", 20)]
    state = rows(published, "SELECT state, note FROM ledger.pages WHERE kind = 'predictions' ORDER BY snapshot_id")[-1]
    assert state[0] == "rejected"
    assert "no order may be likely" in state[1]


def test_of_many_pages_only_the_one_that_fails_is_kept_back(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE, PAGE + timedelta(days=4))
    (trained.root / CHECKS / "not_this_day.sql").write_text(
        f"/*\ndescription: one bad day\n*/\nSELECT * FROM page WHERE as_of = TIMESTAMP '{pages[1]}'\n"
    )
    suite = reopened(trained)
    result = predict_pages(suite, suite.definitions.product(PRODUCT), pages)
    assert result.rejected == {pages[1]}
    published = rows(suite, "SELECT DISTINCT as_of FROM predictions.late_order ORDER BY as_of")
    assert [row[0] for row in published] == [pages[0], pages[2], pages[3]]


def test_a_warning_is_recorded_and_keeps_nothing_back(trained: Suite) -> None:
    (trained.root / CHECKS / "suspicious.sql").write_text(REFUSES_EVERYTHING.replace("*/", "severity: warning\n*/", 1))
    result = run_page(reopened(trained), PRODUCT, PAGE)
    assert not result.rejected
    assert [check.name for check in result.audit.complaints()] == ["suspicious"]


def test_checks_see_the_sources_as_they_were_known(trained: Suite) -> None:
    (trained.root / CHECKS / "no_future.sql").write_text(
        "/*\ndescription: facts from the future\n*/\nSELECT order_id FROM deliveries WHERE known_at >= $as_of\n"
    )
    assert not run_page(reopened(trained), PRODUCT, PAGE).rejected


def test_duplicate_keys_are_found_and_named(trained: Suite) -> None:
    path = trained.root / "sql/features/courier_load.sql"
    path.write_text(path.read_text().replace("GROUP BY courier", "GROUP BY courier, depot"))
    with pytest.raises(RunFailed, match=r"courier_load.sql: more than one row for the key \{'courier'"):
        run_page(reopened(trained), PRODUCT, PAGE)
    assert rows(trained, "SELECT state FROM ledger.pages WHERE as_of = $1", [PAGE]) == [("failed",)]


def test_duplicate_entities_are_rejected(trained: Suite) -> None:
    path = trained.root / "sql/products/late_order/entities.sql"
    path.write_text(path.read_text() + "UNION ALL BY NAME SELECT order_id FROM orders WHERE promised_at > $as_of\n")
    result = run_page(reopened(trained), PRODUCT, PAGE)
    assert result.rejected == {PAGE}
    assert "unique_keys" in {check.name for check in result.audit.complaints()}


def test_current_shows_the_newest_valid_row_of_each_entity(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE, PAGE + timedelta(days=3))
    predict_pages(trained, product, pages)
    current = rows(trained, "SELECT order_id, as_of, valid_until FROM predictions.late_order_current")
    assert len({row[0] for row in current}) == len(current)
    # Valid for 24 hours, daily pages: what the newest page does not hold has run out as it came.
    assert {row[1] for row in current} == {pages[-1]}
    assert rows(trained, "SELECT DISTINCT as_of FROM predictions.late_order_page") == [(pages[-1],)]


def test_predictions_of_earlier_pages_stay_current_while_they_are_valid(trained: Suite) -> None:
    path = trained.root / "sql/products/late_order/product.yaml"
    path.write_text(path.read_text().replace("valid_for: 24 hours", "valid_for: 3 days"))
    suite = reopened(trained)
    product = suite.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE, PAGE + timedelta(days=5))
    predict_pages(suite, product, pages)
    current = rows(suite, "SELECT as_of, valid_until FROM predictions.late_order_current")
    assert {row[0] for row in current} == set(pages[-3:])
    assert all(valid_until > pages[-1] for _, valid_until in current)


def test_outcomes_show_each_prediction_beside_its_label_once_it_is_known(trained: Suite) -> None:
    early = reopened(trained, PAGE + timedelta(hours=12))
    run_page(early, PRODUCT, PAGE)
    outcomes = "SELECT label FROM predictions.late_order_outcomes"
    known_early = rows(early, outcomes)
    settle_labels(trained, trained.definitions.product(PRODUCT))
    known_now = rows(trained, outcomes)
    assert 0 < len(known_early) < len(known_now)
    assert {row[0] for row in known_now} == {0, 1}
    assert settle_labels(trained, trained.definitions.product(PRODUCT)) == 0


def test_an_outcome_that_is_known_is_not_taken_back_by_a_clock_that_was_set_back(trained: Suite) -> None:
    product, early = trained.definitions.product(PRODUCT), reopened(trained, PAGE + timedelta(hours=12))
    run_page(trained, PRODUCT, PAGE)
    settle_labels(trained, product)
    outcomes = "SELECT order_id, label FROM predictions.late_order_outcomes ORDER BY order_id"
    known = rows(trained, outcomes)
    # Facts that came late put the page's labels out of date.
    (trained.root / "data/deliveries2.csv").write_text("order_id,delivered_at\nnew,2026-03-10 20:00:00\n")
    ingest(trained, ["deliveries"])
    assert settle_labels(early, product) == 0
    assert rows(trained, outcomes) == known
    assert settle_labels(trained, product) == 1
    assert rows(trained, outcomes) == known


def test_labels_that_fail_on_one_page_are_made_of_the_others(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE, PAGE + timedelta(days=5))
    path = trained.root / "sql/products/late_order/label.sql"
    twice = f"UNION ALL BY NAME SELECT order_id, 1 AS label FROM orders WHERE $as_of = TIMESTAMP '{pages[3]}'\n"
    path.write_text(path.read_text() + twice + twice)
    suite = reopened(trained)
    with pytest.raises(RunFailed, match=rf"the labels of late_order {pages[3]} failed: .*more than one label"):
        predict_pages(suite, suite.definitions.product(PRODUCT), pages)
    settled = {row[0] for row in rows(suite, "SELECT DISTINCT as_of FROM labels.late_order")}
    assert settled == {*pages} - {pages[3]}
    assert {row[0] for row in rows(suite, "SELECT DISTINCT as_of FROM predictions.late_order")} == set(pages)


def test_labels_that_another_process_is_making_are_waited_for_and_not_made_twice(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    run_page(reopened(trained, PAGE + timedelta(hours=12)), PRODUCT, PAGE)
    made = "SELECT count(*) FROM ledger.pages WHERE kind = 'labels'"
    before = rows(trained, made)[0][0]
    # Before the labels are mature, what was made a moment ago is made again a moment later.
    moments = [reopened(trained, PAGE + timedelta(days=1, seconds=second)) for second in range(3)]
    threads = [threading.Thread(target=settle_labels, args=(suite, product)) for suite in moments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(trained, made)[0][0] == before + 1
    assert page_states(trained, product, [PAGE])[0].state == "published"


def test_a_page_before_the_label_cutoff_needs_hindsight_and_is_marked(trained: Suite) -> None:
    early = TRAINED_AS_OF - timedelta(days=2, hours=6)
    result = run_page(trained, PRODUCT, early, version="v1", hindsight=True)
    assert all(record.hindsight for record in result.published if record.kind == "predictions")
    assert rows(trained, "SELECT DISTINCT hindsight FROM predictions.late_order") == [(True,)]


def test_a_run_with_older_facts_does_not_overwrite_newer_ones(published: Suite) -> None:
    """The run that loses the race publishes nothing, and the winner's page stays."""
    from dataclasses import replace

    from warehouse.ledger import records as ledger
    from warehouse.pages.publishing import StagedRows, publish

    before = page_rows(published, PRODUCT)
    with published.lake.reading() as connection:
        record = ledger.published_pages(connection, PRODUCT, "predictions")[PAGE]
    stale = replace(record, ingest_id=record.ingest_id - 1)
    product = published.definitions.product(PRODUCT)
    with published.lake.commit("a late loser") as commit:
        staged = StagedRows("predictions", published.root / "never_read.parquet", {}, [stale])
        assert publish(commit, product, [staged]) == []
    assert page_rows(published, PRODUCT) == before


def test_a_lake_at_an_earlier_snapshot_answers_what_applications_saw(trained: Suite) -> None:
    from warehouse.reader import open_lake

    first = run_page(trained, PRODUCT, PAGE)
    run_page(trained, PRODUCT, PAGE + timedelta(days=1))
    reader = open_lake(trained.root)
    snapshot = next(r.snapshot_id for r in first.published if r.kind == "predictions")
    then = reader.predictions(PRODUCT, at_snapshot=snapshot).to_polars()
    assert then["as_of"].unique().to_list() == [PAGE]
    assert reader.predictions(PRODUCT).to_polars()["as_of"].max() == PAGE + timedelta(days=1)
    assert reader.predictions(PRODUCT, page=PAGE).to_arrow().num_rows == first.n_rows
    assert reader.predictions(PRODUCT, at_time=datetime(2100, 1, 1)).to_arrow().num_rows > 0


def test_now_is_after_all_of_the_starters_facts() -> None:
    assert NOW > PAGE > TRAINED_AS_OF
