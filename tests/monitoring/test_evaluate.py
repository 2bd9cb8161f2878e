"""`evaluate` compares what was published with what came of it; its SQL gives scikit-learn's figures."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from jobs.models.kinds.metrics import binary_metrics
from jobs.monitoring.evaluate import evaluate
from jobs.pages.predict import predict_pages, run_page
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT, TRAINED_AS_OF
from tests.lakes import rows
from warehouse.errors import UsageError

UNTIL = PAGE + timedelta(days=4)


@pytest.fixture
def published(trained: Suite) -> Suite:
    product = trained.definitions.product(PRODUCT)
    predict_pages(trained, product, product.pages_between(PAGE, UNTIL))
    return trained


def test_the_figures_are_scikit_learns(published: Suite) -> None:
    (found,) = evaluate(published, PRODUCT, PAGE, UNTIL).groups
    labels, scores = zip(
        *rows(published, "SELECT label, probability FROM predictions.late_order_outcomes"), strict=True
    )
    wanted = binary_metrics(np.array(labels, np.float64), np.array(scores))
    assert {"log_loss_of_base_rate", "brier_of_base_rate"} <= found.keys()
    for name in (
        "roc_auc",
        "log_loss",
        "log_loss_of_base_rate",
        "brier",
        "brier_of_base_rate",
        "base_rate",
        "mean_probability",
        "n_rows",
    ):
        assert found[name] == pytest.approx(wanted[name], rel=1e-12)


def test_by_a_column_of_the_features_the_groups_add_up(published: Suite) -> None:
    result = evaluate(published, PRODUCT, PAGE, UNTIL, by="depot")
    assert {row["group"] for row in result.groups} == {"north", "south", "east", "west", "harbour"}
    assert sum(row["n_rows"] for row in result.groups) == result.n_labelled


def test_pages_made_with_hindsight_do_not_count(published: Suite) -> None:
    before = evaluate(published, PRODUCT, TRAINED_AS_OF - timedelta(days=9), UNTIL)
    run_page(published, PRODUCT, TRAINED_AS_OF - timedelta(days=3, hours=6), version="v1", hindsight=True)
    after = evaluate(published, PRODUCT, TRAINED_AS_OF - timedelta(days=9), UNTIL)
    assert after.n_hindsight > 0
    assert after.groups == before.groups


def test_what_has_no_label_is_counted_and_left_out(published: Suite) -> None:
    result = evaluate(published, PRODUCT, PAGE, UNTIL)
    assert result.n_predictions > result.n_labelled == result.groups[0]["n_rows"]


def test_an_unknown_column_names_those_there_are(published: Suite) -> None:
    with pytest.raises(UsageError, match=r"no column `dept`\. It has: .*depot"):
        evaluate(published, PRODUCT, PAGE, UNTIL, by="dept")
