"""What the jobs of a schedule do in a rehearsal: the very work, in this process, at the time of its simulated clock.

A training takes the time that trainings take: it is decided on when it begins, and its version is there when that time
has passed. Other work takes no time. The clock's steps (`jobs.schedule.scheduler`) see an executor as any other.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import duckdb

from jobs.monitoring.judging.judgements import judge_and_write
from jobs.monitoring.judging.monitor import judge_published
from jobs.monitoring.performance.judge import judge_performance
from jobs.pages.predict import run_page
from jobs.rehearsal.together import WaitingPages
from jobs.retraining.decision import TRAIN
from jobs.retraining.retrain import holding, retrain
from jobs.rollout.look import look
from jobs.schedule.decisions.ticks import Cost, Finished, Run
from jobs.suite import Suite
from jobs.training.recalled import Recalls
from jobs.training.train import train
from warehouse.errors import AlmanacError, RunFailed
from warehouse.ledger import records as ledger
from warehouse.operations.leases import Leases


@dataclass
class Moment:
    """The time that it is in a rehearsal, naive UTC."""

    now: datetime

    def __call__(self) -> datetime:
        """Give that time."""
        return self.now


@dataclass
class _Going:
    """A run that is not over: when it ends, and what keeps others from doing its work meanwhile."""

    run: Run
    ends: datetime
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


@dataclass
class Works:
    """Carries out the runs of a schedule for one suite.

    Attributes
    ----------
    suite
        Gives the suite as its files are; its clock is `moment`.
    takes
        How long a training takes.
    ingest
        Takes in what has been delivered, up to and at an instant.
    recalled
        The trainings that were made before.
    done
        Told of each run that has ended, with its reason if it failed.
    waiting
        Has pages wait until other work begins or ends, where nothing looks at them; None: each is made when it is due.
    before_pages
        Is told before the pages that have waited are made.
    """

    suite: Callable[[], Suite]
    moment: Moment
    takes: timedelta
    ingest: Callable[[datetime], object]
    recalled: Recalls
    done: Callable[[Run, str], None]
    waiting: WaitingPages | None = None
    before_pages: Callable[[datetime], object] = lambda now: None
    going: list[_Going] = field(default_factory=list)
    ended: dict[int, Finished] = field(default_factory=dict)
    leases: set[str] = field(default_factory=set)

    def take_lease(self) -> str:
        """Name a lease; it lasts until the run is over."""
        lease = f"rehearsal-{uuid.uuid4().hex}"
        self.leases.add(lease)
        return lease

    def is_alive(self, lease: str) -> bool:
        """Tell whether a run is going on in this process."""
        return lease in self.leases

    def cost_of(self, lease: str) -> Cost | None:
        """Give nothing: what a run costs stands in the ledger."""
        return None

    def finished(self) -> list[Finished]:
        """Give the runs that have ended."""
        return list(self.ended.values())

    def let_go(self, run: int) -> None:
        """Forget a run whose end is written down."""
        self.ended.pop(run, None)

    def start(self, run: Run) -> None:
        """Begin a run; what takes no time is over at once."""
        self.leases.add(run.lease)
        going = _Going(run, self.moment.now)
        if self.waiting is not None and run.job.work.kind == "predict":
            self.waiting.add([tick.page for tick in run.ticks if tick.page is not None], self.moment.now)
            self._end(going)
            return
        # Where pages wait, facts are there already: an ingestion brings nothing.
        if run.job.work.kind != "ingest":
            self.make_waiting()
        with self._noting_failure(going):
            if self._begins(going):
                self.going.append(going)
                return
            self._work(run)
        self._end(going)

    def next_end(self) -> datetime | None:
        """Tell when the next of the runs that go on ends."""
        return min((one.ends for one in self.going), default=None)

    def finish_due(self) -> None:
        """End the runs whose time has passed, and do then what they were for."""
        for one in sorted(self.going, key=lambda one: (one.ends, one.run.run)):
            if one.ends <= self.moment.now:
                self.going.remove(one)
                one.held.close()
                self.make_waiting()
                with self._noting_failure(one):
                    self._work(one.run)
                self._end(one)

    def make_waiting(self) -> None:
        """Make the pages that wait, as of when the newest of them was due."""
        if self.waiting is None:
            return
        now = self.moment.now
        if self.waiting.pages:
            self.moment.now = self.waiting.due_at
            self.before_pages(self.moment.now)
            self.waiting.make(self.suite())
            self.moment.now = now
        self.before_pages(now)

    def close(self) -> None:
        """Let go of what is held for runs that do not end any more."""
        for one in self.going:
            one.held.close()

    def _begins(self, going: _Going) -> bool:
        """Tell whether a training begins, which takes its time."""
        job, suite = going.run.job, self.suite()
        if job.work.kind == "train":
            going.ends = self.moment.now + self.takes
            return self.takes > timedelta(0)
        if job.work.kind != "retrain":
            return False
        said = retrain(suite, job.work.names[0], job.name, going.run.ticks[-1].at, only_ask=True)
        # Asked again for this tick, what was answered stands: there is nothing left to do unless it is to train.
        if said.trigger.answer != TRAIN or said.version is not None or self.takes == timedelta(0):
            return False
        going.ends = self.moment.now + self.takes
        # Who asks meanwhile is told that it is being trained, as by another process.
        ours = going.held.enter_context(Leases(suite.lake))
        going.held.enter_context(holding(ours, suite.definitions.product(job.work.names[0])))
        return True

    def _work(self, run: Run) -> None:
        suite = self.suite()
        if run.job.work.kind == "ingest":
            self.ingest(self.moment.now)
        else:
            WORK[run.job.work.kind](suite, run, self.recalled)

    @contextlib.contextmanager
    def _noting_failure(self, going: _Going) -> Iterator[None]:
        """Let a run fail, as a child process would, and life go on."""
        try:
            yield
        except (AlmanacError, duckdb.Error) as error:
            going.held.close()
            self.ended[going.run.run] = Finished(going.run.run, False, str(error)[:500])

    def _end(self, going: _Going) -> None:
        found = self.ended.setdefault(going.run.run, Finished(going.run.run, True))
        self.done(going.run, found.reason)


def _predict(suite: Suite, run: Run, recalled: Recalls) -> None:
    """Make the page of the tick, and judge it, as a run of the clock does."""
    name = run.job.work.names[0]
    for tick in run.ticks:
        result = run_page(suite, name, tick.page)
        if result.rejected:
            raise RunFailed(f"the page {tick.page} was kept back by a check")
    if failed := judge_published(suite, [name]):
        raise RunFailed("; ".join(failed))


def _train(suite: Suite, run: Run, recalled: Recalls) -> None:
    """Train as of the tick, unless that was done by a process that was killed before it could say so."""
    name, tick = run.job.work.names[0], run.ticks[-1].at
    with suite.lake.reading() as connection:
        models = ledger.models(connection, name)
    if not any((model.label_cutoff, model.trained_at) == (tick, suite.clock()) for model in models):
        train(suite, name, tick, recalled=recalled)


def _retrain(suite: Suite, run: Run, recalled: Recalls) -> None:
    retrain(suite, run.job.work.names[0], run.job.name, run.ticks[-1].at, recalled=recalled)


def _monitor(suite: Suite, run: Run, recalled: Recalls) -> None:
    name = run.job.work.names[0]
    judge_and_write(suite, suite.definitions.product(name))
    judge_performance(suite, name)


def _look(suite: Suite, run: Run, recalled: Recalls) -> None:
    look(suite, run.job.work.names[0])


#: What each kind of work does; ingestions are `Works.ingest`.
WORK: Final[Mapping[str, Callable[[Suite, Run, Recalls], None]]] = {
    "predict": _predict,
    "train": _train,
    "retrain": _retrain,
    "monitor": _monitor,
    "rollout": _look,
}
