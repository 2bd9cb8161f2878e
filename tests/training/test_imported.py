"""A model that was trained elsewhere is a version like others, marked as not ours, and writes what it may write."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsRegressor

from jobs.models.model_table import model_card, model_rows
from jobs.models.versions import load_scorer
from jobs.monitoring.evaluate import evaluate
from jobs.pages.predict import run_page
from jobs.rollout.compare import compare
from jobs.rollout.promotion import promote
from jobs.scoring import estimator_input
from jobs.suite import Suite
from jobs.suites.lineage import suite_lineage
from jobs.training.imported import import_model
from jobs.training.reproduce import reproduce
from jobs.training.train import Continuing, train
from tests.command_line import almanac
from tests.conftest import PAGE, PRODUCT, TRAINED_AS_OF, TRAINED_LATER, reopened
from tests.lakes import rows
from tests.models.onnx_files import stumps
from warehouse.errors import UsageError
from warehouse.lineage.graph import Node

COLUMNS = ["parcels", "depot_late_share_28d"]
Make = Callable[[Any, Any, Path], tuple[Any, list[str] | None]]


def _skops(frame: Any, labels: Any, file: Path) -> tuple[Any, list[str] | None]:
    from skops.io import dump

    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5).fit(frame, labels)
    dump(model, file)
    return model.predict_proba, None


def _lightgbm(frame: Any, labels: Any, file: Path) -> tuple[Any, list[str] | None]:
    lightgbm = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(frame.to_numpy(), labels, feature_name=COLUMNS)
    model = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 5)
    model.save_model(file)
    return lambda given: model.predict(given.to_numpy()), None


def _xgboost(frame: Any, labels: Any, file: Path) -> tuple[Any, list[str] | None]:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(frame.to_numpy(), labels), 5)
    model.save_model(file)
    return lambda given: model.predict(xgboost.DMatrix(given.to_numpy())), COLUMNS


LIBRARIES: dict[str, tuple[str, Make]] = {
    "scikit-learn": ("model.skops", _skops),
    "LightGBM": ("model.txt", _lightgbm),
    "XGBoost": ("model.json", _xgboost),
}


def training_frame(suite: Suite) -> tuple[Any, Any]:
    """Give two columns of the pages before the cut-off, and whether each order was late."""
    listed = ", ".join(f"features.{name}" for name in COLUMNS)
    query = (
        f"SELECT {listed}, (delivered_at > promised_at)::INTEGER AS label FROM features.{PRODUCT} AS features JOIN"
        " sources.deliveries USING (order_id) JOIN sources.orders USING (order_id) WHERE as_of < $1"
        " AND delivered_at < $1 ORDER BY as_of, order_id"
    )
    with suite.lake.reading() as connection:
        table = connection.execute(query, [TRAINED_AS_OF]).to_arrow_table()
    return estimator_input(table, COLUMNS), table.column("label").to_numpy()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_file_of_each_library_writes_what_that_library_gives(published: Suite, tmp_path: Path, library: str) -> None:
    name, make = LIBRARIES[library]
    frame, labels = training_frame(published)
    asked, columns = make(frame, labels, tmp_path / name)
    done = import_model(published, PRODUCT, tmp_path / name, columns, TRAINED_AS_OF)
    model = done.model
    assert (model.features, model.is_imported, model.label_cutoff) == (COLUMNS, True, TRAINED_AS_OF)
    assert model.scorer != "estimator", model.scorer_reason
    assert (done.went_live, done.why) == (False, "the product has no gates, so a person promotes its later versions")
    promote(published, PRODUCT, model.version)
    run_page(published, PRODUCT, PAGE)
    query = (
        f"SELECT {', '.join(COLUMNS)}, probability, model_version FROM features.{PRODUCT} JOIN predictions.{PRODUCT}"
        " USING (as_of, order_id) WHERE as_of = $1 ORDER BY order_id"
    )
    with published.lake.reading() as connection:
        table = connection.execute(query, [PAGE]).to_arrow_table()
    expected = np.asarray(asked(estimator_input(table, COLUMNS)))
    expected = expected[:, 1] if expected.ndim == 2 else expected
    assert np.array_equal(table.column("probability").to_numpy(), expected.astype(np.float64))
    assert set(table.column("model_version").to_pylist()) == {model.version}
    told = json.loads(model.parameters)
    assert (told["file"], told["library"]) == (name, library)


def test_trees_in_onnx_write_what_onnxruntime_gives(
    published: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    trees = [(0, 3.5, (0.2, 0.1), (-0.3, 0.4)), (1, 0.31, (0.7, 0.0), (0.0, 0.05))]
    file = tmp_path / "model.onnx"
    file.write_bytes(stumps(trees, [0, 1], {"rows": 2}))
    with pytest.raises(UsageError, match="does not say in which order its 2 columns come"):
        import_model(published, PRODUCT, file, None, TRAINED_AS_OF)
    model = import_model(published, PRODUCT, file, COLUMNS, TRAINED_AS_OF).model
    assert (model.features, json.loads(model.parameters)["library"]) == (COLUMNS, "ONNX")
    assert model.scorer != "estimator", model.scorer_reason
    promote(published, PRODUCT, model.version)
    with monkeypatch.context() as where_it_is_not_installed:
        where_it_is_not_installed.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(UsageError, match="is read by a library that is not installed here"):
            import_model(published, PRODUCT, file, COLUMNS, TRAINED_AS_OF)
        # What was compiled needs it no more.
        run_page(published, PRODUCT, PAGE)
    query = (
        f"SELECT {', '.join(COLUMNS)}, probability FROM features.{PRODUCT} JOIN predictions.{PRODUCT}"
        " USING (as_of, order_id) WHERE as_of = $1 ORDER BY order_id"
    )
    with published.lake.reading() as connection:
        table = connection.execute(query, [PAGE]).to_arrow_table()
    frame = estimator_input(table, COLUMNS).to_numpy().astype(np.float32)
    given = onnxruntime.InferenceSession(file.read_bytes()).run(None, {"rows": frame})[-1][:, 1]
    found = table.column("probability").to_numpy()
    assert np.array_equal(found, given.astype(np.float64))
    # By hand: the trees' votes, and a softmax of the two.
    votes = [np.where((frame[:, [f]] <= at), left, right) for f, at, left, right in trees]
    expected = 1 / (1 + np.exp(np.diff(-np.sum(votes, axis=0), axis=1)[:, 0]))
    assert found == pytest.approx(expected, abs=1e-6)
    assert len(np.unique(found)) > 1
    # One row at a time or all at once: in one thread trees are added up in one order.
    scorer = load_scorer(published.lake, model)
    assert [scorer.predict(table.slice(place, 1))[0, 1] for place in range(9)] == found[:9].tolist()
    whole = stumps(trees, [0, 1], {"rows": 2})
    cases = [
        (stumps(trees, [0, 1], {"rows": 2}, operator="MatMul"), "is no tree ensemble alone: it has MatMul"),
        (stumps(trees, ["no", "yes"], {"rows": 2}), "a binary label is 0 or 1"),
        (whole[:-9], "cannot be read"),
    ]
    for data, words in cases:
        file.write_bytes(data)
        with pytest.raises(UsageError, match=words):
            import_model(published, PRODUCT, file, COLUMNS, TRAINED_AS_OF)


def test_it_stands_beside_the_others_and_is_marked_as_not_ours(published: Suite, tmp_path: Path) -> None:
    frame, labels = training_frame(published)
    _skops(frame, labels, tmp_path / "model.skops")
    arguments = [PRODUCT, str(tmp_path / "model.skops"), "--trained-as-of", f"{TRAINED_AS_OF:%Y-%m-%d}"]
    done = almanac(published.root, "models", "import", *arguments, "--reason", "a friend's", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["went_live"]) == ("v2", False)
    suite = reopened(published)
    assert {row["version"] for row in model_rows(suite, PRODUCT)} == {"v1", "v2"}
    assert model_card(suite, PRODUCT, "v2").model.reason == "a friend's"
    shown = almanac(suite.root, "models", "show", PRODUCT, "v2")
    assert "learnt elsewhere" in shown.stdout
    metrics = [row["metric"] for row in compare(suite, PRODUCT, ("v1", "v2")).rows]
    assert metrics == ["roc_auc", "log_loss", "brier"]
    read = {
        edge.source.column for edge in suite_lineage(suite).graph.edges() if edge.target == Node("model", PRODUCT, "v2")
    }
    assert read == set(COLUMNS)
    assert load_scorer(suite.lake, model_card(suite, PRODUCT, "v2").model).feature_names == tuple(COLUMNS)
    with pytest.raises(UsageError, match="trained elsewhere: there is nothing to train again"):
        reproduce(suite, PRODUCT, "v2")
    with pytest.raises(UsageError, match="trained elsewhere, and is not continued here"):
        train(suite, PRODUCT, TRAINED_LATER, stateful=Continuing("v2"))


def test_without_an_instant_it_writes_no_page_but_with_hindsight(published: Suite, tmp_path: Path) -> None:
    frame, labels = training_frame(published)
    _skops(frame, labels, tmp_path / "model.skops")
    done = import_model(published, PRODUCT, tmp_path / "model.skops")
    assert (done.went_live, done.why) == (False, "it is not known as of when it was trained (--trained-as-of)")
    with pytest.raises(UsageError, match="it is not known as of when; so it cannot be live"):
        promote(published, PRODUCT, done.model.version)
    with pytest.raises(UsageError, match="may write no page but with --hindsight"):
        run_page(published, PRODUCT, PAGE, version=done.model.version)
    run_page(published, PRODUCT, PAGE, version=done.model.version, hindsight=True)
    query = f"SELECT DISTINCT hindsight, model_version FROM predictions.{PRODUCT}_page"
    assert rows(published, query) == [(True, done.model.version)]
    with pytest.raises(UsageError, match="made with hindsight, and do not count"):
        evaluate(published, PRODUCT, PAGE, PAGE.replace(hour=19))


def test_what_is_not_understood_or_does_not_suit_is_refused(published: Suite, tmp_path: Path) -> None:
    from skops.io import dump

    frame, labels = training_frame(published)
    file = tmp_path / "model"
    cases: list[tuple[Any, list[str] | None, str]] = [
        (b"nothing of the sort", None, "is no model that is read.*Pickle"),
        (pickle.dumps([1]), None, "is no model that is read"),
        (b"PK\3\4 broken", None, "cannot be read"),
        (b"tree\nbroken", None, "cannot be read|names no objective"),
        (b'{"learner": 3}', None, "cannot be read"),
        (KNeighborsRegressor(), None, "is a regressor, and label.kind"),
        (HistGradientBoostingClassifier(max_iter=2), ["a", "b"], "names its columns itself"),
    ]
    for given, columns, words in cases:
        if isinstance(given, bytes):
            file.write_bytes(given)
        else:
            dump(given.fit(frame, labels), file)
        with pytest.raises(UsageError, match=words):
            import_model(published, PRODUCT, file, columns, TRAINED_AS_OF)
    dump(HistGradientBoostingClassifier(max_iter=2).fit(frame.to_numpy(), labels), file)
    with pytest.raises(UsageError, match=r"does not say in which order its 2 columns come. Give --columns"):
        import_model(published, PRODUCT, file, None, TRAINED_AS_OF)
    with pytest.raises(UsageError, match="reads 2 columns, and --columns names 1"):
        import_model(published, PRODUCT, file, COLUMNS[:1], TRAINED_AS_OF)
    with pytest.raises(UsageError, match=r"`parcel` \(`parcels`\?\), which its pages do not have"):
        import_model(published, PRODUCT, file, ["parcel", COLUMNS[1]], TRAINED_AS_OF)
    dump(HistGradientBoostingClassifier(max_iter=2).fit(frame, labels * 2), file)
    with pytest.raises(UsageError, match=r"a binary label is 0 or 1"):
        import_model(published, PRODUCT, file, None, TRAINED_AS_OF)
    with pytest.raises(UsageError, match="cannot be read"):
        import_model(published, PRODUCT, tmp_path / "not there", None, TRAINED_AS_OF)
