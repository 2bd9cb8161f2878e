"""The figures by which it is decided whether a product is trained again: read from the ledger as of an instant.

What was written at that instant or later does not count, so that any instant of the past can be asked about again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from jobs.models.versions import ModelHistory, model_history
from jobs.monitoring.performance.alarms import FEW_PAGES
from jobs.pages.outcomes import matured_pages
from jobs.retraining.decision import (
    FAILED,
    IN_ROLLOUT,
    LIVE,
    REFUSED,
    TRAIN,
    UNDER_WAY,
    WAITING,
    Attempt,
    Became,
    Figures,
    Fired,
    refused_in_turn,
)
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.durations import duration_text
from warehouse.facts.watermarks import Watermarks
from warehouse.ledger import triggers as ledger_triggers
from warehouse.ledger.alarms import ACUTE, CLOSED, DRIFT, OPEN, PERFORMANCE, Alarm, alarms_of
from warehouse.ledger.decisions import Decision, decisions
from warehouse.ledger.records import ModelRecord, model_in_effect
from warehouse.ledger.rollouts import Course, courses_of
from warehouse.ledger.triggers import Trigger, end_of, triggers_of
from warehouse.system_sql import system_sql

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Known:
    """What the ledger had of a product at an instant, as far as a retraining is concerned."""

    at: datetime
    history: ModelHistory
    decisions: Sequence[Decision]
    courses: Sequence[Course]
    triggers: Sequence[Trigger]

    @property
    def live(self) -> ModelRecord | None:
        """The version that writes the pages of now."""
        name = model_in_effect(self.history.promotions, self.at)
        return self.history.version(name) if name is not None else None

    @property
    def newest(self) -> ModelRecord | None:
        """The version trained here that knows the latest labels."""
        trained = [model for model in self.history.models if not model.is_rule and not model.is_imported]
        return self.history.newest() if trained else None

    @property
    def going(self) -> Course | None:
        """The rollout that goes on."""
        return next((course for course in reversed(self.courses) if course.is_open), None)

    def learnt_rows(self, model: ModelRecord | None) -> int:
        """Count the labels that a version has learnt, those of the versions that it continues among them."""
        versions = {one.version: one for one in self.history.models}
        count = 0
        while model is not None:
            count += model.n_rows
            model = versions.get(model.parent) if model.parent else None
        return count

    def fate(self, version: str) -> Became:
        """Tell what has become of a version that was registered."""
        if any(promotion.version == version for promotion in self.history.promotions):
            return LIVE
        for course in self.courses:
            if version in course.rollout.versions:
                return IN_ROLLOUT if course.is_open and version in course.newest.versions else REFUSED
        made = [one for one in self.decisions if one.version == version]
        if any((one.action == "train" and not one.passed) or one.action == "retire" for one in made):
            return REFUSED
        return WAITING

    def attempts(self) -> tuple[Attempt, ...]:
        """Give the trainings that triggers began, the oldest first."""
        trained = [one for one in self.triggers if one.answer == TRAIN]
        return tuple(Attempt(one.known_by, self._became(one), tuple(one.alarms)) for one in trained)

    def _became(self, trigger: Trigger) -> Became:
        end = end_of(self.triggers, trigger.trigger_id)
        if end is None:
            return UNDER_WAY
        return FAILED if end.answer == ledger_triggers.FAILED or end.version is None else self.fate(end.version)


def known_at(connection: duckdb.DuckDBPyConnection, product: str, at: datetime) -> Known:
    """Read what the ledger had of a product just before an instant (naive UTC)."""
    history = model_history(connection, product)
    models = [model for model in history.models if model.trained_at < at]
    promotions = [one for one in history.promotions if one.promoted_at < at]
    courses = [
        Course(course.rollout, [step for step in course.steps if step.decided_at < at])
        for course in courses_of(connection, product).courses
        if course.rollout.started_at < at
    ]
    made = [one for one in decisions(connection, product) if one.decided_at < at]
    history = ModelHistory(product, models, promotions)
    return Known(at, history, made, courses, triggers_of(connection, product, at))


def figures_at(suite: Suite, product: Product, at: datetime) -> Figures:
    """Read the figures as of an instant (naive UTC)."""
    with suite.lake.reading() as connection:
        known = known_at(connection, product.name, at)
        alarms = alarms_of(connection, product.name, at - _MICROSECOND)
        query = system_sql("retraining/rows_of_pages")
        n_rows: dict[datetime, int] = dict(connection.execute(query, [product.name, at]).fetchall())
        late = _late_sources(suite, product, connection, at)
    pages = product.pages_between(product.header.pages.since, at)
    left_out = set(faulty_pages(product, alarms))
    matured = [page for page in matured_pages(suite, product, pages, at) if page not in left_out]
    live, newest = known.live, known.newest
    cutoff = newest.writes_from if newest is not None else datetime.min
    new = [page for page in matured if page > cutoff - product.maturity] if newest is not None else matured
    acute = [one for one in alarms if one.kind == ACUTE and one.state == OPEN and one.expected is None]
    return Figures(
        at=at,
        live_cutoff=live.label_cutoff if live is not None else None,
        learnt_rows=known.learnt_rows(newest),
        new_rows=sum(n_rows.get(page, 0) for page in new),
        new_pages=len(new),
        alarms=tuple(_fired(one, matured) for one in alarms if one.kind in (PERFORMANCE, DRIFT) and one.state == OPEN),
        bad_data=(*(f"the acute alarm {one.alarm_id} is open: {one.message}" for one in acute), *late),
        busy=_busy(known),
        attempts=known.attempts(),
    )


def _fired(alarm: Alarm, matured: Collection[datetime]) -> Fired:
    since = alarm.since or alarm.first_page
    since = min(since, alarm.first_page)
    count = sum(page >= since for page in matured)
    return Fired(alarm.alarm_id, alarm.kind, since, count, FEW_PAGES in alarm.flags)


def _busy(known: Known) -> str:
    going = known.going
    if going is None:
        return ""
    return f"{', '.join(going.newest.versions)} is being tried in a rollout since {going.rollout.effective_from}"


def faulty_pages(product: Product, alarms: Collection[Alarm]) -> list[datetime]:
    """Give the pages that acute alarms are about: no training learns from them.

    An alarm of a day of the calendar is no fault, nor is one that a person has accepted, or that was withdrawn since
    its pages were made again.
    """
    acute = [one for one in alarms if one.kind == ACUTE and one.state in (OPEN, CLOSED) and one.expected is None]
    found = {page for one in acute for page in product.grid.between(one.first_page, one.last_page)}
    return sorted(found | {one.last_page for one in acute})


def _late_sources(
    suite: Suite, product: Product, connection: duckdb.DuckDBPyConnection, at: datetime
) -> tuple[str, ...]:
    """Say which sources of a product have not delivered what they promise to, as of an instant."""
    definitions = suite.definitions
    sources = {one.name: one for one in (*definitions.sources_of(product), *definitions.sources_read([product.label]))}
    row = connection.execute(system_sql("retraining/newest_ingestion"), [at]).fetchone()
    watermarks = Watermarks(connection, row[0] if row and row[0] is not None else 0)
    found = []
    for name, source in sorted(sources.items()):
        every = source.header.expect.every if source.header.expect else None
        if every is None:
            continue
        reached = watermarks.of(source, at)
        if reached < at - every - source.header.arrives_within:
            up_to = f"up to {reached}" if reached > datetime.min else "nothing"
            found.append(f"{name} has delivered {up_to}, and promises something every {duration_text(every)}")
    return tuple(found)


def as_numbers(figures: Figures) -> dict[str, float]:
    """Give the figures as the ledger keeps them, by name."""
    found = {
        "new_rows": float(figures.new_rows),
        "new_pages": float(figures.new_pages),
        "learnt_rows": float(figures.learnt_rows),
        "open_alarms": float(len(figures.alarms)),
        "faults": float(len(figures.bad_data)),
        "trainings": float(len(figures.attempts)),
        "refused_in_turn": float(refused_in_turn(figures.attempts)),
    }
    if figures.live_cutoff is not None:
        found["age_days"] = (figures.at - figures.live_cutoff).total_seconds() / 86_400
    for alarm in figures.alarms:
        found[f"matured_pages.{alarm.alarm_id}"] = float(alarm.matured_pages)
    return found
