"""Trials as the ledger keeps them: what a search for a better model has tried, rung by rung."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

KEPT, DROPPED, WON = "kept", "dropped", "won"
FAILED, TOO_SLOW, NOT_RUN = "failed", "too slow", "not run"


@dataclass(frozen=True)
class TrialRecord:
    """One try on one rung. docs/ledger.md says what each column is."""

    TABLE: ClassVar[str] = "trials"
    search_id: str
    product: str
    trial: int
    rung: int
    state: str
    estimator: str
    parameters: str
    pipeline: str | None
    without: str | None
    first_page: datetime
    cutoff: datetime
    known_by: datetime
    n_pages: int
    n_rows: int = 0
    n_judged: int = 0
    loss: float | None = None
    cpu_s: float | None = None
    page_seconds: float | None = None
    reason: str | None = None
    run_id: str | None = None
    snapshot_id: int = 0
