"""Giving back: what readers see of a challenger that is out is the live version's again, from rows that stand there.

Nothing is scored: all arms scored every row, and those that were not served stand beside the page. It happens in the
commit of the decision, so that no reader sees one without the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import duckdb

from jobs.metering import RunMeter
from jobs.models.arms.assignment import EXPLORE
from jobs.models.reasons.records import copy_reason_run
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.lake.lake import Commit, table_columns
from warehouse.ledger import records as ledger
from warehouse.ledger.exports import announce
from warehouse.ledger.records import PageRecord
from warehouse.ledger.rollouts import ArmPage, Step, arm_pages, served_without
from warehouse.operations.leases import Leases
from warehouse.pages.arms.rows import give_back
from warehouse.pages.profiled_pages import RowsOfPages, centres_of
from warehouse.pages.profiling.appended import append_profiles
from warehouse.pages.profiling.page_counts import profile_rows
from warehouse.pages.profiling.segments import append_segment_profiles, segment_counts
from warehouse.pages.views import ensure_views
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote, system_sql


def pages_served(
    connection: duckdb.DuckDBPyConnection, product: Product, rollout_id: str, staying: Collection[str]
) -> dict[datetime, list[ArmPage]]:
    """Give the pages that readers still see of which a rollout's arms, but for those staying, serve rows; by page.

    What no model chose for is no challenger's, and stays as it was served.
    """
    staying = {*staying, EXPLORE}
    row = connection.execute(system_sql("publish/current_span", product="$1"), [product.name]).fetchone()
    if row is None or row[0] is None:
        return {}
    made = arm_pages(connection, product.name, row[0], row[1])
    return {
        page: arms
        for page, arms in sorted(made.items())
        if any(one.n_served and one.arm not in staying and one.rollout_id == rollout_id for one in arms)
    }


@contextlib.contextmanager
def holding_pages(suite: Suite, product: Product, pages: Sequence[datetime]) -> Iterator[None]:
    """Keep others from making some pages meanwhile.

    Raises
    ------
    RunFailed
        If one is just being made.
    """
    with Leases(suite.lake) as leases, leases.holding(product.name, pages) as ours:
        busy = [page for page in pages if page not in ours]
        if busy:
            raise RunFailed(
                f"the page {busy[0]} of {product.name} is just being made by another process. Nothing was decided; wait"
                " for it, and run this again."
            )
        yield


def give_back_pages(
    commit: Commit, suite: Suite, product: Product, live: str, step: Step, meter: RunMeter
) -> list[PageRecord]:
    """Give back, in the commit of a step, what readers see of those who are out by it; give the publications made."""
    staying = {live} if step.is_end else {live, *step.versions}
    served = pages_served(commit.connection, product, step.rollout_id, staying)
    if not served:
        return []
    published = ledger.published_pages(commit.connection, product.name, "predictions", served)
    records = []
    for page, arms in served.items():
        out = sorted({one.arm for one in arms} - staying - {EXPLORE})
        for version in out:
            give_back(commit, product, page, version, live)
        note = f"given back to {live}: {', '.join(out)} is out of the rollout {step.rollout_id}"
        run_id, at, snapshot_id = meter.run_id, suite.clock(), commit.snapshot_id
        records.append(replace(published[page], run_id=run_id, recorded_at=at, snapshot_id=snapshot_id, note=note))
        made = served_without(arms, out, live)
        made = [replace(one, run_id=run_id, step=step.number, snapshot_id=snapshot_id) for one in made]
        ledger.append(commit, made)
        copy_reason_run(commit, product.name, published[page].run_id, meter.run_id)
    ledger.append(commit, records)
    _profile(commit, product, records)
    announce(commit, product, records)
    ensure_views(commit, product)
    return records


def _profile(commit: Commit, product: Product, records: Sequence[PageRecord]) -> None:
    """Profile pages whose rows have changed, as what is watched is what readers see."""
    connection = commit.connection
    pages = ", ".join(timestamp_literal(record.as_of) for record in records)
    relation = f"(SELECT * FROM predictions.{quote(product.name)} WHERE as_of IN ({pages}))"
    columns = table_columns(connection, "predictions", product.name)
    rows = RowsOfPages(product, "predictions", relation, columns, records)
    centres = centres_of(connection, product.name)
    parts = segment_counts(rows, centres)
    append_profiles(commit, list(profile_rows(connection, rows, centres, parts)), records)
    append_segment_profiles(commit, parts.tables if parts is not None else (), records)
