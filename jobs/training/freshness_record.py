"""What was measured of fresh data's worth, and its rows in `ledger.freshness` and `ledger.freshness_figures`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from jobs.metering import RunMeter
from jobs.suite import Suite
from warehouse.ledger import records as ledger
from warehouse.ledger.measurements import AGE, INSTEAD, POLICY, VERSION, FreshnessFigure, FreshnessRecord


@dataclass(frozen=True)
class Version:
    """A version as of one cut-off: what it learnt, its mean loss on all later pages, and what it cost to train."""

    cutoff: datetime
    n_rows: int
    n_pages: int
    loss: float
    cpu_s: float


@dataclass(frozen=True)
class Age:
    """The extra loss a row at an age in days, compared with a version of that very page's instant."""

    age_days: float
    extra: float
    low: float
    high: float
    n_judged: int


@dataclass(frozen=True)
class Policy:
    """Trainings every so many days: how much less loss a row than once a year, and what that costs in CPU seconds."""

    policy: str
    every_days: float
    saved: float
    low: float
    high: float
    trainings_a_year: float
    cpu_s_a_year: float


@dataclass(frozen=True)
class Iteration:
    """Something else than fresh data, at the same cut-offs and pages: how much less loss a row, and at what cost."""

    what: str
    saved: float
    low: float
    high: float
    cpu_s: float


@dataclass(frozen=True)
class Freshness:
    """What was measured. `cpu_s` is of one training, `measured_by` says of which; `notes` say what is to be known."""

    product: str
    loss: str
    versions: Sequence[Version]
    first_page: datetime
    last_page: datetime
    n_pages: int
    rows_a_year: float
    ages: Sequence[Age]
    policies: Sequence[Policy]
    iterations: Sequence[Iteration]
    cpu_s: float
    measured_by: str
    notes: Sequence[str] = field(default_factory=list)


def keep_freshness(suite: Suite, found: Freshness, meter: RunMeter) -> None:
    """Write a measurement to the ledger, with its run, in one commit.

    Raises
    ------
    RunFailed
        If it cannot be committed.
    """
    measured = meter.run_id
    with suite.lake.commit(f"freshness of {found.product}") as commit:
        record = FreshnessRecord(
            freshness_id=measured,
            product=found.product,
            known_by=meter.started_at,
            first_page=found.first_page,
            last_page=found.last_page,
            loss=found.loss,
            n_pages=found.n_pages,
            rows_a_year=found.rows_a_year,
            cpu_s=found.cpu_s,
            measured_by=found.measured_by,
            notes=list(found.notes),
            run_id=measured,
            snapshot_id=commit.snapshot_id,
        )
        ledger.append(commit, [record])
        ledger.append(commit, figures_of(found, measured))
        span = {"first_as_of": found.first_page, "last_as_of": found.last_page, "n_pages": found.n_pages}
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id, **span)])


def figures_of(found: Freshness, measured: str) -> list[FreshnessFigure]:
    """Give the figures of a measurement as rows of the ledger, in the order in which they are shown."""

    def row(kind: str, name: str, figure: float, **more: float | int | datetime | None) -> FreshnessFigure:
        empty = dict.fromkeys(("days", "cutoff", "low", "high", "n_rows", "n_pages", "trainings_a_year", "cpu_s"))
        known = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in more.items()}
        return FreshnessFigure(measured, found.product, kind, name, figure=figure, **{**empty, **known})  # type: ignore[arg-type]

    return [
        *(
            row(VERSION, f"{one.cutoff:%Y-%m-%d %H:%M}", one.loss, cutoff=one.cutoff, n_rows=one.n_rows,
                n_pages=one.n_pages, cpu_s=one.cpu_s)
            for one in found.versions
        ),
        *(
            row(AGE, f"{one.age_days:g} days", one.extra, days=one.age_days, low=one.low, high=one.high,
                n_pages=one.n_judged)
            for one in found.ages
        ),
        *(
            row(POLICY, one.policy, one.saved, days=one.every_days, low=one.low, high=one.high,
                trainings_a_year=one.trainings_a_year, cpu_s=one.cpu_s_a_year)
            for one in found.policies
        ),
        *(row(INSTEAD, one.what, one.saved, low=one.low, high=one.high, cpu_s=one.cpu_s) for one in found.iterations),
    ]  # fmt: skip
