"""A search against the model as product.yaml has it, on months that neither has seen.

    python -m tests.benchmarks.bench_search SUITE PRODUCT AS_OF TRIALS BUDGET

trains PRODUCT as of AS_OF twice, as it stands and by a search of TRIALS models in BUDGET, promotes neither, and
compares both on all later pages whose labels have matured. Where product.yaml has no `search`, the one below is written
to it: SUITE is a suite to try things in.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from jobs.cli.options import now
from jobs.cli.output.console import print_table
from jobs.metering import cpu_seconds
from jobs.rollout.compare import compare
from jobs.suite import open_suite
from jobs.training.register import Order
from jobs.training.search import Searching
from jobs.training.train import train
from warehouse.definitions.durations import parse_duration

SEARCH = """
search:
  candidates:
    - estimator: hist_gradient_boosting_classifier
      parameters:
        max_iter: {low: 60, high: 400, log: true}
        learning_rate: {low: 0.02, high: 0.2, log: true}
        max_leaf_nodes: [15, 31, 63]
        min_samples_leaf: {low: 20, high: 400, log: true}
        l2_regularization: {low: 0.01, high: 30.0, log: true}
        max_features: [0.3, 0.6, 1.0]
"""


def main(root: Path, product: str, as_of: datetime, trials: int, budget: str) -> None:
    """Print what the search tried, and both models on the pages that neither has seen."""
    header = root / f"sql/products/{product}/product.yaml"
    if "\nsearch:" not in header.read_text():
        header.write_text(header.read_text().rstrip() + SEARCH)
    suite = open_suite(root, now)
    order, costs, versions = Order("a benchmark", may_promote=False), [], []
    for searching in (None, Searching(trials, parse_duration(budget))):
        began = cpu_seconds()
        found = train(suite, product, as_of, searching=searching, order=order)
        versions.append(found.model.version)
        costs.append({"version": versions[-1], "cpu_s": cpu_seconds() - began, "parameters": found.model.parameters})
    tried = [one for one in found.trials if one.loss is not None]
    print_table([{"rung": n, "trials": sum(one.rung == n for one in tried)} for n in range(3)], "Trials judged")
    print_table(costs, "Trainings")
    result = compare(suite, product, (versions[0], versions[1]), first=as_of)
    title = f"{result.n_pages} later pages, {result.n_rows:,} rows; difference: searched less hand-set"
    print_table(result.rows, title)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
