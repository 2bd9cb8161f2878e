"""The arms of pages: which versions score a page, and which of them serves which row, as its rollout says.

It follows from the ledger and the page alone, so that a page that is made again gets the arms that it had then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.models.arms.assignment import Assignment
from jobs.models.versions import ModelHistory
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.rollouts import Courses, Rollout, Step, plan_of


@dataclass(frozen=True)
class Arms:
    """Who scores and who serves some pages besides the live version.

    Attributes
    ----------
    rollout, step
        What says so.
    challengers
        The versions, in order, that score all rows too.
    """

    rollout: Rollout
    step: Step
    challengers: Sequence[ModelRecord]

    @property
    def assignment(self) -> Assignment:
        """Who is given to whom."""
        return Assignment.from_json(self.step.assignment)

    @property
    def where(self) -> str | None:
        """The condition of a canary by region."""
        return where_of(self.rollout, self.step.stage)

    @property
    def interleaves(self) -> bool:
        """Whether lists are drafted out of the live version's and the challenger's."""
        return interleaves(self.rollout, self.step.stage) and len(self.challengers) == 1

    @property
    def serves(self) -> bool:
        """Whether anything but the live version alone decides what a row is."""
        given = self.assignment
        return self.interleaves or bool(given.explore) or any(arm.high > arm.low for arm in given.arms)

    @property
    def name(self) -> tuple[str, int]:
        """What tells these arms from others."""
        return self.rollout.rollout_id, self.step.number


def where_of(rollout: Rollout, stage: int) -> str | None:
    """Give the condition of a rollout's stage, if it has one."""
    canary = plan_of(rollout).stages[stage].canary
    return canary.where if canary is not None else None


def interleaves(rollout: Rollout, stage: int) -> bool:
    """Tell whether a stage of a rollout interleaves lists."""
    return plan_of(rollout).stages[stage].interleave is not None


def arms_of(courses: Courses, history: ModelHistory, models: Mapping[datetime, ModelRecord]) -> dict[datetime, Arms]:
    """Give the arms of those pages that have any.

    Parameters
    ----------
    courses
        The product's rollouts.
    models
        The version that writes each page.
    """
    if not courses.courses:
        return {}
    found: dict[datetime, Arms] = {}
    known: dict[tuple[str, int], Arms] = {}
    for page, model in models.items():
        said = courses.at(page, model.version)
        if said is not None:
            rollout, step = said
            name = rollout.rollout_id, step.number
            if name not in known:
                known[name] = Arms(rollout, step, [history.version(version) for version in step.versions])
            found[page] = known[name]
    return found
