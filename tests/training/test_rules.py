"""A rule in SQL is a version like others: registered, judged, live, compared, taken back; and it learns nothing."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from jobs.models.bench import bench
from jobs.models.model_table import model_card
from jobs.models.versions import load_scorer, model_history
from jobs.monitoring.evaluate import evaluate
from jobs.pages.diff import diff
from jobs.pages.predict import run_page
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote, rollback
from jobs.scoring.rules import RuleScorer
from jobs.suite import Suite, open_suite
from jobs.suites.lineage import suite_lineage
from jobs.training.reproduce import reproduce
from jobs.training.train import Continuing, TrainResult, train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.lakes import rows
from warehouse.errors import DefinitionError, RunFailed, ScoringFailed, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.lineage.graph import Node

RULE = "SELECT order_id, coalesce(depot_late_share_28d, 0.2) AS probability\nFROM page\n"
HEADER = "/*\ndescription: The depot's share of late deliveries.\n*/\n"


def with_rule(suite: Suite, rule: str = RULE, more: str = "") -> Suite:
    """Let the product be a rule; give the suite, opened again."""
    directory = suite.root / f"sql/products/{PRODUCT}"
    header = directory / "product.yaml"
    text = re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", header.read_text(), flags=re.M | re.S)
    header.write_text(text + more)
    (directory / "score.sql").write_text(HEADER + rule)
    return open_suite(suite.root, clock_at(NOW))


def registered(suite: Suite) -> TrainResult:
    return train(suite, PRODUCT, TRAINED_AS_OF)


def version(suite: Suite, name: str) -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version(name)


def test_a_rule_goes_live_and_writes_pages(paged: Suite) -> None:
    suite = with_rule(paged)
    made = registered(suite)
    assert (made.model.version, made.went_live, made.live_from) == ("v1", True, datetime(2026, 2, 1))
    assert version(suite, "v1") == made.model
    assert (made.model.label_cutoff, made.model.label_definition, made.model.importance) == (None, None, {})
    run_page(suite, PRODUCT, PAGE)
    found = rows(
        suite,
        f"SELECT probability = coalesce(depot_late_share_28d, 0.2), hindsight, model_version FROM predictions.{PRODUCT}"
        f" JOIN features.{PRODUCT} USING (order_id, as_of)",
    )
    assert len(found) > 20
    assert set(found) == {(True, False, "v1")}
    assert evaluate(suite, PRODUCT, PAGE, NOW).versions == ["v1"]
    assert bench(suite, PRODUCT, "v1").scorer == "sql"
    assert model_card(suite, PRODUCT, "v1").compiled == "none: it is a text of SQL"


def test_a_rule_writes_any_page_without_hindsight(paged: Suite) -> None:
    suite = with_rule(paged)
    registered(suite)
    early = datetime(2026, 2, 2, 18)
    assert [page.hindsight for page in run_page(suite, PRODUCT, early).published if page.kind == "predictions"] == [
        False
    ]


def test_another_text_is_another_version_and_the_same_is_registered_once(paged: Suite) -> None:
    registered(with_rule(paged))
    spaced = registered(with_rule(paged, RULE.replace("\nFROM", "\n-- of the page\n   FROM")))
    assert (spaced.is_new, spaced.went_live, spaced.model.version) == (False, False, "v1")
    other = registered(with_rule(paged, RULE.replace("0.2", "0.3")))
    assert (other.is_new, other.model.version) == (True, "v2")
    assert registered(with_rule(paged)).model.version == "v1"


def test_a_column_that_became_a_text_makes_the_same_rule_another_version(paged: Suite) -> None:
    rule = RULE.replace("depot_late_share_28d", "TRY_CAST(depot_late_share_28d AS DOUBLE)")
    registered(with_rule(paged, rule))
    group = paged.root / "sql/features/depot_history.sql"
    average = "avg((delivered_at > promised_at)::INTEGER)"
    group.write_text(group.read_text().replace(f"{average} AS", f"({average})::VARCHAR AS"))
    suite = with_rule(paged, rule)
    with pytest.raises(UsageError, match="changed between text and number"):
        run_page(suite, PRODUCT, PAGE)
    again = registered(suite)
    assert (again.is_new, again.model.version) == (True, "v2")


def test_a_rule_stands_beside_a_trained_version(trained: Suite) -> None:
    suite = with_rule(trained)
    made = registered(suite)
    assert (made.model.version, made.went_live) == ("v2", False)
    promote(suite, PRODUCT, "v2")
    run_page(suite, PRODUCT, PAGE)
    beside = compare(suite, PRODUCT, ("v1", "v2"), first=PAGE, until=PAGE + timedelta(seconds=1))
    query = f"SELECT avg((probability - label) ** 2), count(*) FROM predictions.{PRODUCT}_outcomes WHERE as_of = $1"
    ((direct, n_rows),) = rows(suite, query, [PAGE])
    (brier,) = [row for row in beside.rows if row["metric"] == "brier"]
    assert (beside.n_rows, beside.n_pages) == (n_rows, 1)
    assert brier["v2"] == pytest.approx(direct, abs=1e-12)
    assert diff(suite, PRODUCT, PAGE, "v1").n_changed > 20
    assert rollback(suite, PRODUCT).decision.version == "v1"


@pytest.mark.parametrize(("at_most", "passes"), [(0.5, True), (0.01, False)])
def test_gates_judge_a_rule(paged: Suite, at_most: float, passes: bool) -> None:
    gates = f"gates: {{metrics: {{brier: {{at_most: {at_most}}}}}, min_pages: 2, pages: 5}}\n"
    made = registered(with_rule(paged, more=gates))
    assert made.went_live is passes
    assert [gate.passed for gate in made.verdict.gates] == [passes, True]
    assert made.verdict.gates[0].n_rows > 20


def test_nothing_of_training_is_asked_of_a_rule(paged: Suite) -> None:
    suite = with_rule(paged)
    registered(suite)
    for refused in (
        lambda: reproduce(suite, PRODUCT, "v1"),
        lambda: train(suite, PRODUCT, TRAINED_AS_OF, stateful=Continuing()),
    ):
        with pytest.raises(UsageError, match="not trained"):
            refused()


def test_a_label_has_no_part_in_a_rule(paged: Suite) -> None:
    suite = with_rule(paged)
    registered(suite)
    graph = suite_lineage(suite).graph
    sources = {edge.source for edge in graph.edges() if edge.target == Node("model", PRODUCT, "v1")}
    assert sources == {Node("page", PRODUCT, "order_id"), Node("page", PRODUCT, "depot_late_share_28d")}


MISTAKES: dict[str, tuple[str, str]] = {
    "an aggregate": ("SELECT order_id, avg(depot_late_share_28d) AS probability FROM page", "takes several rows"),
    "a window": ("SELECT order_id, 1 / rank() OVER (ORDER BY order_id) AS probability FROM page", "a window looks"),
    "a filter": ("SELECT order_id, 0.5 AS probability FROM page WHERE parcels > 1", "WHERE leaves rows out"),
    "groups of all": ("SELECT order_id, 0.5 AS probability FROM page GROUP BY ALL", "GROUP BY ALL puts rows together"),
    "a query within": ("SELECT order_id, (SELECT 0.5) AS probability FROM page", "a query within it"),
    "two rows of one": ("SELECT order_id, unnest([0.1, 0.2]) AS probability FROM page", "several rows of one"),
    "a star": ("SELECT * FROM page", "name the columns"),
    "a source": ("SELECT order_id, 0.5 AS probability FROM orders", "no table `orders`"),
    "chance": ("SELECT order_id, random() AS probability FROM page", "random"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_not_of_one_row_is_refused(paged: Suite, name: str) -> None:
    rule, told = MISTAKES[name]
    with pytest.raises(DefinitionError, match=told):
        assert with_rule(paged, rule).definitions


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("SELECT order_id, depot_share AS probability FROM page", "score.sql.*depot_share"),
        ("SELECT order_id, 0.5 AS score FROM page", "must select the keys and what a page of a binary label has"),
        ("SELECT order_id, probability FROM page", "probability"),
    ],
)
def test_what_does_not_bind_is_told_before_anything_is_registered(paged: Suite, rule: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        registered(with_rule(paged, rule))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("{sql: score.sql}", "{sql: score.sql, estimator: ridge}", "either `estimator`"),
        ("{sql: score.sql}", "{sql: score.sql, seed: 3}", "nothing for \\['seed'\\]"),
        ("{sql: score.sql}", "{sql: label.sql}", "no file of its own"),
        ("{sql: score.sql}", "{sql: other.sql}", "other.sql, which `model.sql` names, is missing"),
        ("{sql: score.sql}", "{sql: score.sql}\nreasons: {top: 2}", "reasons"),
    ],
)
def test_keys_that_do_not_go_with_a_rule_are_refused(paged: Suite, old: str, new: str, told: str) -> None:
    suite = with_rule(paged)
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(DefinitionError, match=told):
        assert open_suite(suite.root, clock_at(NOW)).definitions


@pytest.mark.parametrize(
    ("said", "told"), [("NULL::DOUBLE", "no probability: it is NULL"), ("1.5", "within \\[0, 1\\]")]
)
def test_a_row_without_a_sound_score_fails_the_page(paged: Suite, said: str, told: str) -> None:
    suite = with_rule(paged, f"SELECT order_id, {said} AS probability FROM page")
    registered(suite)
    with pytest.raises(RunFailed, match=told):
        run_page(suite, PRODUCT, PAGE)


def test_a_text_that_was_changed_in_the_lake_is_not_used(paged: Suite) -> None:
    suite = with_rule(paged)
    model = registered(suite).model
    file = suite.lake.root / model.artifact / "rule.sql"
    file.write_text(file.read_text().replace("0.2", "0.9"))
    with pytest.raises(ScoringFailed, match="its bytes have changed"):
        load_scorer(suite.lake, model)


def _scorer() -> RuleScorer:
    text = "SELECT k, CASE WHEN x > 0.5 THEN x ELSE 1 - x END AS probability FROM page"
    return RuleScorer(text, "score.sql", ["k", "x"], ["k"], "probability", is_probability=True)


def test_a_rule_says_the_same_of_a_row_in_any_batch_and_thread() -> None:
    rng = np.random.default_rng(3)
    x = rng.random(5_000)
    table = pa.table({"k": np.arange(5_000), "x": x})
    whole = _scorer().predict(table)
    assert np.array_equal(whole[:, 1], np.where(x > 0.5, x, 1 - x))
    parts = [table.slice(start, 137) for start in range(0, 5_000, 137)]
    with ThreadPoolExecutor(4) as pool:
        assert np.array_equal(np.concatenate(list(pool.map(_scorer().predict, parts))), whole)
    assert _scorer().predict(table.slice(0, 0)).shape == (0, 2)


def test_a_rule_that_gives_other_rows_is_not_believed() -> None:
    scorer = _scorer()
    scorer.text = "SELECT k + 1 AS k, x AS probability FROM page"
    with pytest.raises(ScoringFailed, match="other rows"):
        scorer.predict(pa.table({"k": [1, 2], "x": [0.1, 0.2]}))
