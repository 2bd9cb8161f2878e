"""Rollback: a page as it was at an earlier snapshot becomes the page again, in one commit, with who and why.

A page that was rolled back is left as it is by backfills, until one is told to make such pages again: whoever
rolled it back had a reason, which what the definitions would say now does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.metering import RunMeter, who
from jobs.suite import Suite
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.exports import announce
from warehouse.ledger.records import PageRecord, Rollback
from warehouse.operations.leases import Leases, pages_held
from warehouse.pages.arms.rows import put_back_arms
from warehouse.pages.fallback.sums import put_back_sums
from warehouse.pages.history import PastPage, past_page, put_back
from warehouse.pages.profiled_pages import put_back_profiles
from warehouse.pages.views import ensure_views


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did.

    Attributes
    ----------
    rollback
        As the ledger has it.
    page
        The publication that it made.
    replaced
        The publication that readers saw until then.
    with_features
        Whether the features that the predictions came from stand beside them again; if not, they are no longer kept.
    """

    rollback: Rollback
    page: PageRecord
    replaced: PageRecord
    with_features: bool


def rollback(
    suite: Suite, product_name: str, as_of: datetime, to_snapshot: int, reason: str = "no reason was given"
) -> RolledBack:
    """Make a page what it was at a snapshot, with the features that its predictions came from.

    Parameters
    ----------
    suite, product_name, as_of
        Which page; naive UTC.
    to_snapshot
        The snapshot, as `almanac pages` and `almanac diff` number them.
    reason
        For the ledger.

    Raises
    ------
    NotFoundError
        If the page was not published by then, or what it was is no longer kept.
    UsageError
        If it has not been published since.
    RunFailed
        If another process is making the page.
    """
    defined = suite.definitions.product(product_name)
    product = defined.name
    meter = RunMeter(suite, "rollback", product)
    with suite.lake.reading():  # says what to do if there is no lake
        pass
    with Leases(suite.lake) as leases, leases.holding(product, [as_of]) as ours:
        if not ours:
            raise _being_made(suite, product, as_of)
        with suite.lake.commit(f"roll {product} {as_of} back to snapshot {to_snapshot}, run {meter.run_id}") as commit:
            done = _roll_back(suite, commit, product, as_of, to_snapshot, reason, meter)
            ensure_views(commit, defined)
            announce(commit, defined, [done.page])
            return done


def _being_made(suite: Suite, product: str, as_of: datetime) -> RunFailed:
    owner = pages_held(suite.lake, product).get(as_of)
    who = f"process {owner.pid} ({owner.command})" if owner else "another process"
    return RunFailed(
        f"the page {as_of} of {product} is just being made by {who}. Nothing was changed; wait for it, or stop it,"
        " and run this again."
    )


def _roll_back(
    suite: Suite, commit: Commit, product: str, as_of: datetime, to_snapshot: int, reason: str, meter: RunMeter
) -> RolledBack:
    now = past_page(commit.connection, product, "predictions", as_of)
    then = past_page(commit.connection, product, "predictions", as_of, to_snapshot)
    if then.record.snapshot_id == now.record.snapshot_id:
        raise UsageError(
            f"the page {as_of} of {product} is what it was at snapshot {to_snapshot}: it was last published at"
            f" snapshot {now.record.snapshot_id}. Name an earlier one."
        )
    by, clock = who(), suite.clock()
    done = Rollback(product, as_of, to_snapshot, commit.snapshot_id, meter.run_id, clock, by, reason)
    features = _features_of(commit, then.record)
    pages = [put_back(commit, past, meter.run_id, clock, done.said) for past in [then, *(features or [])]]
    ledger.append(commit, pages)
    put_back_arms(commit, then.record, then.readable_at, meter.run_id)
    put_back_sums(commit, then.record, meter.run_id)
    for past in [then, *(features or [])]:
        put_back_profiles(commit, past.record, meter.run_id)
    ledger.append(commit, [done])
    page = pages[0]
    figures = {"model_version": page.model_version, "definitions": page.definitions, "ingest_id": page.ingest_id}
    span = {"first_as_of": as_of, "last_as_of": as_of, "n_pages": 1, "n_rows": page.n_rows}
    ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id, **span, **figures)])
    return RolledBack(done, page, now.record, features is not None)


def _features_of(commit: Commit, predictions: PageRecord) -> list[PastPage] | None:
    """Give the features to put back, none if they stand there already; None if they are no longer kept."""
    names = (predictions.product, "features", predictions.as_of)
    try:
        then = past_page(commit.connection, *names, predictions.snapshot_id)
    except NotFoundError:
        return None
    return [] if then.record == past_page(commit.connection, *names).record else [then]
