"""Ranked lists: trained, the first of each list written, looked up, measured against the outcomes of all candidates."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.export.export import export
from jobs.models.model_table import model_card
from jobs.models.versions import load_estimator, model_history
from jobs.monitoring.evaluate import evaluate
from jobs.monitoring.performance.judge import judge_performance
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.diff import diff
from jobs.pages.explain import explain_row
from jobs.pages.predict import run_page
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote
from jobs.scoring import estimator_input
from jobs.suite import Suite, open_suite
from jobs.suites.lineage import suite_lineage
from jobs.training.imported import import_model
from jobs.training.reproduce import reproduce
from jobs.training.train import train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at
from tests.export.targets import EXPORT, in_duckdb, in_files, in_sqlite, with_targets
from tests.lakes import rows, rows_by_the_ledger
from tests.models.test_ranking_metrics import by_definition
from tests.pages.test_bad_pages import (
    BAD,
    a_key_is_repeated,
    a_query_fails,
    a_sum_does_not_fit,
    the_entities_fail,
)
from warehouse.batching.batch import Batch
from warehouse.errors import DefinitionError, RunFailed, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.lineage.graph import Node
from warehouse.pages.lists import ranked
from warehouse.reader import open_lake

TOP = 4
END = PAGE + timedelta(seconds=1)


def with_lists(suite: Suite, label: str = f"list: [depot]\n  top: {TOP}\n  at_most: 200", model: str = "") -> Suite:
    """Let the product rank each depot's open orders by how surely they come late; give the suite, opened again."""
    directory = suite.root / f"sql/products/{PRODUCT}"
    header, query = directory / "product.yaml", directory / "label.sql"
    text = re.sub(r"^  kind: .*?(?=^  matures)", f"  kind: ranking\n  {label}\n", header.read_text(), flags=re.M | re.S)
    text = re.sub(r"^keys: .*$", "keys: [depot, order_id]", text, flags=re.M)
    if model:
        text = re.sub(r"^model:.*?(?=^pages:)", f"model: {model}\n", text, flags=re.M | re.S)
    header.write_text(text)
    query.write_text(query.read_text().replace("SELECT order_id,", "SELECT depot, order_id,"))
    check = directory / "checks/not_all_alike.sql"
    check.write_text(check.read_text().replace("probability", "score"))
    return open_suite(suite.root, clock_at(NOW))


@pytest.fixture(scope="module")
def _listed(_paged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lists") / "shop"
    shutil.copytree(_paged, root)
    suite = with_lists(open_suite(root, clock_at(NOW)))
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE)
    return root


@pytest.fixture
def listed(_listed: Path, tmp_path: Path) -> Suite:
    """A suite whose live version ranks, and has written one page."""
    shutil.copytree(_listed, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def version(suite: Suite, name: str) -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version(name)


def candidates(suite: Suite, model: ModelRecord) -> dict[str, list[tuple[float, str]]]:
    """Give each depot's orders by the estimator's own scores, the best first, equal ones by their number."""
    wanted = ", ".join(f'"{name}"' for name in dict.fromkeys(["depot", "order_id", *model.features]))
    with suite.lake.reading() as connection:
        query = f"SELECT {wanted} FROM features.{PRODUCT} WHERE as_of = $1"
        table = connection.execute(query, [PAGE]).to_arrow_table()
    scores = load_estimator(suite.lake, model).predict_proba(estimator_input(table, model.features))[:, 1]
    found: dict[str, list[tuple[float, str]]] = {}
    for depot, order, score in zip(
        table.column("depot").to_pylist(), table.column("order_id").to_pylist(), scores.tolist(), strict=True
    ):
        found.setdefault(depot, []).append((-score, order))
    return {depot: sorted(each) for depot, each in found.items()}


def outcomes(suite: Suite) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for depot, order, label in rows(
        suite, f"SELECT depot, order_id, label FROM labels.{PRODUCT} WHERE as_of = $1", [PAGE]
    ):
        found.setdefault(depot, {})[order] = label
    return found


def test_the_first_of_each_list_are_written_by_score_and_then_by_key(listed: Suite) -> None:
    model = version(listed, "v1")
    assert model.label_kind == "ranking"
    written: dict[str, list[tuple[float, str]]] = {}
    query = f"SELECT depot, order_id, score, rank FROM predictions.{PRODUCT}_page ORDER BY depot, rank"
    for depot, order, score, rank in rows(listed, query):
        written.setdefault(depot, []).append((-score, order))
        assert rank == len(written[depot])
    expected = candidates(listed, model)
    assert written == {depot: each[:TOP] for depot, each in expected.items()}
    assert max(len(each) for each in expected.values()) > TOP
    query = f"SELECT n_rows FROM ledger.pages WHERE product = '{PRODUCT}' AND kind = 'predictions' AND as_of = $1"
    assert rows(listed, query, [PAGE]) == [(sum(len(each) for each in written.values()),)]
    query = f"SELECT DISTINCT name FROM ledger.checks WHERE product = '{PRODUCT}' AND passed"
    assert ("lists_are_whole",) in rows(listed, query)


def test_evaluate_measures_lists_by_all_outcomes_listed_or_not(listed: Suite) -> None:
    found = evaluate(listed, PRODUCT, PAGE, END)
    (figures,) = found.groups
    expected, labels = candidates(listed, version(listed, "v1")), outcomes(listed)
    told: list[dict[str, float]] = []
    for depot, of_depot in labels.items():
        listed_orders = [order for _, order in expected.get(depot, [])][:TOP]
        others = [order for order in of_depot if order not in listed_orders]
        relevant = [float(of_depot.get(order, 0)) for order in [*listed_orders, *others]]
        each = by_definition(relevant, [float(-place) for place in range(len(relevant))], TOP)
        told += [each] if each else []
    assert told
    means = {name: float(np.mean([each[name] for each in told])) for name in ("ndcg", "recall", "map")}
    assert {name: figures[name] for name in means} == pytest.approx(means, abs=1e-12)
    n_candidates, n_listed = sum(map(len, expected.values())), sum(min(TOP, len(each)) for each in expected.values())
    assert figures["coverage"] == pytest.approx(n_listed / n_candidates, abs=1e-12)
    # No order is of two depots.
    assert figures["diversity"] == pytest.approx(1, abs=1e-12)
    by_depot = evaluate(listed, PRODUCT, PAGE, END, by="depot").groups
    assert sum(row["n_lists"] for row in by_depot) == figures["n_lists"]


def test_what_is_current_is_the_newest_page_of_each_list(listed: Suite) -> None:
    header = listed.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace("valid_for: 24 hours", "valid_for: 7 days"))
    suite = open_suite(listed.root, clock_at(NOW))
    backfill(suite, BackfillOrder(PRODUCT, PAGE, PAGE + timedelta(days=2)))
    query = (
        "SELECT depot, count(*), count(DISTINCT rank), max(rank), count(DISTINCT as_of)"
        f" FROM predictions.{PRODUCT}_current GROUP BY depot"
    )
    found = rows(suite, query)
    assert found
    assert all(n == n_ranks == last <= TOP and n_pages == 1 for _, n, n_ranks, last, n_pages in found)
    # Targets hold the same lists, and programs read them.
    columns = "depot, order_id, score, rank"
    suite = with_targets(suite, EXPORT.replace("order_id, as_of, probability", columns))
    assert not export(suite, PRODUCT).failed
    current = rows(suite, f"SELECT {columns} FROM predictions.{PRODUCT}_current ORDER BY depot, rank")
    query = f"SELECT {columns} FROM {{}} ORDER BY depot, rank"
    assert rows_by_the_ledger(suite, PRODUCT, query.format(f"predictions.{PRODUCT}_current")) == current
    assert in_sqlite(suite, query.format(PRODUCT)) == in_duckdb(suite, query.format("late")) == current
    read = open_lake(suite.lake.root).predictions(PRODUCT).to_polars().sort("depot", "rank")
    newest = [tuple(row[name] for name in columns.split(", ")) for row in in_files(suite)[max(in_files(suite))]]
    assert read.select(columns.split(", ")).rows() == current
    assert set(newest) <= set(current)


def test_versions_are_judged_compared_diffed_reproduced_and_a_rule_stands_beside(listed: Suite) -> None:
    assert reproduce(listed, PRODUCT, "v1").same
    assert diff(listed, PRODUCT, PAGE, "v1").n_changed == 0
    card = model_card(listed, PRODUCT, "v1")
    assert card.model.metrics["validation_ndcg"] > 0
    assert card.model.metrics["validation_n_lists"] > card.model.metrics["validation_n_lists_with_relevant"] * 0.5
    rule = listed.root / f"sql/products/{PRODUCT}/score.sql"
    rule.write_text(
        "/*\ndescription: The least time left first.\n*/\nSELECT depot, order_id, -hours_left AS score FROM page\n"
    )
    text = (listed.root / f"sql/products/{PRODUCT}/product.yaml").read_text()
    text = re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", text, flags=re.M | re.S)
    (listed.root / f"sql/products/{PRODUCT}/product.yaml").write_text(text)
    suite = open_suite(listed.root, clock_at(NOW))
    baseline = train(suite, PRODUCT, TRAINED_AS_OF).model
    compared = compare(suite, PRODUCT, ("v1", baseline.version), first=PAGE, until=END)
    assert [row["metric"] for row in compared.rows] == ["ndcg", "recall", "map"]
    promote(suite, PRODUCT, baseline.version)
    run_page(suite, PRODUCT, PAGE)
    (found,) = rows(suite, f"SELECT bool_and(rank <= {TOP}), count(*) FROM predictions.{PRODUCT}_page")
    assert found[0]
    assert diff(suite, PRODUCT, PAGE, "v1").n_changed + diff(suite, PRODUCT, PAGE, "v1").n_came > 0
    assert judge_performance(suite, PRODUCT).rows == []
    graph = suite_lineage(suite).graph
    sources = {edge.source for edge in graph.edges() if edge.target == Node("predictions", PRODUCT, "rank")}
    assert Node("model", PRODUCT, baseline.version) in sources


def test_candidates_that_are_streamed_are_those_of_a_page_made_in_steps(
    listed: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(listed.root, tmp_path / "in steps")
    page, found = PAGE + timedelta(days=1), []
    for root, streams in ((listed.root, True), (tmp_path / "in steps", False)):
        if not streams:
            monkeypatch.setattr(Batch, "_stream", lambda *_: None)
        suite = open_suite(root, clock_at(NOW))
        run_page(suite, PRODUCT, page)
        found.append(rows(suite, f"FROM features.{PRODUCT} WHERE as_of = $1 ORDER BY ALL", [page]))
    assert found[0] == found[1] != []


@pytest.mark.parametrize("fails", [a_query_fails, the_entities_fail, a_key_is_repeated, a_sum_does_not_fit])
def test_a_page_of_lists_that_fails_on_the_data_says_on_what(
    listed: Suite, fails: Callable[[Suite, datetime], None]
) -> None:
    page = PAGE + timedelta(days=1)
    fails(listed, page)
    with pytest.raises(RunFailed, match=re.escape(BAD[fails])):
        run_page(open_suite(listed.root, clock_at(NOW)), PRODUCT, page)


def test_a_list_of_more_candidates_than_may_be_keeps_the_page_back(listed: Suite) -> None:
    suite = with_lists(listed, "list: [depot]\n  top: 2\n  at_most: 3")
    query = f"SELECT count(*) FROM predictions.{PRODUCT}"
    before = rows(suite, query)
    made = run_page(suite, PRODUCT, PAGE)
    assert made.rejected == {PAGE}
    assert {check.name for check in made.audit.complaints() if check.severity == "error"} == {"lists_are_whole"}
    assert rows(suite, query) == before


def test_lists_are_the_same_ranked_in_many_parts_and_what_is_listed_has_reasons(
    listed: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranked, "BATCH_ROWS", 7)
    monkeypatch.setattr(ranked, "HEAPED_AT_A_TIME", 4)
    query = f"SELECT depot, order_id, score, rank FROM predictions.{PRODUCT}_page ORDER BY depot, rank"
    before = rows(listed, query)
    header = listed.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(f"{header.read_text()}\nreasons: {{top: 2}}\n")
    suite = open_suite(listed.root, clock_at(NOW))
    run_page(suite, PRODUCT, PAGE)
    assert rows(suite, query) == before
    found = rows(suite, f"SELECT depot, order_id, reasons FROM predictions.{PRODUCT}_page ORDER BY depot, rank")
    depot, order, reasons = found[-1]
    steps = explain_row(suite, PRODUCT, PAGE, {"depot": depot, "order_id": order}).steps
    assert [one["feature"] for one in reasons] == [step["column"] for step in steps[:2]]
    assert all(len(each) == 2 for _, _, each in found)


def kept_whole(page: datetime, depot: str, share: float) -> bool:
    number = hashlib.md5(f"{page:%Y-%m-%d %H:%M:%S}|{depot}".encode()).digest()[8:]
    return int.from_bytes(number, "little") % 1_000_000 < share * 1_000_000


def test_all_candidates_are_kept_of_a_sample_of_lists_and_of_others_what_is_listed(listed: Suite) -> None:
    query = f"SELECT as_of, depot, order_id FROM features.{PRODUCT}"
    before = set(rows(listed, f"{query} WHERE as_of = $1", [PAGE]))
    suite = with_lists(listed, "list: [depot]\n  top: 2\n  at_most: 200\n  keep: 50 %")
    learnt = train(suite, PRODUCT, TRAINED_AS_OF).model
    others = rows(suite, f"{query} WHERE as_of < $1", [TRAINED_AS_OF])
    assert all(kept_whole(page, depot, 0.5) for page, depot, _ in others)
    assert learnt.n_rows > 0
    promote(suite, PRODUCT, learnt.version)
    made = run_page(suite, PRODUCT, PAGE)
    assert not made.rejected
    shown = set(rows(suite, f"SELECT as_of, depot, order_id FROM predictions.{PRODUCT}_page"))
    found = set(rows(suite, f"{query} WHERE as_of = $1", [PAGE]))
    assert found == shown | {row for row in before if kept_whole(PAGE, row[1], 0.5)}
    assert shown < found < before
    # Which rows are learnt from depends on no version, so that a training can be repeated, and versions be compared.
    assert reproduce(suite, PRODUCT, learnt.version).same
    differing = diff(suite, PRODUCT, PAGE, learnt.version)
    assert (differing.n_changed, differing.n_came, differing.n_went) == (0, 0, 0)
    assert differing.n_same == 2 * len({row[1] for row in before if kept_whole(PAGE, row[1], 0.5)})
    compared = compare(suite, PRODUCT, ("v1", learnt.version), first=PAGE, until=END)
    assert len(compared.rows) == 3
    # A version that is to write the page again needs all candidates, which are computed again.
    run_page(suite, PRODUCT, PAGE, version="v1", hindsight=True)
    again = set(rows(suite, f"{query} WHERE as_of = $1", [PAGE]))
    assert {row for row in found if kept_whole(PAGE, row[1], 0.5)} <= again


GATES = """gates:
  metrics: {ndcg: {at_least: 0.05}, map: {at_most: 0.999}}
  not_worse: {metric: ndcg, margin: 0.9}
  min_pages: 2
  pages: 5
"""


def frame_of(suite: Suite, names: list[str]) -> tuple[Any, np.ndarray, np.ndarray]:
    """Give features, labels and the sizes of lists of the pages before the cut-off, list by list."""
    listed = ", ".join(f"features.{name}" for name in names)
    query = (
        f"SELECT {listed}, (delivered_at > promised_at)::INTEGER AS label, as_of, depot FROM features.{PRODUCT} AS"
        " features JOIN sources.deliveries USING (order_id) JOIN sources.orders USING (order_id, depot)"
        " WHERE as_of < $1 AND delivered_at < $1 ORDER BY as_of, depot, order_id"
    )
    with suite.lake.reading() as connection:
        table = connection.execute(query, [TRAINED_AS_OF]).to_arrow_table()
    lists = [f"{row['as_of']} {row['depot']}" for row in table.select(["as_of", "depot"]).to_pylist()]
    _, first, sizes = np.unique(lists, return_index=True, return_counts=True)
    return estimator_input(table, names), table.column("label").to_numpy(), sizes[np.argsort(first)]


def written_is_what_it_gives(suite: Suite, model: ModelRecord) -> None:
    """See that a version is compiled to its library's bits, and ranks the page as its library would."""
    assert model.scorer != "estimator", model.scorer_reason
    promote(suite, PRODUCT, model.version)
    run_page(suite, PRODUCT, PAGE)
    wanted = ", ".join(f'"{name}"' for name in dict.fromkeys(["depot", "order_id", *model.features]))
    with suite.lake.reading() as connection:
        query = f"SELECT {wanted} FROM features.{PRODUCT} WHERE as_of = $1 ORDER BY order_id"
        table = connection.execute(query, [PAGE]).to_arrow_table()
    scores = load_estimator(suite.lake, model).predict(estimator_input(table, model.features))
    by_depot: dict[str, list[tuple[float, str]]] = {}
    for depot, order, score in zip(
        table.column("depot").to_pylist(), table.column("order_id").to_pylist(), scores.tolist(), strict=True
    ):
        by_depot.setdefault(depot, []).append((-score, order))
    query = f"SELECT depot, order_id, score FROM predictions.{PRODUCT}_page ORDER BY depot, rank"
    expected = [(depot, order, -low) for depot in sorted(by_depot) for low, order in sorted(by_depot[depot])[:TOP]]
    assert rows(suite, query) == expected


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_rankers_learn_from_whole_lists_are_compiled_and_judged(listed: Suite, library: str) -> None:
    pytest.importorskip(library)
    suite = with_lists(listed, model=f"{{estimator: {library}_ranker, parameters: {{n_estimators: 8, max_depth: 3}}}}")
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(f"{header.read_text()}{GATES}")
    suite = open_suite(suite.root, clock_at(NOW))
    made = train(suite, PRODUCT, TRAINED_AS_OF)
    assert made.model.metrics["validation_ndcg"] > 0
    assert {gate.gate.partition(" ")[0] for gate in made.verdict.gates} >= {"ndcg", "map"}, made.verdict.gates
    assert reproduce(suite, PRODUCT, made.model.version).same
    written_is_what_it_gives(suite, made.model)


def test_rankers_from_elsewhere_are_compiled_and_judged(listed: Suite, tmp_path: Path) -> None:
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    header = listed.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(f"{header.read_text()}{GATES}")
    suite = open_suite(listed.root, clock_at(NOW))
    names = ["parcels", "depot_late_share_28d"]
    frame, labels, sizes = frame_of(suite, names)
    data = lightgbm.Dataset(frame.to_numpy(), labels, group=sizes, feature_name=names)
    lightgbm.train({"objective": "lambdarank", "verbose": -1, "num_threads": 1}, data, 5).save_model(tmp_path / "a.txt")
    matrix = xgboost.DMatrix(frame.to_numpy(), labels)
    matrix.set_group(sizes)
    xgboost.train({"objective": "rank:ndcg", "nthread": 1}, matrix, 5).save_model(tmp_path / "b.json")
    for file, columns in (("a.txt", None), ("b.json", names)):
        done = import_model(suite, PRODUCT, tmp_path / file, columns, TRAINED_AS_OF)
        assert {gate.gate.partition(" ")[0] for gate in done.verdict.gates} >= {"ndcg", "map"}, done.verdict.gates
        written_is_what_it_gives(suite, done.model)
    header.write_text(re.sub(r"^  kind: .*?(?=^  matures)", "  kind: binary\n", header.read_text(), flags=re.M | re.S))
    header.write_text(header.read_text().replace(GATES, ""))
    with pytest.raises(UsageError, match=r"is a ranker, and label\.kind"):
        import_model(open_suite(listed.root, clock_at(NOW)), PRODUCT, tmp_path / "a.txt", None, TRAINED_AS_OF)


CASES: list[tuple[str, str, str]] = [
    ("top: 4", "top: 4\n  keep: 0", "keep"),
    ("top: 4", "top: 400", "cannot be fewer than its `top`"),
    ("list: [depot]", "list: [depot, order_id]", "names some of the keys, and not all"),
    ("list: [depot]", "list: [courier]", "names some of the keys, and not all"),
    ("  at_most: 200\n", "", "a ranking needs"),
    ("kind: ranking", "kind: binary", "are of ranking labels"),
]


@pytest.mark.parametrize(("old", "new", "problem"), CASES)
def test_what_does_not_go_with_lists_is_refused(listed: Suite, old: str, new: str, problem: str) -> None:
    header = listed.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(DefinitionError, match=problem):
        assert open_suite(listed.root, clock_at(NOW)).definitions
