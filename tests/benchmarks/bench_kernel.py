"""Benchmark 1: the kernels alone, against each library's own prediction and other compilers of trees.

    python -m tests.benchmarks.bench_kernel [--rows N] [--rounds N] [--shape NAME ...]

The shapes: histogram gradient boosting (200 trees of 31 leaves, 20 features with missing values), the same with
categorical features behind an encoder, LightGBM of 200 trees of 31 leaves, XGBoost of depth 6, and random forests of
300 trees with 31 leaves and unpruned. Every answer is compared with the library's own, bit by bit, before anything is
timed. Treelite and tl2cgen take part where they are installed; lleaves, ONNX Runtime and daal4py predict with the
LightGBM model in environments of their own, which are made on first use, and how far off they are is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.scoring import Scorer, compile_model, estimator_input
from tests.benchmarks.peers import PeerMissing, environment, start_worker
from tests.benchmarks.timing import Contestant, Elsewhere, machine, measure, report, versions

N_FEATURES = 20
TRAINING_ROWS = 50_000
NAMES = [f"f{place}" for place in range(N_FEATURES)]
#: What predicts with LightGBM's models faster than LightGBM, and what each needs in its environment.
COMPILERS = {
    "lleaves": ("lleaves", "llvmlite<0.44", "numpy<2.3", "setuptools<80"),
    "ONNX Runtime": ("onnxruntime", "onnxmltools", "onnx<1.19", "lightgbm", "numpy", "scikit-learn", "setuptools<80"),
    "daal4py": ("scikit-learn-intelex", "lightgbm"),
}
SLOW = 20
"""The libraries' own predictions are given this many times fewer rows."""


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def features(n_rows: int, seed: int, *, missing: float = 0.05, dtype: Any = np.float64) -> Any:
    """Rows (n_rows, 20): normal, skewed, coarse and heavy-tailed columns, some values missing."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, N_FEATURES))
    rows[:, 5:9] = np.exp(rows[:, 5:9])
    rows[:, 9:12] = rows[:, 9:12].round(1)
    rows[:, 12:14] = rng.standard_cauchy((n_rows, 2))
    rows[rng.random(rows.shape) < missing] = np.nan
    return rows.astype(dtype)


def label(rows: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    filled = np.nan_to_num(rows)
    score = filled[:, :4].sum(axis=1) + np.tanh(filled[:, 4] * filled[:, 5]) + np.tanh(filled[:, 12]) + filled[:, 9]
    return (score + rng.normal(size=len(rows)) > 0).astype(int)


def batch_of(rows: Any) -> pa.RecordBatch:
    return pa.record_batch([pa.array(np.ascontiguousarray(column)) for column in rows.T], names=NAMES[: rows.shape[1]])


def ours(scorer: Scorer, batch: pa.RecordBatch) -> list[Contestant]:
    return [
        Contestant(f"this: {scorer.kind}, raw", batch.num_rows, lambda: scorer.raw(batch)),
        Contestant(f"this: {scorer.kind}, probabilities", batch.num_rows, lambda: scorer.predict(batch)),
    ]


def check_bits(scorer: Scorer, batch: pa.RecordBatch, expected_raw: Any, expected: Any) -> str:
    same_raw = np.array_equal(scorer.raw(batch), expected_raw)
    same = np.array_equal(scorer.predict(batch), expected)
    if not (same_raw and same):
        raise SystemExit(f"{scorer.kind} does not agree with the estimator")
    return f"equal bits on {batch.num_rows:,} rows"


def hist_gradient_boosting(n_rows: int, n_training: int, n_trees: int) -> tuple[list[Contestant], str, dict[str, str]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = features(n_training, 1)
    model = HistGradientBoostingClassifier(max_iter=n_trees, max_leaf_nodes=31, early_stopping=False, random_state=0)
    model.fit(train, label(train, 2))
    scorer = compile_model(model, NAMES)
    rows = features(n_rows, 3)
    few = rows[: max(1000, n_rows // SLOW)]
    batch = batch_of(rows)
    bits = check_bits(scorer, batch_of(few), model.decision_function(few), model.predict_proba(few))
    contestants = [
        Contestant("scikit-learn predict_proba", len(few), lambda: model.predict_proba(few)),
        *ours(scorer, batch),
        *treelite_peers(model, few),
        *boosting_peers(train, few, n_trees),
    ]
    return contestants, "scikit-learn predict_proba", {contestants[2].name: bits}


def five_classes(n_rows: int, n_training: int, n_trees: int) -> tuple[list[Contestant], str, dict[str, str]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = features(n_training, 1)
    filled = np.nan_to_num(train)
    score = filled[:, :4].sum(axis=1) + np.tanh(filled[:, 4] * filled[:, 5]) + filled[:, 9]
    target = np.digitize(score, np.quantile(score, [0.2, 0.4, 0.6, 0.8]))
    # Each round grows a tree for every class.
    model = HistGradientBoostingClassifier(
        max_iter=n_trees // 5, max_leaf_nodes=31, early_stopping=False, random_state=0
    )
    model.fit(train, target)
    scorer = compile_model(model, NAMES)
    rows = features(n_rows, 3)
    few = rows[: max(1000, n_rows // SLOW)]
    bits = check_bits(scorer, batch_of(few), model.decision_function(few), model.predict_proba(few))
    contestants = [
        Contestant("scikit-learn predict_proba", len(few), lambda: model.predict_proba(few)),
        *ours(scorer, batch_of(rows)),
    ]
    return contestants, "scikit-learn predict_proba", {contestants[2].name: bits}


def treelite_peers(model: Any, rows: Any) -> list[Contestant]:
    """Treelite's interpreter and tl2cgen's compiled C, of the same scikit-learn model."""
    if not is_installed("treelite"):
        print("Treelite is not installed, and left out (pip install treelite tl2cgen).")
        return []
    import treelite

    described = treelite.sklearn.import_model(model)
    found = [Contestant("Treelite GTIL", len(rows), lambda: treelite.gtil.predict(described, rows))]
    if is_installed("tl2cgen"):
        import tl2cgen

        directory = Path(tempfile.mkdtemp()) / "model"
        # What is compiled is C; `-O1` is what a model of this size can be compiled with in a minute.
        tl2cgen.generate_c_code(described, dirpath=directory, params={"parallel_comp": 8})
        library = tl2cgen.create_shared("gcc", directory, nthread=2, verbose=False)
        predictor = tl2cgen.Predictor(library, nthread=2)
        matrix = tl2cgen.DMatrix(rows, dtype="float64")
        found.append(Contestant("tl2cgen (C)", len(rows), lambda: predictor.predict(matrix)))
    return found


def boosting_peers(train: Any, rows: Any, n_trees: int) -> list[Contestant]:
    """LightGBM's and XGBoost's own predictions of models of the same shape, trained on the same rows."""
    found = []
    if is_installed("lightgbm"):
        import lightgbm

        light = lightgbm.LGBMClassifier(n_estimators=n_trees, num_leaves=31, verbose=-1, n_jobs=2)
        light.fit(train, label(train, 2))
        booster = light.booster_
        found.append(Contestant("LightGBM, its own trees", len(rows), lambda: booster.predict(rows)))
    if is_installed("xgboost"):
        import xgboost

        model = xgboost.XGBClassifier(
            n_estimators=n_trees, max_leaves=31, max_depth=0, grow_policy="lossguide", n_jobs=2
        )
        model.fit(train, label(train, 2))
        xgb = model.get_booster()
        found.append(Contestant("XGBoost inplace_predict, its own", len(rows), lambda: xgb.inplace_predict(rows)))
    return found


def lightgbm_31_leaves(n_rows: int, n_training: int, n_trees: int) -> tuple[list[Contestant], str, dict[str, str]]:
    if not is_installed("lightgbm"):
        print("LightGBM is not installed, and left out (pip install 'almanac[lightgbm]').")
        return [], "", {}
    import lightgbm

    train = features(n_training, 1)
    model = lightgbm.LGBMClassifier(n_estimators=n_trees, num_leaves=31, verbose=-1, n_jobs=2)
    model.fit(train, label(train, 2))
    booster = model.booster_
    scorer = compile_model(model, NAMES)
    rows = features(n_rows, 3)
    few = rows[: max(1000, n_rows // SLOW)]
    bits = check_bits(scorer, batch_of(few), booster.predict(few, raw_score=True), model.predict_proba(few))
    contestants = [
        Contestant("LightGBM predict", len(few), lambda: booster.predict(few)),
        *ours(scorer, batch_of(rows)),
    ]
    notes = {contestants[2].name: bits}
    directory = Path(tempfile.mkdtemp())
    booster.save_model(directory / "model.txt")
    np.save(directory / "rows.npy", rows)
    for name in COMPILERS:
        try:
            contestant, note = _compiler(name, directory, scorer.predict(batch_of(rows))[:, 1])
        except PeerMissing as error:
            print(f"{name} is left out: {error}")
        else:
            contestants.append(contestant)
            notes[contestant.name] = note
    return contestants, "LightGBM predict", notes


def _compiler(name: str, directory: Path, expected: Any) -> tuple[Contestant, str]:
    """Start one of `COMPILERS`; give what times it, with its versions, and how far its predictions are off."""
    out = directory / f"{name}.npy"
    given = [str(directory / "model.txt"), str(directory / "rows.npy"), str(out)]
    python = environment(name, COMPILERS[name])
    peer = start_worker(name, python, Path(__file__).with_name("kernel_worker.py"), given, directory / f"{name}.log")
    off = float(np.abs(np.load(out) - expected).max())

    def run() -> Elsewhere:
        seconds, cpu = map(float, peer.run().split())
        return Elsewhere(cpu, seconds)

    return Contestant(f"{name} ({peer.versions})", len(expected), run), f"at most {off:.1g} off"


def categorical_pipeline(n_rows: int, n_training: int, n_trees: int) -> tuple[list[Contestant], str, dict[str, str]]:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    texts = {"carrier": 16, "origin": 3, "dest": 105, "manufacturer": 30}

    def batch(count: int, seed: int) -> pa.RecordBatch:
        rng = np.random.default_rng(seed)
        rows = batch_of(features(count, seed)[:, :16])
        for name, size in texts.items():
            codes = pa.array(rng.zipf(1.5, count) % size, pa.int32())
            words = pa.array([f"{name}{place}" for place in range(size)])
            rows = rows.append_column(name, pa.DictionaryArray.from_arrays(codes, words).cast(pa.string()))
        return rows

    train = batch(n_training, 1)
    names = train.schema.names
    codes = [np.asarray(train.column(name).dictionary_encode().indices) for name in texts]
    target = label(np.column_stack([*(np.asarray(column) for column in train.columns[:16])]), 2)
    target ^= (codes[0] % 3 == 0) & (codes[2] % 2 == 0)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    parts = ColumnTransformer([("categories", encoder, list(texts)), ("numbers", "passthrough", NAMES[:16])])
    boosting = HistGradientBoostingClassifier(
        max_iter=n_trees, max_leaf_nodes=31, early_stopping=False, categorical_features=[0, 1, 2, 3], random_state=0
    )
    model = Pipeline([("encode", parts), ("model", boosting)]).fit(estimator_input(train, names), target)
    scorer = compile_model(model, names)
    many, few = batch(n_rows, 3), batch(max(1000, n_rows // SLOW), 3)
    frame = estimator_input(few, names)
    bits = check_bits(scorer, few, model.decision_function(frame), model.predict_proba(frame))
    contestants = [
        Contestant("pipeline.predict_proba", few.num_rows, lambda: model.predict_proba(estimator_input(few, names))),
        *ours(scorer, many),
    ]
    return contestants, "pipeline.predict_proba", {contestants[2].name: bits}


def xgboost_depth_6(n_rows: int, n_training: int, n_trees: int) -> tuple[list[Contestant], str, dict[str, str]]:
    if not is_installed("xgboost"):
        print("XGBoost is not installed, and left out (pip install 'almanac[xgboost]').")
        return [], "", {}
    import xgboost

    train = features(n_training, 1, dtype=np.float32)
    model = xgboost.XGBClassifier(n_estimators=n_trees, max_depth=6, n_jobs=2).fit(train, label(train, 2))
    scorer = compile_model(model, NAMES)
    rows = features(n_rows, 3, dtype=np.float32)
    few = rows[: max(1000, n_rows // SLOW)]
    bits = check_bits(scorer, batch_of(few), model.predict(few, output_margin=True), model.predict_proba(few))
    booster = model.get_booster()
    contestants = [
        Contestant("XGBoost inplace_predict", len(few), lambda: booster.inplace_predict(few)),
        *ours(scorer, batch_of(rows)),
    ]
    return contestants, "XGBoost inplace_predict", {contestants[2].name: bits}


def _forest(
    n_rows: int, n_training: int, n_trees: int, max_leaves: int | None
) -> tuple[list[Contestant], str, dict[str, str]]:
    from sklearn.ensemble import RandomForestClassifier

    train = features(n_training, 1, missing=0.0)
    model = RandomForestClassifier(n_trees, max_leaf_nodes=max_leaves, random_state=0, n_jobs=2).fit(
        train, label(train, 2)
    )
    scorer = compile_model(model, NAMES)
    share = 1 if max_leaves else 10
    rows = features(n_rows // share, 3, missing=0.0)
    few = rows[: max(1000, len(rows) // SLOW)]
    # The order of summation is that of one thread.
    model.n_jobs = 1
    expected = model.predict_proba(few)
    model.n_jobs = 2
    bits = check_bits(scorer, batch_of(few), expected, expected)
    contestants = [
        Contestant("scikit-learn predict_proba", len(few), lambda: model.predict_proba(few)),
        *ours(scorer, batch_of(rows)),
    ]
    return contestants, "scikit-learn predict_proba", {contestants[2].name: bits}


#: By name: what it is, how many trees, and what makes it of so many rows, training rows and trees.
SHAPES: dict[str, tuple[str, int, Callable[[int, int, int], tuple[list[Contestant], str, dict[str, str]]]]] = {
    "hist": (
        "HistGradientBoosting, {} trees x 31 leaves, 20 float64, 5% missing",
        200,
        hist_gradient_boosting,
    ),
    "classes": (
        "HistGradientBoosting, five classes, {} trees x 31 leaves in all, 20 float64, 5% missing",
        200,
        five_classes,
    ),
    "lightgbm": ("LightGBM, {} trees x 31 leaves, 20 float64, 5% missing", 200, lightgbm_31_leaves),
    "categories": (
        "HistGradientBoosting with 16 numbers and 4 texts behind an OrdinalEncoder",
        200,
        categorical_pipeline,
    ),
    "xgboost": ("XGBoost, {} trees of depth 6, 20 float32 features, 5% missing", 200, xgboost_depth_6),
    "forest": ("RandomForest, {} trees x 31 leaves", 300, lambda *sizes: _forest(*sizes, 31)),
    "unpruned": ("RandomForest, {} trees, unpruned", 300, lambda *sizes: _forest(*sizes, None)),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--training-rows", type=int, default=TRAINING_ROWS)
    parser.add_argument("--trees", type=int, help="instead of 200, and of 300 in forests")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    chosen = parser.parse_args(arguments)
    print(machine())
    print(versions("scikit-learn", "numba", "lightgbm", "xgboost-cpu", "treelite", "tl2cgen"))
    for name in chosen.shape:
        title, usual_trees, prepare = SHAPES[name]
        n_trees = chosen.trees or usual_trees
        contestants, than, notes = prepare(chosen.rows, chosen.training_rows, n_trees)
        if contestants:
            measure(contestants, chosen.rounds)
            print(f"\n{title.format(n_trees)}; medians of {chosen.rounds} alternating runs\n")
            print(report(contestants, than, notes), flush=True)


if __name__ == "__main__":
    main()
