"""The customer products on every page of January to April 1998 whose labels have matured, beside baselines.

    python -m tests.benchmarks.bench_customers [SUITE]

Both are trained as of 1998-01-05 on every Monday since 1997-01-13, and predict the Mondays after it, each from what
was known at its 06:00. Baselines: what the customer spent in the last 12 weeks; and the training period's mean for
customers who are alike in how often they bought in 26 weeks and how many weeks ago they last did.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from jobs.cli.output.console import Lines, print_table
from jobs.facts.ingest import ingest
from jobs.models.kinds.figures import FIGURES
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.outcomes import settle_labels
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import clock_at
from tests.customers.conftest import NOW, PRODUCTS, write_suite

TRAINED_AS_OF = datetime(1998, 1, 5)
UNTIL = datetime(1998, 4, 8)
QUERY = Path(__file__).parent / "sql" / "customers.sql"
#: The label in the words of the query, for the baselines' training period.
OUTCOMES = {
    "customer_value": "coalesce(spent.dollars, 0)",
    "customer_churn": "(spent.customer_id IS NULL)::INTEGER",
}
SHOWN = {
    "customer_value": ("n_rows", "rmse", "mae", "r2"),
    "customer_churn": ("n_rows", "roc_auc", "log_loss", "brier", "base_rate"),
}


def timed(what: str, rows: list[dict[str, Any]], run: Any) -> Any:
    began = time.monotonic()
    result = run()
    rows.append({"step": what, "pages": None, "rows": None, "seconds": round(time.monotonic() - began, 1)})
    return result


def make(root: Path) -> list[dict[str, Any]]:
    """Ingest, train both products, and publish the pages; give what each step took."""
    write_suite(root, since="1997-01-13", trees=120)
    suite = open_suite(root, clock_at(NOW))
    steps: list[dict[str, Any]] = []
    timed("ingest", steps, lambda: ingest(suite))
    for product in PRODUCTS:
        model = timed(f"train {product}", steps, lambda name=product: train(suite, name, TRAINED_AS_OF, Lines())).model
        steps[-1] |= {"pages": model.n_pages, "rows": model.n_rows}
        order = BackfillOrder(product, TRAINED_AS_OF, UNTIL)
        made = timed(f"backfill {product}", steps, lambda order=order: backfill(suite, order))
        pages = [record for record in made.published if record.kind == "predictions"]
        steps[-1] |= {"pages": len(pages), "rows": made.n_rows}
        settle_labels(suite, suite.definitions.product(product))
    return steps


def compare(suite: Suite, product: str) -> list[dict[str, Any]]:
    """Give the figures of the predictions and of the baselines, on the same rows."""
    header = suite.definitions.product(product)
    text = QUERY.read_text().replace("{product}", product).replace("{score}", header.score_column)
    text = text.replace("{outcome}", OUTCOMES[product])
    parameters = {"first": TRAINED_AS_OF, "until": UNTIL}
    with suite.lake.reading() as connection:
        rows = connection.execute(text, {**parameters, "mature": TRAINED_AS_OF}).to_arrow_table()
    columns = {name: rows.column(name).to_numpy().astype(np.float64) for name in rows.column_names}
    names = {"score": "Almanac", "alike": "mean of customers alike", "mean": "mean of all"}
    if product == "customer_value":
        names["last"] = "what was spent in the last 12 weeks"
    metrics = FIGURES[header.header.label.kind].metrics
    found = []
    for column, title in names.items():
        figures = metrics(columns["label"], columns[column], ())
        shown = {name: figures[name] for name in SHOWN[product]}
        found.append({"predicted by": title, **shown, "n_rows": int(figures["n_rows"])})
    return found


def measure(root: Path) -> None:
    suite = open_suite(root, clock_at(NOW))
    for product in PRODUCTS:
        print_table(compare(suite, product), f"{product}, scikit-learn {version('scikit-learn')}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            print_table(make(Path(directory) / "shop"), "Made")
            measure(Path(directory) / "shop")
