"""Which arms pages were made with, beside those that they are to have by their rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from warehouse.ledger.records import PageRecord
from warehouse.ledger.rollouts import ArmPage, Course, Courses, Rollout, Step, arm_pages, courses_of, stage_name
from warehouse.system_sql import system_sql


@dataclass(frozen=True)
class ArmsMade:
    """A product's rollouts, and what the arms of some pages wrote."""

    courses: Courses = field(default_factory=Courses)
    pages: Mapping[datetime, Sequence[ArmPage]] = field(default_factory=dict)

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, product: str, pages: Sequence[datetime]) -> ArmsMade:
        """Read them; of a product without rollouts that is nothing."""
        courses = courses_of(connection, product)
        if not courses.courses or not pages:
            return cls()
        return cls(courses, arm_pages(connection, product, min(pages), max(pages)))

    def why(self, page: datetime, live: str | None) -> str | None:
        """Say why a page has other arms than it is to have; None if it has not."""
        if not self.courses.courses:
            return None
        wanted, made = self.courses.at(page, live), self._made(page)
        if _who(wanted) == _who(made):
            return None
        return f"made {_named(made)}; it is to be {_named(wanted)}"

    def _made(self, page: datetime) -> tuple[Rollout, Step] | None:
        wrote = self.pages.get(page)
        if not wrote:
            return None
        course = self._course(wrote[0].rollout_id)
        step = course.steps[wrote[0].step] if course is not None else None
        return (course.rollout, step) if course is not None and step is not None and not step.is_end else None

    def _course(self, rollout_id: str) -> Course | None:
        return next((one for one in self.courses.courses if one.rollout.rollout_id == rollout_id), None)


def arms_that_changed(connection: duckdb.DuckDBPyConnection, before: PageRecord, after: PageRecord) -> list[str]:
    """Say how the arms differ that serve two publications of a page; nothing where they do not."""
    said = [_served(connection, record) for record in (before, after)]
    return [f"the arms: {said[0]} before, {said[1]} after"] if said[0] != said[1] else []


def _served(connection: duckdb.DuckDBPyConnection, record: PageRecord) -> str:
    values = [record.product, record.as_of, record.run_id, record.snapshot_id]
    found = connection.execute(system_sql("rollouts/served"), values).fetchall()
    return ", ".join(f"{arm} {n_served:,} rows" for arm, n_served in found) or "none"


def _who(said: tuple[Rollout, Step] | None) -> tuple[str, str] | None:
    """Give what says who serves whom, and who scores besides."""
    return (said[0].rollout_id, said[1].assignment) if said is not None else None


def _named(said: tuple[Rollout, Step] | None) -> str:
    if said is None:
        return "without arms"
    rollout, step = said
    return f"with {', '.join(step.versions)} in {stage_name(rollout, step.stage)}, of rollout {rollout.rollout_id}"
