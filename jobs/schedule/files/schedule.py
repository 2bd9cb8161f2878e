"""A schedule as plain values: what `schedules.yaml` says once it is read, defaults applied and names checked.

Reading and checking the file is left to `jobs.schedule.files.definitions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from jobs.schedule.files.kinds import Takes, kind_of
from jobs.schedule.files.retraining import Retraining
from jobs.schedule.files.triggers import Trigger

CatchUp = Literal["all", "latest", "none"]
Overlap = Literal["queue", "skip"]


@dataclass(frozen=True, slots=True)
class Work:
    """What a job does: a kind of `KINDS`. `names`: its sources, its product, its import path or its shell command."""

    kind: str
    names: tuple[str, ...] = ()

    @property
    def product(self) -> str | None:
        """The product whose pages this writes; None for any other kind of work."""
        return self.names[0] if kind_of(self.kind).writes_pages else None

    @property
    def concerns(self) -> str | None:
        """The product that this names, whether it writes pages of it or not."""
        return self.names[0] if kind_of(self.kind).takes is Takes.PRODUCT else None

    def __str__(self) -> str:
        return " ".join((self.kind, *self.names))


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a tick is tried in all, and how long it rests in between.

    The n-th rest is `backoff` x 2^(n-1), `at_most` that long, and up to the share `jitter` (0 to 1) shorter or
    longer, so that jobs that failed together do not come back together.
    """

    attempts: int = 1
    backoff: timedelta = timedelta(minutes=1)
    at_most: timedelta = timedelta(minutes=30)
    jitter: float = 0.1


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the schedule. The keys are explained in docs/schedule.md; `retraining` has those of a retrain job."""

    name: str
    work: Work
    trigger: Trigger
    was: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    ready_when: str | None = None
    unless: str | None = None
    wait_at_most: timedelta = timedelta(hours=24)
    retries: Retries = Retries()
    timeout: timedelta | None = None
    grace: timedelta = timedelta(minutes=5)
    catch_up: CatchUp = "latest"
    catch_up_at_most: int = 100
    overlap: Overlap = "queue"
    pool: str = "default"
    owner: str | None = None
    team: str | None = None
    tags: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    retraining: Retraining = field(default_factory=Retraining)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All jobs by name, the pools that they share, and where to tell of what concerns no single job."""

    jobs: Mapping[str, Job] = field(default_factory=lambda: MappingProxyType({}))
    pools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({"default": 4}))
    alerts: tuple[str, ...] = ()
