"""The year of flight_delay's pages with predictions: `almanac backfill`, and a loop of pandas and `predict_proba`.

    python -m tests.benchmarks.bench_predictions [--pages 357] [--repeats 3]

A version is trained as of 2013-10-01 and writes every page of the year (`--hindsight` marks those whose outcomes it
has seen). The features of all pages are there. Contestants, each as a whole command in a process of its own, in
turns: Almanac; the loop, over the same features in a DuckDB file. At the end their predictions are compared.
"""

from __future__ import annotations

import argparse
import pickle
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import duckdb

from jobs.facts.ingest import ingest
from jobs.models.versions import load_estimator
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import Suite, open_suite
from jobs.suites.demo import PRODUCT, TRAINED_AS_OF
from jobs.suites.starter import make_flights
from jobs.training.train import train
from warehouse.ledger import records as ledger

FIRST_DAY = datetime(2013, 1, 8)
LOOP = Path(__file__).with_name("backfill_peers") / "scoring_loop.py"


def hand_over(suite: Suite, directory: Path) -> None:
    """Give the loop what it needs: the features in a DuckDB file, and the estimator."""
    with suite.lake.reading() as lake, duckdb.connect(str(directory / "loop.duckdb")) as connection:
        model = ledger.models(lake, PRODUCT)[-1]
        found = lake.execute(f"FROM features.{PRODUCT}").to_arrow_table()
        connection.register("found", found)
        connection.execute("CREATE TABLE features AS FROM found")
    estimator = load_estimator(suite.lake, model)
    (directory / "model.pickle").write_bytes(pickle.dumps((estimator, list(model.features))))


def seconds_of(command: list[str], prepare: Callable[[], object]) -> float:
    """Run a whole command, and give its seconds."""
    prepare()
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def differing(suite: Suite, loop: Path) -> tuple[int, int]:
    """Count the loop's predictions, and those that are not Almanac's to the last bit."""
    query = f"SELECT flight_date, carrier, flight, origin, as_of, probability AS p FROM predictions.{PRODUCT}"
    with suite.lake.reading() as lake, duckdb.connect(str(loop), read_only=True) as connection:
        connection.register("ours", lake.execute(query).to_arrow_table())
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM predictions), (SELECT count(*) FROM (FROM predictions EXCEPT ALL FROM ours))"
        ).fetchone()
    assert counts is not None
    return counts


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=357)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_flights(directory / "suite")
        suite = open_suite(directory / "suite", lambda: datetime(2014, 2, 1))
        ingest(suite)
        train(suite, PRODUCT, TRAINED_AS_OF)
        until = FIRST_DAY + timedelta(days=options.pages)
        backfill(suite, BackfillOrder(PRODUCT, FIRST_DAY, until, features_only=True))
        hand_over(suite, directory)
        shutil.copytree(suite.lake.root, directory / "lake")

        def fresh_lake() -> None:
            shutil.rmtree(suite.lake.root)
            shutil.copytree(directory / "lake", suite.lake.root)

        almanac = [sys.executable, "-m", "jobs", "--suite", str(suite.root), "backfill", PRODUCT, "--model", "v1"]
        almanac += ["--hindsight", "--from", FIRST_DAY.isoformat(), "--to", until.isoformat()]
        loop = [sys.executable, str(LOOP), str(directory / "loop.duckdb"), str(directory / "model.pickle")]
        ours, theirs = [], []
        for _ in range(options.repeats):
            ours.append(seconds_of(almanac, fresh_lake))
            theirs.append(seconds_of(loop, lambda: None))
            print(f"almanac {ours[-1]:.1f} s, the loop {theirs[-1]:.1f} s", flush=True)
        n_rows, n_differing = differing(suite, directory / "loop.duckdb")
    ratio = statistics.median(loop_s / our_s for our_s, loop_s in zip(ours, theirs, strict=True))
    print(f"{options.pages} pages, {n_rows} predictions, features there; {options.repeats} runs of each in turns;")
    print(f"duckdb {version('duckdb')}, scikit-learn {version('scikit-learn')}, Python {platform.python_version()}")
    print("| | seconds | times almanac | does besides |\n|---|---|---|---|")
    print(f"| almanac backfill | {statistics.median(ours):.1f} | 1.0 | checks, ledger, leases, resume, one commit |")
    print(f"| the loop | {statistics.median(theirs):.1f} | {ratio:.1f} | nothing; {n_differing} predictions differ |")


if __name__ == "__main__":
    main()
