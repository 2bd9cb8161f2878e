"""Trainings that a process remembers: what has been learnt from the same rows in the same way is not learnt twice.

Policies of a rehearsal that train as of the same instant on the same definitions share their versions by it. What is
kept is what a training finds out about itself; whether the version goes live is judged anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from jobs.models.columns.findings import FeatureFindings
from jobs.pages.labelled import TrainingRows
from jobs.scoring import ParityReport, Scorer
from jobs.training.fit import Learnt
from jobs.training.validation import Validation

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LearntRows:
    """What stays of the rows that a version has learnt from: their number, pages and hash, and the first of them."""

    n_rows: int
    pages: Sequence[datetime]
    hash: str
    sample: pa.Table

    @classmethod
    def of(cls, rows: TrainingRows, features: Sequence[str], n_sample: int) -> LearntRows:
        """Take it from rows, of which `features` were read; so many of them are kept."""
        # A copy: a slice would keep all rows in memory.
        sample = rows.features.slice(0, n_sample).take(list(range(min(n_sample, rows.n_rows))))
        return cls(rows.n_rows, rows.distinct_pages(), rows.hash(features), sample)


@dataclass(frozen=True)
class Fitted:
    """What a training has found out, before it is judged; `cpu_s` and `wall_s` are what that took."""

    learnt: Learnt
    scorer: Scorer
    report: ParityReport | None
    rows: LearntRows
    validation: Validation
    beside: list[dict[str, Any]]
    findings: FeatureFindings
    influenced: float | None
    fit_s: float
    cpu_s: float
    wall_s: float


class Recalls(Protocol):
    """Knows the trainings that were made before."""

    def of(self, key: str, make: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        """Give the training of a key, and whether it was made before."""


@dataclass
class Recalled:
    """The trainings of a process, by what they follow from. `n_shared` counts those that were not made again."""

    made: dict[str, Fitted] = field(default_factory=dict)
    n_shared: int = 0

    def of(self, key: str, make: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        """Give the training of a key, and whether it was made before."""
        if key in self.made:
            self.n_shared += 1
            return self.made[key], True
        found = self.made[key] = make()
        return found, False
