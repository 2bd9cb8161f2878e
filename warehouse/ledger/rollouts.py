"""Rollouts as the ledger keeps them: what began, each step, each look; and who serves which page by that.

A step says all that holds from a page on: the stage, the versions that are still in, and who is given to whom. So the
arms of a page follow from the newest step that was made for it, whatever was decided since about later ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import ClassVar

import duckdb

from warehouse.definitions.rollout import RolloutSettings
from warehouse.ledger import records as ledger

#: What a step can be.
START, ADVANCE, DROP, HOLD, RESUME = "start", "advance", "drop", "hold", "resume"
#: The steps that end a rollout.
PROMOTE, ABORT, UNDECIDED = "promote", "abort", "undecided"
ENDS = (PROMOTE, ABORT, UNDECIDED)


@dataclass(frozen=True)
class Rollout:
    """A rollout as it began.

    Attributes
    ----------
    versions, live
        The challengers in order, and the version that they are compared with.
    salt
        From it and the unit an entity's arm follows.
    plan
        The key `rollout` of product.yaml as it was then, as JSON; what is changed there later is for the next one.
    effective_from
        The first page, naive UTC.
    label_definition
        What a label meant then.
    """

    TABLE: ClassVar[str] = "rollouts"
    rollout_id: str
    product: str
    versions: list[str]
    live: str
    salt: str
    plan: str
    effective_from: datetime
    label_definition: str
    started_at: datetime
    started_by: str
    reason: str | None = None
    balance: str | None = None
    run_id: str | None = None
    snapshot_id: int = 0


@dataclass(frozen=True)
class Step:
    """What holds of a rollout from the page `effective_from` on, as far as no later step says otherwise.

    Attributes
    ----------
    number
        Counted from 0 in each rollout.
    action
        start, advance, drop (one of several arms), hold, resume, promote, abort or undecided.
    stage
        The place of the stage in the plan, counted from 0.
    versions
        The challengers that are still in.
    assignment
        Who is given to whom, as JSON.
    held
        Whether a person has said that it is not to go on by itself.
    version
        Which version it is about, of a drop, a promotion or the abort of one.
    page
        The page at whose look it was decided; None where a person did.
    """

    TABLE: ClassVar[str] = "rollout_steps"
    rollout_id: str
    product: str
    number: int
    action: str
    stage: int
    versions: list[str]
    assignment: str
    held: bool
    effective_from: datetime
    decided_at: datetime
    decided_by: str
    reason: str | None = None
    version: str | None = None
    page: datetime | None = None
    run_id: str | None = None
    snapshot_id: int = 0

    @property
    def is_end(self) -> bool:
        """Whether no arm is left after it."""
        return self.action in ENDS


@dataclass(frozen=True)
class LookRecord:
    """What one look found of one arm: figures of its page, the evidence of all pages so far, and what followed.

    Attributes
    ----------
    as_of
        The matured page after which it was made.
    arm
        The challenger.
    difference
        By how much it did worse on this page; negative where it did better.
    figures
        Everything else that the decision was made by, by name.
    """

    TABLE: ClassVar[str] = "looks"
    rollout_id: str
    product: str
    as_of: datetime
    arm: str
    stage: int
    n_rows: int
    loss: float | None
    live_loss: float | None
    difference: float | None
    e_worse: float | None
    e_good: float | None
    mean: float | None
    low: float | None
    high: float | None
    decision: str
    reason: str
    known_by: datetime
    figures: dict[str, float] = field(default_factory=dict)
    run_id: str | None = None
    snapshot_id: int = 0


@dataclass(frozen=True)
class ArmPage:
    """What one arm wrote of a page: how many rows it scored, and how many of them were served.

    Attributes
    ----------
    step
        The number of the step by which the page was made.
    seconds
        How long it took to score the rows of its batch, on the clock, shared out by rows.
    mean
        Its mean score, where it has one score a row.
    """

    TABLE: ClassVar[str] = "arms"
    product: str
    as_of: datetime
    run_id: str
    rollout_id: str
    step: int
    arm: str
    n_rows: int
    n_served: int
    mean: float | None
    seconds: float | None
    snapshot_id: int = 0


@dataclass(frozen=True)
class Course:
    """A rollout with its steps, in the order in which they were made."""

    rollout: Rollout
    steps: Sequence[Step]

    @property
    def newest(self) -> Step:
        """The step that was made last."""
        return self.steps[-1]

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return not self.newest.is_end

    def step_at(self, page: datetime) -> Step | None:
        """Give the step that says who serves a page; None where the rollout has no say in it."""
        said = [step for step in self.steps if step.effective_from <= page]
        return None if not said or said[-1].is_end else said[-1]

    def stage_at(self, page: datetime) -> int | None:
        """Give the stage in which a page was made; None where it was not part of it."""
        step = self.step_at(page)
        return step.stage if step is not None else None

    def is_to_be_seen(self, arms: Sequence[ArmPage], looked_at: int | None) -> bool:
        """Tell whether a page with these arms is to be looked at: for the first time, or since it was scored again.

        Not again what was given back by a step, whose arms wrote what they wrote; nor where predictions change the
        outcome, which came of the page as it was.

        Parameters
        ----------
        looked_at
            The snapshot of the newest look at it, None if there is none.
        """
        if looked_at is None:
            return True
        newest = arms[0]
        is_given_back = self.steps[newest.step].run_id == newest.run_id
        return newest.snapshot_id > looked_at and not is_given_back and not plan_of(self.rollout).influenced


@dataclass(frozen=True)
class Courses:
    """All rollouts of a product, the oldest first."""

    courses: Sequence[Course] = ()

    @property
    def open(self) -> Course | None:
        """The one that goes on, if any does."""
        return next((course for course in reversed(self.courses) if course.is_open), None)

    def at(self, page: datetime, live: str | None) -> tuple[Rollout, Step] | None:
        """Give the rollout and the step that say who serves a page which `live` writes."""
        for course in reversed(self.courses):
            step = course.step_at(page)
            if step is not None and course.rollout.live == live:
                return course.rollout, step
        return None


def plan_of(rollout: Rollout) -> RolloutSettings:
    """Give the plan that a rollout began with."""
    return _plan(rollout.plan)


# A look and a page ask for it again and again, and a plan stays what it was.
@lru_cache(maxsize=256)
def _plan(text: str) -> RolloutSettings:
    return RolloutSettings.model_validate_json(text)


def stage_name(rollout: Rollout, stage: int) -> str:
    """Name a stage as people are told it."""
    stages = plan_of(rollout).stages
    return f"stage {stage + 1} of {len(stages)}, {stages[stage].said}"


def courses_of(connection: duckdb.DuckDBPyConnection, product: str) -> Courses:
    """Read a product's rollouts with their steps."""
    rollouts = ledger.records_of(connection, Rollout, "rollouts/rollouts", [product])
    if not rollouts:
        return Courses()
    steps = ledger.records_of(connection, Step, "rollouts/steps", [product])
    return Courses([Course(one, _steps_of(one, steps)) for one in rollouts])


def is_in_rollout(connection: duckdb.DuckDBPyConnection, product: str) -> bool:
    """Tell whether a rollout of a product goes on."""
    return courses_of(connection, product).open is not None


def _steps_of(rollout: Rollout, steps: Iterable[Step]) -> list[Step]:
    return sorted((one for one in steps if one.rollout_id == rollout.rollout_id), key=lambda one: one.number)


def looks_of(connection: duckdb.DuckDBPyConnection, rollout_id: str) -> list[LookRecord]:
    """Read the looks of a rollout, the oldest page first."""
    return ledger.records_of(connection, LookRecord, "rollouts/looks", [rollout_id])


def arm_pages(
    connection: duckdb.DuckDBPyConnection, product: str, first: datetime, last: datetime
) -> dict[datetime, list[ArmPage]]:
    """Read what each arm wrote of the newest publication of each page from `first` to `last`; by page."""
    found: dict[datetime, list[ArmPage]] = {}
    for one in ledger.records_of(connection, ArmPage, "rollouts/arm_pages", [product, first, last]):
        found.setdefault(one.as_of, []).append(one)
    return found


def pages_of(connection: duckdb.DuckDBPyConnection, rollout: Rollout) -> dict[datetime, list[ArmPage]]:
    """Read what the arms of a rollout wrote of its pages as they are published; by page."""
    made = arm_pages(connection, rollout.product, rollout.effective_from, datetime.max)
    return {page: arms for page, arms in made.items() if arms[0].rollout_id == rollout.rollout_id}


def served_without(arms: Sequence[ArmPage], out: Collection[str], live: str) -> list[ArmPage]:
    """Give what arms wrote of a page once the live version serves what those who are out had served."""
    given = sum(one.n_served for one in arms if one.arm in out)
    return [
        replace(one, n_served=0 if one.arm in out else one.n_served + (given if one.arm == live else 0)) for one in arms
    ]
