"""Benchmark: exact contributions of each column, against other tools that compute them.

    python -m tests.benchmarks.bench_reasons [--rows N] [--rounds N] [--shape NAME ...] [--page-rows N]

Each shape is one model; what it is compared on is CPU time a row, all threads counted, in turn in one run. shap's
TreeExplainer explains the same model, in an environment of its own; its contributions have to be ours within 1e-10.
LightGBM and XGBoost, where they are installed, explain models of their own of the same shape. `--page-rows` also writes
a page of predictions with four reasons each and without, each in a process of its own, and says what that took.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.metering import peak_memory_bytes
from jobs.models.reasons.column import encodings, reasons_column
from jobs.scoring import compile_model, score_stream
from jobs.scoring.reasons.explainer import Explainer
from jobs.scoring.reasons.players import make_players
from jobs.scoring.reasons.table_contributions import TableContributions
from tests.benchmarks.bench_kernel import batch_of, features, is_installed, label
from tests.benchmarks.peers import PeerMissing, environment, start_worker
from tests.benchmarks.timing import Contestant, Elsewhere, machine, measure, table, versions
from warehouse.definitions.reasons import ReasonSettings

AGREES = 1e-10
FEW_ROWS = 200
"""What the peers, and models that take no tables, are given."""
BATCH_ROWS = 65_536


def hist(n_trees: int, n_leaves: int, n_columns: int = 20) -> Callable[[Any, Any], Any]:
    def fit(rows: Any, target: Any) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=n_trees, max_leaf_nodes=n_leaves, early_stopping=False, random_state=0
        )
        return model.fit(rows, target)

    return fit


def depth_6(rows: Any, target: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=200, max_leaf_nodes=None, max_depth=6, early_stopping=False, random_state=0
    )
    return model.fit(rows, target)


def forest(rows: Any, target: Any) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(5, random_state=0).fit(rows, target)


#: By name: what fits the model, its columns, and whether tables can hold most of it.
SHAPES: dict[str, tuple[Callable[[Any, Any], Any], int, bool]] = {
    "200 x 31": (hist(200, 31), 20, True),
    "100 x 8": (hist(100, 8), 20, True),
    "100 x 63": (hist(100, 63), 20, True),
    "depth 6": (depth_6, 20, True),
    "100 columns": (hist(50, 31), 100, False),
    "unpruned forest": (forest, 20, False),
}


class Shap:
    """shap in a process of its own."""

    def __init__(self, model: Any, rows: Any, directory: Path) -> None:
        import skops.io

        pinned = [f"{name}=={version(name)}" for name in ("scikit-learn", "numpy", "numba", "skops")]
        python = os.environ.get("ALMANAC_SHAP_PYTHON") or environment("shap", ["shap", *pinned])
        files = [directory.resolve() / name for name in ("model.skops", "rows.npy", "shap.npy")]
        skops.io.dump(model, files[0])
        np.save(files[1], rows)
        worker = Path(__file__).with_name("shap_worker.py")
        self.out = files[2]
        self.peer = start_worker("shap", Path(python), worker, list(map(str, files)), directory / "shap.log")
        self.version = self.peer.versions

    def run(self) -> Elsewhere:
        return Elsewhere(float(self.peer.run()))

    def close(self) -> None:
        self.peer.close()


def boosting_peers(train: Any, target: Any, rows: Any) -> list[Contestant]:
    """LightGBM's and XGBoost's own contributions, of models of their own of 200 x 31."""
    found = []
    if is_installed("lightgbm"):
        import lightgbm

        light = lightgbm.LGBMClassifier(n_estimators=200, num_leaves=31, verbose=-1, n_jobs=2).fit(train, target)
        booster = light.booster_
        found.append(
            Contestant("LightGBM pred_contrib, its own", len(rows), lambda: booster.predict(rows, pred_contrib=True))
        )
    if is_installed("xgboost"):
        import xgboost

        model = xgboost.XGBClassifier(n_estimators=200, max_leaves=31, max_depth=0, grow_policy="lossguide", n_jobs=2)
        own, matrix = model.fit(train, target).get_booster(), xgboost.DMatrix(rows)
        found.append(
            Contestant("XGBoost pred_contribs, its own", len(rows), lambda: own.predict(matrix, pred_contribs=True))
        )
    return found


def written(explainer: Explainer, batch: pa.RecordBatch, file: Path) -> None:
    """Explain a batch, pick the four largest of each row, and write them as a page does."""
    settings = ReasonSettings()
    pieces = [batch.slice(first, BATCH_ROWS) for first in range(0, batch.num_rows, BATCH_ROWS)]
    schema = pa.schema([("reasons", reasons_column(explainer, settings, batch.slice(0, 0), np.zeros(0)).type)])
    with pq.ParquetWriter(file, schema, compression="zstd", **encodings(schema)) as writer:
        for piece in pieces:
            found = reasons_column(explainer, settings, piece, np.zeros(piece.num_rows))
            writer.write_batch(pa.record_batch([found], schema=schema))


def run_shape(name: str, n_rows: int, n_training: int, rounds: int, directory: Path) -> None:
    fit, n_columns, is_quick = SHAPES[name]
    train = wide(n_training, 1, n_columns)
    model = fit(train, label(train, 2))
    names = [f"f{place}" for place in range(n_columns)]
    scorer = compile_model(model, names)
    rows = wide(n_rows if is_quick else min(n_rows, 2_000), 3, n_columns)
    rows[0] = np.nan
    few = rows[:FEW_ROWS]
    batch = pa.record_batch([pa.array(np.ascontiguousarray(column)) for column in rows.T], names=names)
    begin = time.process_time()
    explainer = Explainer(scorer, make_players(names), pa.table(batch.slice(0, 1)), at_rate=True)
    prepared = time.process_time() - begin
    (own,) = explainer._contributions
    assert isinstance(own, TableContributions)
    ours = Contestant("this: contributions", len(rows), lambda: explainer.by_player(batch))
    top = Contestant("this: the four largest, written", len(rows), lambda: written(explainer, batch, directory / "r"))
    contestants = [ours, top]
    notes = {ours.name: f"{own.n_table_leaves:,} of {own.n_leaves:,} leaves in {own.n_bytes >> 20} MiB of tables,"
                        f" made in {prepared:.1f} CPU s"}  # fmt: skip
    try:
        shap = Shap(model, few, directory)
        contestants.append(Contestant(f"{shap.version} TreeExplainer", len(few), shap.run))
    except PeerMissing as error:
        print(f"shap is left out: {error}")
        shap = None
    if name == "200 x 31":
        contestants += boosting_peers(train, label(train, 2), few)
    measure(contestants, rounds)
    if shap is not None:
        shap.close()
        off = float(np.abs(np.load(shap.out) - explainer.by_player(batch.slice(0, len(few))).T).max())
        if off > AGREES:
            raise SystemExit(f"{name}: contributions differ from shap's by {off}")
        notes[contestants[2].name] = f"differs from ours by {off:.1e} at most"
    print(f"\n### {name}\n\n{report(contestants, notes)}", flush=True)


def wide(n_rows: int, seed: int, n_columns: int) -> Any:
    parts = [features(n_rows, seed + 100 * place) for place in range(-(-n_columns // 20))]
    return np.concatenate(parts, axis=1)[:, :n_columns]


def us_a_row(contestant: Contestant) -> float:
    """Give the CPU microseconds a row, by the median."""
    return statistics.median(contestant.cpu_seconds) / contestant.rows * 1e6


def report(contestants: list[Contestant], notes: dict[str, str]) -> str:
    shap = next((us_a_row(one) for one in contestants if one.name.startswith("shap")), None)
    lines = [
        [
            one.name,
            f"{one.rows:,}",
            f"{us_a_row(one):,.2f}",
            f"{1e6 / us_a_row(one):,.0f}",
            f"{one.rows / statistics.median(one.seconds):,.0f}",
            f"{shap / us_a_row(one):,.1f}" if shap else "",
            notes.get(one.name, ""),
        ]
        for one in contestants
    ]
    return table(["", "rows", "CPU us a row", "rows a CPU second", "rows a second here", "times shap", ""], lines)


def write_page(n_rows: int, with_reasons: bool, model: Path, file: Path) -> None:
    """Score made rows in a stream and write them, as a page is; print wall and CPU seconds, and peak MiB."""

    import skops.io

    estimator = skops.io.load(model, trusted=skops.io.get_untrusted_types(file=model))
    names = [f"f{place}" for place in range(20)]
    scorer = compile_model(estimator, names)
    block = batch_of(features(BATCH_ROWS, 5))
    scorer.predict(block.slice(0, 10))
    wall, cpu = time.perf_counter(), time.process_time()
    explainer = Explainer(scorer, make_players(names), pa.table(block), at_rate=True) if with_reasons else None

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, n_rows, BATCH_ROWS):
            yield block.slice(0, min(BATCH_ROWS, n_rows - first))

    def to_rows(batch: pa.RecordBatch, scores: Any) -> pa.RecordBatch:
        columns = {"id": pa.array(np.arange(batch.num_rows)), "probability": pa.array(scores[:, 1])}
        if explainer is not None:
            columns["reasons"] = reasons_column(explainer, ReasonSettings(), batch, scores[:, 1])
        return pa.record_batch(columns)

    schema = to_rows(block.slice(0, 1), scorer.predict(block.slice(0, 1))).schema
    with pq.ParquetWriter(file, schema, compression="zstd", **encodings(schema)) as writer:
        for batch in score_stream(batches(), scorer, to_rows, at_once=2 if with_reasons else 1):
            writer.write_batch(batch)
    peak = peak_memory_bytes() / 2**20
    print(time.perf_counter() - wall, time.process_time() - cpu, peak, file.stat().st_size)


def compare_pages(n_rows: int, n_training: int, directory: Path) -> None:
    import skops.io

    model = hist(200, 31)(features(n_training, 1), label(features(n_training, 1), 2))
    skops.io.dump(model, directory / "page.skops")
    found = {}
    for way in ("without", "with"):
        command = [sys.executable, "-m", "tests.benchmarks.bench_reasons", "--child", way, "--page-rows", str(n_rows)]
        out = subprocess.run(
            [*command, "--directory", str(directory)], capture_output=True, text=True, check=True
        ).stdout.split()
        found[way] = [float(number) for number in out]
    lines = [[way, *(f"{number:,.1f}" for number in found[way][:3]), f"{found[way][3] / n_rows:.1f}"] for way in found]
    print(f"\n### A page of {n_rows:,} rows\n")
    print(table(["reasons", "wall s", "CPU s", "peak MiB", "bytes a row"], lines))
    times = [found["with"][place] / found["without"][place] for place in (0, 1)]
    more = (found["with"][2] - found["without"][2], (found["with"][3] - found["without"][3]) / n_rows)
    print(f"\nWith four reasons: {times[0]:.1f} times as long ({times[1]:.1f} by CPU), {more[0]:,.0f} MiB and"
          f" {more[1]:.1f} bytes a row more.")  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=262_144)
    parser.add_argument("--training-rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--page-rows", type=int, default=0)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--child", choices=["with", "without"], help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    directory = asked.directory or Path(tempfile.mkdtemp())
    if asked.child:
        write_page(
            asked.page_rows, asked.child == "with", directory / "page.skops", directory / f"{asked.child}.parquet"
        )
        return
    print(f"{machine()}; {versions('scikit-learn', 'lightgbm', 'xgboost', 'numba', 'numpy')}")
    for name in asked.shape or SHAPES:
        run_shape(name, asked.rows, asked.training_rows, asked.rounds, directory)
    if asked.page_rows:
        compare_pages(asked.page_rows, asked.training_rows, directory)


if __name__ == "__main__":
    main()
