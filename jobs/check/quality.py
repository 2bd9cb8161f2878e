"""Metrics of production's predictions and the working copy's, on the same labelled rows of matured pages.

Rows of one page resemble each other, so the interval of a difference is by drawing whole pages
(`jobs.models.kinds.page_metrics`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from jobs.check.differences import PagesBothWays
from jobs.check.results import Quality
from jobs.models.kinds.page_metrics import (
    PAGE_METRICS,
    OfCounts,
    Scored,
    drawn_difference,
    mean_of_values,
)
from jobs.monitoring.performance.page_figures import score_and_label, score_matrix
from warehouse.definitions import Product
from warehouse.label_kinds import KINDS
from warehouse.system_sql import exact_path, literal, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

CONFIDENCE = 0.95
#: Of fewer pages an interval by drawing them says little.
FEWEST_PAGES = 5
WORSE, BETTER, NOT_TOLD = "worse", "better", "not told apart"
#: A metric of drawn pages before and after, and whether nothing differs that it is of.
_Sides: TypeAlias = tuple[OfCounts, OfCounts, bool]


def quality_of(both: PagesBothWays, product: Product, labels: Path) -> Quality:
    """Compare the metrics of a product's kind on the pages of `both`, by labels in a file."""
    sides = {
        "keys": quote_all(product.keys),
        "before": both.before("predictions"),
        "after": both.after("predictions"),
        "labels": f"read_parquet({literal(exact_path(labels))})",
    }
    if product.ranking is not None:
        lists = {"list": quote_all(product.ranking.keys), "top": str(product.ranking.top)}
        query = system_sql("check/scored_lists", **sides, **lists)
    else:
        score, label = score_and_label(product)
        query = system_sql("check/scored", score=score, label=label, **sides)
    table = both.connection.execute(query).to_arrow_table()
    if table.num_rows == 0:
        what = "list" if product.ranking is not None else "row"
        return Quality(why_not=f"no {what} has a label and predictions made without hindsight on both sides")
    pages, numbers = np.unique(table.column("as_of").to_numpy().astype("M8[us]"), return_inverse=True)
    of_rows = numbers.astype(np.int64)
    if product.ranking is not None:
        n_rows = int(np.asarray(table.column("n_rows").to_numpy()).sum())
        reduced = _of_lists(product, table, of_rows, len(pages))
    else:
        n_rows = table.num_rows
        reduced = _of_rows(product, table, of_rows, len(pages))
    seen: list[datetime] = pages.tolist()
    rows = [_compared(product, metric, *sides, len(seen)) for metric, sides in reduced.items()]
    notes = []
    if len(seen) < FEWEST_PAGES:
        notes.append(f"only {len(seen)} matured pages: intervals by drawing so few pages say little")
    return Quality(len(seen), n_rows, seen[0], seen[-1], rows, notes)


def _of_rows(product: Product, table: pa.Table, pages: npt.NDArray[np.int64], n_pages: int) -> dict[str, _Sides]:
    """Reduce each metric of rows to what it is of drawn pages, before and after; and tell whether nothing differs."""
    known = np.asarray(table.column("label").to_numpy(), np.float64)
    before, after = (
        Scored(
            known,
            score_matrix(table.select([side]).rename_columns(["score"]), product),
            pages,
            n_pages,
            product.quantiles,
        )
        for side in ("before", "after")
    )
    same = np.array_equal(before.scores, after.scores)
    metrics = KINDS[product.kind.name].metrics
    return {metric: (PAGE_METRICS[metric](before), PAGE_METRICS[metric](after), same) for metric in metrics}


def _of_lists(product: Product, table: pa.Table, pages: npt.NDArray[np.int64], n_pages: int) -> dict[str, _Sides]:
    """Reduce each metric of lists in the same way."""
    found: dict[str, _Sides] = {}
    for metric in KINDS[product.kind.name].metrics:
        before, after = (
            np.asarray(table.column(f"{metric}_{side}").to_numpy(), np.float64) for side in ("before", "after")
        )
        means = mean_of_values(before, pages, n_pages), mean_of_values(after, pages, n_pages)
        found[metric] = (*means, np.array_equal(before, after))
    return found


def _compared(
    product: Product, metric: str, before: OfCounts, after: OfCounts, same: bool, n_pages: int
) -> dict[str, Any]:
    difference = drawn_difference(after, before, n_pages, CONFIDENCE, product.header.model.seed)
    everything = np.ones((1, n_pages))
    higher = KINDS[product.kind.name].metrics[metric]
    better = difference.low > 0 if higher else difference.high < 0
    worse = difference.high < 0 if higher else difference.low > 0
    return {
        "metric": metric,
        "before": float(before(everything)[0]),
        "after": float(after(everything)[0]),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "verdict": "the same" if same else BETTER if better else WORSE if worse else NOT_TOLD,
    }


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
