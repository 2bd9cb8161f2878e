"""A tick, a run and their ends: the vocabulary that the tick store, the decisions and the scheduler share.

A tick is one instant at which a job was due. It is waiting, then running (perhaps several times), and ends
with exactly one outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from jobs.schedule.files.schedule import Job

Outcome = Literal["ran", "caught up", "coalesced", "skipped", "failed"]
#: The outcomes that let a job which comes `after` go ahead.
SUCCEEDED: tuple[Outcome, ...] = ("ran", "caught up")


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick without an outcome yet. All instants are naive UTC.

    Attributes
    ----------
    job_id
        The job's identity in the tick store, which a rename does not change.
    at
        When the job was due.
    page
        The `as_of` that it is due for: of a predict job the newest page of its product's grid, otherwise `at`.
        None if the product's grid had not begun.
    seen_at
        When a scheduler first saw it to be due.
    missed
        Whether that was later than the job's `grace` allows.
    attempts
        How many attempts ended in failure.
    abandoned
        How many attempts ended because whoever made them was gone.
    not_before
        When the next attempt may be made.
    run
        The run that it is in; None while it waits.
    reason
        What it was last said to wait for.
    """

    job_id: int
    at: datetime
    page: datetime | None
    seen_at: datetime
    missed: bool
    attempts: int = 0
    abandoned: int = 0
    not_before: datetime | None = None
    run: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at one tick, or at several missed ones that are caught up together, oldest first."""

    run: int
    job: Job
    ticks: tuple[Tick, ...]
    lease: str

    @property
    def first_page(self) -> datetime:
        """The oldest page of the run."""
        return self.ticks[0].page or self.ticks[0].at

    @property
    def last_page(self) -> datetime:
        """The newest page of the run; the same as `first_page` for a run of one tick."""
        return self.ticks[-1].page or self.ticks[-1].at


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run and all its processes used. The peak is that of the largest process."""

    cpu_s: float
    wall_s: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended. `interrupted`: it was stopped for no fault of its own, and is not counted against it."""

    run: int
    succeeded: bool
    reason: str = ""
    interrupted: bool = False
    cost: Cost | None = None
