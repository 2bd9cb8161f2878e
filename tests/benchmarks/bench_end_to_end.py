"""Benchmark 2: from a lake table to a committed, checked predictions table, streaming.

    python -m tests.benchmarks.bench_end_to_end [--rows N] [--rounds N] [--memory-rows N ...] [--peers NAME ...]

A table of float64 columns in a lake is read, scored, staged, checked and committed, as a page is. The stages are
also measured alone, and what they allow together if they did not overlap is 1 / (1/read + 1/kernel + 1/write).
Other ways to score the same rows with the same model, from a Parquet file to Parquet, run on fewer of them: pandas,
polars batches, MLflow's pyfunc, Daft batches and Spark's mapInArrow on local[2], each in an environment of its own
(`tests/benchmarks/peers.py`); their answers are compared too. With --memory-rows, the whole is done again with that
many rows in a process of its own, and the peak memory of each is shown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.metering import peak_memory_bytes
from jobs.scoring import Scorer, ready_scorer, score_stream
from jobs.scoring.interface.scorer import Floats
from tests.benchmarks.bench_kernel import NAMES, TRAINING_ROWS, batch_of, features, label
from tests.benchmarks.peers import PEERS, Peer, PeerMissing, start_peer
from tests.benchmarks.timing import Contestant, machine, measure, report, table, versions
from warehouse.lake.lake import Lake
from warehouse.system_sql import literal

BATCH_ROWS = 65_536
MADE_BY_ROWS = 500_000
WANTED = ", ".join(["id", *NAMES])
FAULTS = (
    "SELECT count(*) FROM read_parquet($1) WHERE score IS NULL OR NOT score BETWEEN 0 AND 1",
    "SELECT (SELECT count(*) FROM lake.bench.facts) - count(*) FROM read_parquet($1)",
    "SELECT count(*) FROM read_parquet($1) WHERE id IS NULL",
)
"""What must be 0 before a commit. Scoring keeps rows one to one, so that keys are unique if the features' are."""
PEER_ROWS = 200_000
SHOWN = {
    "pandas": "pandas + predict_proba + to_parquet",
    "polars": "polars batches + predict_proba",
    "mlflow": "MLflow pyfunc",
    "daft": "Daft batches",
    "spark": "Spark local[2] mapInArrow",
}
KEYS = "SELECT count(*) - count(DISTINCT id) FROM lake.bench.facts"


def trained(n_rows: int, n_trees: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = features(n_rows, 1)
    model = HistGradientBoostingClassifier(max_iter=n_trees, max_leaf_nodes=31, early_stopping=False, random_state=0)
    return model.fit(train, label(train, 2))


def make_lake(root: Path, n_rows: int) -> Lake:
    """Make a lake with the table `facts`, in files as an ingestion would add them."""
    lake = Lake(root)
    lake.create(datetime(2013, 1, 1), "bench")
    with lake.commit("facts") as commit:
        columns = ", ".join(f"{name} DOUBLE" for name in NAMES)
        commit.execute(f"CREATE SCHEMA IF NOT EXISTS lake.bench; CREATE TABLE lake.bench.facts (id BIGINT, {columns})")
        for first in range(0, n_rows, MADE_BY_ROWS):
            count = min(MADE_BY_ROWS, n_rows - first)
            rows = batch_of(features(count, 10 + first))
            ids = pa.array(np.arange(first, first + count))
            staged = lake.staging / f"facts-{first}.parquet"
            pq.write_table(pa.Table.from_batches([rows]).add_column(0, "id", ids), staged, compression="snappy")
            commit.add_file("bench", "facts", staged)
    return lake


def reader(connection: Any, limit: int | None = None) -> pa.RecordBatchReader:
    query = f"SELECT {WANTED} FROM lake.bench.facts" + (f" LIMIT {limit}" if limit else "")
    return connection.execute(query).to_arrow_reader(BATCH_ROWS)


def to_rows(batch: pa.RecordBatch, probabilities: Floats) -> pa.RecordBatch:
    scores = pa.array(np.ascontiguousarray(probabilities[:, 1]))
    return pa.record_batch({"id": batch.column("id"), "score": scores})


def write(batches: Iterator[pa.RecordBatch], file: Path) -> int:
    schema = pa.schema([("id", pa.int64()), ("score", pa.float64())])
    n_rows = 0
    # Dictionaries of numbers that hardly repeat cost three times the writing itself.
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
        for batch in batches:
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


def publish(lake: Lake, scorer: Scorer, name: str) -> int:
    """Score the whole table into a new table `predictions_NAME`: stage, check, commit."""
    staged = lake.staging / f"{name}.parquet"
    with lake.reading() as connection:
        n_rows = write(score_stream(reader(connection), scorer, to_rows), staged)
        for fault in FAULTS:
            row = connection.execute(fault, [str(staged)]).fetchone()
            assert row == (0,), fault
    with lake.commit(name) as commit:
        commit.execute(f"CREATE OR REPLACE TABLE lake.bench.predictions_{name} (id BIGINT, score DOUBLE)")
        commit.add_file("bench", f"predictions_{name}", staged)
    return n_rows


def stages(lake: Lake, scorer: Scorer, n_rows: int) -> list[Contestant]:
    """Each stage alone: reading the table, scoring batches that are there, writing rows that are there."""
    with lake.reading() as connection:
        batches = list(reader(connection, min(n_rows, 10 * BATCH_ROWS)))
    held = sum(batch.num_rows for batch in batches)
    scored = [to_rows(batch, scorer.predict(batch)) for batch in batches]

    def read() -> None:
        with lake.reading() as connection:
            for _ in reader(connection):
                pass

    def score() -> None:
        for batch in batches:
            scorer.predict(batch)

    def write_alone() -> None:
        write(iter(scored), lake.staging / "alone.parquet")

    def check_keys() -> None:
        with lake.reading() as connection:
            assert connection.execute(KEYS).fetchone() == (0,)

    return [
        Contestant("unique keys (of the features)", n_rows, check_keys),
        Contestant("read alone", n_rows, read),
        Contestant("kernel alone, with probabilities", held, score),
        Contestant("write alone", held, write_alone),
    ]


@contextmanager
def peers(lake: Lake, model: Any, n_rows: int, names: Sequence[str]) -> Iterator[list[Contestant]]:
    """Other ways to do the same, on few rows; those that cannot take part are named, with the reason."""
    import skops.io

    few = max(1000, min(n_rows, PEER_ROWS))
    rows, artifact = lake.staging / "few.parquet", lake.staging / "few.skops"
    with lake.reading() as connection:
        connection.execute(f"COPY (SELECT {WANTED} FROM lake.bench.facts LIMIT {few}) TO {literal(str(rows))}")
    skops.io.dump(model, artifact)
    expected = expected_of(model, rows)
    running: list[Peer] = []
    for name in names:
        out = lake.staging / f"{name}.parquet"
        try:
            peer = start_peer(name, rows, artifact, out, NAMES, lake.staging / f"{name}.log")
            running.append(peer)
            peer.run()
        except PeerMissing as error:
            print(f"{name} is left out: {error}")
            running = [other for other in running if other.name != name]
            continue
        print(f"{name}: {peer.versions}; {same_scores(out, expected)}")
    yield [Contestant(SHOWN[peer.name], few, peer.run) for peer in running]
    for peer in running:
        peer.close()


def expected_of(model: Any, rows: Path) -> Floats:
    """The estimator's own probabilities, in the order of `id`."""
    table = pq.read_table(rows).sort_by("id")
    matrix = np.column_stack([table.column(name).to_numpy() for name in NAMES])
    scores: Floats = model.predict_proba(matrix)[:, 1]
    return scores


def same_scores(out: Path, expected: Floats) -> str:
    found = pq.read_table(out, columns=["id", "score"]).sort_by("id").column("score").to_numpy()
    if not np.array_equal(found, expected):
        raise SystemExit(f"{out.stem} gives other probabilities than the estimator")
    return f"equal bits on {len(found):,} rows"


def agree(lake: Lake, model: Any, name: str, n_rows: int) -> str:
    """Compare the committed predictions with the estimator's, bit by bit, on evenly spread rows."""
    step = max(1, n_rows // 20_000)
    query = f"SELECT {WANTED}, score FROM lake.bench.facts JOIN lake.bench.predictions_{name} USING (id)"
    with lake.reading() as connection:
        rows = connection.execute(f"{query} WHERE id % {step} = 0").to_arrow_table()
    matrix = np.column_stack([rows.column(place).to_numpy() for place in NAMES])
    if not np.array_equal(model.predict_proba(matrix)[:, 1], rows.column("score").to_numpy()):
        raise SystemExit("the committed predictions differ from the estimator's")
    return f"equal bits on {rows.num_rows:,} rows"


def peak_mib() -> float:
    return peak_memory_bytes() / 2**20


def only_publish(directory: Path, artifact: Path) -> None:
    """Publish once and print the rate and the peak memory: what a process of its own does."""
    import skops.io

    model = skops.io.load(artifact, trusted=skops.io.get_untrusted_types(file=artifact))
    lake = Lake(directory)
    with lake.reading() as connection:
        sample = pa.Table.from_batches(list(reader(connection, 2000))).select(NAMES)
    scorer, _ = ready_scorer(model, NAMES, sample)
    start = time.perf_counter()
    n_rows = publish(lake, scorer, "alone")
    print(n_rows / (time.perf_counter() - start) / 1e6, peak_mib())


def memory(model: Any, sizes: list[int], directory: Path) -> list[list[str]]:
    """Publish tables of several sizes, each in a process of its own."""
    import skops.io

    artifact = directory / "model.skops"
    skops.io.dump(model, artifact)
    found = []
    for size in sizes:
        root = directory / f"lake-{size}"
        make_lake(root, size)
        command = [sys.executable, "-m", "tests.benchmarks.bench_end_to_end", "--publish", str(root), str(artifact)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rate, peak = done.stdout.split()
        found.append([f"{size:,}", f"{float(rate):.3f}", f"{float(peak):,.0f}"])
    return found


def compare(lake: Lake, model: Any, scorer: Scorer, n_rows: int, rounds: int, names: Sequence[str]) -> None:
    """Time the whole, its stages and the peers in turn, and print what they come to."""
    whole = Contestant("lake to committed predictions", n_rows, lambda: publish(lake, scorer, "all"))
    keys, *parts = stages(lake, scorer, n_rows)
    with peers(lake, model, n_rows, names) as others:
        measure([whole, *parts, keys, *others], rounds)
    allowed = 1 / sum(1 / part.million_rows_per_s for part in parts)
    notes = {
        whole.name: agree(lake, model, "all", n_rows),
        parts[-1].name: f"stages one after another would allow {allowed:.3f}",
    }
    for other in others:
        notes[other.name] = f"the whole is {whole.million_rows_per_s / other.million_rows_per_s:.1f} times that"
    print(f"\n{n_rows:,} rows x {len(NAMES)} float64 columns; medians of {rounds} alternating runs\n")
    print(report([whole, *parts, keys, *others], others[0].name if others else whole.name, notes))
    print(f"\nOf what the stages allow: {whole.million_rows_per_s / allowed:.0%}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--training-rows", type=int, default=TRAINING_ROWS)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--directory", help="where the lakes are made (default: a temporary directory)")
    parser.add_argument("--publish", nargs=2, metavar=("LAKE", "MODEL"), help="used by --memory-rows")
    chosen = parser.parse_args(arguments)
    if chosen.publish:
        only_publish(Path(chosen.publish[0]), Path(chosen.publish[1]))
        return
    print(machine())
    print(versions("duckdb", "duckdb-extension-ducklake", "pyarrow", "scikit-learn", "numba", "pandas", "polars"))
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        model = trained(chosen.training_rows, chosen.trees)
        lake = make_lake(Path(directory) / "lake", chosen.rows)
        with lake.reading() as connection:
            sample = pa.Table.from_batches(list(reader(connection, 2000))).select(NAMES)
        scorer, parity = ready_scorer(model, NAMES, sample)
        print(f"{scorer.kind}: {scorer.why} Compared on {parity.rows if parity else 0:,} rows.")
        compare(lake, model, scorer, chosen.rows, chosen.rounds, chosen.peers)
        if chosen.memory_rows:
            found = memory(model, chosen.memory_rows, Path(directory))
            print("\nIn a process of its own\n\n" + table(["rows", "million rows/s", "peak MiB"], found))


if __name__ == "__main__":
    main()
