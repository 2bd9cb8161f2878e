"""Judgements of published pages, as `ledger.performance` keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.ledger import records as ledger


@dataclass(frozen=True)
class Performance:
    """How one version's predictions of one page, or of one segment of it, did; docs/ledger.md explains each figure."""

    TABLE: ClassVar[str] = "performance"
    product: str
    as_of: datetime
    model_version: str
    known_by: datetime
    run_id: str
    page_run_id: str
    n_rows: int
    n_labelled: int
    is_mature: bool
    labels_run_id: str | None = None
    segment: str | None = None
    segment_value: str | None = None
    maturity: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)
    loss: float | None = None
    expected_loss: float | None = None
    excess: float | None = None
    calibration_slope: float | None = None
    slope_low: float | None = None
    slope_high: float | None = None
    calibration_intercept: float | None = None
    intercept_low: float | None = None
    intercept_high: float | None = None
    margin: float | None = None
    bound: float | None = None
    evidence: float | None = None
    without_largest: float | None = None
    without_three: float | None = None
    largest_share: float | None = None
    alarm: bool | None = None
    alarm_open: bool | None = None
    estimate: float | None = None
    estimate_low: float | None = None
    estimate_high: float | None = None
    withheld: str | None = None
    snapshot_id: int = 0

    @property
    def judged(self) -> tuple[datetime, str, str | None, str | None]:
        """What it is a judgement of: page, version, segment and its value."""
        return self.as_of, self.model_version, self.segment, self.segment_value


def newest_judgements(connection: duckdb.DuckDBPyConnection, product: str, known_by: datetime) -> list[Performance]:
    """Read the newest judgement of each page, version and segment, of those made as of an instant or before."""
    return ledger.records_of(connection, Performance, "performance/newest", [product, known_by])
