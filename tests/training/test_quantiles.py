"""Quantiles of a regression: trained, judged, published, measured; by a model for each, and by intervals."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from jobs.export.export import export
from jobs.models.kinds.figures import Target
from jobs.models.model_table import model_card
from jobs.models.versions import load_estimator, load_scorer, model_history
from jobs.monitoring.evaluate import evaluate
from jobs.pages.diff import diff
from jobs.pages.predict import run_page
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote
from jobs.scoring import estimator_input
from jobs.suite import Suite, open_suite
from jobs.suites.lineage import suite_lineage
from jobs.training.reproduce import reproduce
from jobs.training.train import train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, TRAINED_LATER, clock_at
from tests.export.targets import with_targets
from tests.lakes import rows
from warehouse.errors import DefinitionError, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.lineage.graph import Node
from warehouse.reader import open_lake

LEVELS = (0.1, 0.5, 0.9)
HOURS = "date_diff('minute', promised_at, delivered_at) / 60.0"
END = PAGE + timedelta(seconds=1)
TREES = "{estimator: hist_gradient_boosting_regressor, parameters: {max_iter: 15, min_samples_leaf: 5}}"
FOREST = "{estimator: extra_trees_regressor, parameters: {n_estimators: 8, max_depth: 4}}"


def with_quantiles(suite: Suite, levels: str = "[0.1, 0.5, 0.9]", model: str = TREES) -> Suite:
    """Let the product give quantiles of how late an order comes; give the suite, opened again."""
    directory = suite.root / f"sql/products/{PRODUCT}"
    header, query = directory / "product.yaml", directory / "label.sql"
    kind = f"  kind: regression\n  quantiles: {levels}\n"
    text = re.sub(r"^  kind: .*?(?=^  matures)", kind, header.read_text(), flags=re.M | re.S)
    text = re.sub(r"^model:.*?(?=^pages:)", f"model: {model}\n", text, flags=re.M | re.S)
    header.write_text(text)
    query.write_text(re.sub(r"SELECT order_id, .*? AS label", f"SELECT order_id, {HOURS} AS label", query.read_text()))
    check = directory / "checks/not_all_alike.sql"
    check.write_text(check.read_text().replace("probability", "prediction"))
    return open_suite(suite.root, clock_at(NOW))


@pytest.fixture(scope="module")
def _spread(_paged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quantiles") / "shop"
    shutil.copytree(_paged, root)
    suite = with_quantiles(open_suite(root, clock_at(NOW)))
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE)
    return root


@pytest.fixture
def spread(_spread: Path, tmp_path: Path) -> Suite:
    """A suite whose live version gives three quantiles, and has written one page."""
    shutil.copytree(_spread, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def version(suite: Suite, name: str) -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version(name)


def outcomes(suite: Suite) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = rows(
        suite,
        f"SELECT label, prediction, quantiles.q10, quantiles.q50, quantiles.q90 FROM predictions.{PRODUCT}_outcomes"
        " WHERE as_of = $1 AND label IS NOT NULL ORDER BY order_id",
        [PAGE],
    )
    values = np.array(found, np.float64)
    return values[:, 0], values[:, 1], values[:, 2:]


def test_a_page_has_the_median_and_each_quantile_as_the_estimators_give_them(spread: Suite) -> None:
    model = version(spread, "v1")
    assert (model.label_kind, json.loads(model.validation or "")["quantiles"]) == ("quantiles", list(LEVELS))
    assert model.scorer != "estimator", model.scorer_reason
    wanted = ", ".join(f'features."{name}"' for name in model.features)
    query = (
        f"SELECT {wanted}, prediction, quantiles FROM features.{PRODUCT} AS features JOIN predictions.{PRODUCT}"
        " USING (as_of, order_id) WHERE as_of = $1 ORDER BY order_id"
    )
    with spread.lake.reading() as connection:
        table = connection.execute(query, [PAGE]).to_arrow_table()
    given = load_estimator(spread.lake, model).predict(estimator_input(table, model.features))
    assert np.array_equal(load_scorer(spread.lake, model).predict(table), given)
    expected = Target("quantiles", (), (), LEVELS, LEVELS).scores(given)
    said = np.array([list(row.values()) for row in table.column("quantiles").to_pylist()])
    assert np.array_equal(said, expected)
    assert np.array_equal(table.column("prediction").to_numpy(), expected[:, 1])
    crossed = int((np.diff(given, axis=1) < 0).any(axis=1).sum())
    query = f"SELECT message FROM ledger.checks WHERE product = '{PRODUCT}' AND name = 'quantiles_crossed'"
    ((message,),) = rows(spread, query)
    assert message == f"the quantiles of {crossed} of {len(given)} rows crossed, and were put in order"


def test_evaluate_gives_the_figures_of_the_definition(spread: Suite) -> None:
    labels, prediction, quantiles = outcomes(spread)
    found = evaluate(spread, PRODUCT, PAGE, END)
    (figures,) = found.groups
    losses = [metrics.mean_pinball_loss(labels, q, alpha=a) for q, a in zip(quantiles.T, LEVELS, strict=True)]
    within = (labels >= quantiles[:, 0]) & (labels <= quantiles[:, 2])
    constants = np.quantile(labels, LEVELS, method="inverted_cdf")
    of_constants = [
        metrics.mean_pinball_loss(labels, np.full_like(labels, c), alpha=a)
        for c, a in zip(constants, LEVELS, strict=True)
    ]
    reached = (labels[:, np.newaxis] <= quantiles).mean(axis=0)
    expected = {
        "pinball": np.mean(losses),
        "pinball_of_constants": np.mean(of_constants),
        "mae": np.abs(prediction - labels).mean(),
        "coverage": within.mean(),
        "coverage_error": abs(within.mean() - 0.8),
        "width": (quantiles[:, 2] - quantiles[:, 0]).mean(),
        "calibration_error": np.abs(reached - LEVELS).mean(),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert [row["observed"] for row in found.calibration] == pytest.approx(reached, abs=1e-12)
    by_depot = evaluate(spread, PRODUCT, PAGE, END, by="depot").groups
    assert sum(row["n_rows"] for row in by_depot) == len(labels)


def test_a_forest_gives_intervals_of_pages_that_it_has_not_seen_and_both_are_compared(spread: Suite) -> None:
    suite = with_quantiles(spread, model=FOREST)
    model = train(suite, PRODUCT, TRAINED_AS_OF).model
    assert model.scorer != "estimator", model.scorer_reason
    estimator = load_estimator(suite.lake, model)
    assert estimator.n_held_back_ >= 50
    assert model.metrics["validation_crossed"] == 0
    compared = compare(suite, PRODUCT, ("v1", model.version), first=PAGE, until=END)
    assert [row["metric"] for row in compared.rows] == ["pinball", "mae", "coverage_error", "width"]
    labels, _, quantiles = outcomes(suite)
    pinball = np.mean([metrics.mean_pinball_loss(labels, q, alpha=a) for q, a in zip(quantiles.T, LEVELS, strict=True)])
    assert compared.rows[0]["v1"] == pytest.approx(pinball, abs=1e-12)
    promote(suite, PRODUCT, model.version)
    run_page(suite, PRODUCT, PAGE)
    _, _, quantiles = outcomes(suite)
    # The distances between quantiles are everywhere the same.
    assert np.ptp(quantiles[:, 2] - quantiles[:, 0]) == pytest.approx(0, abs=1e-9)
    assert diff(suite, PRODUCT, PAGE, model.version).n_changed == 0
    assert diff(suite, PRODUCT, PAGE, "v1").n_changed > 0
    again = reproduce(suite, PRODUCT, model.version)
    assert (again.same, again.differences) == (True, [])


def test_models_show_and_gates_know_quantiles(spread: Suite) -> None:
    card = model_card(spread, PRODUCT, "v1")
    assert [row["quantile"] for row in card.calibration] == list(LEVELS)
    assert card.model.metrics["validation_pinball"] < card.model.metrics["validation_pinball_of_constants"]
    header = spread.root / f"sql/products/{PRODUCT}/product.yaml"
    gates = "gates: {min_pages: 1, metrics: {pinball: {at_most: 100}, coverage_error: {at_most: 0.5}},"
    header.write_text(f"{header.read_text()}\n{gates} calibration_error: {{at_most: 0.0001}}}}\n")
    suite = open_suite(spread.root, clock_at(NOW))
    done = train(suite, PRODUCT, TRAINED_LATER)
    passed = {gate.gate: gate.passed for gate in done.verdict.gates}
    assert passed == {"pinball": True, "coverage_error": True, "calibration_error": False, "parity": True}
    assert not done.went_live


def test_other_quantiles_are_told_and_never_mistaken(spread: Suite) -> None:
    suite = with_quantiles(spread, "[0.1, 0.9]")
    run_page(suite, PRODUCT, PAGE)
    (found,) = rows(suite, f"SELECT DISTINCT prediction = quantiles.q10 FROM predictions.{PRODUCT}_page")
    assert found == (True,)
    suite = with_quantiles(spread, "[0.05, 0.5, 0.95]")
    with pytest.raises(UsageError, match=r"gives the quantiles 0.1, 0.5, 0.9, and label.quantiles asks for 0.05, 0.95"):
        run_page(suite, PRODUCT, PAGE)
    with pytest.raises(UsageError, match="no version of that kind has written a page yet"):
        evaluate(suite, PRODUCT, PAGE, END)
    assert not reproduce(suite, PRODUCT, "v1").same
    promote(suite, PRODUCT, train(suite, PRODUCT, TRAINED_AS_OF).model.version)
    next_page = PAGE + timedelta(days=1)
    run_page(suite, PRODUCT, next_page)
    found = evaluate(suite, PRODUCT, PAGE, next_page + timedelta(seconds=1))
    assert found.n_pages == 1
    assert any("did not learn a quantiles label" in note for note in found.notes)


def test_exports_and_lineage_follow_quantiles(spread: Suite) -> None:
    graph = suite_lineage(spread).graph
    for column in ("prediction", "quantiles"):
        sources = {edge.source for edge in graph.edges() if edge.target == Node("predictions", PRODUCT, column)}
        assert Node("model", PRODUCT, "v1") in sources
    suite = with_targets(spread, "\nexport:\n  app: {to: out/said.sqlite}\n  files: {to: out/pages/, format: jsonl}\n")
    export(suite, PRODUCT)
    with sqlite3.connect(suite.root / "out/said.sqlite") as connection:
        listed = connection.execute(f"SELECT prediction, quantiles FROM {PRODUCT}").fetchall()
    connection.close()
    (file,) = (suite.root / "out/pages").rglob("*.jsonl*")
    assert listed
    for prediction, quantiles in listed:
        assert list(json.loads(quantiles)) == ["q10", "q50", "q90"]
        assert json.loads(quantiles)["q50"] == prediction
    query = "SELECT count(*), bool_and(quantiles.q10 <= quantiles.q90) FROM read_json($1)"
    assert rows(suite, query, [str(file)]) == [(len(listed), True)]
    read = open_lake(suite.lake.root).predictions(PRODUCT).to_polars().select("prediction", "quantiles").rows()
    assert sorted(read, key=str) == sorted(((said, json.loads(each)) for said, each in listed), key=str)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[0.1, 0.5, 0.9]", "[0.5]", "two at least, ascending"),
        ("[0.1, 0.5, 0.9]", "[0.9, 0.1]", "two at least, ascending"),
        ("kind: regression", "kind: binary", "`quantiles` are of regression labels"),
        ("valid_for:", "reasons: {top: 2}\nvalid_for:", "has one for each"),
    ],
)
def test_what_does_not_go_with_quantiles_is_refused(spread: Suite, old: str, new: str, problem: str) -> None:
    header = spread.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(DefinitionError, match=problem):
        assert open_suite(spread.root, clock_at(NOW)).definitions


def test_a_quantile_among_the_parameters_is_refused(spread: Suite) -> None:
    model = "{estimator: hist_gradient_boosting_regressor, parameters: {quantile: 0.4}}"
    with pytest.raises(DefinitionError, match=r"`quantile`, which comes from label.quantiles"):
        train(with_quantiles(spread, model=model), PRODUCT, TRAINED_AS_OF)
