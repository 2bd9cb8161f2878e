"""Fairness of published predictions: groups of entities compared over the newest matured pages of each version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar

import duckdb
import numpy as np

from jobs.metering import RunMeter
from jobs.models.kinds.fairness import Tally
from jobs.monitoring.performance.judge import Judgement
from jobs.monitoring.performance.page_figures import Judged, labelled_rows
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.monitor import FairnessSettings
from warehouse.ledger import records as ledger
from warehouse.system_sql import quote


@dataclass(frozen=True)
class Fairness:
    """One figure of a group, or of how far groups lie apart; docs/ledger.md explains each column."""

    TABLE: ClassVar[str] = "fairness"
    product: str
    model_version: str
    by_columns: str
    metric: str
    statistic: str
    figure: float
    low: float | None
    high: float | None
    n_rows: int
    n_pages: int
    first_page: datetime
    last_page: datetime
    known_by: datetime
    run_id: str
    group_values: str | None = None
    snapshot_id: int = 0


def judge_fairness(suite: Suite, product_name: str, judgement: Judgement) -> list[Fairness]:
    """Compare the groups that `monitor.fairness` names, by the labels that the lake has; what is new is written.

    Parameters
    ----------
    judgement
        What was judged now: only its matured pages count.
    """
    product = suite.definitions.product(product_name)
    settings = product.header.monitor.fairness
    if settings is None:
        return []
    meter = RunMeter(suite, "monitor", product.name)
    found: list[Fairness] = []
    with suite.lake.reading(all_cores=True) as connection:
        for version in dict.fromkeys(row.model_version for row in judgement.rows):
            pages = sorted({row.as_of for row in judgement.rows if row.is_mature and row.model_version == version})
            for by in _combinations(settings.by):
                one = _figures(connection, product, settings, version, pages[-settings.pages :], by)
                found += [replace(each, known_by=suite.clock(), run_id=meter.run_id) for each in one]
        before = ledger.records_of(connection, Fairness, "performance/newest_fairness", [product.name])
    if found and _content(found) != _content(before):
        with suite.lake.commit(f"fairness of {product.name}, run {meter.run_id}") as commit:
            ledger.append(commit, [replace(one, snapshot_id=commit.snapshot_id) for one in found])
    return found


def _content(figures: Sequence[Fairness]) -> set[Fairness]:
    return {replace(one, known_by=datetime.min, run_id="", snapshot_id=0) for one in figures}


def _combinations(by: Sequence[str]) -> list[tuple[str, ...]]:
    """Give each column by itself, and all of them together."""
    alone: list[tuple[str, ...]] = [(name,) for name in by]
    return [*alone, tuple(by)] if len(by) > 1 else alone


def _figures(
    connection: duckdb.DuckDBPyConnection,
    product: Product,
    settings: FairnessSettings,
    version: str,
    pages: Sequence[datetime],
    by: tuple[str, ...],
) -> list[Fairness]:
    if not pages:
        return []
    tally = Tally(product.kind.name, settings.threshold)
    judged = Judged(product, f"labels.{quote(product.name)}", by, {})
    for page in pages:
        # One page at a time: memory does not grow with their number.
        groups, labels, scores = labelled_rows(connection, judged, page, version)
        tally.add(np.zeros(len(labels), np.int64), groups, labels, scores)
    return [
        Fairness(
            product=product.name,
            model_version=version,
            by_columns=", ".join(by),
            group_values=one.group,
            metric=one.metric,
            statistic=one.statistic,
            figure=one.figure,
            low=None if np.isnan(one.low) else one.low,
            high=None if np.isnan(one.high) else one.high,
            n_rows=one.n_rows,
            n_pages=one.n_pages,
            first_page=pages[0],
            last_page=pages[-1],
            known_by=pages[-1],
            run_id="",
        )
        for one in tally.figures(settings.min_rows, product.header.model.seed)
    ]
