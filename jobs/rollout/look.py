"""Looks: after each page whose labels have matured, what it says of each challenger, and what follows, in one commit.

A look reads the ledger and the rows of its page alone, and what it finds stands in the ledger before the next one is
made. So the same lake gives the same looks, whoever makes them and when; one that was killed is made again, once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import duckdb

from jobs.metering import RunMeter
from jobs.models.arms.assignment import Assignment
from jobs.models.versions import model_history
from jobs.monitoring.performance.judge import page_excess_deviation
from jobs.monitoring.performance.unfinished import finished_pages
from jobs.pages.outcomes import matured_pages, settle_labels
from jobs.pages.scores.beside import BY_ITSELF
from jobs.pages.scores.steps import DecidedBy, into_stage, next_step
from jobs.progress import Silent
from jobs.rollout.arm_figures import ArmOfPage, ratios_of
from jobs.rollout.give_back import holding_pages, pages_served
from jobs.rollout.inference.acute_rules import SHIFT, Acute, acute_loss, acute_shift
from jobs.rollout.inference.e_process import Rules
from jobs.rollout.inference.verdict import ArmFigures, Decision, Guardrail, Look, StageFigures, best_of, decide
from jobs.rollout.judge import Verdict, judge_version
from jobs.rollout.outcome_figures import figures_at, judged_by
from jobs.rollout.promotion import record_decision
from jobs.rollout.stages import next_page, take_out, write_step
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.rollout import RolloutSettings
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import ACUTE, OPEN, alarms_of
from warehouse.ledger.rollouts import (
    ADVANCE,
    PROMOTE,
    UNDECIDED,
    ArmPage,
    Course,
    LookRecord,
    Step,
    courses_of,
    looks_of,
    pages_of,
    plan_of,
    stage_name,
)


@dataclass(frozen=True)
class Looked:
    """What a look found and decided: its rows as they stand in the ledger, and the step that followed, if one did."""

    page: datetime | None
    decision: str
    reason: str
    looks: Sequence[LookRecord] = ()
    given_back: Sequence[datetime] = ()


def look(suite: Suite, product_name: str) -> list[Looked]:
    """Make the looks of a product's rollout that are due, the oldest page first; none where none goes on.

    Raises
    ------
    RunFailed
        If labels cannot be made, or a page that is to be given back is just being made; looks before that stand.
    """
    product = suite.definitions.product(product_name)
    with suite.lake.reading() as connection:
        course = courses_of(connection, product.name).open
    if course is None:
        return []
    settle_labels(suite, product)
    done: list[Looked] = []
    while course is not None:
        made = _next_look(suite, product, course)
        if made is None:
            return done
        done.append(made)
        with suite.lake.reading() as connection:
            course = courses_of(connection, product.name).open
    return done


def _next_look(suite: Suite, product: Product, course: Course) -> Looked | None:
    """Make the next look that is due, None if none is."""
    rollout = course.rollout
    judged = judged_by(product, plan_of(rollout))
    if suite.definitions.label_definition(judged) != rollout.label_definition:
        why = f"what {judged.label.where} says of a label has changed since it began; begin a rollout by the new one"
        return _out(suite, product, course, {None: why}, None)
    with suite.lake.reading() as connection:
        written = _pages_written(connection, course)
        looks = looks_of(connection, rollout.rollout_id)
    moved = _moved(product, course, written)
    if moved:
        return _out(suite, product, course, {version: one.words() for version, one in moved.items()}, None)
    seen = {one.as_of: one.snapshot_id for one in looks}
    unseen = [page for page, arms in sorted(written.items()) if course.is_to_be_seen(arms, seen.get(page))]
    # What is said of events, as clicks, is not what a label says of an entity, and is not compared as one.
    choose = finished_pages if judged.label is product.label else matured_pages
    due = choose(suite, judged, unseen, suite.clock())
    return _AtPage(suite, product, course, looks, written, due[0]).make() if due else None


def _pages_written(connection: duckdb.DuckDBPyConnection, course: Course) -> dict[datetime, list[ArmPage]]:
    found = pages_of(connection, course.rollout)
    return {page: arms for page, arms in found.items() if not course.steps[arms[0].step].is_end}


def _moved(product: Product, course: Course, written: Mapping[datetime, list[ArmPage]]) -> dict[str | None, Acute]:
    """Find challengers whose mean prediction of a page is far from the live version's: that needs no label."""
    shift = plan_of(course.rollout).acute.shift
    bound = shift if shift is not None else SHIFT if product.kind.name == "binary" else None
    found: dict[str | None, Acute] = {}
    if bound is None:
        return found
    for page, arms in written.items():
        means = {one.arm: one.mean for one in arms}
        live = means.get(course.rollout.live)
        for version in course.newest.versions:
            own = means.get(version)
            acute = acute_shift(page, own, live, bound) if own is not None and live is not None else None
            if acute is not None:
                found.setdefault(version, acute)
    return found


def _out(
    suite: Suite, product: Product, course: Course, why: Mapping[str | None, str], page: datetime | None
) -> Looked:
    """Take versions out without a look; what readers see of them is given back."""
    meter = RunMeter(suite, "rollout", product.name)
    with (
        _holding(suite, product, course),
        suite.lake.commit(f"rollout of {product.name}: {', '.join(map(str, why))}") as commit,
    ):
        now = courses_of(commit.connection, product.name).open
        given: list[datetime] = []
        for version, reason in why.items():
            if now is not None and (version is None or version in now.newest.versions):
                taken = take_out(
                    commit, suite, product, now, version, DecidedBy(suite.clock(), BY_ITSELF, reason, page), meter
                )
                given += taken.given_back
                now = taken.course if taken.course.is_open else None
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
    return Looked(page, "abort", "; ".join(why.values()), (), given)


def _holding(suite: Suite, product: Product, course: Course) -> contextlib.AbstractContextManager[None]:
    """Keep others from making the pages that may have to be given back."""
    with suite.lake.reading() as connection:
        served = pages_served(connection, product, course.rollout.rollout_id, {course.rollout.live})
    return holding_pages(suite, product, list(served)) if served else contextlib.nullcontext()


@dataclass
class _AtPage:
    """One look."""

    suite: Suite
    product: Product
    course: Course
    looks: Sequence[LookRecord]
    written: Mapping[datetime, list[ArmPage]]
    page: datetime
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    @property
    def plan(self) -> RolloutSettings:
        """The plan that the rollout began with."""
        return plan_of(self.course.rollout)

    def make(self) -> Looked:
        """Look, decide, and write both down."""
        arms, figures = self._arms()
        found, decision = decide(self._rules(), self._stage(), arms)
        if decision.action == "promote":
            arms = [replace(arm, gates=self._gates(arm.version, found)) for arm in arms]
            found, decision = decide(self._rules(), self._stage(), arms)
        decision = self._held_back(decision)
        records = [self._record(one, figures, decision) for one in found]
        return self._write(found, decision, records)

    def _rules(self) -> Rules:
        plan, rollout = self.plan, self.course.rollout
        n = len(rollout.versions), len(plan.guardrails)
        return Rules(plan.margin, n_challengers=n[0], n_guardrails=n[1], at_most=plan.at_most)

    def _stage(self) -> StageFigures:
        stage, plan = self.course.newest.stage, self.plan
        pages = self._looked_at()
        own = [page for page in pages if self.course.stage_at(page) == stage]
        is_shadow = plan.stages[stage].shadow is not None
        return StageFigures(
            name=stage_name(self.course.rollout, stage),
            n_pages=len(own),
            pages=plan.stages[stage].pages,
            n_total=len(pages),
            is_last=stage + 1 == len(plan.stages),
            decides=not (plan.influenced and is_shadow),
        )

    def _arms(self) -> tuple[list[ArmFigures], dict[str, ArmOfPage]]:
        plan, rollout = self.plan, self.course.rollout
        stage = self.course.stage_at(self.page)
        figures = figures_at(self.suite, self.product, self.course, plan, self.page, stage or 0)
        with self.suite.lake.reading(all_cores=True) as connection:
            ratio = ratios_of(
                connection,
                self.product,
                self._pages_of_assignment(),
                Assignment.from_json(self.course.newest.assignment),
                self.product.header.monitor.segments,
            )
            model = model_history(connection, self.product.name).version(rollout.live)
        deviation = None if self.product.ranking else page_excess_deviation(self.suite, self.product, model)
        found = []
        for version in self.course.newest.versions:
            own, live = figures.get(version), figures.get(rollout.live)
            acute = None
            if own and live and own.loss is not None and live.loss is not None and deviation is not None:
                acute = acute_loss(self.page, own.loss, live.loss, deviation)
            guardrails = {
                name: Guardrail(
                    self._series(version, f"guardrail {name}", self._guardrail(name, version, figures)), margin
                )
                for name, margin in plan.guardrails.items()
            }
            differences = self._series(version, None, own.difference if own else None)
            found.append(ArmFigures(version, differences, guardrails, acute, ratio))
        return found, figures

    def _looked_at(self) -> list[datetime]:
        """Give the pages of all looks, this one's among them, in the order of the grid."""
        return sorted({one.as_of for one in self.looks} | {self.page})

    def _pages_of_assignment(self) -> list[datetime]:
        """Give the pages looked at whose rows were given out as they are now."""
        given = self.course.newest.assignment
        pages = self._looked_at()
        return [page for page in pages if page in self.written and self._step_of(page).assignment == given]

    def _step_of(self, page: datetime) -> Step:
        return self.course.steps[self.written[page][0].step]

    def _series(self, version: str, figure: str | None, now: float | None) -> list[float]:
        """Give what earlier looks found of a version, and now this one, in the order of the grid."""
        stage = self.course.newest.stage
        found: dict[datetime, float | None] = {}
        for one in self.looks:
            if one.arm == version and (not self.plan.influenced or one.stage == stage):
                found[one.as_of] = one.difference if figure is None else one.figures.get(figure)
        if not self.plan.influenced or self.course.stage_at(self.page) == stage:
            found[self.page] = now
        return [value for _, value in sorted(found.items()) if value is not None]

    def _guardrail(self, name: str, version: str, figures: Mapping[str, ArmOfPage]) -> float | None:
        live = self.course.rollout.live
        if name == "page_seconds":
            seconds = {one.arm: one.seconds for one in self.written[self.page]}
            own, theirs = seconds.get(version), seconds.get(live)
        else:
            own, theirs = (figures[arm].guardrails.get(name) if arm in figures else None for arm in (version, live))
        return own - theirs if own is not None and theirs is not None else None

    def _gates(self, version: str, found: Sequence[Look]) -> str | None:
        """Ask the gates of a version that would be promoted; "" if they pass."""
        if not any(one.version == version and one.decision.action == "promote" for one in found):
            return None
        with self.suite.lake.reading() as connection:
            history = model_history(connection, self.product.name)
        live = history.version(self.course.rollout.live)
        self.verdicts[version] = judge_version(self.suite, self.product, history.version(version), live, Silent())
        return self.verdicts[version].failures()

    def _held_back(self, decision: Decision) -> Decision:
        """Let a rollout that is held, or an open alarm on the product's pages, wait with what takes it further."""
        if decision.action not in (ADVANCE, PROMOTE, UNDECIDED):
            return decision
        newest = self.course.newest
        if newest.held:
            return Decision("wait", f"it is held: {newest.reason}; else {decision.action}: {decision.reason}")
        with self.suite.lake.reading() as connection:
            alarms = alarms_of(connection, self.product.name)
        acute = [one for one in alarms if one.kind == ACUTE and one.state == OPEN and one.expected is None]
        if acute and decision.action != UNDECIDED:
            words = f"the acute alarm {acute[-1].alarm_id} is open, since the page {acute[-1].first_page}"
            return Decision("wait", f"{words}; else {decision.action}: {decision.reason}")
        return decision

    def _record(self, one: Look, figures: Mapping[str, ArmOfPage], decision: Decision) -> LookRecord:
        own, live = figures.get(one.version), figures.get(self.course.rollout.live)
        evidence = one.evidence
        values: dict[str, float | None] = {
            "n_used": evidence.n_used,
            "block": evidence.block,
            "autocorrelation": evidence.autocorrelation,
            "r": evidence.r,
            "s": evidence.s,
            "v": evidence.v,
            "skewness": evidence.skewness,
            "bound": evidence.bound,
            "narrowed": own.narrowed if own else None,
        }
        for name in self.plan.guardrails:
            values[f"guardrail {name}"] = self._guardrail(name, one.version, figures)
            values[f"guardrail {name} e"] = one.guardrails[name].e_worse
        is_out = one.decision.action == "abort"
        reason = one.decision.reason if is_out or decision.action != "wait" else f"{decision.reason}; {one.then}"
        return LookRecord(
            rollout_id=self.course.rollout.rollout_id,
            product=self.product.name,
            as_of=self.page,
            arm=one.version,
            stage=self.course.stage_at(self.page) or 0,
            n_rows=own.n_rows if own else 0,
            loss=own.loss if own else None,
            live_loss=live.loss if live else None,
            difference=own.difference if own else None,
            e_worse=evidence.e_worse,
            e_good=evidence.e_good,
            mean=evidence.mean,
            low=evidence.low,
            high=evidence.high,
            decision="abort" if is_out else decision.action,
            reason=reason,
            known_by=self.suite.clock(),
            figures={name: float(value) for name, value in values.items() if value is not None},
        )

    def _write(self, found: Sequence[Look], decision: Decision, records: Sequence[LookRecord]) -> Looked:
        """Write the look and what follows in one commit, unless somebody else has looked or decided meanwhile."""
        product, meter = self.product, RunMeter(self.suite, "rollout", self.product.name)
        out = [one for one in found if one.decision.action == "abort"]
        ends = bool(out) or decision.action == UNDECIDED
        holding = _holding(self.suite, product, self.course) if ends else contextlib.nullcontext()
        what = f"look at {product.name} {self.page}: {decision.action}"
        with holding, self.suite.lake.commit(what) as commit:
            course = courses_of(commit.connection, product.name).open
            if course is None or course.newest != self.course.newest or self._is_done(commit):
                return Looked(self.page, "wait", "somebody else has looked, or decided, meanwhile")
            written = [replace(one, run_id=meter.run_id, snapshot_id=commit.snapshot_id) for one in records]
            ledger.append(commit, written)
            given = self._follow(commit, course, found, decision, meter)
            span = {"first_as_of": self.page, "last_as_of": self.page, "n_pages": 1}
            ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id, **span)])
        return Looked(self.page, decision.action, decision.reason, written, given)

    def _is_done(self, commit: Commit) -> bool:
        made, looks = (
            self.written[self.page][0].snapshot_id,
            looks_of(commit.connection, self.course.rollout.rollout_id),
        )
        return any(one.as_of == self.page and one.snapshot_id > made for one in looks)

    def _follow(
        self, commit: Commit, course: Course, found: Sequence[Look], decision: Decision, meter: RunMeter
    ) -> list[datetime]:
        """Write the steps that follow from a look; give the pages that were given back."""
        given: list[datetime] = []
        for one in found:
            if one.decision.action == "abort" and course.is_open:
                decided = self._decided(one.decision.reason)
                taken = take_out(commit, self.suite, self.product, course, one.version, decided, meter)
                course, given = taken.course, [*given, *taken.given_back]
        if not course.is_open:
            return given
        decided, begins = self._decided(decision.reason), next_page(commit.connection, self.product)
        if decision.action == ADVANCE:
            step = into_stage(course, course.newest.stage + 1, next_step(course, ADVANCE, begins, decided))
            write_step(commit, step, meter)
        elif decision.action == PROMOTE:
            chosen = best_of(found)
            assert chosen is not None
            self._promote(commit, chosen.version, begins, decision.reason)
            write_step(commit, replace(next_step(course, PROMOTE, begins, decided), version=chosen.version), meter)
        elif decision.action == UNDECIDED:
            taken = take_out(commit, self.suite, self.product, course, None, decided, meter, UNDECIDED)
            given += taken.given_back
        return given

    def _decided(self, reason: str) -> DecidedBy:
        return DecidedBy(self.suite.clock(), BY_ITSELF, reason, self.page)

    def _promote(self, commit: Commit, version: str, begins: datetime, reason: str) -> None:
        model = model_history(commit.connection, self.product.name).version(version)
        verdict = self.verdicts.get(version) or Verdict([], self.course.rollout.live)
        record_decision(commit, self.suite, model, verdict, "promote", taken=True, starts=[begins], reason=reason)
