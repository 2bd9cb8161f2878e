"""What was judged of pages, as the ledger keeps it: how far each column differs from the pages before."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.ledger import records as ledger

#: The reference of what is judged.
SEASON = "season"


@dataclass(frozen=True)
class Drift:
    """How far one column of a page differs from a reference; docs/ledger.md says what each figure is.

    `column_name` is None for the page as a whole. `run_id` is of the publication that was judged.
    """

    TABLE: ClassVar[str] = "drift"
    product: str
    kind: str
    as_of: datetime
    column_name: str | None
    segment: str | None
    reference: str
    run_id: str
    known_by: datetime
    snapshot_id: int
    state: str
    n_rows: int
    n_reference: int | None = None
    psi: float | None = None
    js: float | None = None
    w1: float | None = None
    ks: float | None = None
    missing_delta: float | None = None
    new_share: float | None = None
    out_of_range_share: float | None = None
    score: float | None = None
    slow_score: float | None = None
    p: float | None = None
    e: float | None = None
    evidence: float | None = None
    weight: float | None = None
    flags: list[str] = field(default_factory=list)
    alarm: str | None = None
    is_level: bool | None = None
    score_bound: float | None = None
    missing_change: float | None = None
    missing_bound: float | None = None
    spread_change: float | None = None
    spread_bound: float | None = None
    carried: float | None = None
    waiting: float | None = None
    basis: str | None = None


def findings_of(
    connection: duckdb.DuckDBPyConnection,
    product: str,
    first: datetime = datetime.min,
    until: datetime = datetime.max,
    known_at: datetime | None = None,
    column: str | None = None,
) -> list[Drift]:
    """Read what was last judged of a product's pages with first <= as_of < until, or had been judged at an instant.

    There is a row for each page as a whole, for each column with a finding, and for all of `column`.
    """
    values = [product, first, until, known_at, column]
    return ledger.records_of(connection, Drift, "monitoring/page_by_page", values)


@dataclass(frozen=True)
class TrainingProfile:
    """What the profiles of the pages that a version was trained on add up to; docs/ledger.md says what each figure is.

    `basis` names those pages and their publications. Categories that are not told apart stand among the others under
    a name of their own.
    """

    TABLE: ClassVar[str] = "training_profiles"
    product: str
    model_version: str
    basis: str
    column_name: str
    scale: str
    centre: float | None
    n_pages: int
    n_rows: int
    n_missing: int
    bins: list[int] = field(default_factory=list)
    top_values: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


def training_profiles_of(
    connection: duckdb.DuckDBPyConnection, product: str, version: str, basis: str
) -> list[TrainingProfile]:
    """Read what the profiles of a version's training pages add up to; none if that has not been written of these."""
    return ledger.records_of(connection, TrainingProfile, "monitoring/training_profiles", [product, version, basis])
