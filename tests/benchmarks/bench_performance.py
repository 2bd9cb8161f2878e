"""Alarms and estimates on the flights of October to December, as they are and with labels shifted on purpose.

    python -m tests.benchmarks.bench_performance SUITE

SUITE is one in which `bench_flight_delay` has published the pages from 2013-10-01 on. A shift of x logits makes as many
of the punctual flights of all later pages late as odds of exp(x) would. Coverage is of the mean loss over the rows of
seven pages in turn, beginning on any day, where the labels of pages up to three days before were known.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from jobs.cli.options import now
from jobs.cli.output.console import print_table
from jobs.models.versions import load_held_out
from jobs.monitoring.performance.cbpe import entropy
from jobs.monitoring.performance.estimate import estimate
from jobs.monitoring.performance.evidence import MARGIN, steps, variance_to_r
from jobs.monitoring.performance.losses import losses
from jobs.suite import open_suite
from jobs.suites.demo import PRODUCT
from warehouse.ledger import records as ledger

BOUND, WITHIN = 365.0, 30
QUERY = (
    "SELECT as_of, probability AS p, label AS y FROM predictions.flight_delay_outcomes WHERE NOT hindsight"
    " ORDER BY as_of, probability, label"
)


def excess_of(pages: np.ndarray, p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean excess of each page."""
    return np.bincount(pages, losses(y, p, "binary") - entropy(p)) / np.bincount(pages)


def shifted(pages: np.ndarray, p: np.ndarray, y: np.ndarray, first: int, by: float, seed: int) -> np.ndarray:
    """Labels of which so many zeros have become ones, from a page on."""
    odds = p / (1 - p) * np.exp(by)
    turned = np.random.default_rng(seed).random(len(y)) < (odds / (1 + odds) - p) / (1 - p)
    return np.where((pages >= first) & (y == 0) & turned, 1.0, y)


def main(root: Path) -> None:
    """Print how often what is put in is found, and how often the interval holds."""
    suite = open_suite(root, now)
    with suite.lake.reading() as connection:
        rows = connection.execute(QUERY).fetchnumpy()
        model = ledger.models(connection, PRODUCT)[0]
    names, pages = np.unique(rows["as_of"], return_inverse=True)
    p, y = np.asarray(rows["p"], float), np.asarray(rows["y"], float)
    held_out = load_held_out(suite.lake, model)
    assert held_out is not None
    v_pages = np.unique(held_out.column("as_of").to_numpy(), return_inverse=True)[1]
    v_p, v_y = held_out.column("score").to_numpy(), held_out.column("label").to_numpy()
    validation = excess_of(v_pages, v_p, v_y)
    r, margin = variance_to_r(validation, 0.0), MARGIN * float(entropy(v_p).mean())
    real = excess_of(pages, p, y)
    went = steps(real.tolist(), r, margin, BOUND)
    alarms = [str(names[n])[:10] for n, step in enumerate(went) if step.alarm]
    print(f"{len(names)} pages, margin {margin:.4f}: {len(alarms)} alarms {alarms}, most evidence", end=" ")
    print(f"{max(step.evidence for step in went):.0f} of {BOUND:.0f}")
    found = []
    for by in (0.25, 0.5, 0.75, 1.0):
        delays = []
        for first in range(5, len(names) - WITHIN, 4):
            for seed in range(3):
                excess = excess_of(pages, p, shifted(pages, p, y, first, by, seed))
                alarm = [n for n, step in enumerate(steps(excess.tolist(), r, margin, BOUND)) if step.alarm]
                delays.append(alarm[0] - first + 1 if alarm and alarm[0] >= first else np.inf)
        within = float(np.mean(np.array(delays) <= WITHIN))
        found.append({"logits": by, "runs": len(delays), "within_30_pages": within, "median": float(np.median(delays))})
    print_table(found, "Shifts found")
    print_table(
        [_coverage(real, np.bincount(pages), validation, start) for start in range(7)], "Intervals of seven pages"
    )


def _coverage(real: np.ndarray, sizes: np.ndarray, validation: np.ndarray, start: int) -> dict[str, float]:
    inside = []
    for first in range(start, len(real) - 6, 7):
        past = np.append(validation, real[: max(0, first - 2)])
        one = estimate(np.ones(7), np.ones(7), past)
        assert one is not None
        inside.append(
            abs(np.average(real[first : first + 7], weights=sizes[first : first + 7])) <= one.high - one.value
        )
    return {"first_page": start, "weeks": len(inside), "inside": int(np.sum(inside))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
