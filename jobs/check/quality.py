"""Metrics of production's predictions and the working copy's, on the same labelled rows of matured pages.

Rows of one page resemble each other, so the interval of a difference is by drawing whole pages
(`jobs.models.kinds.page_metrics`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from jobs.check.differences import PagesBothWays
from jobs.check.results import Quality
from jobs.models.kinds.page_metrics import Scored, figure, paired_difference
from jobs.monitoring.performance.page_figures import score_and_label, score_matrix
from warehouse.definitions import Product
from warehouse.label_kinds import KINDS
from warehouse.system_sql import exact_path, literal, quote_all, system_sql

CONFIDENCE = 0.95
#: Of fewer pages an interval by drawing them says little.
FEWEST_PAGES = 5
WORSE, BETTER, NOT_TOLD = "worse", "better", "not told apart"


def quality_of(both: PagesBothWays, product: Product, labels: Path) -> Quality:
    """Compare the metrics of a product's kind on the pages of `both`, by labels in a file."""
    if product.ranking is not None:
        return Quality(why_not="of ranked lists not all candidates are published; see `almanac models compare`")
    score, label = score_and_label(product)
    query = system_sql(
        "check/scored",
        keys=quote_all(product.keys),
        score=score,
        label=label,
        before=both.before("predictions"),
        after=both.after("predictions"),
        labels=f"read_parquet({literal(exact_path(labels))})",
    )
    table = both.connection.execute(query).to_arrow_table()
    if table.num_rows == 0:
        return Quality(why_not="no row has a label and predictions made without hindsight on both sides")
    pages, numbers = np.unique(table.column("as_of").to_numpy().astype("M8[us]"), return_inverse=True)
    known = np.asarray(table.column("label").to_numpy(), np.float64)
    before, after = (
        Scored(
            known,
            score_matrix(table.select([side]).rename_columns(["score"]), product),
            numbers.astype(np.int64),
            len(pages),
            product.quantiles,
        )
        for side in ("before", "after")
    )
    seen: list[datetime] = pages.tolist()
    rows = _rows(product, before, after)
    notes = []
    if len(seen) < FEWEST_PAGES:
        notes.append(f"only {len(seen)} matured pages: intervals by drawing so few pages say little")
    return Quality(len(seen), len(known), seen[0], seen[-1], rows, notes)


def _rows(product: Product, before: Scored, after: Scored) -> list[dict[str, Any]]:
    found = []
    same = np.array_equal(before.scores, after.scores)
    for metric, higher in KINDS[product.kind.name].metrics.items():
        difference = paired_difference(metric, after, before, CONFIDENCE, product.header.model.seed)
        better = difference.low > 0 if higher else difference.high < 0
        worse = difference.high < 0 if higher else difference.low > 0
        found.append(
            {
                "metric": metric,
                "before": figure(metric, before),
                "after": figure(metric, after),
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
                "verdict": "the same" if same else BETTER if better else WORSE if worse else NOT_TOLD,
            }
        )
    return found


def why_worse(quality: Quality, pages: Sequence[datetime]) -> list[str]:
    """Say what speaks against a change whose metrics may not be worse; that nothing can be told does, too."""
    if quality.why_not is not None:
        return [f"metrics: {quality.why_not}"]
    if all(row["verdict"] == "the same" for row in quality.rows):
        return []
    if quality.n_pages < FEWEST_PAGES:
        return [
            f"metrics: only {quality.n_pages} matured pages, of {len(pages)} chosen, tell of them; {FEWEST_PAGES} are"
            " needed: give more --pages, or wait for labels"
        ]
    return [
        f"metrics: {row['metric']} is worse: {row['after']:.4g} after {row['before']:.4g}"
        f" (difference {row['low']:.3g} to {row['high']:.3g})"
        for row in quality.rows
        if row["verdict"] == WORSE
    ]
