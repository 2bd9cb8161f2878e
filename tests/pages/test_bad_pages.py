"""One bad page is that page's matter: it is taken out and marked with its error, and the rest is published."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import predict_pages
from jobs.pages.states import page_states
from jobs.suite import Suite
from jobs.training.train import train
from tests.conftest import PAGE, PRODUCT, TRAINED_AS_OF, reopened
from tests.lakes import rows
from warehouse.batching.batch import Batch
from warehouse.errors import DefinitionError, RunFailed
from warehouse.reader import open_lake
from warehouse.sandbox import Sandbox

COURIER = "sql/features/courier_load.sql"
ENTITIES = "sql/products/late_order/entities.sql"
CHECK = "sql/products/late_order/checks/odd.sql"
UNTIL = PAGE + timedelta(days=6)


def a_query_fails(suite: Suite, bad: datetime) -> None:
    path = suite.root / COURIER
    odd = f"CASE WHEN $as_of = TIMESTAMP '{bad}' THEN sum(parcels + courier::INTEGER) ELSE sum(parcels) END"
    path.write_text(path.read_text().replace("sum(parcels)", odd))


def the_entities_fail(suite: Suite, bad: datetime) -> None:
    path = suite.root / ENTITIES
    odd = f"CASE WHEN $as_of = TIMESTAMP '{bad}' THEN depot::INTEGER ELSE parcels END AS parcels"
    path.write_text(path.read_text().replace("    parcels,", f"    {odd},"))


def a_key_is_repeated(suite: Suite, bad: datetime) -> None:
    path = suite.root / COURIER
    path.write_text(
        path.read_text() + f"UNION ALL BY NAME SELECT courier FROM orders WHERE $as_of = TIMESTAMP '{bad}'\n"
    )


def a_check_fails(suite: Suite, bad: datetime) -> None:
    (suite.root / CHECK).write_text(
        "/*\ndescription: a check that cannot be worked out\n*/\n"
        f"SELECT * FROM page WHERE as_of = TIMESTAMP '{bad}' AND depot::INTEGER = 1\n"
    )


def a_sum_does_not_fit(suite: Suite, bad: datetime) -> None:
    path = suite.root / COURIER
    odd = f"CASE WHEN $as_of = TIMESTAMP '{bad}' THEN 9223372036854775807::HUGEINT + 1 + sum(parcels) END"
    path.write_text(path.read_text().replace("sum(parcels)", odd))


BAD: dict[Callable[[Suite, datetime], None], str] = {
    a_query_fails: "courier_load.sql: the query failed on the data",
    the_entities_fail: "entities.sql: the query failed on the data",
    a_key_is_repeated: "courier_load.sql: more than one row for the key",
    a_sum_does_not_fit: "a value does not fit its column on the page",
    a_check_fails: "odd.sql: the query failed on the data",
}


def published(suite: Suite, kind: str = "predictions") -> set[datetime]:
    return {row[0] for row in rows(suite, f"SELECT DISTINCT as_of FROM {kind}.late_order WHERE as_of >= $1", [PAGE])}


def pages_of(suite: Suite) -> list[datetime]:
    return suite.definitions.product(PRODUCT).pages_between(PAGE, UNTIL)


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_the_bad_page_is_marked_with_its_error_and_the_others_are_published(
    trained: Suite, spoil: Callable[[Suite, datetime], None]
) -> None:
    pages = pages_of(trained)
    spoil(trained, pages[3])
    suite = reopened(trained)
    result = backfill(suite, BackfillOrder(PRODUCT, PAGE, UNTIL))
    assert set(result.failed) == {pages[3]}
    assert BAD[spoil] in result.failed[pages[3]]
    assert published(suite) == published(suite, "features") == {*pages} - {pages[3]}
    states = {state.as_of: state for state in page_states(suite, suite.definitions.product(PRODUCT), pages)}
    assert [states[page].state for page in pages].count("published") == 5
    assert states[pages[3]].state == "failed"
    assert BAD[spoil] in (states[pages[3]].why or "")
    # All of it is one commit of one run.
    runs = rows(suite, "SELECT state, n_pages, error FROM ledger.runs WHERE run_id = $1", [result.run_ids[0]])
    assert [(state, n_pages) for state, n_pages, _ in runs] == [("succeeded", 5)]
    assert BAD[spoil] in runs[0][2]
    assert len({record.snapshot_id for record in result.published}) == 1


@pytest.mark.parametrize("spoil", [a_query_fails, a_key_is_repeated], ids=lambda spoil: spoil.__name__)
def test_once_it_is_put_right_only_that_page_is_made(trained: Suite, spoil: Callable[[Suite, datetime], None]) -> None:
    whole = (trained.root / COURIER).read_text()
    pages = pages_of(trained)
    spoil(trained, pages[3])
    backfill(reopened(trained), BackfillOrder(PRODUCT, PAGE, UNTIL))
    (trained.root / COURIER).write_text(whole)
    again = backfill(reopened(trained), BackfillOrder(PRODUCT, PAGE, UNTIL))
    assert {record.as_of for record in again.published} == {pages[3]}
    assert published(trained) == set(pages)


def test_a_page_that_the_model_refuses_is_taken_out_too(ingested: Suite) -> None:
    """A linear model refuses what is not finite, as its estimator does."""
    product = ingested.root / "sql/products/late_order/product.yaml"
    text = product.read_text().replace("hist_gradient_boosting_classifier", "logistic_regression")
    product.write_text(
        text.replace("{max_iter: 40, learning_rate: 0.05, max_leaf_nodes: 4, min_samples_leaf: 40}", "{}")
    )
    path = ingested.root / ENTITIES
    path.write_text(path.read_text().replace("    parcels,", "    parcels::DOUBLE AS parcels,"))
    train(reopened(ingested), PRODUCT, TRAINED_AS_OF)
    pages = pages_of(ingested)
    odd = f"CASE WHEN $as_of = TIMESTAMP '{pages[1]}' THEN 'inf' ELSE parcels END::DOUBLE"
    path.write_text(path.read_text().replace("parcels::DOUBLE", odd))
    result = backfill(reopened(ingested), BackfillOrder(PRODUCT, PAGE, UNTIL))
    assert set(result.failed) == {pages[1]}
    assert published(ingested) == {*pages} - {pages[1]}


def test_where_every_page_is_bad_each_is_marked_with_its_own_error(trained: Suite) -> None:
    path = trained.root / COURIER
    path.write_text(path.read_text().replace("sum(parcels)", "sum(parcels + courier::INTEGER)"))
    suite = reopened(trained)
    result = backfill(suite, BackfillOrder(PRODUCT, PAGE, UNTIL))
    assert set(result.failed) == set(pages_of(suite))
    assert result.published == []
    assert rows(suite, "SELECT state FROM ledger.runs WHERE run_id = $1", [result.run_ids[0]]) == [("failed",)]


def test_a_daily_run_publishes_what_it_can_and_says_what_failed(trained: Suite) -> None:
    pages = pages_of(trained)
    a_query_fails(trained, pages[3])
    suite = reopened(trained)
    with pytest.raises(RunFailed, match=rf"the page {pages[3]} of late_order failed: .*courier_load.sql: the query"):
        predict_pages(suite, suite.definitions.product(PRODUCT), pages)
    assert published(suite) == {*pages} - {pages[3]}


def test_a_group_that_lacks_its_key_is_a_mistake_in_its_definition(ingested: Suite, tmp_path: Path) -> None:
    """It is told before anything is computed, however many pages are wanted."""
    path = ingested.root / COURIER
    header, _, _ = path.read_text().partition("SELECT courier")
    path.write_text(f"{header}SELECT * EXCLUDE (courier) FROM orders\n")
    suite = reopened(ingested)
    with pytest.raises(DefinitionError, match=r"courier_load\.sql:4: the key columns \['courier'\] are not in its"):
        backfill(suite, BackfillOrder(PRODUCT, PAGE, UNTIL, features_only=True))
    with (
        Sandbox(suite.lake) as sandbox,
        Batch(sandbox, suite.definitions, suite.definitions.product(PRODUCT)) as batch,
        pytest.raises(DefinitionError, match=r"courier_load\.sql: the key \['courier'\] is not among its columns"),
    ):
        batch.compute(pages_of(suite), tmp_path / "pages.parquet", 1, lambda _: None)


def test_a_wide_sum_that_is_cast_is_kept_digit_for_digit(ingested: Suite) -> None:
    """In files, in the lake, and for its reader."""
    path = ingested.root / COURIER
    wide = "(9223372036854775807::HUGEINT * 1000000000 + sum(parcels))::DECIMAL(38, 0)"
    path.write_text(path.read_text().replace("sum(parcels)", wide))
    suite = reopened(ingested)
    backfill(suite, BackfillOrder(PRODUCT, PAGE, UNTIL, features_only=True))
    (name,) = [n for n, kind, *_ in rows(suite, f"DESCRIBE features.{PRODUCT}") if kind == "DECIMAL(38,0)"]
    read = open_lake(suite.root).features(PRODUCT, page=PAGE).to_polars()
    sums = [value for value in read[name].to_list() if value is not None]
    assert sums
    assert all(10**9 * (2**63 - 1) < value < 10**9 * (2**63 - 1) + 10**6 for value in sums)
