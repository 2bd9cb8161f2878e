"""What training makes of labelled pages: folds without a look ahead, pipelines, stateful versions, the same again."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.facts.ingest import ingest
from jobs.models.bench import bench
from jobs.models.folds import time_ordered_folds
from jobs.models.kinds.metrics import binary_metrics
from jobs.models.model_table import model_card
from jobs.models.versions import load_estimator, load_held_out, model_history
from jobs.pages.labelled import LabelledPages
from jobs.pages.predict import predict_pages, run_page
from jobs.rollout.compare import compare
from jobs.rollout.evidence import contender
from jobs.suite import Suite, open_suite
from jobs.training.register import Order
from jobs.training.reproduce import reproduce
from jobs.training.train import Continuing, TrainResult, train
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, TRAINED_LATER, clock_at, reopened
from tests.lakes import rows
from warehouse.errors import AlmanacError, DefinitionError, UsageError

YAML = "sql/products/late_order/product.yaml"
ARRIVES_WITHIN = timedelta(minutes=5)
OLD_MODEL = "estimator: hist_gradient_boosting_classifier\n" + (
    "  # Small trees, and few of them: of so few orders larger ones learn by heart, and do worse than the base rate.\n"
    "  parameters: {max_iter: 40, learning_rate: 0.05, max_leaf_nodes: 4, min_samples_leaf: 40}"
)


def with_model(suite: Suite, model: str) -> Suite:
    path = suite.root / YAML
    text = path.read_text()
    assert OLD_MODEL in text
    path.write_text(text.replace(OLD_MODEL, model))
    return reopened(suite)


@contextmanager
def labelled_pages(suite: Suite, pages: list[datetime]) -> Iterator[LabelledPages]:
    product = suite.definitions.product(PRODUCT)
    with suite.staging("a-test") as directory, LabelledPages(suite, product, pages, directory) as labelled:
        yield labelled


# Folds


@settings(max_examples=200, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 200), min_size=1, max_size=60),
    count=st.integers(1, 8),
    share=st.floats(0.01, 0.99),
)
def test_folds_are_in_order_of_time_apart_and_together_hold_out_the_newest_pages(
    gaps: list[int], count: int, share: float
) -> None:
    pages = [datetime(2026, 1, 1) + timedelta(hours=int(hours)) for hours in np.cumsum(gaps)]
    until = pages[-1] + timedelta(hours=1)
    folds = time_ordered_folds(pages, until, count, share)
    held_out = [[page for page in pages if fold.cutoff <= page < fold.until] for fold in folds]
    assert all(held_out)
    assert [page for part in held_out for page in part] == pages[len(pages) - sum(map(len, held_out)) :]
    assert all(pages[0] < fold.cutoff < fold.until for fold in folds)
    assert bool(folds) == (len(pages) > 1)
    assert len(folds) <= count


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_no_fold_learns_a_label_that_was_not_known_at_its_cutoff(trained: Suite) -> None:
    """At cut-offs drawn at random, on the grid and off it, the rows are those worked out from the files by hand."""
    orders = {row["order_id"]: row for row in read(trained.root / "data/orders.csv")}
    delivered = {row["order_id"]: parsed(row["delivered_at"]) for row in read(trained.root / "data/deliveries.csv")}
    product = trained.definitions.product(PRODUCT)
    pages = product.pages_between(datetime(2026, 1, 15), TRAINED_AS_OF)

    def known(cutoff: datetime) -> set[tuple[datetime, str, int]]:
        return {
            (page, name, int(delivered[name] > parsed(order["promised_at"])))
            for page in pages
            if page < cutoff
            for name, order in orders.items()
            if parsed(order["ordered_at"]) + ARRIVES_WITHIN < page < parsed(order["promised_at"])
            and name in delivered
            and page <= delivered[name] < cutoff - ARRIVES_WITHIN
        }

    with labelled_pages(trained, pages) as labelled:

        @settings(max_examples=12, deadline=None)
        @given(st.integers(5 * 24 * 60, 45 * 24 * 60), st.booleans())
        def at(minutes: int, on_the_grid: bool) -> None:
            cutoff = pages[0] + timedelta(minutes=minutes)
            if on_the_grid:
                cutoff = next(page for page in [*pages, TRAINED_AS_OF] if page >= min(cutoff, TRAINED_AS_OF))
            found = labelled.rows(["order_id"], cutoff, pages[0], cutoff)
            names = found.features.column("order_id").to_pylist()
            assert set(zip(found.pages.tolist(), names, found.labels.astype(int).tolist(), strict=True)) == known(
                cutoff
            )

        at()


def test_several_folds_are_held_out_one_after_the_other_and_kept_with_the_version(paged: Suite) -> None:
    suite = with_model(paged, f"{CONTINUED['naive bayes']}\n  validation: {{folds: 3, share: 0.4}}")
    model = train(suite, PRODUCT, TRAINED_AS_OF).model
    folds = json.loads(model.validation or "")["folds"]
    assert len(folds) == 3
    assert [fold["until"] for fold in folds[:2]] == [fold["cutoff"] for fold in folds[1:]]
    assert folds[0]["rows_learnt"] < folds[1]["rows_learnt"] < folds[2]["rows_learnt"]
    held_out = load_held_out(suite.lake, model)
    assert held_out is not None
    figures = binary_metrics(held_out.column("label").to_numpy(), held_out.column("score").to_numpy())
    assert {name: model.metrics[f"validation_{name}"] for name in figures} == pytest.approx(figures)


# What a version records


def test_a_version_records_what_it_was_made_from_and_how_it_did(trained: Suite) -> None:
    card = model_card(trained, PRODUCT, "v1")
    model = card.model
    assert (model.seed, model.n_pages, model.label_cutoff) == (1, 45, TRAINED_AS_OF)
    assert model.threads
    assert model.platform
    assert model.rows_hash
    assert {"scikit-learn", "numpy", "skops"} <= model.libraries.keys()
    assert {"fit_s", "wall_s", "cpu_s", "peak_memory_bytes"} <= model.cost.keys()
    assert {"validation_roc_auc", "last_roc_auc", "last_pages"} <= model.metrics.keys()
    assert model.importance.keys() == set(model.features)
    assert sum(row["n_rows"] for row in card.calibration) == model.metrics["validation_n_rows"]
    assert json.loads(json.dumps(card.folds))[0]["rows_held_out"] == model.metrics["validation_n_rows"]


def test_a_window_takes_the_newest_pages_only(trained: Suite) -> None:
    model = train(trained, PRODUCT, TRAINED_LATER, window=timedelta(days=10)).model
    assert (model.n_pages, model.first_page) == (10, datetime(2026, 3, 10, 18))
    with pytest.raises(UsageError, match="longer --window"):
        train(trained, PRODUCT, TRAINED_LATER, window=timedelta(hours=29))


# The same again


def test_a_version_is_reproduced_bit_for_bit_though_late_facts_have_come_since(trained: Suite) -> None:
    (trained.root / "data/orders_late.csv").write_text(
        "order_id,depot,courier,parcels,ordered_at,promised_at\nL1,north,Swift,3,2026-02-01,2026-02-20\n"
    )
    ingest(trained, ["orders"])
    found = reproduce(trained, PRODUCT, "v1")
    assert (found.same, found.same_rows, found.differences) == (True, True, [])
    assert found.n_rows == rows(trained, "SELECT n_rows FROM ledger.models")[0][0]


def test_reproducing_says_what_differs(trained: Suite) -> None:
    with trained.lake.commit("as elsewhere") as commit:
        commit.execute(
            "UPDATE ledger.models SET libraries = MAP {'scikit-learn': '0.1'}, platform = 'VAX', threads = 999"
        )
    differences = " ".join(reproduce(trained, PRODUCT, "v1").differences)
    for part in ("library scikit-learn: 0.1 then", "platform: VAX then", "threads: 999 then"):
        assert part in differences
    history = trained.root / "sql/features/depot_history.sql"
    history.write_text(history.read_text().replace("28 DAY", "27 DAY"))
    found = reproduce(reopened(trained), PRODUCT, "v1")
    assert found.same is None
    assert any("definitions" in difference for difference in found.differences)


def test_another_seed_does_not_pass_for_the_same(paged: Suite) -> None:
    suite = with_model(paged, "estimator: random_forest_classifier\n  parameters: {n_estimators: 5, n_jobs: 1}")
    train(suite, PRODUCT, TRAINED_AS_OF)
    assert reproduce(suite, PRODUCT, "v1").same
    # The estimator of another seed under the record and the definitions of the first.
    other = with_seed(suite, 2)
    train(other, PRODUCT, TRAINED_AS_OF)
    with suite.lake.commit("mixed up") as commit:
        commit.execute(
            "UPDATE ledger.models SET definitions = (SELECT definitions FROM ledger.models WHERE version = 'v2')"
        )
    found = reproduce(other, PRODUCT, "v1")
    assert (found.same, found.same_rows) == (False, True)
    assert found.largest_difference


def with_seed(suite: Suite, seed: int) -> Suite:
    path = suite.root / YAML
    path.write_text(path.read_text().replace("seed: 1", f"seed: {seed}"))
    return reopened(suite)


# Stateful training

CONTINUED: dict[str, str] = {
    "sgd": "estimator: sgd_classifier",
    "naive bayes": "estimator: naive_bayes",
    "mlp": "estimator: mlp_classifier\n  parameters: {hidden_layer_sizes: [4], max_iter: 3000, tol: 0.001}",
    "forest": "estimator: random_forest_classifier\n  parameters: {n_estimators: 6}",
    "gradient boosting": "estimator: gradient_boosting_classifier\n  parameters: {n_estimators: 8}",
    "lightgbm": "estimator: lightgbm_classifier\n  parameters: {n_estimators: 8, n_jobs: 1}",
    "xgboost": "estimator: xgboost_classifier\n  parameters: {n_estimators: 8, n_jobs: 1}",
}


@pytest.fixture(scope="module")
def _bayes(_paged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bayes") / "shop"
    shutil.copytree(_paged, root)
    train(with_model(open_suite(root, clock_at(NOW)), CONTINUED["naive bayes"]), PRODUCT, TRAINED_AS_OF)
    return root


@pytest.fixture
def bayes(_bayes: Path, tmp_path: Path) -> Suite:
    """A suite whose live version is one that can be continued."""
    shutil.copytree(_bayes, tmp_path / "bayes")
    return open_suite(tmp_path / "bayes", clock_at(NOW))


def scores_of(suite: Suite, version: str, table: Any) -> Any:
    with suite.lake.reading() as connection:
        model = model_history(connection, PRODUCT).version(version)
    return contender(suite, model).scorer.predict(table)


@pytest.mark.parametrize("case", CONTINUED)
def test_a_version_is_continued_on_what_it_has_not_seen(paged: Suite, case: str) -> None:
    suite = with_model(paged, CONTINUED[case])
    first = train(suite, PRODUCT, TRAINED_AS_OF).model
    done = train(suite, PRODUCT, TRAINED_LATER, stateful=Continuing())
    model = done.model
    assert (model.version, model.parent) == ("v1.1", "v1")
    assert 0 < model.n_rows < first.n_rows
    assert [row["way"] for row in done.beside] == ["stateful", "stateless"]
    assert done.beside[0]["rows_learnt"] < done.beside[1]["rows_learnt"]
    assert done.beside[0]["n_rows"] == done.beside[1]["n_rows"]
    # What each has kept of the pages that the version before had learnt.
    assert all(row["old_loss"] > 0 for row in done.beside)
    table = page_features(suite, PAGE)
    assert not np.array_equal(scores_of(suite, "v1", table), scores_of(suite, "v1.1", table))
    assert reproduce(suite, PRODUCT, "v1.1").same
    if case == "forest":
        before, after = (
            [tree.tree_ for tree in load_estimator(suite.lake, of)[-1].estimators_] for of in (first, model)
        )
        assert len(after) > len(before)
        assert all(np.array_equal(old.threshold, new.threshold) for old, new in zip(before, after, strict=False))


def page_features(suite: Suite, page: datetime) -> Any:
    with suite.lake.reading() as connection:
        query = "SELECT * FROM features.late_order WHERE as_of = $1 ORDER BY order_id"
        return connection.execute(query, [page]).to_arrow_table()


def test_a_stateful_version_learns_just_what_a_stateless_one_knows_besides(bayes: Suite) -> None:
    suite, first = bayes, model_card(bayes, PRODUCT, "v1").model
    continued = train(suite, PRODUCT, TRAINED_LATER, stateful=Continuing(alone=True)).model
    everything = train(suite, PRODUCT, TRAINED_LATER, order=Order(may_promote=False)).model
    assert (everything.version, continued.n_rows) == ("v2", everything.n_rows - first.n_rows)
    # Of pages before the first cut-off too: those whose labels were not known then.
    assert continued.first_page < TRAINED_AS_OF


def test_versions_are_numbered_by_what_they_continue(bayes: Suite) -> None:
    suite = bayes
    train(suite, PRODUCT, PAGE)

    def on(as_of: datetime, version: str | None) -> tuple[str, str | None, list[dict[str, Any]]]:
        done = train(suite, PRODUCT, as_of, stateful=Continuing(version, alone=True))
        return done.model.version, done.model.parent, done.beside

    assert on(datetime(2026, 3, 15), "v1") == ("v1.1", "v1", [])
    assert on(TRAINED_LATER, None) == ("v1.2", "v1.1", [])
    assert on(TRAINED_LATER, "v2") == ("v2.1", "v2", [])
    assert train(suite, PRODUCT, TRAINED_LATER).model.version == "v3"


def stateful(suite: Suite, as_of: datetime = TRAINED_LATER) -> TrainResult:
    return train(suite, PRODUCT, as_of, stateful=Continuing())


def test_histogram_gradient_boosting_is_not_continued(trained: Suite) -> None:
    with pytest.raises(UsageError, match=r"warm_start is for the same rows only.*measured to be much worse"):
        stateful(trained)


NOT_CONTINUED: dict[str, tuple[str, str, str, str]] = {
    "a feature that is gone": (
        "sql/products/late_order/entities.sql",
        "    parcels,\n",
        "",
        "its features (gone: parcels;",
    ),
    "another meaning": ("sql/features/depot_history.sql", "28 DAY", "27 DAY", "the definitions of its pages"),
    "other parameters": (
        YAML,
        "naive_bayes",
        "naive_bayes\n  parameters: {var_smoothing: 0.1}",
        "its estimator or param",
    ),
    "another estimator": (YAML, "naive_bayes", "sgd_classifier", "its estimator or parameters"),
    "other encodings": (
        YAML,
        "naive_bayes",
        "naive_bayes\n  pipeline: {categories: [ordinal], numbers: [impute]}",
        "its pipeline",
    ),
}


@pytest.mark.parametrize("case", NOT_CONTINUED)
def test_what_has_changed_needs_a_stateless_version(bayes: Suite, case: str) -> None:
    file, old, new, words = NOT_CONTINUED[case]
    path = bayes.root / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match="Train a stateless version") as caught:
        stateful(reopened(bayes), PAGE)
    assert words in str(caught.value)


def test_there_must_be_something_to_continue_and_something_new(paged: Suite, bayes: Suite) -> None:
    with pytest.raises(UsageError, match="no version to continue"):
        stateful(paged)
    with pytest.raises(UsageError, match="nothing new as of 2026-03-01"):
        stateful(bayes, TRAINED_AS_OF)


def test_what_has_no_way_of_going_on_says_so(paged: Suite) -> None:
    suite = with_model(paged, "estimator: logistic_regression")
    train(suite, PRODUCT, TRAINED_AS_OF, window=timedelta(days=10))
    with pytest.raises(UsageError, match="LogisticRegression cannot be continued"):
        stateful(suite)


# Pipelines

PIPELINES: dict[str, tuple[str, bool]] = {
    "cleaned, scaled and compiled": (
        "estimator: logistic_regression\n  pipeline:\n    categories: [one_hot]\n"
        "    numbers: [{step: clip, parameters: {low: 0.05, high: 0.95}}, impute, robust_scale]",
        True,
    ),
    "trees on cleaned columns": (
        "estimator: random_forest_classifier\n  parameters: {n_estimators: 5}\n"
        "  pipeline: {categories: [ordinal], numbers: [clip, {step: impute, parameters: {strategy: median}}]}",
        True,
    ),
    "selected and reduced": (
        "estimator: logistic_regression\n  pipeline:\n    categories: [one_hot]\n"
        "    numbers: [impute, {step: min_max_scale}, standard_scale]\n    together:\n"
        "      [drop_constant, {step: select_best, parameters: {k: 6}}, {step: pca, parameters: {n_components: 3}}]",
        False,
    ),
    "of the suite's own": ("estimator: naive_bayes\n  pipeline: tests.own_steps:make", False),
    "with a step of the suite's own": (
        "estimator: naive_bayes\n  pipeline: {categories: [one_hot], numbers: [impute, max_abs_scale],"
        " together: [{step: 'sklearn.feature_selection:VarianceThreshold'}, {step: truncated_svd},"
        " {step: select_percentile, parameters: {score_func: mutual_info_classif}}]}",
        False,
    ),
}


@pytest.mark.parametrize("case", PIPELINES)
def test_a_declared_pipeline_is_stored_with_the_version_and_scores_pages(paged: Suite, case: str) -> None:
    text, compiled = PIPELINES[case]
    suite = with_model(paged, text)
    model = train(suite, PRODUCT, TRAINED_AS_OF).model
    assert (model.scorer != "estimator") == compiled, model.scorer_reason
    assert model.pipeline
    assert run_page(suite, PRODUCT, PAGE).n_rows > 0
    wanted = load_estimator(suite.lake, model).predict_proba(frame_of(suite, model.features))[:, 1]
    query = "SELECT probability FROM predictions.late_order ORDER BY order_id"
    found = [row[0] for row in rows(suite, query)]
    assert found == pytest.approx(wanted.tolist(), rel=1e-12)
    assert reproduce(suite, PRODUCT, "v1").same


def frame_of(suite: Suite, names: list[str]) -> Any:
    from jobs.scoring import estimator_input

    return estimator_input(page_features(suite, PAGE), names)


MISTAKES: dict[str, tuple[str, str]] = {
    "an unknown step": ("{categories: [ordnal]}", "no step `ordnal`. Did you mean `ordinal`"),
    "text left aside": ("{numbers: [impute]}", "says nothing of the columns of text"),
    "a parameter": ("{categories: [{step: ordinal, parameters: {colour: red}}]}", "`ordinal` refuses its parameters"),
    "a score": (
        "{categories: [one_hot], together: [{step: select_best, parameters: {score_func: f_regression}}]}",
        "of a binary label there is",
    ),
    "a path": ("nowhere:make", "`nowhere:make` cannot be imported"),
    "no path": ("nowhere", "is no import path"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_pipeline_is_shown(paged: Suite, case: str) -> None:
    pipeline, words = MISTAKES[case]
    with pytest.raises(DefinitionError) as caught:
        train(with_model(paged, f"estimator: naive_bayes\n  pipeline: {pipeline}"), PRODUCT, TRAINED_AS_OF)
    assert words in str(caught.value)


# Comparing and measuring


@pytest.fixture(scope="module")
def _two(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two") / "shop"
    shutil.copytree(_trained, root)
    train(open_suite(root, clock_at(NOW)), PRODUCT, PAGE)
    return root


@pytest.fixture
def two(_two: Path, tmp_path: Path) -> Suite:
    shutil.copytree(_two, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def test_two_versions_are_compared_on_the_same_labels_that_neither_had_seen(two: Suite) -> None:
    whole = compare(two, PRODUCT, ("v1", "v2"), first=PAGE, by="depot")
    assert whole.first >= PAGE
    by_metric = {row["metric"]: row for row in whole.rows if row["rows"] == "all"}
    assert by_metric.keys() == {"roc_auc", "log_loss", "brier"}
    for row in whole.rows:
        assert row["difference"] == pytest.approx(row["v2"] - row["v1"], nan_ok=True)
    parts = [row["n_rows"] for row in whole.rows if row["metric"] == "brier" and row["rows"] != "all"]
    assert sum(parts) == whole.n_rows
    assert len(parts) == 5
    # v1 has nothing held out of v2's, but v2 held out pages that v1 had not seen.
    assert compare(two, PRODUCT, ("v1", "v2")).first < PAGE


def test_figures_of_a_comparison_are_scikit_learns(two: Suite) -> None:
    product = two.definitions.product(PRODUCT)
    until = PAGE + timedelta(days=4)
    predict_pages(two, product, product.pages_between(PAGE, until))
    found = {row["metric"]: row["v1"] for row in compare(two, PRODUCT, ("v1", "v2"), first=PAGE, until=until).rows}
    query = "SELECT label, probability FROM predictions.late_order_outcomes WHERE label IS NOT NULL"
    labels, scores = (np.array(values, np.float64) for values in zip(*rows(two, query), strict=True))
    wanted = binary_metrics(labels, scores)
    assert found == pytest.approx({name: wanted[name] for name in found}, rel=1e-12)


Ask = Callable[[Suite], object]
REFUSED: dict[str, tuple[Ask, str]] = {
    "itself": (lambda s: compare(s, PRODUCT, ("v1", "v1")), "two different versions"),
    "no page": (
        lambda s: compare(s, PRODUCT, ("v1", "v2"), until=TRAINED_AS_OF - timedelta(days=20)),
        "neither v1 nor v2",
    ),
    "no column": (lambda s: compare(s, PRODUCT, ("v1", "v2"), by="dept"), r"--by names \['dept'\]"),
    "no version": (lambda s: bench(s, PRODUCT, "v7"), "no model version `v7`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_says_why(two: Suite, case: str) -> None:
    ask, words = REFUSED[case]
    with pytest.raises(AlmanacError, match=words):
        ask(two)


def test_a_bench_measures_the_newest_page_against_its_budget(two: Suite) -> None:
    before = two.lake.newest_snapshot()
    found = bench(two, PRODUCT, "v1")
    newest = PAGE - timedelta(days=1)
    assert (found.page, found.budget_s, found.within_budget) == (newest, None, None)
    assert found.times.page_rows == len(page_features(two, newest))
    assert two.lake.newest_snapshot() == before
    assert found.times.rows_per_second > 0
    path = two.root / YAML
    path.write_text(path.read_text() + "gates: {page_seconds: 0.000001}\n")
    assert bench(reopened(two), PRODUCT, "v1").within_budget is False
