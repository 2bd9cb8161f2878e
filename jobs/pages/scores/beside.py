"""The arms of a batch on their way to the commit: scored, parted and checked, or given up.

A challenger never keeps a page back. One that cannot score it, or whose rows break a check that those of the live
version pass, is out with the very commit of that page, which the live version then writes alone. Of a rollout that is
over it is not known whether what it served then can be left out, so that there the page fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from jobs.models.arms.assignment import EXPLORE
from jobs.models.arms.lists import arm_of_both
from jobs.pages.scores.arms import Arms
from jobs.pages.scores.scoring import Scoring, Served, numbered
from jobs.pages.scores.steps import DecidedBy, without_arm
from warehouse.errors import ArmFailed
from warehouse.lake.lake import Commit
from warehouse.lake.registry import arms_table
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.ledger.rollouts import ArmPage, courses_of, served_without
from warehouse.pages.arms.rows import give_back, publish_arms
from warehouse.pages.audits import Audit
from warehouse.pages.publishing import StagedRows, to_send

#: Who is said to have decided what nobody did.
BY_ITSELF = "almanac"


def ahead(
    staged: Sequence[StagedRows], passed: Collection[datetime], scoring: Scoring, arms: PageArms | None
) -> tuple[list[tuple[str, str, Path]], dict[str, Path]]:
    """Name for `Lake.commit`, which sends them ahead, a batch's rows, if a page passed, and files to be kept."""
    product = scoring.product
    beside = [("predictions", arms_table(product.name), file) for file in (arms.beside if arms is not None else ())]
    return [*to_send(product, staged), *beside] if passed else [], scoring.ahead()


class PageArms:
    """The arms of one batch of pages."""

    def __init__(self, scoring: Scoring, arms: Arms) -> None:
        self.scoring, self.arms = scoring, arms
        self.served: Served | None = None
        self.failure: ArmFailed | None = None

    @property
    def beside(self) -> Sequence[Path]:
        """The file of rows that are not served, once there is one."""
        return [self.served.beside] if self.served is not None else []

    def serve(
        self,
        relation: str,
        live: Path,
        columns: dict[str, str],
        seconds: float,
        audit: Audit,
        check: Callable[[Path], Audit],
    ) -> tuple[Path, dict[str, str]]:
        """Score the challengers; give the file that readers are to see, with its columns.

        Parameters
        ----------
        relation
            SQL of the feature pages.
        live, columns, seconds, audit
            The live version's rows, how long they took, and what checks found of them.
        check
            Audits the rows of several arms together, as `audit` was made.

        Raises
        ------
        ArmFailed
            If a challenger fails on a page of a rollout that is over.
        """
        try:
            served = self.scoring.serve(self.arms, relation, live, seconds)
            if self.arms.serves:
                self._require_sound(check(served.file), audit)
        except ArmFailed as error:
            self._give_up(error)
            return live, columns
        self.served = served
        return served.file, served.columns

    def _require_sound(self, mixed: Audit, alone: Audit) -> None:
        """See that no page breaks a check that it passes where the live version writes it alone."""
        known = alone.rejected() | alone.failed.keys()
        broken = (mixed.rejected() | mixed.failed.keys()) - known
        if not broken:
            return
        page = min(broken)
        said = [one.message for one in mixed.complaints() if one.as_of == page and one.severity == "error"]
        versions = self.arms.step.versions
        raise ArmFailed(
            versions[0] if len(versions) == 1 else None,
            f"the page {page} breaks a check as {', '.join(versions)} would serve it:"
            f" {'; '.join(said) or mixed.failed.get(page)}",
        )

    def _give_up(self, error: ArmFailed) -> None:
        rollout = self.arms.rollout
        with self.scoring.suite.lake.reading() as connection:
            course = courses_of(connection, rollout.product).open
        if course is None or course.rollout.rollout_id != rollout.rollout_id:
            raise ArmFailed(
                error.version,
                f"{error.version or 'an arm'} served pages of the rollout {rollout.rollout_id}, and cannot write one of"
                f" them again: {error} To have {rollout.live} write it alone, name it with --version.",
            ) from error
        self.failure = error
        out = f"{error.version} is out of the rollout" if error.version else "the rollout is over"
        self.scoring.progress.warn(f"{rollout.product}: {out}: {error}")

    def _as_decided(self, commit: Commit, page: datetime, counts: Sequence[ArmPage]) -> list[ArmPage]:
        """Give back what somebody who is out of the rollout by now serves of a page; give what arms wrote of it."""
        own, live = [one for one in counts if one.as_of == page], self.arms.rollout.live
        courses = courses_of(commit.connection, self.arms.rollout.product)
        course = next(one for one in courses.courses if one.rollout.rollout_id == self.arms.rollout.rollout_id)
        newest = [step for step in course.steps if step.effective_from <= page][-1]
        both = [arm_of_both(live, version) for version in newest.versions]
        staying = {live, EXPLORE} if newest.is_end else {live, EXPLORE, *newest.versions, *both}
        gone = [one.arm for one in own if one.arm not in staying]
        if not gone:
            return own
        for version in gone:
            give_back(commit, self.scoring.product, page, version, live)
        return [replace(one, step=newest.number) for one in served_without(own, gone, live)]

    def commit(self, commit: Commit, published: Sequence[PageRecord], now: datetime) -> None:
        """Write rows that are not served, and what each arm wrote, or that one is out, in the pages' own commit."""
        pages = {page.as_of for page in published if page.kind == "predictions"}
        product = self.arms.rollout.product
        if self.served is not None and pages:
            publish_arms(commit, product, self.served.beside, pages)
            counts = [one for page in pages for one in self._as_decided(commit, page, self.served.counts)]
            ledger.append(commit, numbered(counts, pages, commit.snapshot_id))
        if self.failure is not None and pages:
            course = courses_of(commit.connection, product).open
            if course is not None and course.rollout.rollout_id == self.arms.rollout.rollout_id:
                decided = DecidedBy(now, BY_ITSELF, str(self.failure), min(pages))
                step = without_arm(course, self.failure.version, min(pages), decided)
                ledger.append(commit, [replace(step, run_id=self.scoring.run_id, snapshot_id=commit.snapshot_id)])
