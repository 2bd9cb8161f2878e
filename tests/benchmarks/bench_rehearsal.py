"""Policies of training lived through on real history, with what the rehearsal itself costs.

    python -m tests.benchmarks.bench_rehearsal SUITE PRODUCT BEGIN END [HOLD_OUT]

lives through BEGIN to END of PRODUCT under the policies below, beside SUITE's lake, which stays as it is. Of
the flights of 2013, after `almanac demo`: `... almanac-demo flight_delay 2013-06-01 2014-01-01 0.5`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

from jobs.cli.options import now
from jobs.cli.output.console import print_table
from jobs.metering import cpu_seconds
from jobs.rehearsal.rehearse import rehearse
from jobs.scoring.kernels.tree_scorer import available_cpus
from jobs.suite import open_suite

POLICIES = """
policies:
  never: {{jobs: {{}}}}
  quarterly:
    jobs: {{train: {{run: {{train: {product}}}, cron: "0 5 1 */3 *"}}}}
    product: {gates}
  monthly:
    jobs: {{train: {{run: {{train: {product}}}, cron: "0 5 1 * *"}}}}
    product: {gates}
  asked:
    jobs:
      again:
        run: {{retrain: {product}}}
        cron: "0 5 * * MON"
        when: {{any: [{{age: 90 days}}, {{performance: alarm}}, {{drift: alarm}}]}}
        cooldown: 7 days
        learn_after: 14 pages
    product: {gates}
  weekly:
    jobs: {{train: {{run: {{train: {product}}}, cron: "0 5 * * MON"}}}}
    product: {gates}
"""
#: Whatever is trained goes live, so that the policies differ in when they train alone.
GATES = "{gates: {metrics: {log_loss: {at_most: 5}}, min_pages: 1}}"
#: How long a training takes in the lives: what comes of them does not hang on how busy this machine is.
TAKES = timedelta(minutes=1)
#: As the command does: so many policies at once.
CPUS = available_cpus()


def main(root: Path, product: str, begin: datetime, end: datetime, hold_out: float | None) -> None:
    """Print the table of policies, and what the rehearsal took."""
    suite = open_suite(root, now)
    wall, cpu = time.monotonic(), cpu_seconds()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "policies.yaml"
        path.write_text(POLICIES.format(product=product, gates=GATES))
        found = rehearse(suite, product, begin, end, path, hold_out=hold_out, training_takes=TAKES, processes=CPUS)
    if found.chosen_on:
        print_table([asdict(row) for row in found.chosen_on], f"{product}: before {found.held_out_from}")
    print_table([asdict(row) for row in found.rows], f"{product}: from {found.held_out_from or begin} to {end}")
    pages = max((row.pages for row in found.rows), default=0)
    took = {
        "wall_s": time.monotonic() - wall,
        "cpu_s": cpu_seconds() - cpu,
        "processes": CPUS,
        "pages": pages,
        "shared": found.shared,
    }
    print_table([took], f"The rehearsal; {found.best} is marked")


if __name__ == "__main__":
    # As the command line does. Threads that wait by spinning made a training on a busy machine five times as dear.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    held = float(sys.argv[5]) if len(sys.argv) > 5 else None
    main(Path(sys.argv[1]), sys.argv[2], *(datetime.fromisoformat(one) for one in sys.argv[3:5]), held)
