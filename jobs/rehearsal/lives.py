"""The life of one policy: the version that it begins with, the stretch lived through, and what it leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.rehearsal.figures import FIRST_VERSION, Lived, look_back
from jobs.rehearsal.live import Life
from jobs.rehearsal.policies import Policy
from jobs.rehearsal.room import Room
from jobs.rehearsal.together import WaitingPages, may_wait
from jobs.rehearsal.works import Moment
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite
from jobs.training.recalled import Recalls
from jobs.training.register import Order
from jobs.training.train import train
from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.lake.lake import Lake
from warehouse.ledger import records as ledger

_MINUTE, _MICROSECOND = timedelta(minutes=1), timedelta(microseconds=1)


@dataclass(frozen=True)
class Terms:
    """What all lives of a rehearsal have in common: how long a training takes, and when they are looked back on."""

    takes: timedelta
    looked_back_at: datetime


@dataclass(frozen=True)
class Ended:
    """A life that has ended: what it left, and how many of its runs failed."""

    lived: Lived
    n_failed: int


def begin_first(room: Room, recalled: Recalls) -> timedelta:
    """Have the version that the first policy begins with, and give how long trainings took by then.

    Raises
    ------
    RunFailed
        If the version does not pass its gates.
    """
    asked = room.asked
    there = room.open(asked.policies[0], Moment(asked.begin))
    with contextlib.closing(there.lake):
        _have_a_version(there, room, recalled)
        return _training_takes(there, asked.product, asked.begin)


def live(room: Room, policy: Policy, terms: Terms, recalled: Recalls, told: Callable[[int], None]) -> Ended:
    """Live through the stretch under one policy, or what is left of it. At its end all facts are there.

    Parameters
    ----------
    told
        Is told of pages that have become due, and how many.

    Raises
    ------
    RunFailed
        If the version that the life begins with does not pass its gates.
    """
    asked, moment = room.asked, Moment(room.asked.begin)
    there = room.open(policy, moment)
    with contextlib.closing(there.lake):
        _have_a_version(there, room, recalled)
        n_failed = _live(room, policy, there.lake, terms.takes, recalled, told)
        moment.now = terms.looked_back_at
        return Ended(look_back(there, there.definitions.product(asked.product.name), asked.begin, asked.end), n_failed)


def _training_takes(there: Suite, product: Product, begin: datetime) -> timedelta:
    """Give how long trainings took by the ledger as it was: the median in full minutes, nothing where there is none."""
    with there.lake.reading() as connection:
        models = [one for one in ledger.models(connection, product.name) if one.trained_at <= begin]
    seconds = sorted(one.cost["wall_s"] for one in models if "wall_s" in one.cost)
    return _MINUTE * -(-seconds[len(seconds) // 2] // 60) if seconds else timedelta(0)


def _live(
    room: Room, policy: Policy, lake: Lake, takes: timedelta, recalled: Recalls, told: Callable[[int], None]
) -> int:
    """Live through the stretch; give how many runs failed in it."""
    asked, deliveries = room.asked, room.deliveries(lake)
    pages = asked.product.pages_between(asked.begin, asked.end)

    def ingest(_: Suite, now: datetime) -> None:
        deliveries.show(now + _MICROSECOND)

    def before(now: datetime) -> None:
        # What came without a job `ingest` is there as soon as it was; a page that is due is there for all policies.
        deliveries.show(now)
        deliveries.show_pages(now + _MICROSECOND)

    life = Life(room.place_of(policy), takes, ingest, recalled, before, _waiting(room, policy))
    done = 0

    def passed(now: datetime) -> None:
        nonlocal done
        count = sum(page <= now for page in pages)
        told(count - done)
        done = count

    try:
        life.until(asked.begin, asked.end, passed)
        n_failed = life.tick_store.n_failed() + (life.works.waiting.n_failed if life.works.waiting else 0)
    finally:
        life.close()
    deliveries.show(datetime.max)
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


def _have_a_version(there: Suite, room: Room, recalled: Recalls) -> None:
    """Train the version that a policy begins with, where the lake had none; not where pages began without one."""
    name, begin = room.asked.product.name, room.asked.begin
    with there.lake.reading() as connection:
        if room.facts_in_their_time or ledger.promotions(connection, name):
            return
    found = train(there, name, begin, order=Order(FIRST_VERSION), recalled=recalled)
    if not found.went_live:
        raise RunFailed(
            f"the version that all policies are to begin with, trained as of {begin}, is not live: {found.why}. Begin"
            " later, or let a policy have other `gates`."
        )
