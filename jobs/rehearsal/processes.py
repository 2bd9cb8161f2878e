"""What the processes of a rehearsal do, and what they say to the one that began them (`jobs.rehearsal.at_once`).

One kind lives a policy's life. The other makes trainings ahead for such a life, where it is known when they will come
and what they will learn from: from the last one on backwards, until the life has come to them.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

import duckdb
import filelock

from jobs.rehearsal.deliveries import Deliveries
from jobs.rehearsal.lives import Terms, live
from jobs.rehearsal.policies import Policy
from jobs.rehearsal.room import Room
from jobs.rehearsal.works import Moment
from jobs.schedule.suite_clock import schedule_of
from jobs.schedule.tick_store import TickStore
from jobs.scoring import ready_scorer
from jobs.suite import Suite, open_suite
from jobs.training.fit import Learnt
from jobs.training.recalled import Fitted
from jobs.training.train import train
from warehouse.errors import AlmanacError, UsageError

PAGES, ASKS, MADE, ENDED, FAILED = "pages", "asks", "made", "ended", "failed"
#: What one that trains ahead is told: to make a training, to pass it by, or that the life has come to it.
MAKE, PASS_BY, STOP = "make", "pass by", "stop"
#: A training without its scorer, by the names of `Fitted`.
Bare = Mapping[str, Any]
#: How long a process waits for one before it that lived the same life, which ends as soon as it can.
_LET_GO_S = 60


def bare(fitted: Fitted) -> Bare:
    """Take the scorer from a training, whose machine code does not travel."""
    return {one.name: getattr(fitted, one.name) for one in fields(fitted) if one.name != "scorer"}


def _whole(found: Bare) -> Fitted:
    """Give a training a scorer again."""
    learnt: Learnt = found["learnt"]
    scorer, _ = ready_scorer(learnt.estimator, learnt.names, found["rows"].sample)
    return Fitted(scorer=scorer, **found)


@dataclass(frozen=True)
class _Elsewhere:
    """Knows the trainings of all lives, by the process that attends to them."""

    pipe: Connection

    def of(self, key: str, make: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        """Give the training of a key, and whether another process has made it."""
        self.pipe.send((ASKS, key))
        found: Bare | None = self.pipe.recv()
        if found is not None:
            return _whole(found), True
        made = make()
        self.pipe.send((MADE, (key, bare(made))))
        return made, False


def live_a_life(pipe: Connection, leash: Connection) -> None:
    """Live a policy's life, and say what it came to, or what ended it."""
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    room, policy, terms = pipe.recv()
    try:
        # Where another process was killed, one that lived this life for it may not have noticed yet.
        with filelock.FileLock(room.directory / f"{policy.name}.lock", timeout=_LET_GO_S):
            pipe.send((ENDED, live(room, policy, terms, _Elsewhere(pipe), lambda n: pipe.send((PAGES, n)))))
    except (AlmanacError, duckdb.Error) as error:
        pipe.send((FAILED, (isinstance(error, UsageError), str(error))))


def known_trainings(room: Room, policy: Policy) -> list[datetime]:
    """Give the instants at which it is known that a life will train, which are still to come; none where that differs.

    Where facts were delivered in bulk a training follows from its instant alone. One that is asked for first, by
    `retrain`, may not come at all.
    """
    if room.facts_in_their_time:
        return []
    asked = room.asked
    there = room.open(policy, Moment(asked.begin))
    with contextlib.closing(there.lake), contextlib.closing(TickStore.open(there.lake.root)) as tick_store:
        seen = tick_store.seen_until() or asked.begin
        jobs = [job for job in schedule_of(there).jobs.values() if job.work.kind == "train"]
        return sorted({at for job in jobs for at in job.trigger.between(asked.begin, asked.end) if at > seen})


class _IsSaid(Exception):
    """Ends a training of which no version is wanted here."""


@dataclass
class _Ahead:
    """Makes a training if it is to, and leaves the version to the life that it is for."""

    pipe: Connection
    answer: str = MAKE

    def of(self, key: str, make: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        """Ask what to do about the training of a key, and do it."""
        self.pipe.send((ASKS, key))
        self.answer = self.pipe.recv()
        if self.answer == MAKE:
            self.pipe.send((MADE, (key, bare(make()))))
        raise _IsSaid


def train_ahead(pipe: Connection, leash: Connection) -> None:
    """Make trainings ahead of a life. What fails is left to the life, which makes it itself, and says why."""
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    room, policy, terms = pipe.recv()
    with contextlib.suppress(AlmanacError, duckdb.Error):
        make_trainings(room, policy, terms, pipe)
    pipe.send((ENDED, None))


def make_trainings(room: Room, policy: Policy, terms: Terms, pipe: Connection) -> None:
    """Make the trainings that a life will want, the last one first, until it has come to the next."""
    name, moment, ahead = room.asked.product.name, Moment(datetime.max), _Ahead(pipe)
    with _second_suite(room, policy, moment) as there:
        Deliveries(there.lake, room.directory).show_pages(datetime.max)
        for tick in reversed(known_trainings(room, policy)):
            moment.now = tick + terms.takes
            with contextlib.suppress(_IsSaid):
                train(there, name, tick, recalled=ahead)
            if ahead.answer == STOP:
                return


@contextlib.contextmanager
def _second_suite(room: Room, policy: Policy, moment: Moment) -> Iterator[Suite]:
    """Open a second suite of a policy, as its own was at the beginning."""
    there = open_suite(room.make_second_place(policy), moment)
    with contextlib.closing(there.lake):
        yield there


def _end_with(leash: Connection) -> None:
    """End this process when the one that holds the other end does."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv()
    os._exit(1)
