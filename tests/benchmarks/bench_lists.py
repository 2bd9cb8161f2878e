"""Ranked lists at the scorer's rate: one page of very many lists, through the CLI, with the memory that it took.

    python -m tests.benchmarks.bench_lists [--lists 100000 ...] [--candidates 200] [--top 20] [--keep "1 %"]

A synthetic suite of customers and items is made in a temporary directory. Each size is a page of its own, made by
`almanac run` in a process of its own; what it took is what the ledger's `runs` say. Beside it stand, each in a process
of its own too, the author's SQL alone in plain DuckDB, whose rows are dropped and then written as a Parquet file, and
the scorer alone, to which those rows are read from that file and whose scores are dropped.
"""

from __future__ import annotations

import argparse
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


def run_alone(way: str, root: Path, lists: int) -> float:
    """Run the author's SQL, or the scorer on its rows; return CPU seconds."""
    import duckdb

    db = duckdb.connect()
    db.execute(f"SET memory_limit = '2GiB'; SET threads = 2; SET temp_directory = '{root / 'spill'}'")
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
    begin = time.process_time()
    if way == "SQL, written":
        db.execute(f"COPY ({text}) TO '{file}' (FORMAT parquet, COMPRESSION lz4_raw, DICTIONARY_SIZE_LIMIT 1)")
    else:
        for batch in db.execute(text).to_arrow_reader(65_536):
            if way == "scorer":
                scorer.predict(batch)
    return time.process_time() - begin


def report_alone(root: Path, lists: int) -> list[list[str]]:
    """Return what the parts of a page take alone."""
    found = []
    for way in ALONE:
        command = [sys.executable, "-m", "tests.benchmarks.bench_lists", "--alone", way, "--lists", str(lists)]
        out = subprocess.run([*command, "--directory", str(root)], capture_output=True, text=True, check=True).stdout
        found.append([f"{lists:,}", way, f"{float(out.split()[-1]):.1f}"])
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
    chosen = parser.parse_args(arguments)
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
            almanac(root, "run", PRODUCT, "--as-of", page.isoformat())
            with open_suite(root, lambda: datetime(2026, 1, 1)).lake.reading() as connection:
                query = "SELECT n_rows, wall_s, cpu_s, peak_memory_bytes FROM ledger.runs WHERE job = 'predict'"
                n_rows, wall_s, cpu_s, peak = connection.execute(f"{query} ORDER BY started_at").fetchall()[-1]
            candidates = lists * chosen.candidates
            found.append([f"{lists:,} x {chosen.candidates}", f"{candidates:,}", f"{n_rows:,}", f"{wall_s:.1f}",
                          f"{cpu_s:.1f}", f"{candidates / wall_s / 1e6:.3f}", f"{peak / 2**20:,.0f}"])  # fmt: skip
            alone += report_alone(root, lists)
            print(found[-1], alone[-len(ALONE) :], flush=True)
    titles = ["lists", "candidates", "listed", "seconds", "CPU s", "million candidates/s", "peak MiB"]
    print("\n" + table(titles, found))
    print("\n" + table(["lists", "alone", "CPU s"], alone))


if __name__ == "__main__":
    main()
