"""One step of the clock: write down what is due, decide, claim, start.

The scheduler takes its time, its executor and its view of the world as arguments. The daemon, a one-shot
`almanac tick` and the simulation in the tests drive the same steps; any number of them may do so at once on one
tick store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from jobs.schedule.decisions.decide import Again, Hold, Settle, Start, after_abandonment, after_failure, decide
from jobs.schedule.decisions.ticks import Cost, Finished, Run, Tick
from jobs.schedule.files.schedule import Job, Schedule
from jobs.schedule.tick_store import PageOf, TickStore

#: What is asked (a readiness query's name, or one of `readiness_names`), and a page.
Question = tuple[str, datetime]


class Executor(Protocol):
    """What runs jobs. `jobs.schedule.processes.runs` does so in child processes."""

    def take_lease(self) -> str:
        """Take a lease that ends when everything that carries out the run is gone, and name it."""

    def start(self, run: Run) -> None:
        """Start a run, and return at once."""

    def finished(self) -> list[Finished]:
        """Give the runs that ended and whose leases are still held."""

    def let_go(self, run: int) -> None:
        """Forget a run whose end is written down; its lease ends now."""

    def is_alive(self, lease: str) -> bool:
        """Tell whether anything that holds this lease is left, on this host."""

    def cost_of(self, lease: str) -> Cost | None:
        """Give what is known of the cost of a run whose runner is gone."""


@dataclass(frozen=True)
class World:
    """What the clock asks of the suite.

    Attributes
    ----------
    page_of
        The page that a job is due for at an instant.
    unready
        Asks questions about pages: None where a page is ready, or has something new, else a sentence.
    published
        The pages of a product that are published, of those asked about.
    """

    page_of: PageOf
    unready: Callable[[Sequence[Question]], dict[Question, str | None]]
    published: Callable[[str, Iterable[datetime]], set[datetime]]


@dataclass(frozen=True)
class Ending:
    """The end of a run, with what it was for: the job, and the newest page."""

    job: str
    page: datetime | None
    finished: Finished


@dataclass
class Step:
    """What one step did: for logs, alerts and those who drive the scheduler."""

    started: list[Run] = field(default_factory=list)
    settled: list[tuple[str, Settle]] = field(default_factory=list)
    again: list[tuple[str, Again]] = field(default_factory=list)
    ended: list[Ending] = field(default_factory=list)

    def add(self, other: Step) -> None:
        """Take in what another step did."""
        self.started += other.started
        self.settled += other.settled
        self.again += other.again
        self.ended += other.ended

    def __bool__(self) -> bool:
        return bool(self.started or self.settled or self.again or self.ended)


@dataclass
class Scheduler:
    """Drives one tick store. `schedule` is asked in every transaction, so that nobody works by an old file."""

    tick_store: TickStore
    schedule: Callable[[], Schedule]
    world: World
    executor: Executor
    seed: int = 0
    on_step: Callable[[Step, datetime], None] = lambda step, now: None

    def step(self, now: datetime, *, start_runs: bool = True) -> Step:
        """Do all that is to be done at `now` (naive UTC), and return what that was.

        With `start_runs` false nothing new is started: what ended is written down, and no more (draining).
        """
        done, ready = Step(), dict[Question, str | None]()
        while True:
            once, asked = self._once(now, ready, start_runs)
            for ending in once.ended:
                self.executor.let_go(ending.finished.run)
            for run in once.started:
                self.executor.start(run)
            if asked:
                ready |= self.world.unready(asked)
            done.add(once)
            if not asked and not once.settled:
                return done

    def _once(self, now: datetime, ready: dict[Question, str | None], start_runs: bool) -> tuple[Step, list[Question]]:
        """Go through all that is open, in one transaction."""
        once, starts, asked = Step(), list[Start](), list[Question]()
        with self.tick_store.writing():
            schedule = self.schedule()
            self.tick_store.enter(schedule, self.world.page_of, now)
            self._note_ends(schedule, now, once)
            if start_runs:
                starts, asked = self._decide(schedule, ready, now, once)
            once.started = [self.tick_store.claim(start, self.executor.take_lease(), now) for start in starts]
            self.on_step(once, now)
        return once, asked

    def _note_ends(self, schedule: Schedule, now: datetime, done: Step) -> None:
        """Write down how runs ended, those included whose runner is gone."""
        ended = {finished.run: finished for finished in self.executor.finished()}
        for finished in ended.values():
            self._note_end(schedule, finished, now, done)
        for run, lease in self.tick_store.open_runs():
            if run not in ended and not self.executor.is_alive(lease):
                ticks = self.tick_store.ticks_of(run)
                reason = "abandoned: whoever ran it is gone"
                self.tick_store.end(run, "abandoned", reason, now, self.executor.cost_of(lease))
                self._apply((after_abandonment(tick, now, reason) for tick in ticks), now, done)

    def _note_end(self, schedule: Schedule, finished: Finished, now: datetime, done: Step) -> None:
        ticks = self.tick_store.ticks_of(finished.run)
        name = self.tick_store.job_of_run(finished.run)
        done.ended.append(Ending(name, ticks[-1].page if ticks else None, finished))
        result = "succeeded" if finished.succeeded else "interrupted" if finished.interrupted else "failed"
        if not self.tick_store.end(finished.run, result, finished.reason, now, finished.cost):
            return
        job = schedule.jobs.get(name)
        made = self._made(job, ticks) if result == "failed" else set()
        for tick in ticks:
            if finished.succeeded or tick.page in made:
                verdict: Settle | Again = Settle(tick, "caught up" if tick.missed else "ran")
            elif finished.interrupted:
                verdict = Again(tick, tick.attempts, tick.abandoned, now, finished.reason)
            elif job is None:
                verdict = Settle(tick, "failed", finished.reason)
            else:
                verdict = after_failure(job, tick, now, self.seed, finished.reason)
            self._apply([verdict], now, done)

    def _made(self, job: Job | None, ticks: list[Tick]) -> set[datetime]:
        """Give the pages of a failed run of several that were published all the same."""
        if job is None or job.work.product is None or len(ticks) < 2:
            return set()
        return self.world.published(job.work.product, [tick.page for tick in ticks if tick.page is not None])

    def _decide(
        self, schedule: Schedule, ready: dict[Question, str | None], now: datetime, done: Step
    ) -> tuple[list[Start], list[Question]]:
        """Settle and hold what is to be; give what may start, and which questions to ask first."""
        starts, asked = [], []
        board = self.tick_store.board(schedule, ready)
        for verdict in list(decide(board, now)):
            if isinstance(verdict, Start):
                starts.append(verdict)
            elif isinstance(verdict, Hold):
                if verdict.ask and verdict.tick.page:
                    asked.append((verdict.ask, verdict.tick.page))
                else:
                    self.tick_store.hold(verdict)
            else:
                self._apply([verdict], now, done)
        return starts, asked

    def _apply(self, verdicts: Iterable[Settle | Again], now: datetime, done: Step) -> None:
        for verdict in verdicts:
            name = self.tick_store.job_name(verdict.tick.job_id)
            if isinstance(verdict, Settle):
                self.tick_store.settle(verdict, now)
                done.settled.append((name, verdict))
            else:
                self.tick_store.try_again(verdict)
                done.again.append((name, verdict))
