"""Triggers as the ledger keeps them: each answer whether a product is trained again, and what became of the trainings.

An answer is one row. One that says `train` is followed by a row of the same name that says what became of it: the
version that was registered, in the commit of the registration, or why there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.ledger import records as ledger

#: What becomes of a training; other answers are those of `jobs.retraining.decision`.
TRAINED, FAILED = "trained", "failed"
ENDS = (TRAINED, FAILED)


@dataclass(frozen=True)
class Trigger:
    """One answer, or what became of a training. docs/ledger.md says what each column is.

    Attributes
    ----------
    known_by
        The instant as of which it was asked, naive UTC; of what became of a training, when that was known.
    tick
        The tick of the job. Whoever asks again for it gets the same answer.
    rules
        What the job said of when to train, as JSON, so that the question can be asked again.
    """

    TABLE: ClassVar[str] = "triggers"
    trigger_id: str
    product: str
    job: str
    known_by: datetime
    tick: datetime
    answer: str
    reason: str
    fired: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    rules: str | None = None
    version: str | None = None
    run_id: str | None = None
    snapshot_id: int = 0

    @property
    def is_end(self) -> bool:
        """Whether it says what became of a training."""
        return self.answer in ENDS


def trigger_id(product: str, job: str, tick: datetime) -> str:
    """Name the answer for a tick of a job: the same for whoever asks."""
    text = f"{product}\x1f{job}\x1f{tick.isoformat()}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:12]


def triggers_of(connection: duckdb.DuckDBPyConnection, product: str, known_at: datetime | None = None) -> list[Trigger]:
    """Read a product's answers, and what became of its trainings, before an instant; the oldest first."""
    return ledger.records_of(connection, Trigger, "retraining/triggers", [product, known_at])


def end_of(triggers: Sequence[Trigger], trigger_id: str) -> Trigger | None:
    """Find what became of a training last; None where that is not known yet."""
    return next((one for one in reversed(triggers) if one.is_end and one.trigger_id == trigger_id), None)
