"""A compiled model's file: the same bits after reading it back, and nothing damaged or hostile gets through."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, QuantileRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler

from jobs.bundles.compiled_trees import CompiledTrees, NotExact
from jobs.bundles.key_columns import KeyRefused
from jobs.models.quantile_models import ConformalQuantiles, QuantileModels
from jobs.scoring import Scorer, check_parity, estimator_input, ready_scorer
from jobs.scoring.compiled import CompiledScorer, scorer_of_file
from jobs.scoring.files.model_file import read_model_file
from jobs.scoring.files.tensors import DamagedModel, read_tensors, write_tensors
from jobs.scoring.kernels.links import Link
from jobs.scoring.readers.xgboost import XGBoostLink, xgboost_link
from tests.scoring import file_reader
from warehouse.errors import ScoringFailed

NUMBERS, TEXT = ["a", "b", "c"], "city"
NAMES = [*NUMBERS, TEXT]


class OnPages:
    """Fits a conformal model to rows taken as those of ten pages."""

    def __init__(self, estimator: Any, quantiles: list[float]) -> None:
        self.estimator, self.quantiles = estimator, quantiles

    def fit(self, X: Any, y: Any) -> ConformalQuantiles:
        pages = np.datetime64("2026-01-01", "us") + np.arange(len(y)) * 10 // len(y) * np.timedelta64(1, "D")
        return ConformalQuantiles(self.estimator, self.quantiles).fit(X, y, pages)


def rows(n_rows: int = 600, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n_rows, 3))
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    cities = pa.array(rng.choice(["Bern", "Köln", "Oslo"], n_rows))
    return pa.table([*(pa.array(column) for column in numbers.T), cities], names=NAMES)


def never() -> Any:
    raise AssertionError("the estimator was asked for")


def encoded(encoder: Any, numbers: Any = "passthrough") -> ColumnTransformer:
    return ColumnTransformer([("text", encoder, [TEXT]), ("numbers", numbers, NUMBERS)])


def ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


def linear(*scalers: Any) -> ColumnTransformer:
    return encoded(one_hot(), make_pipeline(SimpleImputer(add_indicator=True), *scalers))


MODELS: dict[str, tuple[Callable[[], Any], int]] = {
    "boosting": (lambda: make_pipeline(encoded(ordinal()), HistGradientBoostingClassifier(max_iter=8)), 2),
    "categories": (
        lambda: make_pipeline(encoded(ordinal()), HistGradientBoostingClassifier(max_iter=8, categorical_features=[0])),
        2,
    ),
    "three classes": (lambda: make_pipeline(encoded(ordinal()), HistGradientBoostingClassifier(max_iter=4)), 3),
    "counts": (
        lambda: make_pipeline(encoded(ordinal()), HistGradientBoostingRegressor(loss="poisson", max_iter=5)),
        2,
    ),
    "forest": (lambda: make_pipeline(linear(StandardScaler()), RandomForestClassifier(5, max_depth=4)), 3),
    "unpruned": (lambda: make_pipeline(linear(), RandomForestClassifier(2)), 2),
    "exponential loss": (
        lambda: make_pipeline(
            linear(MinMaxScaler(clip=True)), GradientBoostingClassifier(n_estimators=5, loss="exponential")
        ),
        2,
    ),
    "logistic": (lambda: make_pipeline(linear(StandardScaler()), LogisticRegression()), 2),
    "softmax": (lambda: make_pipeline(linear(RobustScaler()), LogisticRegression()), 3),
    "ridge": (lambda: make_pipeline(linear(MinMaxScaler(clip=True)), Ridge()), 2),
    "sigmoid": (
        lambda: CalibratedClassifierCV(
            make_pipeline(encoded(ordinal()), HistGradientBoostingClassifier(max_iter=4)), cv=2
        ),
        2,
    ),
    "isotonic": (
        lambda: CalibratedClassifierCV(
            make_pipeline(linear(), RandomForestClassifier(4, max_depth=3)), cv=2, method="isotonic"
        ),
        3,
    ),
    "temperature": (
        lambda: CalibratedClassifierCV(
            make_pipeline(encoded(ordinal()), HistGradientBoostingClassifier(max_iter=4)), cv=2, method="temperature"
        ),
        2,
    ),
    "three quantiles": (
        lambda: make_pipeline(
            encoded(ordinal()),
            QuantileModels(HistGradientBoostingRegressor(loss="quantile", max_iter=4), [0.1, 0.5, 0.9], "quantile"),
        ),
        2,
    ),
    "linear quantiles": (
        lambda: make_pipeline(linear(), QuantileModels(QuantileRegressor(alpha=0.01), [0.2, 0.8], "quantile")),
        2,
    ),
    "conformal": (
        lambda: OnPages(make_pipeline(encoded(ordinal()), HistGradientBoostingRegressor(max_iter=4)), [0.1, 0.5, 0.9]),
        2,
    ),
    "calibrated logistic": (
        lambda: CalibratedClassifierCV(make_pipeline(linear(StandardScaler()), LogisticRegression()), cv=2),
        2,
    ),
}


def outcome(n_classes: int) -> Any:
    numbers = np.nan_to_num(np.column_stack([np.asarray(rows().column(name)) for name in NUMBERS]))
    score = numbers.sum(axis=1) + (np.asarray(rows().column(TEXT)) == "Oslo")
    return np.digitize(score, np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1]))


@pytest.fixture(scope="module")
def filed() -> dict[str, tuple[Any, bytes]]:
    """Each model, and the file that was written of it after it was compared."""
    found = {}
    for name, (make, n_classes) in MODELS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator = make().fit(estimator_input(rows(), NAMES), outcome(n_classes))
            scorer, report = ready_scorer(estimator, NAMES, rows())
        assert report is not None, name
        assert report.equal, name
        assert isinstance(scorer, CompiledScorer), name
        assert scorer.filed is not None, name
        found[name] = (estimator, scorer.filed)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_file_scores_as_the_estimator_does_and_never_asks_for_it(
    filed: dict[str, tuple[Any, bytes]], name: str
) -> None:
    estimator, data = filed[name]
    scorer: Scorer = scorer_of_file(data, never)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = check_parity(scorer, estimator, rows(300, seed=7))
    assert report.equal, report.difference


@pytest.mark.parametrize("name", MODELS)
def test_a_reader_written_from_the_document_alone_gives_what_the_estimator_gives(
    filed: dict[str, tuple[Any, bytes]], name: str
) -> None:
    estimator, data = filed[name]
    batch = rows(80, seed=7)
    strange = pa.array(["Rom", *batch.column(TEXT).to_pylist()[1:]])
    _hold_reader_to(estimator, data, batch.set_column(3, TEXT, strange))


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_same_reader_reads_models_of_other_libraries(library: str, n_classes: int) -> None:
    module = pytest.importorskip(library)
    kind = module.LGBMClassifier if library == "lightgbm" else module.XGBClassifier
    quiet = {"verbose": -1} if library == "lightgbm" else {}
    numbers = rows().select(NUMBERS)
    estimator = kind(n_estimators=6, n_jobs=1, **quiet).fit(estimator_input(numbers, NUMBERS), outcome(n_classes))
    scorer, _ = ready_scorer(estimator, NUMBERS, numbers)
    assert isinstance(scorer, CompiledScorer)
    assert scorer.filed is not None
    _hold_reader_to(estimator, scorer.filed, rows(80, seed=7).select(NUMBERS))


def _hold_reader_to(estimator: Any, data: bytes, batch: pa.Table) -> None:
    given = estimator_input(batch, batch.column_names)
    asked = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.predict
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(asked(given)).reshape(batch.num_rows, -1)
    found = np.asarray(file_reader.predict(data, batch.to_pylist()))
    closeness = 1e-6 if expected.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=closeness, atol=1e-12)


#: What readers of bundles repeat bit by bit.
EVERYWHERE = ("boosting", "categories", "exponential loss")


@pytest.mark.parametrize("name", MODELS)
def test_the_reader_of_bundles_gives_the_same_bits_or_refuses_the_model(
    filed: dict[str, tuple[Any, bytes]], name: str
) -> None:
    _, data = filed[name]
    if name not in EVERYWHERE:
        with pytest.raises(NotExact):
            CompiledTrees(data)
        return
    batch = rows(400, seed=9)
    far = pa.array([np.inf, -np.inf, 0.0, -0.0, 1e300, None, *np.asarray(batch.column("a"))[6:]])
    strange = pa.array(["Rom", None, *batch.column(TEXT).to_pylist()[2:]])
    _hold_bits_to(data, batch.set_column(3, TEXT, strange).set_column(0, "a", far))


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_the_reader_of_bundles_reads_trees_of_other_libraries(library: str) -> None:
    module = pytest.importorskip(library)
    kind = module.LGBMClassifier if library == "lightgbm" else module.XGBRegressor
    quiet = {"verbose": -1} if library == "lightgbm" else {}
    numbers = rows().select(NUMBERS)
    estimator = kind(n_estimators=20, n_jobs=1, **quiet).fit(estimator_input(numbers, NUMBERS), outcome(2))
    scorer, _ = ready_scorer(estimator, NUMBERS, numbers)
    assert isinstance(scorer, CompiledScorer)
    assert scorer.filed is not None
    _hold_bits_to(scorer.filed, rows(200, seed=7).select(NUMBERS))
    if library == "xgboost":
        estimator = module.XGBClassifier(n_estimators=2, n_jobs=1).fit(estimator_input(numbers, NUMBERS), outcome(2))
        scorer, _ = ready_scorer(estimator, NUMBERS, numbers)
        with pytest.raises(NotExact, match="float32"):
            CompiledTrees(scorer.filed or b"")


def _hold_bits_to(data: bytes, batch: pa.Table) -> None:
    """See that the reader of bundles gives each row the very bits that the compiled scorer does, or refuses it too."""
    scorer, reader = scorer_of_file(data, never), CompiledTrees(data)
    for place, row in enumerate(batch.to_pylist()):
        one = batch.slice(place, 1)
        try:
            expected = np.asarray(scorer.predict(one)).ravel()[-1]
        except ScoringFailed:
            with pytest.raises(KeyRefused):
                reader.predict([row[name] for name in reader.features])
            continue
        assert reader.predict([row[name] for name in reader.features]).hex() == float(expected).hex(), row


def test_a_file_is_written_with_the_same_bytes_again(filed: dict[str, tuple[Any, bytes]]) -> None:
    for _, data in filed.values():
        again = scorer_of_file(data, never).through_file()
        assert again.filed == data


def test_columns_of_other_types_are_scored_by_the_estimator_as_it_is_read_then(
    filed: dict[str, tuple[Any, bytes]],
) -> None:
    estimator, data = filed["boosting"]
    batch = rows(50).set_column(0, "a", rows(50).column("a").cast(pa.float32()))
    scorer = scorer_of_file(data, lambda: estimator)
    expected = estimator.predict_proba(estimator_input(batch, NAMES))
    assert np.array_equal(scorer.predict(batch), expected)


def test_xgboosts_links_are_its_own_to_the_bit() -> None:
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(3)
    data = rng.normal(size=(200, 3))
    classes = np.digitize(data[:, 0], [-0.5, 0.5])
    for model, target, n_outputs in (
        (xgboost.XGBClassifier(n_estimators=2), classes > 0, 1),
        (xgboost.XGBClassifier(n_estimators=2), classes, 3),
        (xgboost.XGBRegressor(n_estimators=2, objective="count:poisson"), classes, 1),
    ):
        model.fit(data, target)
        raw = np.concatenate([rng.normal(size=(50_000, n_outputs)) * size for size in (0.1, 1, 10, 60)])
        raw = raw.astype(np.float32)
        link = xgboost_link(model)
        assert isinstance(link, Link)
        assert np.array_equal(link(raw), XGBoostLink(model)(raw))


def changed(data: bytes, name: str, change: Callable[[Any], Any]) -> bytes:
    """Return the file with one array made into another."""
    arrays, metadata = read_tensors(data)
    arrays = {key: array.copy() for key, array in arrays.items()}
    arrays[name] = np.asarray(change(arrays[name]))
    return write_tensors(arrays, metadata)


def put(place: int, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


HOSTILE: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "a threshold that is NaN": ("boosting", "column.breakpoints", put(1, np.nan)),
    "thresholds out of order": ("boosting", "column.breakpoints", lambda a: a[::-1].copy()),
    "a slot beyond all": ("boosting", "node.slot", put(0, 9_999)),
    "a leaf where a node should be": ("boosting", "node.slot", put(0, -1)),
    "a node where a leaf should be": ("boosting", "node.slot", put(-1, 0)),
    "all leaves first": ("boosting", "node.slot", lambda a: np.sort(a)),
    "a test below all codes": ("boosting", "node.code", put(0, -5)),
    "a code that is negative": ("boosting", "slot.codes", put(3, -1)),
    "a slot of no column": ("boosting", "slot.column", put(0, 77)),
    "a tree of no nodes": ("boosting", "tree.n_nodes", put(0, 0)),
    "a tree of more nodes than there are": ("boosting", "tree.n_nodes", put(0, 1 << 60)),
    "a tree of an even number of nodes": ("boosting", "tree.n_nodes", put(0, 2)),
    "a tree of another output": ("three classes", "tree.output", put(0, 3)),
    "trees out of order": ("three classes", "tree.output", lambda a: a[::-1].copy()),
    "a leaf that is NaN": ("boosting", "leaves", put(0, np.nan)),
    "too few leaves": ("boosting", "leaves", lambda a: a[:-1].copy()),
    "a negative cover": ("boosting", "node.cover", put(0, -1.0)),
    "a refusal that is no truth value": ("boosting", "column.refused", put(0, 2)),
    "a column of no feature": ("boosting", "column.feature", put(-1, 44)),
    "columns out of order": ("boosting", "column.feature", lambda a: a[::-1].copy()),
    "a column of another type": ("boosting", "column.kind", put(0, 1)),
    "more places than breakpoints": ("boosting", "column.n_places", put(0, 1_000_000)),
    "a category that is no text": ("boosting", "category.text", put(0, 255)),
    "a category's end before its start": ("boosting", "category.end", put(0, 1 << 30)),
    "nothing to start from": ("boosting", "base", lambda a: a[:0].copy()),
    "an operation that is not known": ("ridge", "operation.name", put(0, 200)),
    "more operations than there are": ("ridge", "feature.n_operations", put(-1, 50)),
    "a check after nothing": ("ridge", "check.after", put(-1, 50)),
    "a feature of no column": ("ridge", "feature.column", put(0, 50)),
    "a coefficient that is not finite": ("ridge", "coefficients", put((0, 0), np.inf)),
    "steps out of order": ("isotonic", "part0/calibrator0.x", lambda a: a[::-1].copy()),
    "steps of two lengths": ("isotonic", "part0/calibrator0.y", lambda a: a[:-1].copy()),
    "a calibrator's number that is NaN": ("sigmoid", "part0/calibrator0.numbers", put(0, np.nan)),
    "an offset that is NaN": ("conformal", "offsets", put(0, np.nan)),
    "no offsets": ("conformal", "offsets", lambda a: a[:0].copy()),
    "another type": ("boosting", "node.code", lambda a: a.astype(np.int64)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_array_is_refused(filed: dict[str, tuple[Any, bytes]], case: str) -> None:
    name, array, change = HOSTILE[case]
    with pytest.raises(DamagedModel):
        read_model_file(changed(filed[name][1], array, change))


WORDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "an unknown link": lambda d: d["model"]["link"].update(function="os.system"),
    "a link for another number of outputs": lambda d: d["model"].update(link={"function": "softmax"}),
    "a divisor of nothing": lambda d: d["model"].update(divisor=0),
    "a divisor that is not finite": lambda d: d["model"].update(divisor=float("nan")),
    "a divisor beyond all numbers": lambda d: d["model"].update(divisor=10**400),
    "another kind": lambda d: d["model"].update(kind="pickle"),
    "no kinds": lambda d: d.update(kinds=[]),
    "a feature twice": lambda d: d.update(features=["a"] * 4),
    "no model": lambda d: d.update(model=None),
}


@pytest.mark.parametrize("case", WORDS)
def test_a_hostile_description_is_refused(filed: dict[str, tuple[Any, bytes]], case: str) -> None:
    arrays, metadata = read_tensors(filed["boosting"][1])
    described = json.loads(metadata["model"])
    WORDS[case](described)
    with pytest.raises(DamagedModel):
        read_model_file(write_tensors(arrays, {**metadata, "model": json.dumps(described)}))


def test_sizes_that_lie_are_refused(filed: dict[str, tuple[Any, bytes]]) -> None:
    data = filed["boosting"][1]
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])

    def with_header(change: Callable[[dict[str, Any]], None]) -> bytes:
        other = json.loads(json.dumps(header))
        change(other)
        text = json.dumps(other).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :]

    lies: list[Callable[[dict[str, Any]], None]] = [
        lambda h: h["leaves"].update(shape=[1 << 47, 1 << 47]),
        lambda h: h["leaves"].update(shape=[-1, 1]),
        lambda h: h["leaves"].update(data_offsets=[0, 1 << 47]),
        lambda h: h["leaves"].update(data_offsets=h["node.cover"]["data_offsets"]),
        lambda h: h["leaves"].update(dtype="O"),
        lambda h: h.pop("leaves"),
        lambda h: h.update(more=h["leaves"]),
    ]
    for lie in lies:
        with pytest.raises(DamagedModel):
            read_model_file(with_header(lie))
    with pytest.raises(DamagedModel):
        read_model_file((1 << 62).to_bytes(8, "little") + data[8:])
    with pytest.raises(DamagedModel):
        read_model_file(data + b"\0")


def test_a_file_cut_off_anywhere_is_refused(filed: dict[str, tuple[Any, bytes]]) -> None:
    for _, data in filed.values():
        for end in np.linspace(0, len(data) - 1, 40).astype(int):
            with pytest.raises(DamagedModel):
                read_model_file(data[:end])


@pytest.mark.parametrize("name", ["categories", "ridge", "isotonic"])
def test_what_random_changes_leave_readable_scores_without_harm(filed: dict[str, tuple[Any, bytes]], name: str) -> None:
    """Whatever the reader lets through, the kernels survive: other numbers, but no other memory."""
    data = filed[name][1]
    rng = np.random.default_rng(11)
    batch, n_read = rows(64), 0
    start = 8 + int.from_bytes(data[:8], "little")
    for attempt in range(400):
        hostile = bytearray(data)
        first = 0 if attempt % 4 == 0 else start
        for place in rng.integers(first, len(data), rng.integers(1, 4)):
            hostile[place] = rng.integers(256)
        try:
            scorer = scorer_of_file(bytes(hostile), never)
        except DamagedModel:
            continue
        if scorer.kinds != ("float64", "float64", "float64", "text") or list(scorer.feature_names) != NAMES:
            continue
        n_read += 1
        # A value that the changed model refuses is an answer too.
        with np.errstate(all="ignore"), contextlib.suppress(ScoringFailed):
            assert len(scorer.raw(batch)) == 64
    assert n_read > 10
