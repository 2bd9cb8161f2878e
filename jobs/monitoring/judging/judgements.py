"""Judgements: what was found of a product's pages, with the alarms that come of it, written to the ledger.

A judgement is made after the page's commit, reads profiles only, and changes nothing of what is published. What stands
in the ledger and has not changed is not judged again: a new page costs as much as a page costs. Where the past has
changed, all behind it is judged anew; rows that come out as they stand in the ledger are not written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from jobs.metering import RunMeter
from jobs.monitoring import slow
from jobs.monitoring.judging.alarm_rules import alarms_found
from jobs.monitoring.judging.circumstances import (
    Circumstances,
    Versions,
    circumstances_of,
    counted_on,
    weights_of,
)
from jobs.monitoring.judging.drift_rows import rows_of, training_rows
from jobs.monitoring.judging.standing import Standing, past_of, read_behind, standing_of
from jobs.monitoring.judging.training_reference import (
    Totals,
    beside_training,
    totals_in_ledger,
    totals_of,
    trained_on,
)
from jobs.monitoring.segments import beside_wholes
from jobs.monitoring.series import Series, read_series, series_one_by_one
from jobs.monitoring.watch import watch
from jobs.monitoring.watched import Past, Watch
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import (
    ACUTE,
    CLOSED,
    DRIFT,
    OPEN,
    WITHDRAWN,
    Alarm,
    alarm_id,
    alarms_of,
    news_of,
    settle_alarms,
)
from warehouse.ledger.drift import TrainingProfile
from warehouse.system_sql import system_sql

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Judgement:
    """What was found of a product's pages, in the order of the grid.

    `expected` has the name of the calendar's day of each page that is near one. `rows` goes into ledger.drift; they
    are of the pages from `first` on, since those before it stand as they were judged. `alarms` are all that there are.
    `trained` has what training pages add up to, of versions for which the ledger lacks it.
    """

    product: Product
    pages: list[datetime]
    watch: Watch | None
    alarms: list[Alarm]
    expected: dict[datetime, str]
    rows: pa.Table | None
    first: int = 0
    trained: Sequence[TrainingProfile] = ()


def judge(connection: duckdb.DuckDBPyConnection, product: Product, known_at: datetime | None = None) -> Judgement:
    """Judge all pages that are published, or were at an instant, by what was known then.

    Parameters
    ----------
    connection
        One that reads the lake.
    known_at
        Naive UTC; nothing that was written to the ledger later is read.
    """
    return _judge_all(connection, circumstances_of(connection, product, known_at), known_at)


def judge_what_is_new(connection: duckdb.DuckDBPyConnection, product: Product) -> Judgement:
    """Judge the pages whose judgement in the ledger does not stand: the rest of what `judge` gives stands there."""
    known = circumstances_of(connection, product)
    standing = standing_of(connection, known)
    found = _judge_behind(connection, known, standing) if standing is not None else None
    return found if found is not None else _judge_all(connection, known, None)


def _judge_all(connection: duckdb.DuckDBPyConnection, known: Circumstances, known_at: datetime | None) -> Judgement:
    product, pages = known.product, known.pages
    wholes = read_series(connection, product.name, pages, known_at)
    if not wholes:
        return Judgement(product, pages, None, [], known.expected, None)
    read = series_one_by_one(connection, product.name, pages, known_at, parts=known.parts) if known.parts else ()
    found = _watched(known, wholes, None, beside_wholes(wholes, read))
    alarms = alarms_found(product, pages, found, known.expected)
    rows = [rows_of(product, pages, found, alarms, known.expected, known.bases)]
    of, trained = _totals(connection, known, wholes, 0)
    rows.append(training_rows(product, pages, beside_training([one.series for one in found.columns], known, of)))
    return Judgement(product, pages, found, alarms, known.expected, _all_of(rows), trained=trained)


def _totals(
    connection: duckdb.DuckDBPyConnection, known: Circumstances, series: Sequence[Series] | None, first: int
) -> tuple[dict[str, Totals], list[TrainingProfile]]:
    """Give what the training pages of the versions of the judged pages add up to, and which of it is not written."""
    found, lacking = {}, list[TrainingProfile]()
    for version, basis in trained_on(known, first).items():
        found[version] = totals_in_ledger(connection, known.product.name, version, basis)
        if not found[version]:
            found[version] = totals_of(connection, known, version, basis, series)
            lacking += found[version].values()
    return found, lacking


def _watched(known: Circumstances, series: Sequence[Series], past: Past | None, parts: Iterable[Series] = ()) -> Watch:
    versions = Versions.of(known.versions[past.start if past else 0 :])
    return watch(
        series,
        len(known.pages),
        known.classes,
        lambda one: weights_of(one, versions),
        lambda one: counted_on(one, versions),
        known.bound,
        past,
        parts,
    )


def _all_of(tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([table for table in tables if table.num_rows] or list(tables[:1]))


def _judge_behind(connection: duckdb.DuckDBPyConnection, known: Circumstances, standing: Standing) -> Judgement | None:
    """Judge the pages behind those that stand; None if all have to be judged for it."""
    product, pages = known.product, known.pages
    series = read_behind(connection, known, standing) if standing.first < len(pages) else []
    found, fresh, rows, trained = None, list[Alarm](), list["pa.Table"](), list[TrainingProfile]()
    evidence = standing.evidence + [float("nan")] * (len(pages) - standing.first)
    if series:
        past = past_of(connection, known, standing, series)
        wholes = [one for one in series if one.segment is None]
        parts = series[len(wholes) :]
        found = _watched(known, wholes, past, parts) if past is not None else None
        # What explains an alarm on slow drift is the evidence of all pages since the last one.
        if found is None or found.evidence.alarms:
            return None
        fresh = alarms_found(product, pages[standing.start :], found, known.expected)
        evidence[standing.first :] = found.evidence.product[standing.first - standing.start :].tolist()
    written = alarms_of(connection, product.name)
    slowly = _slow_alarms(written, known, standing, evidence)
    if slowly is None or not _fit(written, slowly, standing):
        return None
    ours = sorted([*slowly, *fresh], key=lambda one: (one.first_page, one.kind))
    if found is not None:
        since = slice(standing.start, None)
        rows = [rows_of(product, pages[since], found, ours, known.expected, known.bases[since])]
        of, trained = _totals(connection, known, None, standing.first)
        compared = beside_training([one.series for one in found.columns], known, of, standing.start)
        rows.append(training_rows(product, pages[since], compared))
    # Alarms of before the pages that are judged stay as they are, but that slow ones close when they are over.
    there, last = {one.alarm_id for one in ours}, pages[standing.first - 1]
    kept = [one for one in written if one.kind in (ACUTE, DRIFT) and one.first_page <= last]
    alarms = sorted(
        [*(one for one in kept if one.alarm_id not in there), *ours], key=lambda one: (one.first_page, one.kind)
    )
    every = _all_of(rows) if rows else None
    return Judgement(product, pages, found, alarms, known.expected, every, standing.first, trained)


def _slow_alarms(
    written: Sequence[Alarm], known: Circumstances, standing: Standing, evidence: Sequence[float]
) -> list[Alarm] | None:
    """Give how the alarms on slow drift of before the pages that are judged stand; None if the ledger lacks one."""
    import numpy as np

    there = {one.alarm_id: one for one in written if not _is_withdrawn(one)}
    found = []
    for place in standing.slow_alarms:
        alarm = there.get(alarm_id(known.product.name, DRIFT, known.pages[place]))
        if alarm is None:
            return None
        over = slow.quiet_since(np.array(evidence), known.bound, place)
        state, until = (OPEN, known.pages[-1]) if over is None else (CLOSED, known.pages[over])
        found.append(replace(alarm, state=state, last_page=until))
    return found


def _fit(written: Sequence[Alarm], slowly: Sequence[Alarm], standing: Standing) -> bool:
    """Tell whether the alarms that judgements name stand in the ledger, those of acute findings closed."""
    closed = {one.alarm_id for one in written if one.kind == ACUTE and one.state != OPEN and not _is_withdrawn(one)}
    named = {one.alarm for one in standing.pages if one is not None and one.alarm is not None}
    return named <= closed | {one.alarm_id for one in slowly}


def _is_withdrawn(alarm: Alarm) -> bool:
    return alarm.state == WITHDRAWN and alarm.decided_by is None


def judge_and_write(suite: Suite, product: Product) -> Judgement:
    """Judge a product's pages, and write down what is new in one commit; none if nothing is."""
    # One core: several take a third more of CPU for what a page needs.
    with suite.lake.reading() as connection:
        judgement = judge_what_is_new(connection, product)
        changed = None
        if judgement.rows is not None:
            connection.register("judged_now", judgement.rows)
            query = system_sql("monitoring/changed")
            values = [product.name, judgement.pages[judgement.first]]
            changed = connection.execute(query, values).to_arrow_table()
            connection.unregister("judged_now")
        standing = [one for one in alarms_of(connection, product.name) if one.kind in (ACUTE, DRIFT)]
    if (changed is not None and changed.num_rows) or news_of(standing, judgement.alarms):
        _write(suite, judgement, changed)
    return judgement


def _write(suite: Suite, judgement: Judgement, changed: pa.Table | None) -> None:
    import pyarrow as pa

    product, now = judgement.product, suite.clock()
    meter = RunMeter(suite, "monitor", product.name)
    n_rows = changed.num_rows if changed is not None else 0
    with suite.lake.commit(f"judgements of {product.name}, run {meter.run_id}") as commit:
        if changed is not None and n_rows:
            dated = changed.append_column("known_by", pa.array([now] * n_rows, pa.timestamp("us")))
            dated = dated.append_column("snapshot_id", pa.array([commit.snapshot_id] * n_rows, pa.int64()))
            commit.connection.register("judged_now", dated)
            commit.execute("INSERT INTO ledger.drift BY NAME SELECT * FROM judged_now")
            commit.connection.unregister("judged_now")
        ledger.append(commit, judgement.trained)
        settle_alarms(commit, product.name, (ACUTE, DRIFT), judgement.alarms, meter.run_id, now)
        span = {"first_as_of": judgement.pages[0], "last_as_of": judgement.pages[-1]} if judgement.pages else {}
        figures = {"snapshot_id": commit.snapshot_id, "n_pages": len(judgement.pages), "n_rows": n_rows}
        ledger.append(commit, [meter.record("succeeded", **figures, **span)])
