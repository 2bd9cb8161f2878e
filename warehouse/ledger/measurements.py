"""Measurements as the ledger keeps them: what fresh data is worth, and rehearsals with their policies.

Neither registers or publishes anything: the rows say what was asked, and what came out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

#: The kinds of figures of a freshness.
VERSION, AGE, POLICY, INSTEAD = "version", "age", "policy", "instead"
#: The pages that a row of a policy is about: all of them, or those before, or from, the first that is held out.
ALL, CHOSEN_ON, HELD_OUT = "all", "chosen on", "held out"


@dataclass(frozen=True)
class FreshnessRecord:
    """One measurement of what fresh data is worth. docs/ledger.md says what each column is."""

    TABLE: ClassVar[str] = "freshness"
    freshness_id: str
    product: str
    known_by: datetime
    first_page: datetime
    last_page: datetime
    loss: str
    n_pages: int
    rows_a_year: float
    cpu_s: float
    measured_by: str
    notes: list[str]
    run_id: str
    snapshot_id: int


@dataclass(frozen=True)
class FreshnessFigure:
    """One figure of such a measurement. docs/ledger.md says what each column is."""

    TABLE: ClassVar[str] = "freshness_figures"
    freshness_id: str
    product: str
    kind: str
    name: str
    days: float | None
    cutoff: datetime | None
    figure: float
    low: float | None
    high: float | None
    n_rows: int | None
    n_pages: int | None
    trainings_a_year: float | None
    cpu_s: float | None


@dataclass(frozen=True)
class RehearsalRecord:
    """One rehearsal. docs/ledger.md says what each column is."""

    TABLE: ClassVar[str] = "rehearsals"
    rehearsal_id: str
    product: str
    known_by: datetime
    begins: datetime
    ends: datetime
    metric: str
    higher_is_better: bool
    best: str | None
    held_out_from: datetime | None
    training_s: float
    n_shared: int
    facts_in_their_time: bool
    policies: str
    notes: list[str]
    kept_in: str | None
    run_id: str
    snapshot_id: int


@dataclass(frozen=True)
class RehearsedPolicy:
    """What one policy of a rehearsal came to on some pages. docs/ledger.md says what each column is."""

    TABLE: ClassVar[str] = "rehearsed_policies"
    rehearsal_id: str
    product: str
    part: str
    place: int
    policy: str
    is_best: bool
    trainings: int
    promoted: int
    cpu_s: float
    n_pages: int
    figure: float | None
    low: float | None
    high: float | None
    better: float | None
    better_low: float | None
    better_high: float | None
    acute_alarms: int
    drift_alarms: int
    performance_alarms: int
    age_days: float | None
    n_faulty: int
    n_failed: int
    note: str
