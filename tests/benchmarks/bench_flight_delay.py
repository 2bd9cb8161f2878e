"""The quality of the flight-delay model on every page of October to December, beside two baselines.

    python -m tests.benchmarks.bench_flight_delay [SUITE]

Without SUITE it makes one in a temporary directory, as `almanac demo` does. It then publishes every page from
2013-10-01 on, each from the facts known at its 18:00, and compares predictions and baselines with the labels.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from jobs.cli.options import now
from jobs.cli.output.console import Lines, print_table
from jobs.models.kinds.metrics import binary_metrics, calibration_table
from jobs.pages.predict import predict_pages
from jobs.suite import open_suite
from jobs.suites.demo import PRODUCT, TRAINED_AS_OF, run_demo

UNTIL = datetime(2014, 1, 1)
QUERY = Path(__file__).parent / "sql" / "carrier_hour.sql"


def measure(root: Path) -> None:
    """Publish what is missing of the range, and print how it did."""
    suite = open_suite(root, now)
    product = suite.definitions.product(PRODUCT)
    pages = product.pages_between(TRAINED_AS_OF, UNTIL)
    predict_pages(suite, product, pages, progress=Lines())
    parameters = {"cutoff": TRAINED_AS_OF, "first": TRAINED_AS_OF, "until": UNTIL}
    with suite.lake.reading() as connection:
        table = connection.execute(QUERY.read_text(), parameters).to_arrow_table()
    columns = {name: table.column(name).to_numpy().astype(np.float64) for name in table.column_names}
    names = {"probability": "Almanac", "carrier_hour": "carrier-hour mean", "base_rate": "base rate"}
    shown = ("n_rows", "roc_auc", "log_loss", "brier", "mean_probability", "base_rate")
    rows = []
    for column, title in names.items():
        figures = binary_metrics(columns["label"], columns[column])
        rows.append({"model": title, **{name: figures[name] for name in shown}})
    print_table(rows, f"{len(pages)} pages, scikit-learn {version('scikit-learn')}, duckdb {version('duckdb')}")
    print_table(calibration_table(columns["label"], columns["probability"]), "Calibration, by tenths")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            run_demo(Path(directory) / "suite", now, Lines())
            measure(Path(directory) / "suite")
