"""The metrics of ranked lists on both sides of a change are those that `almanac evaluate` gives."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from jobs.backup.scratch import SCRATCH
from jobs.check.check import Order, check
from jobs.monitoring.evaluate import evaluate
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.check.test_check import changed, only
from tests.conftest import NOW, PRODUCT, TRAINED_AS_OF, clock_at
from tests.training.test_ranking import with_lists

FIRST, LAST = datetime(2026, 3, 4), datetime(2026, 3, 11)


def test_ranked_lists_are_compared_by_the_figures_of_evaluate(ingested: Suite, tmp_path: Path) -> None:
    changed(ingested.root, f"sql/products/{PRODUCT}/product.yaml", "since: 2026-01-15", "since: 2026-02-18")
    suite = with_lists(ingested)
    train(suite, PRODUCT, TRAINED_AS_OF)
    backfill(suite, BackfillOrder(PRODUCT, FIRST, LAST))
    (own,) = evaluate(suite, PRODUCT, FIRST, LAST).groups
    suite.lake.close()
    working = tmp_path / "working"
    shutil.copytree(suite.root, working, ignore=shutil.ignore_patterns("lake", SCRATCH))
    changed(working, "sql/features/courier_load.sql", "sum(parcels) AS", "(hash(courier) % 97)::INTEGER AS")

    quality = only(check(open_suite(working, clock_at(NOW)), Order(suite.root, n_pages=7))).quality

    assert (quality.why_not, quality.n_pages) == (None, 7)
    found = {row["metric"]: row for row in quality.rows}
    assert {name: row["before"] for name, row in found.items()} == {
        name: pytest.approx(own[name], abs=1e-12) for name in ("ndcg", "recall", "map")
    }
    for row in quality.rows:
        assert row["difference"] == pytest.approx(row["after"] - row["before"], abs=1e-12)
        assert row["low"] <= row["difference"] <= row["high"]
    assert found["ndcg"]["after"] != found["ndcg"]["before"]
