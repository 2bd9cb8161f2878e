"""The steps of a rollout: what each makes of the one before it, and from which page on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from jobs.models.arms.assignment import BUCKETS, Assignment, by_list, by_region, by_share, in_shadow
from warehouse.definitions.rollout import RolloutSettings
from warehouse.ledger.rollouts import ABORT, DROP, START, Course, Rollout, Step, plan_of


@dataclass(frozen=True)
class DecidedBy:
    """Who decides a step, when, why, and at the look of which page."""

    at: datetime
    by: str
    reason: str | None
    page: datetime | None = None


def unit_of(settings: RolloutSettings, keys: tuple[str, ...], lists: tuple[str, ...]) -> tuple[str, ...]:
    """Give the columns of a unit: those named, or those of a list, or the keys."""
    return tuple(settings.unit) or lists or keys


def assignment_of(
    settings: RolloutSettings, stage: int, salt: str, unit: tuple[str, ...], live: str, versions: list[str]
) -> Assignment:
    """Say who is given to whom in a stage, with all challengers in, and for whom no model chooses.

    Raises
    ------
    UsageError
        If the shares of several challengers are more than there is.
    """
    found = _of_stage(settings, stage, salt, unit, live, versions)
    return replace(found, explore=int((settings.explore or 0) * BUCKETS))


def _of_stage(
    settings: RolloutSettings, stage: int, salt: str, unit: tuple[str, ...], live: str, versions: list[str]
) -> Assignment:
    canary = settings.stages[stage].canary
    if canary is None:
        return in_shadow(salt, unit, live, versions)
    if canary.where is not None:
        return by_region(salt, unit, live, versions)
    if canary.listed is not None:
        texts = [[one] if isinstance(one, str) else list(one) for one in canary.listed]
        return by_list(salt, unit, live, versions, texts)
    return by_share(salt, unit, live, versions, canary.share or Decimal(0))


def first_step(rollout: Rollout, unit: tuple[str, ...], decided: DecidedBy) -> Step:
    """Give the step that begins a rollout."""
    given = assignment_of(plan_of(rollout), 0, rollout.salt, unit, rollout.live, rollout.versions)
    names = rollout.rollout_id, rollout.product
    return Step(
        *names, 0, START, 0, rollout.versions, given.to_json(), False, rollout.effective_from, decided.at, decided.by,
        decided.reason,
    )  # fmt: skip


def next_step(course: Course, action: str, effective_from: datetime, decided: DecidedBy) -> Step:
    """Give a step after the newest one, in the same stage and with the same arms."""
    return replace(
        course.newest,
        number=course.newest.number + 1,
        action=action,
        effective_from=effective_from,
        decided_at=decided.at,
        decided_by=decided.by,
        reason=decided.reason,
        page=decided.page,
        version=None,
        run_id=None,
        snapshot_id=0,
    )


def into_stage(course: Course, stage: int, step: Step) -> Step:
    """Put a step into another stage, with those arms that are still in."""
    rollout, unit = course.rollout, Assignment.from_json(course.newest.assignment).unit
    given = assignment_of(plan_of(rollout), stage, rollout.salt, unit, rollout.live, rollout.versions)
    for version in rollout.versions:
        if version not in step.versions:
            given = given.without(version)
    return replace(step, stage=stage, assignment=given.to_json())


def without_arm(course: Course, version: str | None, effective_from: datetime, decided: DecidedBy) -> Step:
    """Give the step that takes a challenger out; of the last one, or of all where None is named, that is the end."""
    left = [one for one in course.newest.versions if version is not None and one != version]
    step = replace(next_step(course, DROP if left else ABORT, effective_from, decided), version=version)
    if not left:
        return step
    given = Assignment.from_json(step.assignment)
    return replace(step, versions=left, assignment=given.without(str(version)).to_json())


def plan_text(settings: RolloutSettings) -> str:
    """Write a plan down, so that it stays what it was."""
    return json.dumps(settings.model_dump(mode="json", exclude_none=True), sort_keys=True)
