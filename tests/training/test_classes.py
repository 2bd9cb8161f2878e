"""Labels of several classes: trained, judged, published as one and its probabilities, measured; never shifted."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
import skops.io
from sklearn import metrics
from sklearn.ensemble import HistGradientBoostingClassifier

from jobs.export.export import export
from jobs.models.columns.requirements import classes_of, declared_classes_of
from jobs.models.model_table import model_card
from jobs.models.versions import load_estimator, load_scorer, model_history
from jobs.monitoring.evaluate import evaluate
from jobs.pages.diff import diff
from jobs.pages.explain import explain_page, explain_row
from jobs.pages.predict import run_page
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote
from jobs.scoring import estimator_input
from jobs.suite import Suite, open_suite
from jobs.suites.lineage import suite_lineage
from jobs.training.imported import import_model
from jobs.training.reproduce import reproduce
from jobs.training.train import Continuing, train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, TRAINED_LATER, clock_at
from tests.export.targets import with_targets
from tests.lakes import rows
from warehouse.errors import AlmanacError, DefinitionError, RunFailed, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.lineage.graph import Node
from warehouse.reader import open_lake

CLASSES = ("early", "on time", "late")
MARGIN = "promised_at - INTERVAL 6 HOUR"
LABEL = f"CASE WHEN delivered_at > promised_at THEN 'late' WHEN delivered_at < {MARGIN} THEN 'early' ELSE 'on time' END"
END = PAGE + timedelta(seconds=1)
#: Just after TRAINED_AS_OF: more labels of the same pages are known.
TRAINED_SOON = datetime(2026, 3, 2, 12)


def with_classes(suite: Suite, *classes: str, label: str = LABEL, model: str | None = None) -> Suite:
    """Let the product tell classes apart; give the suite, opened again."""
    directory = suite.root / f"sql/products/{PRODUCT}"
    header, query = directory / "product.yaml", directory / "label.sql"
    text = re.sub(
        r"^  kind: .*?(?=^  matures)",
        f"  kind: multiclass\n  classes: [{', '.join(classes or CLASSES)}]\n",
        header.read_text(),
        flags=re.M | re.S,
    )
    if model is not None:
        text = re.sub(r"^model:.*?(?=^pages:)", f"model: {model}\n", text, flags=re.M | re.S)
    header.write_text(text)
    query.write_text(re.sub(r"SELECT order_id, .*? AS label", f"SELECT order_id, {label} AS label", query.read_text()))
    check = directory / "checks/not_all_alike.sql"
    check.write_text(check.read_text().replace("probability", "prediction"))
    return open_suite(suite.root, clock_at(NOW))


@pytest.fixture(scope="module")
def _told(_paged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes") / "shop"
    shutil.copytree(_paged, root)
    suite = with_classes(open_suite(root, clock_at(NOW)))
    train(suite, PRODUCT, TRAINED_AS_OF)
    run_page(suite, PRODUCT, PAGE)
    return root


@pytest.fixture
def told(_told: Path, tmp_path: Path) -> Suite:
    """A suite whose live version tells three classes apart, and has written one page."""
    shutil.copytree(_told, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def version(suite: Suite, name: str) -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version(name)


def outcomes(suite: Suite, page: datetime = PAGE) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Give the labels of a page's predictions as places, the probabilities, and what was predicted."""
    listed = ", ".join(f'probabilities."{name}"' for name in CLASSES)
    found = rows(
        suite,
        f"SELECT label, prediction, {listed} FROM predictions.{PRODUCT}_outcomes"
        " WHERE as_of = $1 AND label IS NOT NULL ORDER BY order_id",
        [page],
    )
    labels = np.array([CLASSES.index(row[0]) for row in found])
    return labels, np.array([row[2:] for row in found]), [row[1] for row in found]


def test_a_page_has_the_likeliest_class_and_the_probability_of_each(told: Suite) -> None:
    kinds = dict(
        rows(
            told,
            "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'predictions'"
            f" AND table_name = '{PRODUCT}' AND column_name IN ('prediction', 'probabilities', 'probability')",
        )
    )
    assert kinds == {
        "prediction": "VARCHAR",
        "probabilities": 'STRUCT(early DOUBLE, "on time" DOUBLE, late DOUBLE)',
    }
    model = version(told, "v1")
    assert model.label_kind == "multiclass"
    assert model.scorer != "estimator"
    wanted = ", ".join(f'features."{name}"' for name in model.features)
    listed = ", ".join(f'probabilities."{name}"' for name in CLASSES)
    query = (
        f"SELECT prediction, {listed}, {wanted} FROM predictions.{PRODUCT} JOIN features.{PRODUCT} AS features"
        " USING (order_id, as_of) ORDER BY order_id"
    )
    with told.lake.reading() as connection:
        table = connection.execute(query).to_arrow_table()
    frame = estimator_input(table.select(model.features), model.features)
    expected = load_estimator(told.lake, model).predict_proba(frame)
    found = np.column_stack([table.column(1 + place).to_numpy() for place in range(3)])
    assert table.num_rows > 20
    assert np.array_equal(found, expected)
    assert table.column(0).to_pylist() == [CLASSES[place] for place in expected.argmax(axis=1)]


def test_figures_are_those_of_scikit_learn(told: Suite) -> None:
    figures = evaluate(told, PRODUCT, PAGE, END)
    labels, probabilities, said = outcomes(told)
    codes = np.array([CLASSES.index(name) for name in said])
    (found,) = figures.groups
    one = np.eye(3)[labels]
    areas = [metrics.roc_auc_score(labels == code, probabilities[:, code]) for code in range(3)]
    expected = {
        "log_loss": metrics.log_loss(labels, probabilities, labels=[0, 1, 2]),
        "accuracy": metrics.accuracy_score(labels, codes),
        "macro_f1": metrics.f1_score(labels, codes, average="macro"),
        "roc_auc": np.mean(areas),
        "brier": np.mean(((probabilities - one) ** 2).sum(axis=1)),
        "accuracy_of_most_frequent": np.bincount(labels).max() / len(labels),
        "log_loss_of_base_rates": metrics.log_loss(labels, np.tile(one.mean(axis=0), (len(labels), 1))),
    }
    assert found["n_rows"] == len(labels) > 20
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    table = metrics.confusion_matrix(labels, codes)
    counted = {(row["class"], row["taken_for"]): row["n_rows"] for row in figures.confusion}
    assert counted == {
        (CLASSES[own], CLASSES[other]): int(table[own, other])
        for own in range(3)
        for other in range(3)
        if table[own, other]
    }
    assert [row["class"] for row in figures.calibration[::10]] == list(CLASSES)
    assert np.average(
        [row["predicted"] for row in figures.calibration[:10]],
        weights=[row["n_rows"] for row in figures.calibration[:10]],
    ) == pytest.approx(probabilities[:, 0].mean(), abs=1e-12)


def test_a_version_records_how_well_it_tells_each_class(told: Suite) -> None:
    model, card = version(told, "v1"), model_card(told, PRODUCT, "v1")
    assert {"validation_log_loss", "validation_accuracy", "validation_macro_f1", "last_brier"} <= model.metrics.keys()
    assert [row["class"] for row in card.by_class] == list(CLASSES)
    assert sum(row["n_rows"] for row in card.by_class) == model.metrics["validation_n_rows"]
    assert all(sum(row["taken_for"].values()) == row["n_rows"] for row in card.by_class)
    assert len(card.calibration) == 30
    assert set(model.importance) == set(model.features)
    again = reproduce(told, PRODUCT, "v1")
    assert (again.same, again.same_rows, again.differences) == (True, True, [])


def test_versions_are_compared_and_diffed_by_classes(told: Suite) -> None:
    model = "{estimator: logistic_regression, parameters: {class_weight: {late: 5}}}"
    suite = with_classes(told, model=model)
    made = train(suite, PRODUCT, TRAINED_AS_OF).model
    assert made.version == "v2"
    estimator = load_estimator(suite.lake, made)
    assert estimator.get_params()["model__class_weight"] == {0: 1.0, 1: 1.0, 2: 5.0}
    beside = compare(suite, PRODUCT, ("v1", "v2"), first=PAGE, until=END)
    labels, probabilities, _ = outcomes(suite)
    found = {row["metric"]: row for row in beside.rows}
    assert set(found) == {"log_loss", "accuracy", "macro_f1", "roc_auc", "brier"}
    assert found["log_loss"]["v1"] == pytest.approx(metrics.log_loss(labels, probabilities), abs=1e-12)
    changes = diff(suite, PRODUCT, PAGE, "v2")
    assert changes.n_changed > 20
    assert 0 < changes.largest_change <= 1


def test_gates_judge_classes(told: Suite) -> None:
    header = told.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(
        f"{header.read_text()}gates:\n  metrics: {{macro_f1: {{at_least: 0.99}}, log_loss: {{at_most: 3}}}}\n"
        "  calibration_error: {at_most: 0.9}\n  not_worse: {metric: log_loss, margin: 0.5}\n"
        "  min_pages: 2\n  pages: 5\n"
    )
    made = train(open_suite(told.root, clock_at(NOW)), PRODUCT, TRAINED_LATER)
    by_gate = {gate.gate: gate.passed for gate in made.verdict.gates}
    assert not made.went_live
    assert sorted(by_gate.values()) == [False, True, True, True, True][: len(by_gate)]


def test_a_class_that_training_did_not_see_has_no_probability_and_is_told(told: Suite) -> None:
    suite = with_classes(told, "early", "lost", "on time", "late")
    made = train(suite, PRODUCT, TRAINED_LATER)
    assert model_card(suite, PRODUCT, made.model.version).unseen == [
        f"{made.model.version} has seen no label of `lost`, and gives it no probability."
    ]
    before = rows(suite, f"SELECT order_id, probabilities.late FROM predictions.{PRODUCT} ORDER BY order_id")
    run_page(suite, PRODUCT, PAGE + timedelta(days=1))
    # The page of before stays what it was, whatever field stands between; v1 says nothing of a class it never had.
    found = rows(
        suite,
        f"SELECT order_id, probabilities.late, probabilities.lost FROM predictions.{PRODUCT} WHERE as_of = $1"
        " ORDER BY order_id",
        [PAGE],
    )
    assert [row[:2] for row in found] == before
    assert {row[2] for row in found} == {None}
    later = rows(
        suite,
        "SELECT DISTINCT probabilities.lost, abs(probabilities.early + probabilities.late"
        '+ probabilities."on time" - 1)'
        f" < 1e-9 FROM predictions.{PRODUCT} WHERE as_of > $1",
        [PAGE],
    )
    assert later == [(0.0, True)]
    notes = evaluate(suite, PRODUCT, PAGE, END + timedelta(days=1)).notes
    assert any("has seen no label of `lost`" in note for note in notes)


def test_a_class_that_no_page_has_a_field_for_yet_is_measured_as_told_nothing_of(told: Suite) -> None:
    before = evaluate(told, PRODUCT, PAGE, END).groups[0]
    suite = with_classes(told, "early", "lost", "on time", "late")
    found = evaluate(suite, PRODUCT, PAGE, END)
    assert found.groups[0] == pytest.approx(before, abs=1e-12)
    assert {row["class"] for row in found.calibration} == {*CLASSES, "lost"}
    assert diff(suite, PRODUCT, PAGE, "v1").n_changed == 0


def test_the_reasons_of_a_row_are_those_of_the_class_that_is_predicted(told: Suite) -> None:
    header = told.root / f"sql/products/{PRODUCT}/product.yaml"
    # Declared in another order than the version learnt them in.
    text = header.read_text().replace("[early, on time, late]", "[late, early, on time]")
    header.write_text(text.replace("valid_for:", "reasons: {top: all}\nvalid_for:"))
    suite = open_suite(told.root, clock_at(NOW))
    run_page(suite, PRODUCT, PAGE)
    model = version(suite, "v1")
    query = f"SELECT order_id, prediction, reasons, probabilities FROM predictions.{PRODUCT}_page ORDER BY order_id"
    found = rows(suite, query)
    assert len({row[1] for row in found}) > 1
    [(bases, base, refused, miss)] = rows(suite, "SELECT bases, base, refused, largest_miss FROM ledger.reasons")
    assert (len(bases), base, refused) == (3, None, None)
    assert miss < 1e-9
    with suite.lake.reading() as connection:
        query = f"FROM features.{PRODUCT} WHERE as_of = $1 ORDER BY order_id"
        table = connection.execute(query, [PAGE]).to_arrow_table()
    raw = load_scorer(suite.lake, model).raw(table)
    for place, (order_id, said, reasons, probabilities) in enumerate(found):
        learnt = CLASSES.index(said)
        summed = bases[said] + sum(one["contribution"] for one in reasons)
        assert summed == pytest.approx(raw[place, learnt], abs=1e-5)
        if place % 40 == 0:
            explained = explain_row(suite, PRODUCT, PAGE, {"order_id": order_id})
            assert (explained.prediction, explained.score) == (said, probabilities[said])
            assert (explained.base, explained.raw) == pytest.approx((bases[said], raw[place, learnt]), abs=1e-9)
            assert [step["column"] for step in explained.steps[:1]] == [reasons[0]["feature"]]
    assert explain_page(suite, PRODUCT, PAGE).base is None
    assert diff(suite, PRODUCT, PAGE, "v1").n_changed == 0


GATES = """gates:
  metrics: {macro_f1: {at_least: 0.05}, log_loss: {at_most: 9}}
  not_worse: {metric: brier, margin: 2}
  min_pages: 2
  pages: 5
"""


def test_a_model_of_classes_from_elsewhere_is_judged_by_the_gates_and_writes_what_it_gives(
    told: Suite, tmp_path: Path
) -> None:
    header = told.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(f"{header.read_text()}{GATES}")
    suite = open_suite(told.root, clock_at(NOW))
    names = ["parcels", "depot_late_share_28d"]
    query = (
        f"SELECT {', '.join(names)}, {LABEL} AS label FROM features.{PRODUCT} JOIN sources.deliveries USING (order_id)"
        " JOIN (SELECT order_id, promised_at FROM sources.orders) USING (order_id) WHERE as_of < $1"
        " ORDER BY as_of, order_id"
    )
    with suite.lake.reading() as connection:
        table = connection.execute(query, [TRAINED_AS_OF]).to_arrow_table()
    frame, labels = estimator_input(table, names), np.array(table.column("label").to_pylist())
    model = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, min_samples_leaf=5).fit(frame, labels)
    skops.io.dump(model, tmp_path / "model.skops")
    done = import_model(suite, PRODUCT, tmp_path / "model.skops", None, TRAINED_AS_OF)
    assert done.model.scorer != "estimator", done.model.scorer_reason
    by_gate = {gate.gate.partition(" ")[0]: gate for gate in done.verdict.gates}
    assert {"macro_f1", "log_loss"} <= by_gate.keys()
    assert by_gate["log_loss"].n_rows > 20
    promote(suite, PRODUCT, done.model.version)
    run_page(suite, PRODUCT, PAGE)
    listed = ", ".join(f'probabilities."{name}"' for name in model.classes_)
    query = (
        f"SELECT {', '.join(names)}, prediction, {listed} FROM features.{PRODUCT} JOIN predictions.{PRODUCT}"
        " USING (as_of, order_id) WHERE as_of = $1 ORDER BY order_id"
    )
    with suite.lake.reading() as connection:
        table = connection.execute(query, [PAGE]).to_arrow_table()
    expected = model.predict_proba(estimator_input(table, names))
    assert np.array_equal(np.column_stack([table.column(3 + place).to_numpy() for place in range(3)]), expected)
    assert table.column("prediction").to_pylist() == model.classes_[expected.argmax(axis=1)].tolist()
    skops.io.dump(model.fit(frame, np.unique(labels, return_inverse=True)[1]), tmp_path / "numbers.skops")
    with pytest.raises(UsageError, match=r"tells of the classes 0, 1, 2, which are none of label\.classes"):
        import_model(suite, PRODUCT, tmp_path / "numbers.skops", None, TRAINED_AS_OF)


def test_classes_that_nobody_declares_are_found_in_training_and_recorded(paged: Suite) -> None:
    # From the first of March on some orders are lost, which the first training cannot know.
    lost = LABEL.replace("CASE", "CASE WHEN $as_of >= TIMESTAMP '2026-03-02' AND hash(order_id) % 9 = 0 THEN 'lost'")
    suite = with_classes(paged, label=lost)
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(re.sub(r"^  classes: .*\n", "", header.read_text(), flags=re.M))
    suite = open_suite(suite.root, clock_at(NOW))
    assert suite.definitions.product(PRODUCT).classes == ()
    first = train(suite, PRODUCT, TRAINED_AS_OF).model
    suite = open_suite(suite.root, clock_at(NOW))
    assert suite.definitions.product(PRODUCT).classes == ("early", "late", "on time")
    assert declared_classes_of(first) == classes_of(first) == ("early", "late", "on time")
    with pytest.raises(RunFailed, match=r"\['lost'\] is no class that a training has found so far.*Train a version"):
        run_page(suite, PRODUCT, PAGE)
    # The page was made, and told nothing that the version does not know.
    kind = rows(suite, f"SELECT DISTINCT typeof(probabilities) FROM predictions.{PRODUCT}")
    assert kind == [('STRUCT(early DOUBLE, late DOUBLE, "on time" DOUBLE)',)]
    second = train(suite, PRODUCT, PAGE + timedelta(days=6)).model
    suite = open_suite(suite.root, clock_at(NOW))
    assert suite.definitions.product(PRODUCT).classes == ("early", "late", "on time", "lost")
    found = evaluate(suite, PRODUCT, PAGE, END)
    assert any("has seen no label of `lost`" in note for note in found.notes)
    assert {row["class"] for row in found.confusion} >= {"lost"}
    promote(suite, PRODUCT, second.version)
    run_page(suite, PRODUCT, PAGE + timedelta(days=6))
    (told,) = rows(suite, f"SELECT min(probabilities.lost), max(probabilities.lost) FROM predictions.{PRODUCT}_page")
    assert 0 < told[0] <= told[1] < 1
    assert reproduce(suite, PRODUCT, first.version).same


def test_classes_in_another_order_are_the_same_classes(told: Suite) -> None:
    query = (
        f"SELECT order_id, prediction, probabilities.early, probabilities.late FROM predictions.{PRODUCT} ORDER BY 1"
    )
    before, figures = rows(told, query), evaluate(told, PRODUCT, PAGE, END).groups
    suite = with_classes(told, *reversed(CLASSES))
    run_page(suite, PRODUCT, PAGE)
    assert rows(suite, query) == before
    again = evaluate(suite, PRODUCT, PAGE, END).groups[0]
    assert again == pytest.approx(figures[0], abs=1e-12)
    assert not diff(suite, PRODUCT, PAGE, "v1").n_changed


def test_a_class_that_is_renamed_or_gone_stops_the_versions_that_tell_of_it(told: Suite) -> None:
    suite = with_classes(told, "early", "on time", "later", label=LABEL.replace("'late'", "'later'"))
    with pytest.raises(UsageError, match=r"tells of `late` \(renamed to `later`\?\).*Train a version"):
        run_page(suite, PRODUCT, PAGE + timedelta(days=1))
    made = train(suite, PRODUCT, TRAINED_AS_OF).model
    promote(suite, PRODUCT, made.version)
    run_page(suite, PRODUCT, PAGE + timedelta(days=1))
    (found,) = rows(
        suite, f"SELECT count(probabilities.later), count(probabilities.late) FROM predictions.{PRODUCT}_page"
    )
    assert found[0] > 20
    assert found[1] == 0


def test_a_label_that_is_no_class_is_refused(told: Suite) -> None:
    suite = with_classes(told, "early", "late")
    with pytest.raises(RunFailed, match=r"one of `label.classes`; found \['on time'\]"):
        train(suite, PRODUCT, TRAINED_LATER)


def test_more_classes_than_fields_are_a_map(paged: Suite) -> None:
    names = [f"c{number:02}" for number in range(25)]
    label = "'c' || lpad((hash(order_id) % 25)::VARCHAR, 2, '0')"
    suite = with_classes(
        paged,
        *names,
        label=label,
        model="{estimator: extra_trees_classifier, parameters: {n_estimators: 5, max_depth: 3}}",
    )
    model = train(suite, PRODUCT, TRAINED_AS_OF).model
    run_page(suite, PRODUCT, PAGE)
    found = rows(
        suite,
        f"SELECT typeof(probabilities), list_sum(map_values(probabilities)), map_keys(probabilities), prediction,"
        f" probabilities[prediction] = list_max(map_values(probabilities)) FROM predictions.{PRODUCT}",
    )
    assert {row[0] for row in found} == {"MAP(VARCHAR, DOUBLE)"}
    assert [row[1] for row in found] == pytest.approx([1.0] * len(found), abs=1e-9)
    assert all(row[2] == names and row[4] for row in found)
    (figures,) = evaluate(suite, PRODUCT, PAGE, END).groups
    listed = f"SELECT label, map_values(probabilities) FROM predictions.{PRODUCT}_outcomes WHERE label IS NOT NULL"
    pairs = rows(suite, listed)
    labels, said = [names.index(row[0]) for row in pairs], np.array([row[1] for row in pairs])
    assert figures["log_loss"] == pytest.approx(metrics.log_loss(labels, said, labels=range(25)), abs=1e-12)
    assert diff(suite, PRODUCT, PAGE, model.version).n_changed == 0


def test_a_version_is_continued_unless_a_class_is_new(told: Suite) -> None:
    # The facts of the first training have no lost order.
    lost = LABEL.replace("CASE", "CASE WHEN $as_of >= TIMESTAMP '2026-03-02' AND hash(order_id) % 9 = 0 THEN 'lost'")
    model = "{estimator: lightgbm_classifier, parameters: {n_estimators: 12}}"
    suite = with_classes(told, *CLASSES, "lost", model=model, label=lost)
    first = train(suite, PRODUCT, TRAINED_AS_OF).model
    again = train(suite, PRODUCT, TRAINED_SOON, stateful=Continuing(first.version, alone=True)).model
    assert again.parent == first.version
    assert again.scorer != "estimator"
    with suite.lake.reading() as connection:
        table = connection.execute(f"FROM features.{PRODUCT} ORDER BY as_of, order_id LIMIT 500").to_arrow_table()
    expected = load_estimator(suite.lake, again).predict_proba(estimator_input(table, again.features))
    assert np.array_equal(load_scorer(suite.lake, again).predict(table), expected)
    with pytest.raises(UsageError, match="never seen a label of `lost`"):
        train(suite, PRODUCT, TRAINED_LATER, stateful=Continuing(first.version, alone=True))


def test_calibrated_classes_are_compiled_published_and_exported(told: Suite) -> None:
    suite = with_classes(told, model='{estimator: "tests.own_steps:calibrated"}')
    model = train(suite, PRODUCT, TRAINED_SOON).model
    assert model.scorer != "estimator", model.scorer_reason
    with suite.lake.reading() as connection:
        table = connection.execute(f"FROM features.{PRODUCT} ORDER BY as_of, order_id LIMIT 500").to_arrow_table()
    expected = load_estimator(suite.lake, model).predict_proba(estimator_input(table, model.features))
    assert np.array_equal(load_scorer(suite.lake, model).predict(table), expected)
    promote(suite, PRODUCT, model.version)
    run_page(suite, PRODUCT, PAGE)
    targets = "\nexport:\n  app: {to: out/said.sqlite}\n  lake: {to: out/said.duckdb}\n  files: {to: out/pages/}\n"
    suite = with_targets(suite, targets)
    assert not export(suite, PRODUCT).failed
    published = rows(
        suite, f"SELECT order_id, prediction, probabilities.late FROM predictions.{PRODUCT}_page ORDER BY 1"
    )
    with contextlib.closing(sqlite3.connect(suite.root / "out/said.sqlite")) as connection:
        as_text = connection.execute(f"SELECT order_id, prediction, probabilities FROM {PRODUCT} ORDER BY 1").fetchall()
    assert [(key, said, json.loads(each)["late"]) for key, said, each in as_text] == published
    with contextlib.closing(duckdb.connect(suite.root / "out/said.duckdb", read_only=True)) as connection:
        query = f"SELECT order_id, prediction, probabilities.late FROM {PRODUCT} ORDER BY 1"
        assert connection.execute(query).fetchall() == published
    (file,) = (suite.root / "out/pages").rglob("*.parquet")
    query = "SELECT order_id, prediction, probabilities.late FROM read_parquet($1) ORDER BY 1"
    assert rows(suite, query, [str(file)]) == published
    read = open_lake(suite.lake.root).predictions(PRODUCT).to_polars().sort("order_id")
    told_of = read.select("order_id", "prediction", "probabilities").rows()
    assert [(key, said, each["late"]) for key, said, each in told_of] == published


def test_lineage_follows_both_columns_of_a_prediction(told: Suite) -> None:
    graph = suite_lineage(told).graph
    for column in ("prediction", "probabilities"):
        sources = {edge.source for edge in graph.edges() if edge.target == Node("predictions", PRODUCT, column)}
        assert Node("model", PRODUCT, "v1") in sources


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("classes: [early, on time, late]", "classes: [early]", "two at least"),
        ("classes: [early, on time, late]", "classes: [late, Late, early]", "in case alone"),
        ("kind: multiclass", "kind: binary", "`classes` are of multiclass labels"),
        ("valid_for:", "reasons: {where: prediction >= 0.5}\nvalid_for:", "`reasons.where` compares a number"),
    ],
)
def test_what_does_not_go_with_classes_is_refused(told: Suite, old: str, new: str, problem: str) -> None:
    header = told.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace(old, new))
    with pytest.raises(DefinitionError, match=problem):
        assert open_suite(told.root, clock_at(NOW)).definitions


def test_what_is_predicted_keeps_its_type(told: Suite) -> None:
    header = told.root / f"sql/products/{PRODUCT}/product.yaml"
    text = re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", header.read_text(), flags=re.M | re.S)
    text = re.sub(r"^  kind: .*?(?=^  matures)", "  kind: regression\n", text, flags=re.M | re.S)
    header.write_text(text)
    rule = header.parent / "score.sql"
    rule.write_text("/*\ndescription: One.\n*/\nSELECT order_id, 1.0 AS prediction FROM page\n")
    suite = open_suite(told.root, clock_at(NOW))
    promote(suite, PRODUCT, train(suite, PRODUCT, TRAINED_AS_OF).model.version)
    with pytest.raises(AlmanacError, match=r"prediction is VARCHAR in the lake and DOUBLE.*a product of its own"):
        run_page(suite, PRODUCT, PAGE)


def test_a_weight_of_what_is_no_class_is_refused(told: Suite) -> None:
    suite = with_classes(told, model="{estimator: logistic_regression, parameters: {class_weight: {lost: 5}}}")
    with pytest.raises(DefinitionError, match=r"class_weight names \['lost'\]"):
        train(suite, PRODUCT, TRAINED_LATER)
