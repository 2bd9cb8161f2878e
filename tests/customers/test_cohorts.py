"""The customers by the month in which they came: figures between groups against counts of the file's lines."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import open_suite
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import clock_at
from tests.customers.by_hand import Purchase, by_customer
from tests.customers.conftest import NOW, TRAINED_AS_OF, UNTIL, write_suite
from tests.lakes import rows

PRODUCT = "customer_churn"
HORIZON = timedelta(days=84)
ENTITIES = """\
/*
description: Every customer who bought in the 26 weeks before the page, and the month in which they came.
owner: shop-data
*/
SELECT customer_id, strftime(min(bought_on), '%Y-%m') AS cohort
FROM purchases
GROUP BY customer_id
HAVING max(known_at) >= $as_of - INTERVAL 182 DAY
"""


def test_the_monitor_compares_customers_by_the_month_in_which_they_came(
    tmp_path: Path, purchases: list[Purchase]
) -> None:
    """The month is there for the comparison alone: the model is not given it."""
    write_suite(tmp_path)
    directory = tmp_path / "sql/products" / PRODUCT
    (directory / "entities.sql").write_text(ENTITIES)
    file = directory / "product.yaml"
    text = file.read_text().replace("model:\n", "model:\n  leave_out: [cohort]\n")
    file.write_text(text + "monitor: {fairness: {by: [cohort], threshold: 0.6}}\n")
    suite = open_suite(tmp_path, clock_at(NOW))
    ingest(suite)
    train(suite, PRODUCT, TRAINED_AS_OF)
    backfill(suite, BackfillOrder(PRODUCT, TRAINED_AS_OF, UNTIL))
    shown = json.loads(said(suite.root, "monitor", PRODUCT, "--json"))["fairness"]
    assert {one["by_columns"] for one in shown} == {"cohort"}

    predicted = rows(suite, "SELECT as_of, customer_id, probability FROM predictions.customer_churn ORDER BY ALL")
    assert len({as_of for as_of, _, _ in predicted}) == 6
    assert "cohort" not in str(rows(suite, "SELECT features FROM ledger.models"))
    by_cohort = defaultdict(list)
    for as_of in {as_of for as_of, _, _ in predicted}:
        known = by_customer(purchases, as_of)
        came_back = {p.customer for p in purchases if as_of.date() <= p.day < as_of.date() + HORIZON}
        for page, customer, prediction in predicted:
            if page == as_of:
                by_cohort[known[customer][0].day.strftime("%Y-%m")].append((prediction, customer not in came_back))
    assert by_cohort.keys() == {"1997-01", "1997-02", "1997-03"}
    figures = {
        (metric, group): figure
        for metric, group, figure in rows(
            suite, "SELECT metric, group_values, figure FROM ledger.fairness WHERE statistic = 'value'"
        )
    }
    selected = {name: sum(p >= 0.6 for p, _ in listed) / len(listed) for name, listed in by_cohort.items()}
    for name, listed in by_cohort.items():
        gone = [p >= 0.6 for p, is_gone in listed if is_gone]
        assert figures["selection_rate", name] == pytest.approx(selected[name], abs=1e-12)
        assert figures["base_rate", name] == pytest.approx(len(gone) / len(listed), abs=1e-12)
        assert figures["mean_prediction", name] == pytest.approx(sum(p for p, _ in listed) / len(listed), abs=1e-12)
        assert figures["true_positive_rate", name] == pytest.approx(sum(gone) / len(gone), abs=1e-12)
    apart = "SELECT figure FROM ledger.fairness WHERE statistic = 'difference' AND metric = 'selection_rate'"
    assert rows(suite, apart) == [(pytest.approx(max(selected.values()) - min(selected.values()), abs=1e-12),)]
