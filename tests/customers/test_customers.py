"""The customer products on the real purchases: facts, features, labels and predictions against counts by hand."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from jobs.facts.ingest import ingest
from jobs.monitoring.evaluate import evaluate
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.predict import run_page
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import clock_at
from tests.customers.by_hand import Purchase, by_customer, data_file, features, is_there, spent
from tests.customers.conftest import NOW, PRODUCTS, TRAINED_AS_OF, UNTIL, write_suite
from tests.lakes import page_rows, rows
from tests.shards import check_published_by_spark, check_published_pages, copied, needs_spark
from warehouse.pages.labels import compute_labels
from warehouse.sandbox import Sandbox

PAGE = datetime(1997, 10, 6, 6)
MATURE = timedelta(weeks=12)


def test_every_line_of_the_file_is_a_fact(customers: Suite, purchases: list[Purchase]) -> None:
    counted = "SELECT count(*), count(DISTINCT customer_id), sum(dollars), sum(cds) FROM sources.purchases"
    wanted = (69_659, 23_570, sum(p.dollars for p in purchases), sum(p.cds for p in purchases))
    assert rows(customers, counted) == [wanted]
    assert rows(customers, "SELECT rows_rejected FROM ledger.ingestions") == [(0,)]


def test_the_same_file_again_brings_nothing_new(customers: Suite) -> None:
    (again,) = ingest(customers)
    assert again.ingestion is None


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_page_in_shards_is_the_same_in_every_bit(product: str, customers: Suite, tmp_path: Path) -> None:
    suite = copied(customers, tmp_path)
    check_published_pages(suite, product, TRAINED_AS_OF + timedelta(hours=6), set(), scores_in_tasks=True)


@pytest.mark.spark
@needs_spark
@pytest.mark.parametrize("product", PRODUCTS)
def test_spark_publishes_a_page_that_is_the_same_in_every_bit(
    product: str, customers: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = copied(customers, tmp_path)
    check_published_by_spark(suite, product, TRAINED_AS_OF + timedelta(hours=6), monkeypatch)


@pytest.mark.parametrize("product", PRODUCTS)
def test_features_are_those_counted_by_hand(product: str, customers: Suite, purchases: list[Purchase]) -> None:
    known = by_customer(purchases, PAGE)
    wanted = {name: features(listed, PAGE) for name, listed in known.items() if is_there(listed, PAGE)}
    names = list(next(iter(wanted.values())))
    found = rows(customers, f"SELECT customer_id, {', '.join(names)} FROM features.{product} WHERE as_of = $1", [PAGE])
    assert {row[0] for row in found} == wanted.keys()
    for customer, *values in found:
        for name, value in zip(names, values, strict=True):
            by_hand = wanted[customer][name]
            same = value is by_hand if value is None or by_hand is None else math.isclose(value, by_hand, rel_tol=1e-9)
            assert same, (customer, name, value, by_hand)


def test_customers_come_go_and_come_back(customers: Suite, purchases: list[Purchase]) -> None:
    query = "SELECT customer_id FROM features.customer_value"
    pages = (datetime(1997, 9, 1, 6), PAGE, datetime(1998, 3, 9, 6))
    there = {page: {row[0] for row in rows(customers, f"{query} WHERE as_of = $1", [page])} for page in pages}
    first, second, third = there.values()
    assert first - second
    assert (third - second) & first, "someone who was gone in October is back in March"
    for page, customers_there in there.items():
        known = by_customer(purchases, page)
        assert customers_there == {name for name, listed in known.items() if is_there(listed, page)}


@pytest.fixture(scope="module")
def monthly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Suite]:
    """Give suites with a page a month since a day, and a small model, for questions about other times of the year."""
    with_facts = tmp_path_factory.mktemp("monthly") / "shop"
    write_suite(with_facts, trees=20)
    suite = open_suite(with_facts, clock_at(NOW))
    ingest(suite)
    suite.lake.close()

    def since(day: str) -> Suite:
        root = tmp_path_factory.mktemp("since") / "shop"
        shutil.copytree(with_facts, root)
        for product in PRODUCTS:
            file = root / f"sql/products/{product}/product.yaml"
            text = file.read_text().replace('"0 6 * * 1"', '"0 6 1 * *"')
            file.write_text(text.replace("since: 1997-09-01", f"since: {day}"))
        return open_suite(root, clock_at(NOW))

    return since


def test_who_came_yesterday_has_no_rhythm_and_is_predicted_all_the_same(monthly: Callable[[str], Suite]) -> None:
    suite = monthly("1997-02-01")
    train(suite, "customer_value", datetime(1997, 7, 1))
    run_page(suite, "customer_value", datetime(1997, 7, 1, 6))
    query = """
        SELECT count(*), count(gap_mean), count(days_bought_on), count(prediction), bool_and(isfinite(prediction))
        FROM features.customer_value JOIN predictions.customer_value USING (as_of, customer_id)
        WHERE days_since_first = days_since_last
    """
    ((n_rows, n_gaps, n_days, n_predictions, finite),) = rows(suite, query)
    assert n_rows > 10_000
    assert (n_gaps, n_days, n_predictions, finite) == (0, 0, n_rows, True)


@pytest.mark.parametrize("product", PRODUCTS)
def test_labels_are_those_counted_by_hand_and_not_known_a_second_earlier(
    product: str, customers: Suite, purchases: list[Purchase]
) -> None:
    definitions, header = customers.definitions, customers.definitions.product(product)
    file = customers.lake.staging / f"{product}.parquet"
    with Sandbox(customers.lake) as sandbox:
        early = compute_labels(sandbox, definitions, header, [PAGE], PAGE + MATURE - timedelta(seconds=1), file)
        assert early.n_rows == {PAGE: 0}
        done = compute_labels(sandbox, definitions, header, [PAGE], PAGE + MATURE, file)
        found = dict(
            sandbox.cursor().execute("SELECT customer_id, label FROM read_parquet($1)", [str(file)]).fetchall()
        )
    dollars = spent(purchases, PAGE)
    there = {name for name, listed in by_customer(purchases, PAGE).items() if is_there(listed, PAGE)}
    if product == "customer_value":
        wanted = {name: float(dollars.get(name, Decimal(0))) for name in there}
    else:
        wanted = {name: int(name not in dollars) for name in there}
    assert found == wanted
    assert done.n_rows == {PAGE: len(there)}


def test_training_sees_only_pages_whose_labels_had_matured(customers: Suite) -> None:
    """At 2 February 1998, 12 weeks back is 10 November: the page of that Monday at six is not mature at midnight."""
    ((n_rows,),) = rows(customers, "SELECT n_rows FROM ledger.models WHERE product = 'customer_value'")
    query = "SELECT count(*) FROM features.customer_value WHERE as_of <= TIMESTAMP '1997-11-09'"
    assert rows(customers, query) == [(n_rows,)]
    ((metrics,),) = rows(customers, "SELECT metrics FROM ledger.models WHERE product = 'customer_churn'")
    # Eleven pages are labelled, two of them are held out; but as of the first of these, no label was known yet.
    assert "validation_roc_auc" not in metrics


def test_validation_holds_out_labelled_pages_only(monthly: Callable[[str], Suite]) -> None:
    suite = monthly("1997-06-30")
    model = train(suite, "customer_churn", TRAINED_AS_OF).model
    # First of July to first of November are labelled; the last of them is held out, and July is known by then.
    assert (
        model.metrics["validation_n_rows"]
        == rows(suite, "SELECT count(*) FROM features.customer_churn WHERE as_of = TIMESTAMP '1997-11-01 06:00:00'")[0][
            0
        ]
    )
    assert 0.6 < model.metrics["validation_roc_auc"] < 1


def test_purchases_after_the_page_change_nothing_on_it(customers: Suite, tmp_path: Path) -> None:
    lines = data_file().read_text().splitlines()
    kept = [line for line in lines[1:] if datetime.strptime(line.split()[1], "%Y%m%d") < PAGE - timedelta(hours=6)]
    assert 0 < len(kept) < len(lines) - 1
    invented = [f" {99000 + n} {PAGE:%Y%m%d} 9 999.99" for n in range(500)]
    (tmp_path / "purchases.txt").write_text("\n".join([lines[0], *kept, *invented]) + "\n")
    write_suite(tmp_path / "shop", tmp_path / "purchases.txt")
    suite = open_suite(tmp_path / "shop", clock_at(NOW))
    ingest(suite)
    for product in PRODUCTS:
        ensure_feature_pages(suite, suite.definitions.product(product), [PAGE], Silent())
        query = f"SELECT * FROM features.{product} WHERE as_of = $1 ORDER BY ALL"
        assert rows(suite, query, [PAGE]) == rows(customers, query, [PAGE])


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_backfill_over_weeks_has_the_rows_of_single_runs(product: str, customers: Suite) -> None:
    before = page_rows(customers, product)
    pages = {row[0] for row in rows(customers, f"SELECT DISTINCT as_of FROM predictions.{product}")}
    assert len(pages) == 6
    run_page(customers, product, min(pages))
    assert page_rows(customers, product) == before


def test_value_is_predicted_better_than_by_what_was_spent_last(customers: Suite) -> None:
    found = evaluate(customers, "customer_value", TRAINED_AS_OF, UNTIL)
    ((rmse, mae),) = rows(customers, BASELINE.format(baseline="coalesce(dollars_12w, 0)"))
    ((rmse_of_mean, _),) = rows(customers, BASELINE.format(baseline="(SELECT avg(label) FROM labels.customer_value)"))
    (figures,) = found.groups
    assert found.n_labelled == found.n_predictions > 30_000
    assert figures["rmse"] < min(rmse, rmse_of_mean)
    assert figures["mae"] < mae
    assert figures["r2"] > 0.2


#: The root mean square and the mean of a baseline's errors.
BASELINE = """
    SELECT sqrt(avg((label - {baseline}) ** 2)), avg(abs(label - {baseline}))
    FROM labels.customer_value JOIN features.customer_value USING (as_of, customer_id)
"""


def test_churn_is_predicted_better_than_by_recency(customers: Suite) -> None:
    found = evaluate(customers, "customer_churn", TRAINED_AS_OF, UNTIL)
    (figures,) = found.groups
    from jobs.models.kinds.metrics import binary_metrics

    listed = rows(
        customers,
        "SELECT label, days_since_last / 182 FROM labels.customer_churn JOIN features.customer_churn"
        " USING (as_of, customer_id) WHERE as_of >= $1",
        [TRAINED_AS_OF],
    )
    label, recency = (np.array(column, np.float64) for column in zip(*listed, strict=True))
    assert figures["roc_auc"] > binary_metrics(label, recency)["roc_auc"]
    assert figures["log_loss"] < binary_metrics(label, np.full(len(label), label.mean()))["log_loss"]


def test_the_commands_of_the_documentation_run(tmp_path: Path) -> None:
    # Every tenth customer, and a few pages with labels, to save time.
    header, *lines = data_file().read_text().splitlines()
    few = [line for line in lines if line.split()[0].endswith("0")]
    (tmp_path / "purchases.txt").write_text("\n".join([header, *few]) + "\n")
    write_suite(tmp_path / "shop", tmp_path / "purchases.txt", since="1997-09-22", trees=10)
    text = (Path(__file__).parents[2] / "docs/customers.md").read_text()
    commands = re.findall(r"^almanac (.*)$", text, re.MULTILINE)
    assert len(commands) == 5
    printed = [said(tmp_path / "shop", *command.split()) for command in commands]
    assert "rmse" in printed[-1]
    assert "14 pages" in printed[-1]
