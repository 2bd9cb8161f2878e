"""Rehearse: live through a stretch of history again under each of some policies, and compare what they came to."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from jobs.metering import RunMeter
from jobs.progress import Progress, Silent
from jobs.rehearsal.figures import FIRST_VERSION, Lived, PolicyResult, compare, look_back
from jobs.rehearsal.live import Life
from jobs.rehearsal.policies import Policy, read_policies
from jobs.rehearsal.record import Rehearsal, keep_rehearsal
from jobs.rehearsal.room import Asked, Room, one_at_a_time, prepare
from jobs.rehearsal.together import WaitingPages, may_wait
from jobs.rehearsal.works import Moment
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite
from jobs.training.recalled import Recalled
from jobs.training.register import Order
from jobs.training.train import train
from warehouse.definitions import Product
from warehouse.errors import RunFailed, UsageError
from warehouse.label_kinds import KINDS
from warehouse.lake.lake import Lake
from warehouse.ledger import records as ledger

_MINUTE, _MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)


def rehearse(
    suite: Suite,
    product_name: str,
    begin: datetime,
    end: datetime,
    policies: Path,
    *,
    hold_out: float | None = None,
    training_takes: timedelta | None = None,
    keep: bool = False,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> Rehearsal:
    """Live through the time from `begin` to `end` (excluded, naive UTC) under each policy of a file.

    What is published stays as it is; the ledger gets what the policies came to. Killed, the same call goes on where it
    was.

    Parameters
    ----------
    hold_out
        The share of the pages, the last ones, that no policy is chosen by.
    training_takes
        How long a training takes; None: as long as those of the ledger took.
    keep
        Keep the policies' suites, to be looked at.
    scratch
        The directory in which the policies' lakes are put; see `jobs.rehearsal.room` for where they are otherwise.

    Raises
    ------
    UsageError
        If the stretch is not past, or the product has a rule.
    DefinitionError
        If the file, or what a policy makes of the definitions, is wrong.
    RunFailed
        If the version that all policies begin with does not pass its gates, or another process rehearses the same.
    """
    progress = progress or Silent()
    product = suite.definitions.product(product_name)
    _require_lived(suite, product, begin, end, hold_out)
    asked = Asked(product, begin, end, tuple(read_policies(policies, product)), scratch)
    meter = RunMeter(suite, "rehearse", product.name)
    with one_at_a_time(suite, asked):
        found = _rehearse(suite, asked, hold_out, training_takes, progress, keep=keep)
    keep_rehearsal(suite, asked, found, meter, kept=keep)
    return found


def _rehearse(
    suite: Suite,
    asked: Asked,
    hold_out: float | None,
    training_takes: timedelta | None,
    progress: Progress,
    *,
    keep: bool,
) -> Rehearsal:
    """Live through the stretch under each policy, by nobody else meanwhile."""
    product, begin, end = asked.product, asked.begin, asked.end
    room = prepare(suite, asked, progress)
    recalled = Recalled()
    lives, failed = dict[str, Lived](), dict[str, int]()
    for policy in asked.policies:
        moment = Moment(begin)
        there = room.open(policy, moment)
        try:
            _have_a_version(there, product.name, begin, room.facts_in_their_time, recalled)
            if training_takes is None:
                training_takes = _training_takes(there, product, begin)
            failed[policy.name] = _live(room, policy, there.lake, training_takes, recalled, progress)
            moment.now = suite.clock()
            lives[policy.name] = look_back(there, there.definitions.product(product.name), begin, end)
        finally:
            there.lake.close()
    found = _compared(room, lives, failed, hold_out)
    if not keep:
        shutil.rmtree(room.directory, ignore_errors=True)
    takes_s = training_takes.total_seconds() if training_takes else 0.0
    return replace(found, training_s=takes_s, shared=recalled.n_shared)


def _require_lived(suite: Suite, product: Product, begin: datetime, end: datetime, hold_out: float | None) -> None:
    if product.rule is not None:
        raise UsageError(f"{product.name} has a rule, {product.rule.where}, which is not trained.")
    if not begin < end <= suite.clock():
        raise UsageError(f"from {begin} to {end} is no stretch of the past (it is {suite.clock()} UTC).")
    if hold_out is not None and not 0 < hold_out < 1:
        raise UsageError(f"--hold-out {hold_out} is no share between 0 and 1.")


def _training_takes(there: Suite, product: Product, begin: datetime) -> timedelta:
    """Give how long trainings took by the ledger as it was: the median in full minutes, nothing where there is none."""
    with there.lake.reading() as connection:
        models = [one for one in ledger.models(connection, product.name) if one.trained_at <= begin]
    seconds = sorted(one.cost["wall_s"] for one in models if "wall_s" in one.cost)
    return _MINUTE * -(-seconds[len(seconds) // 2] // 60) if seconds else timedelta(0)


def _live(room: Room, policy: Policy, lake: Lake, takes: timedelta, recalled: Recalled, progress: Progress) -> int:
    """Live through the stretch under one policy; give how many runs failed in it. At its end all facts are there."""
    asked, deliveries = room.asked, room.deliveries(lake)
    pages = asked.product.pages_between(asked.begin, asked.end)
    progress.start(policy.name, len(pages))

    def ingest(_: Suite, now: datetime) -> None:
        deliveries.show(now + _MICROSECOND)

    def before(now: datetime) -> None:
        # What came without a job `ingest` is there as soon as it was; a page that is due is there for all policies.
        deliveries.show(now)
        deliveries.show_pages(now + _MICROSECOND)

    life = Life(room.place_of(policy), takes, ingest, recalled, before, _waiting(room, policy))
    done = 0

    def told(now: datetime) -> None:
        nonlocal done
        count = sum(page <= now for page in pages)
        progress.advance(count - done)
        done = count

    try:
        life.until(asked.begin, asked.end, told)
        n_failed = life.tick_store.n_failed() + (life.works.waiting.n_failed if life.works.waiting else 0)
    finally:
        life.close()
    deliveries.show(datetime.max)
    progress.finish()
    return n_failed


def _waiting(room: Room, policy: Policy) -> WaitingPages | None:
    """Have pages wait to be made together until something looks at them, where that makes no difference."""
    if room.facts_in_their_time:
        return None
    place = room.place_of(policy)
    with contextlib.closing(TickStore.open(place / "lake")) as tick_store:
        clock = SuiteClock(place, tick_store, Moment(room.asked.begin))
        product = clock.suite.definitions.product(room.asked.product.name)
        may = may_wait(clock.schedule(), has_rollout=product.header.rollout is not None)
        clock.suite.lake.close()
    return WaitingPages.of(place, product.name) if may else None


def _have_a_version(there: Suite, name: str, begin: datetime, in_their_time: bool, recalled: Recalled) -> None:
    """Train the version that a policy begins with, where the lake had none; not where pages began without one."""
    with there.lake.reading() as connection:
        if in_their_time or ledger.promotions(connection, name):
            return
    found = train(there, name, begin, order=Order(FIRST_VERSION), recalled=recalled)
    if not found.went_live:
        raise RunFailed(
            f"the version that all policies are to begin with, trained as of {begin}, is not live: {found.why}. Begin"
            " later, or let a policy have other `gates`."
        )


def _compared(room: Room, lives: Mapping[str, Lived], failed: Mapping[str, int], hold_out: float | None) -> Rehearsal:
    asked = room.asked
    kind = KINDS[asked.product.kind.name]
    pages = asked.product.pages_between(asked.begin, asked.end)
    higher = kind.metrics[kind.loss]
    told = Rehearsal(
        asked.product.name, asked.begin, asked.end, kind.loss, higher, 0.0, (), None,
        facts_in_their_time=room.facts_in_their_time,
    )  # fmt: skip
    if hold_out is None:
        rows, best = _marked(compare(asked.product, lives, failed, pages), higher)
        return replace(told, rows=rows, best=best)
    cut = len(pages) - round(hold_out * len(pages))
    if not 0 < cut < len(pages):
        raise UsageError(f"--hold-out {hold_out} of {len(pages)} pages leaves none on one side.")
    chosen_on, best = _marked(compare(asked.product, lives, failed, pages[:cut]), higher)
    rows = [replace(row, is_best=row.policy == best) for row in compare(asked.product, lives, failed, pages[cut:])]
    return replace(told, rows=rows, best=best, chosen_on=chosen_on, held_out_from=pages[cut])


def _marked(rows: Sequence[PolicyResult], higher: bool) -> tuple[list[PolicyResult], str | None]:
    """Mark the best: of those whose figures are the same, the one with the fewest trainings."""
    known = [row for row in rows if row.figure is not None]
    if not known:
        return list(rows), None
    best = min(known, key=lambda row: (-(row.figure or 0.0) if higher else row.figure or 0.0, row.trainings)).policy
    return [replace(row, is_best=row.policy == best) for row in rows], best
