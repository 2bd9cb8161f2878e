"""What a rehearsal came to, and its rows in `ledger.rehearsals` and `ledger.rehearsed_policies`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jobs.metering import RunMeter
from jobs.rehearsal.figures import PolicyResult
from jobs.rehearsal.room import Asked
from jobs.suite import Suite
from warehouse.ledger import records as ledger
from warehouse.ledger.measurements import ALL, CHOSEN_ON, HELD_OUT, RehearsalRecord, RehearsedPolicy


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal came to.

    Attributes
    ----------
    metric
        What `figure` is of each policy; `higher_is_better` says which way is better.
    rows
        One for each policy over all pages; of a rehearsal that holds some out, over those.
    chosen_on
        Of one that holds some out, the rows of the first part, by which the best was chosen.
    best
        The policy that was best: in hindsight, or, where pages are held out, on the first part.
    shared
        How many trainings were taken over from another policy.
    """

    product: str
    begin: datetime
    end: datetime
    metric: str
    higher_is_better: bool
    training_s: float
    rows: Sequence[PolicyResult]
    best: str | None
    chosen_on: Sequence[PolicyResult] = ()
    held_out_from: datetime | None = None
    shared: int = 0
    facts_in_their_time: bool = True
    notes: Sequence[str] = field(default_factory=list)


def keep_rehearsal(suite: Suite, asked: Asked, found: Rehearsal, meter: RunMeter, *, kept: bool) -> None:
    """Write what a rehearsal came to to the ledger, with its run, in one commit.

    Parameters
    ----------
    kept
        Whether the policies' suites are still there.

    Raises
    ------
    RunFailed
        If it cannot be committed.
    """
    with suite.lake.commit(f"rehearsal of {found.product}") as commit:
        record = RehearsalRecord(
            rehearsal_id=meter.run_id,
            product=found.product,
            known_by=meter.started_at,
            begins=found.begin,
            ends=found.end,
            metric=found.metric,
            higher_is_better=found.higher_is_better,
            best=found.best,
            held_out_from=found.held_out_from,
            training_s=found.training_s,
            n_shared=found.shared,
            facts_in_their_time=found.facts_in_their_time,
            policies=json.dumps([policy.said() for policy in asked.policies], default=str),
            notes=list(found.notes),
            kept_in=_place_of(suite, asked) if kept else None,
            run_id=meter.run_id,
            snapshot_id=commit.snapshot_id,
        )
        ledger.append(commit, [record])
        part = HELD_OUT if found.chosen_on else ALL
        rows = [*_rows(meter.run_id, found.product, part, found.rows)]
        rows += _rows(meter.run_id, found.product, CHOSEN_ON, found.chosen_on)
        ledger.append(commit, rows)
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])


def _place_of(suite: Suite, asked: Asked) -> str:
    """Say where the policies' suites are: below the lake by that name, elsewhere by the whole path."""
    place = asked.place(suite) / asked.identity(suite) / "policies"
    root = suite.lake.root
    return f"lake/{place.relative_to(root).as_posix()}" if place.is_relative_to(root) else str(place)


def _rows(rehearsal_id: str, product: str, part: str, rows: Sequence[PolicyResult]) -> list[RehearsedPolicy]:
    return [
        RehearsedPolicy(
            rehearsal_id=rehearsal_id,
            product=product,
            part=part,
            place=place,
            policy=row.policy,
            is_best=row.is_best,
            trainings=row.trainings,
            promoted=row.promoted,
            cpu_s=row.cpu_s,
            n_pages=row.pages,
            figure=row.figure,
            low=row.low,
            high=row.high,
            better=row.against,
            better_low=row.against_low,
            better_high=row.against_high,
            acute_alarms=row.acute,
            drift_alarms=row.drift,
            performance_alarms=row.performance,
            age_days=row.age_days,
            n_faulty=row.faulty_days,
            n_failed=row.failed,
            note=row.note,
        )
        for place, row in enumerate(rows)
    ]
