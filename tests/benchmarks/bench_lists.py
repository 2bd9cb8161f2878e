"""Ranked lists at the scorer's rate: one page of very many lists, through the CLI, with the memory that it took.

    python -m tests.benchmarks.bench_lists [--lists 100000 ...] [--candidates 200] [--top 20] [--keep "1 %"]

A synthetic suite of customers and items is made in a temporary directory. Each size is a page of its own, made by
`almanac run` in a process of its own; what it took is what the ledger's `runs` say, and beside that the part of it in
which candidates are made, scored and sifted as one stream. Then come, each in a process of its own too, the author's
SQL alone in plain DuckDB, whose rows are dropped and then written as a Parquet file, and the scorer alone, to which
those rows are read ahead from that file, as for a page, and whose scores are dropped; all with the same threads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.models.versions import load_scorer, model_history
from jobs.suite import open_suite
from tests.benchmarks.bench_pages_at_rate import almanac
from tests.benchmarks.timing import machine, table, versions

PRODUCT = "shelf"
N_FEATURES = 8
FIRST_PAGE = datetime(2025, 1, 2)
TRAINED_AS_OF = FIRST_PAGE + timedelta(days=3)

SOURCE = """/*
description: The {name} of the shop.
key: [{key}]
files: data/{name}.parquet
known_at: listed_at
*/
SELECT {key}, {columns}, listed_at FROM read_parquet($files)
"""
ENTITIES = """/*
description: For each customer, everything on sale.
*/
SELECT customer_id, item_id, age, price, {tastes}
FROM (FROM customers WHERE customer_id < {lists})
CROSS JOIN items
"""
LABEL = """/*
description: Which items were bought, by a rule that the model can learn.
*/
SELECT
    customer_id,
    item_id,
    (hash(customer_id, item_id, $as_of) % 100 < 3 + (customer_id + item_id) % 9)::INTEGER AS label
FROM (FROM customers WHERE customer_id < 300)
CROSS JOIN items
WHERE $known_by >= $as_of + INTERVAL 1 DAY
"""
PRODUCT_YAML = """
description: What a customer is shown.
keys: [customer_id, item_id]
label: {{kind: ranking, list: [customer_id], top: {top}, at_most: {candidates}, matures_within: 1 day{keep}}}
model:
  estimator: hist_gradient_boosting_classifier
  parameters: {{max_iter: {trees}, max_leaf_nodes: 31, early_stopping: false}}
pages: {{cron: "0 0 * * *", since: 2025-01-02}}
valid_for: 24 hours
"""


def write_suite(root: Path, chosen: argparse.Namespace) -> None:
    """Write the definitions and the files of facts."""
    product = root / "sql/products" / PRODUCT
    for directory in (root / "sql/sources", root / "sql/features", product / "checks", root / "data"):
        directory.mkdir(parents=True)
    tastes = [f"t{place}" for place in range(N_FEATURES)]
    for name, key, columns in (("customers", "customer_id", tastes), ("items", "item_id", ["age", "price"])):
        text = SOURCE.format(name=name, key=key, columns=", ".join(columns))
        (root / f"sql/sources/{name}.sql").write_text(text)
        n_rows = max(chosen.lists) if name == "customers" else chosen.candidates
        values: dict[str, Any] = {key: np.arange(n_rows)}
        values |= {each: np.random.default_rng(place).normal(size=n_rows) for place, each in enumerate(columns)}
        values["listed_at"] = pa.array([datetime(2025, 1, 1)] * n_rows)
        pq.write_table(pa.table(values), root / f"data/{name}.parquet")
    (product / "label.sql").write_text(LABEL)
    keep = f', keep: "{chosen.keep}"' if chosen.keep else ""
    sizes = {"top": chosen.top, "candidates": chosen.candidates, "trees": chosen.trees}
    (product / "product.yaml").write_text(PRODUCT_YAML.format(keep=keep, **sizes))


def write_entities(root: Path, lists: int) -> None:
    """Let so many customers have a list."""
    tastes = ", ".join(f"t{place} * (1 + sin(item_id + {place}) / 9) AS t{place}" for place in range(N_FEATURES))
    (root / "sql/products" / PRODUCT / "entities.sql").write_text(ENTITIES.format(lists=lists, tastes=tastes))


ALONE = ("SQL, dropped", "SQL, written", "scorer")


class Took:
    """Seconds of all cores, and of the clock, since it was made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def __str__(self) -> str:
        return f"{time.process_time() - self._cpu:.3f} {time.perf_counter() - self._wall:.3f}"


def make_page(root: Path, page: str) -> str:
    """Run `almanac run` in this process; return what its stream of candidates took."""
    from jobs.__main__ import main as almanac_main
    from warehouse.batching.batch import Batch

    stream, took = Batch._stream, list[str]()

    def timed(*arguments: Any) -> Any:
        began = Took()
        found = stream(*arguments)
        took.append(str(began))
        return found

    Batch._stream = timed  # type: ignore[method-assign]
    sys.argv = ["almanac", "--suite", str(root), "run", PRODUCT, "--as-of", page]
    try:
        almanac_main()
    except SystemExit as ended:
        if ended.code:
            raise
    (one,) = took
    return one


def run_alone(way: str, root: Path, lists: int) -> Took:
    """Run the author's SQL, or the scorer on its rows; return what that took."""
    import duckdb

    from jobs.scoring import score_stream
    from jobs.scoring.kernels.tree_scorer import available_cpus

    db = duckdb.connect()
    db.execute(f"SET memory_limit = '2GiB'; SET threads = {available_cpus()}; SET temp_directory = '{root / 'spill'}'")
    for name in ("customers", "items"):
        db.execute(f"CREATE VIEW {name} AS FROM read_parquet('{root / 'data' / name}.parquet')")
    text = (root / "sql/products" / PRODUCT / "entities.sql").read_text().split("*/")[1]
    file = root / f"alone-{lists}.parquet"
    if way == "scorer":
        lake = open_suite(root, lambda: datetime(2026, 1, 1)).lake
        with lake.reading() as connection:
            model = model_history(connection, PRODUCT).version("v1")
        scorer = load_scorer(lake, model)
        names = ", ".join(model.features)
        scorer.predict(
            db.execute(f"SELECT {names} FROM read_parquet('{file}') LIMIT 10").to_arrow_table().to_batches()[0]
        )
        text = f"SELECT {names} FROM read_parquet('{file}')"
    began = Took()
    if way == "SQL, written":
        db.execute(f"COPY ({text}) TO '{file}' (FORMAT parquet, COMPRESSION lz4_raw, DICTIONARY_SIZE_LIMIT 1)")
    else:
        rows = db.execute(text).to_arrow_reader(65_536)
        for _ in score_stream(rows, scorer, lambda batch, _: batch.slice(0, 0)) if way == "scorer" else rows:
            pass
    return began


def in_own_process(*words: str) -> tuple[float, float]:
    """Run this module with some words; return the seconds of all cores and of the clock that it tells at its end."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_lists", *words]
    # As `almanac` sets it, which here comes after the import of numpy.
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr}")
    cpu_s, wall_s = map(float, done.stdout.split()[-2:])
    return cpu_s, wall_s


def report_alone(root: Path, lists: int, candidates: int) -> list[list[str]]:
    """Return what the parts of a page take alone."""
    found = []
    for way in ALONE:
        cpu_s, wall_s = in_own_process("--alone", way, "--lists", str(lists), "--directory", str(root))
        found.append([f"{lists:,}", way, f"{cpu_s:.1f}", f"{wall_s:.1f}", f"{candidates / wall_s / 1e6:.2f}"])
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--keep", default="", help="the share of lists whose candidates are all kept, such as `1 %%`")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--directory", help="where the suite is made (default: a temporary directory)")
    parser.add_argument("--alone", choices=ALONE, help=argparse.SUPPRESS)
    parser.add_argument("--page", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.page:
        print(make_page(Path(chosen.directory), chosen.page))
        return
    if chosen.alone:
        print(run_alone(chosen.alone, Path(chosen.directory), chosen.lists[0]))
        return
    print(machine())
    print(versions("duckdb", "duckdb-extension-ducklake", "pyarrow", "scikit-learn", "numba"))
    found: list[list[Any]] = []
    alone: list[list[str]] = []
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        root = Path(directory) / "suite"
        write_suite(root, chosen)
        write_entities(root, 300)
        almanac(root, "ingest")
        almanac(root, "train", PRODUCT, "--as-of", TRAINED_AS_OF.isoformat())
        for day, lists in enumerate(chosen.lists):
            write_entities(root, lists)
            page = TRAINED_AS_OF + timedelta(days=1 + day)
            stream_cpu_s, stream_s = in_own_process("--page", page.isoformat(), "--directory", str(root))
            with open_suite(root, lambda: datetime(2026, 1, 1)).lake.reading() as connection:
                query = "SELECT n_rows, wall_s, cpu_s, peak_memory_bytes FROM ledger.runs WHERE job = 'predict'"
                n_rows, wall_s, cpu_s, peak = connection.execute(f"{query} ORDER BY started_at").fetchall()[-1]
            candidates = lists * chosen.candidates
            found.append([f"{lists:,} x {chosen.candidates}", f"{candidates:,}", f"{n_rows:,}", f"{wall_s:.1f}",
                          f"{cpu_s:.1f}", f"{peak / 2**20:,.0f}", f"{stream_cpu_s:.1f}", f"{stream_s:.1f}",
                          f"{candidates / stream_s / 1e6:.2f}"])  # fmt: skip
            alone += report_alone(root, lists, candidates)
            print(found[-1], alone[-len(ALONE) :], flush=True)
    titles = ["lists", "candidates", "listed", "seconds", "CPU s", "peak MiB", "stream: CPU s", "seconds", "million/s"]
    print("\n" + table(titles, found))
    print("\n" + table(["lists", "alone", "CPU s", "seconds", "million/s"], alone))


if __name__ == "__main__":
    main()
