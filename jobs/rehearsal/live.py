"""Living through a stretch of time: the schedule's own steps, from one instant at which something is due to the next.

What was due, what was decided and what became of it stands in the tick store of the suite, as when the daemon runs it.
So a life that was broken off goes on at the instant at which it was, and takes up the runs that were going on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from jobs.rehearsal.together import WaitingPages
from jobs.rehearsal.works import Moment, Works
from jobs.schedule.decisions.ticks import Run
from jobs.schedule.scheduler import Scheduler
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite
from jobs.training.recalled import Recalled, Recalls

_MICROSECOND = timedelta(microseconds=1)


class Life:
    """A suite that is lived through by a simulated clock.

    Parameters
    ----------
    root
        The suite's directory.
    takes
        How long a training takes.
    ingest
        Takes in what has been delivered up to and at an instant (naive UTC) into the suite that it is given.
    before
        Is told each instant before anything is done at it, as for what was brought by hand; where pages wait, each at
        which they are made.
    recalled
        The trainings that this process has made before.
    waiting
        Has pages wait to be made together; see `jobs.rehearsal.together`.
    """

    def __init__(
        self,
        root: Path,
        takes: timedelta,
        ingest: Callable[[Suite, datetime], object],
        recalled: Recalls | None = None,
        before: Callable[[datetime], object] = lambda now: None,
        waiting: WaitingPages | None = None,
    ) -> None:
        self.moment = Moment(datetime.min)
        self.tick_store = TickStore.open(root / "lake")
        self.clock = SuiteClock(root, self.tick_store, self.moment)
        self.failures: list[tuple[datetime, str, str]] = []
        self._before = before
        self.works = Works(
            lambda: self.clock.suite,
            self.moment,
            takes,
            lambda now: ingest(self.clock.suite, now),
            recalled or Recalled(),
            self._note,
            waiting,
            before,
        )
        self.scheduler = Scheduler(self.tick_store, self.clock.schedule, self.clock.world(), self.works)

    def _note(self, run: Run, reason: str) -> None:
        if reason:
            self.failures.append((self.moment.now, run.job.name, reason))

    def until(self, begin: datetime, end: datetime, told: Callable[[datetime], None] = lambda now: None) -> None:
        """Live through the time from `begin` (included) to `end` (excluded), or what is left of it.

        Parameters
        ----------
        told
            Is told each instant at which something was due.
        """
        seen = self.tick_store.seen_until()
        self.moment.now = max(begin - _MICROSECOND, seen) if seen else begin - _MICROSECOND
        self._take_up()
        self._step()
        while (at := self._next()) < end:
            self.moment.now = at
            if self.works.waiting is None:
                self._before(at)
            self._step()
            told(at)
        self.works.make_waiting()

    def close(self) -> None:
        """Close what is open of the suite."""
        self.works.close()
        self.tick_store.close()
        if self.clock._suite is not None:
            self.clock.suite.lake.close()

    def _step(self) -> None:
        """Do all that is to be done now; what ends frees what waits for it."""
        self.works.finish_due()
        while self.scheduler.step(self.moment.now) or self.works.ended:
            self.works.finish_due()

    def _next(self) -> datetime:
        """Tell when something is due again: a tick, the end of a run, or of a rest."""
        now = self.moment.now
        soon = [job.trigger.next(now) for job in self.clock.schedule().jobs.values()]
        ends = self.works.next_end()
        rests = self.tick_store.next_rest(now)
        return min([*soon, *(one for one in (ends, rests) if one is not None)], default=datetime.max)

    def _take_up(self) -> None:
        """Take up the runs that were going on when this life was broken off, as of when each of them began."""
        now = self.moment.now
        for number, lease in self.tick_store.open_runs():
            job = self.clock.schedule().jobs[self.tick_store.job_of_run(number)]
            ticks = tuple(self.tick_store.ticks_of(number))
            self.moment.now = self.tick_store.started_at(number)
            self.works.start(Run(number, job, ticks, lease))
            self.moment.now = now
