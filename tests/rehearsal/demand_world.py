"""A shop whose demand is three times as high from one morning on: a page and its labels every five minutes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from tests.conftest import clock_at

PRODUCT = "demand"
FIVE = timedelta(minutes=5)
_ITEMS = """/*
description: What is sold, and how much of it in five usual minutes.
key: [item]
files: data/items.csv
known_at: since
*/
SELECT item, since, usual
FROM read_csv($files, header = true, types = {'item': 'VARCHAR', 'since': 'TIMESTAMP', 'usual': 'DOUBLE'})
"""
_SALES = """/*
description: How much of an item was sold in five minutes, known at their end.
key: [item, sold_at]
files: data/sales.csv
known_at: counted_at
*/
SELECT item, sold_at, counted_at, n
FROM read_csv($files, header = true,
    types = {'item': 'VARCHAR', 'sold_at': 'TIMESTAMP', 'counted_at': 'TIMESTAMP', 'n': 'INTEGER'})
"""
_PRODUCT = """description: How much of each item is sold in the next five minutes.
owner: a test
keys: [item]
features: []
label: {kind: regression, matures_within: 5 minutes}
model: {estimator: ridge, train_on: 90 minutes, seed: 1}
pages: {every: 5 minutes, zone: UTC, since: 2026-11-27T00:10}
valid_for: 1 hour
monitor: {season: none, false_alarms: 30 a month}
gates: {metrics: {rmse: {at_most: 1000}}, min_pages: 1, pages: 3}
"""
_ENTITIES = """/*
description: All items, with what was sold of each in the five minutes before the page.
*/
SELECT item, usual, coalesce(n, 0) AS sold_before
FROM items
LEFT JOIN sales USING (item)
WHERE sold_at IS NULL OR sold_at = $as_of - INTERVAL 5 MINUTE
"""
_LABEL = """/*
description: What was sold.
*/
SELECT item, n::DOUBLE AS label
FROM sales
WHERE sold_at >= $as_of AND sold_at < $as_of + INTERVAL 5 MINUTE
"""


@dataclass(frozen=True)
class Demand:
    """From `begin` to `end` there are sales; from `rises` on `times` as many."""

    begin: datetime
    end: datetime
    rises: datetime
    times: float = 3.0
    items: int = 60


def make_shop(root: Path, demand: Demand) -> Suite:
    """Write the files of a suite of this shop, and take them in, after the end."""
    for folder in ("sql/sources", f"sql/products/{PRODUCT}", "data"):
        (root / folder).mkdir(parents=True)
    product = root / f"sql/products/{PRODUCT}"
    for path, text in (
        (root / "sql/sources/items.sql", _ITEMS),
        (root / "sql/sources/sales.sql", _SALES),
        (product / "product.yaml", _PRODUCT),
        (product / "entities.sql", _ENTITIES),
        (product / "label.sql", _LABEL),
        (root / "schedules.yaml", "jobs: {}\n"),
    ):
        path.write_text(text)
    random = np.random.default_rng(7)
    usual = np.linspace(5, 40, demand.items).round(1)
    with (root / "data/items.csv").open("w", newline="") as file:
        rows = [[f"i{n:02d}", demand.begin - FIVE, one] for n, one in enumerate(usual)]
        csv.writer(file).writerows([["item", "since", "usual"], *rows])
    with (root / "data/sales.csv").open("w", newline="") as file:
        sales = csv.writer(file)
        sales.writerow(["item", "sold_at", "counted_at", "n"])
        at = demand.begin
        while at < demand.end:
            sold = random.poisson(usual * (demand.times if at >= demand.rises else 1.0))
            counted_at = at + FIVE - timedelta(seconds=1)
            sales.writerows([f"i{n:02d}", at, counted_at, one] for n, one in enumerate(sold))
            at += FIVE
    suite = open_suite(root, clock_at(demand.end + timedelta(hours=1)))
    ingest(suite)
    return suite
