"""In a shop of known truth a model that learns tastes beats what is popular and what is new, and not the truth."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import numpy as np

from jobs.facts.ingest import ingest
from jobs.models.kinds.ranking_metrics import Lists, ranking_metrics
from jobs.monitoring.evaluate import evaluate
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.rollout.compare import compare
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import clock_at
from tests.lakes import rows
from tests.worlds.shop import PRODUCT, START, Shop, Truth, make_shop, write_facts

WORLD = Shop(n_customers=40, n_days=36)
TRAINED_AS_OF = START + timedelta(days=24)
END = START + timedelta(days=35)


def with_rule(suite: Suite, score: str) -> Suite:
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    text = re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", header.read_text(), flags=re.M | re.S)
    header.write_text(text)
    rule = f"/*\ndescription: A baseline.\n*/\nSELECT customer_id, item_id, {score} AS score FROM page\n"
    (header.parent / "score.sql").write_text(rule)
    return open_suite(suite.root, clock_at(suite.clock()))


def of_truth(suite: Suite, truth: Truth) -> dict[str, float]:
    """Give the figures of ranking by how much each item appeals to each customer."""
    query = (
        f"SELECT as_of, customer_id, item_id, label FROM features.{PRODUCT} JOIN labels.{PRODUCT}"
        " USING (as_of, customer_id, item_id) WHERE as_of >= $1 AND as_of < $2 ORDER BY ALL"
    )
    found = rows(suite, query, [TRAINED_AS_OF, END])
    lists = np.unique([f"{row[0]} {row[1]}" for row in found], return_inverse=True)[1]
    scores = truth.appeal()[[int(row[1][1:]) for row in found], [int(row[2][1:]) for row in found]]
    return ranking_metrics(np.array([row[3] for row in found], np.float64), scores, Lists(lists, 5))


def test_a_model_of_tastes_beats_the_baselines_and_not_the_truth(tmp_path: Path) -> None:
    suite, truth = make_shop(tmp_path / "shop", WORLD)
    ingest(suite)
    learnt = train(suite, PRODUCT, TRAINED_AS_OF)
    assert learnt.went_live
    backfill(suite, BackfillOrder(PRODUCT, TRAINED_AS_OF, END))
    (figures,) = evaluate(suite, PRODUCT, TRAINED_AS_OF, END).groups
    best = of_truth(suite, truth)
    for score in ("coalesce(clicks_7d, 0)", "-age_days"):
        suite = with_rule(suite, score)
        rule = train(suite, PRODUCT, TRAINED_AS_OF).model.version
        compared = compare(suite, PRODUCT, (rule, "v1"), first=TRAINED_AS_OF, until=END)
        by_name = {row["metric"]: row for row in compared.rows}
        assert by_name["ndcg"]["verdict"] == "better", (score, by_name["ndcg"])
        # What was written and what a comparison ranks again is one and the same.
        assert by_name["ndcg"]["v1"] == figures["ndcg"] or abs(by_name["ndcg"]["v1"] - figures["ndcg"]) < 1e-12
    assert best["ndcg_of_chance"] < figures["ndcg"] < best["ndcg"]
    assert 0 < figures["diversity"] < 1
    assert 0 < figures["coverage"] <= 1


def test_a_world_is_the_same_each_time_and_clicks_fall_with_the_place(tmp_path: Path) -> None:
    write_facts(WORLD, tmp_path / "a")
    write_facts(WORLD, tmp_path / "b")
    files = [file.name for file in sorted((tmp_path / "a").iterdir())]
    assert files == ["clicks.csv", "ends.csv", "items.csv", "shown.csv"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    shown = [line.split(",") for line in (tmp_path / "a/shown.csv").read_text().splitlines()[1:]]
    clicked = {tuple(line.split(",")[:2]) for line in (tmp_path / "a/clicks.csv").read_text().splitlines()[1:]}
    first = np.mean([tuple(row[:2]) in clicked for row in shown if row[2] == "0"])
    last = np.mean([tuple(row[:2]) in clicked for row in shown if row[2] == "9"])
    assert first > last
