"""A world whose truth is known: a concept that changes, inputs that drift without it, and a source that breaks.

Each day has a page of entities with two numbers; which of them makes the label likely is the concept. Labels are known
the day after. All facts are delivered in bulk afterwards, as those of an archive are.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from tests.conftest import clock_at

DAY = timedelta(days=1)
START = datetime(2026, 1, 1)
PRODUCT = "known"
_SHOWN = """/*
description: What is shown each day.
key: [id]
files: data/shown.csv
known_at: shown_at
*/
SELECT id, shown_at, x, y
FROM read_csv($files, header = true, types = {'id': 'VARCHAR', 'shown_at': 'TIMESTAMP', 'x': 'DOUBLE', 'y': 'DOUBLE'})
"""
_OUTCOMES = """/*
description: What came of it.
key: [id]
files: data/outcomes.csv
known_at: known
*/
SELECT id, known, hit
FROM read_csv($files, header = true, types = {'id': 'VARCHAR', 'known': 'TIMESTAMP', 'hit': 'INTEGER'})
"""
_PRODUCT = """description: Whether it hits.
owner: a test
keys: [id]
features: []
label: {kind: binary, matures_within: 1 day}
model: {estimator: logistic_regression, train_on: 9 days, seed: 1}
pages: {cron: "0 12 * * *", zone: UTC, since: 2026-01-02}
valid_for: 24 hours
gates: {metrics: {log_loss: {at_most: 5}}, min_pages: 1, pages: 3}
"""
_ENTITIES = """/*
description: What was shown in the day before the page.
*/
SELECT id, x, y
FROM shown
WHERE shown_at >= $as_of - INTERVAL 1 DAY
"""
_LABEL = """/*
description: 1 if it hit.
*/
SELECT id, hit AS label
FROM shown
JOIN outcomes USING (id)
WHERE shown_at >= $as_of - INTERVAL 1 DAY AND shown_at < $as_of
"""


@dataclass(frozen=True)
class World:
    """What happens, by days since the start: `broken` are the days on which x comes as 0."""

    days: int
    concept_changes: int
    inputs_drift: int
    broken: range
    rows: int = 100


def make_world(root: Path, world: World) -> Suite:
    """Write the files of a suite of this world, and take them in, after its end."""
    for folder in ("sql/sources", f"sql/products/{PRODUCT}", "data"):
        (root / folder).mkdir(parents=True)
    (root / "sql/sources/shown.sql").write_text(_SHOWN)
    (root / "sql/sources/outcomes.sql").write_text(_OUTCOMES)
    product = root / f"sql/products/{PRODUCT}"
    (product / "product.yaml").write_text(_PRODUCT)
    (product / "entities.sql").write_text(_ENTITIES)
    (product / "label.sql").write_text(_LABEL)
    (root / "schedules.yaml").write_text("jobs: {}\n")
    random = np.random.default_rng(1)
    with (root / "data/shown.csv").open("w", newline="") as one, (root / "data/outcomes.csv").open("w") as other:
        shown, outcomes = csv.writer(one), csv.writer(other)
        shown.writerow(["id", "shown_at", "x", "y"])
        outcomes.writerow(["id", "known", "hit"])
        for day in range(world.days):
            x = random.normal(1.0 if day >= world.inputs_drift else 0.0, 1.0, world.rows).round(3)
            y = random.normal(0.0, 1.0, world.rows).round(3)
            leads, other_one = (y, x) if day >= world.concept_changes else (x, y)
            hit = random.random(world.rows) < 1 / (1 + np.exp(-(2.5 * leads - 0.5 * other_one)))
            said = np.zeros(world.rows) if day in world.broken else x
            at = START + day * DAY + timedelta(hours=6)
            for n in range(world.rows):
                name = f"{day:04d}-{n:03d}"
                shown.writerow([name, at, said[n], y[n]])
                outcomes.writerow([name, at + timedelta(hours=12), int(hit[n])])
    suite = open_suite(root, clock_at(START + (world.days + 2) * DAY))
    ingest(suite)
    return suite
