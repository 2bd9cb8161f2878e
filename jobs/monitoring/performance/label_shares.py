"""Labels as they were known at an instant, and how many of a young page's labels are there already.

The share is taken from the page that stood at the same age a while before: as many whole weeks as labels take to
mature. Of its labels, which are all known by now, so many were known then. What is missing is not like what is there
(who buys again is known before who does not), so that the share is for people to read, and no figure is made of such a
page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from jobs.metering import RunMeter
from jobs.monitoring.performance.records import Performance
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.pages.labels import compute_labels
from warehouse.sandbox import Sandbox

_WEEK = timedelta(days=7)


def labels_at(suite: Suite, product: Product, pages: Sequence[datetime], at: datetime, directory: Path) -> Path:
    """Compute the labels of some pages as known at an instant; give the file that has them."""
    file = directory / f"labels-{at:%Y%m%dT%H%M%S}.parquet"
    with Sandbox(suite.lake, spill=directory / "spill") as sandbox:
        compute_labels(sandbox, suite.definitions, product, pages, at, file, needs_lake=False)
    return file


def shares_of_labels(
    suite: Suite, product: Product, rows: Sequence[Performance], at: datetime
) -> dict[datetime, float]:
    """Give the share of each page's labels that is there: 1 of pages whose labels have all come.

    A page without one that can be looked at, as the first ones, has none.
    """
    final = {row.as_of: row.n_labelled for row in rows if row.segment is None and row.is_mature}
    shares = {row.as_of: 1.0 for row in rows if row.is_mature}
    before = math.ceil(product.maturity / _WEEK) * _WEEK
    like = {row.as_of: row.as_of - before for row in rows if not row.is_mature}
    asked = sorted({page for page in like.values() if final.get(page)})
    if not asked:
        return shares
    import pyarrow.parquet as pq

    with suite.staging(RunMeter(suite, "monitor", product.name).run_id) as directory:
        table = pq.read_table(labels_at(suite, product, asked, at - before, directory), columns=["as_of"])
    counted = {each["values"]: each["counts"] for each in table.column("as_of").value_counts().to_pylist()}
    known = {page: counted.get(page, 0) for page in asked}
    return shares | {page: known[other] / final[other] for page, other in like.items() if other in known}
