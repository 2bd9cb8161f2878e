"""Benchmark 2: from a lake table to a committed, checked predictions table, streaming.

    python -m tests.benchmarks.bench_end_to_end [--rows N] [--rounds N] [--memory-rows N]

A table of float64 columns in a lake is read, scored, staged, checked and committed, as a page is. The stages are
also measured alone, and what they allow together if they did not overlap is 1 / (1/read + 1/kernel + 1/write).
Other ways to score the same table with the same model run on fewer rows: pandas, polars batches, and MLflow, Daft
and Spark where they are installed. With --memory-rows, the whole is done again with that many rows in a process of
its own, and the peak memory of both is compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.scoring import Scorer, ready_scorer, score_stream
from jobs.scoring.scorer import Floats
from tests.benchmarks.bench_kernel import NAMES, TRAINING_ROWS, batch_of, features, label
from tests.benchmarks.timing import Contestant, machine, measure, report, table, versions
from warehouse.lake import Lake
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
KEYS = "SELECT count(*) - count(DISTINCT id) FROM lake.bench.facts"


def trained(n_rows: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = features(n_rows, 1)
    model = HistGradientBoostingClassifier(max_iter=200, max_leaf_nodes=31, early_stopping=False, random_state=0)
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


def peers(lake: Lake, model: Any, n_rows: int) -> list[Contestant]:
    """Other ways to do the same, on few rows."""
    few = max(1000, min(n_rows, 200_000))
    with lake.reading() as connection:
        file = lake.staging / "few.parquet"
        connection.execute(f"COPY (SELECT {WANTED} FROM lake.bench.facts LIMIT {few}) TO {literal(str(file))}")

    def with_pandas() -> None:
        import pandas

        frame = pandas.read_parquet(file)
        scores = model.predict_proba(frame[NAMES].to_numpy())[:, 1]
        pandas.DataFrame({"id": frame["id"], "score": scores}).to_parquet(lake.staging / "pandas.parquet")

    def with_polars() -> None:
        import polars

        parts = []
        for frame in polars.read_parquet(file).iter_slices(BATCH_ROWS):
            scores = model.predict_proba(frame.select(NAMES).to_numpy())[:, 1]
            parts.append(frame.select("id").with_columns(polars.Series("score", scores)))
        polars.concat(parts).write_parquet(lake.staging / "polars.parquet")

    found = [Contestant("polars batches + predict_proba", few, with_polars)]
    if importlib.util.find_spec("pandas"):
        found.insert(0, Contestant("pandas + predict_proba + to_parquet", few, with_pandas))
    for name in ("mlflow", "daft", "pyspark"):
        if not importlib.util.find_spec(name):
            print(f"{name} is not installed, and left out.")
    return found


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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--training-rows", type=int, default=TRAINING_ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[])
    parser.add_argument("--directory", help="where the lakes are made (default: a temporary directory)")
    parser.add_argument("--publish", nargs=2, metavar=("LAKE", "MODEL"), help="used by --memory-rows")
    chosen = parser.parse_args(arguments)
    if chosen.publish:
        only_publish(Path(chosen.publish[0]), Path(chosen.publish[1]))
        return
    print(machine())
    print(versions("duckdb", "duckdb-extension-ducklake", "pyarrow", "scikit-learn", "numba", "pandas", "polars"))
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        model = trained(chosen.training_rows)
        lake = make_lake(Path(directory) / "lake", chosen.rows)
        with lake.reading() as connection:
            sample = pa.Table.from_batches(list(reader(connection, 2000))).select(NAMES)
        scorer, parity = ready_scorer(model, NAMES, sample)
        print(f"{scorer.kind}: {scorer.why} Compared on {parity.rows if parity else 0:,} rows.")
        whole = Contestant("lake to committed predictions", chosen.rows, lambda: publish(lake, scorer, "all"))
        keys, *parts = stages(lake, scorer, chosen.rows)
        others = peers(lake, model, chosen.rows)
        measure([whole, *parts, keys, *others], chosen.rounds)
        allowed = 1 / sum(1 / part.million_rows_per_s for part in parts)
        notes = {
            whole.name: agree(lake, model, "all", chosen.rows),
            parts[-1].name: f"stages one after another would allow {allowed:.3f}",
        }
        print(f"\n{chosen.rows:,} rows x {len(NAMES)} float64 columns; medians of {chosen.rounds} alternating runs\n")
        print(report([whole, *parts, keys, *others], others[0].name, notes))
        print(f"\nOf what the stages allow: {whole.million_rows_per_s / allowed:.0%}")
        if chosen.memory_rows:
            found = memory(model, chosen.memory_rows, Path(directory))
            print("\nIn a process of its own\n\n" + table(["rows", "million rows/s", "peak MiB"], found))


if __name__ == "__main__":
    main()
