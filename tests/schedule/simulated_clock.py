"""A world in which years of schedule pass in seconds: real scheduler, real book, simulated time and processes.

From one seed come the jobs, how long they take and whether they succeed, when data is late, when a daemon
dies, when the clock is set forward or back, when somebody edits the file and when old ticks are forgotten. The
world keeps its own accounts (what was due, what ran, what succeeded), written from the documented rules and not from
the scheduler's code, and checks the scheduler against them.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.schedule.decisions.ticks import Finished, Run
from jobs.schedule.files.schedule import Job, Retries, Schedule, Work
from jobs.schedule.files.triggers import Interval, Trigger
from jobs.schedule.scheduler import Question, Scheduler, World
from jobs.schedule.tick_store import TickStore
from tests.schedule.simulated_retraining import SimulatedRetraining
from warehouse.definitions.cron import Grid
from warehouse.operations.state import forget

START = datetime(2013, 1, 1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POOLS = {"default": 3, "narrow": 1}


class Crash(BaseException):
    """The process dies here."""


def occurrences(trigger: Trigger, after: datetime, until: datetime) -> Iterator[datetime]:
    """What is due after one instant and up to another, by plain counting: `M H * * *`, `M * * * *`, every N."""
    if isinstance(trigger, Interval):
        step, at = trigger.every, datetime(1970, 1, 1)
        at += (after - at) // step * step
    else:
        minute, hour, *_, weekday = trigger.cron.split()
        step = HOUR if hour == "*" else DAY
        at = datetime(after.year, after.month, after.day) - DAY
        at += int(minute) * MINUTE + (timedelta(0) if hour == "*" else int(hour) * HOUR)
    while at <= until:
        if at > after and (isinstance(trigger, Interval) or weekday in ("*", str(at.isoweekday() % 7))):
            yield at
        at += step


@dataclass
class SimulatedRun:
    run: Run
    ends: datetime
    succeeds: bool
    owner: SimulatedProcesses | None


@dataclass
class SimulatedProcesses:
    """An executor: one daemon's child processes. Dies with its daemon, or somewhat later."""

    world: SimulatedWorld
    dead: bool = False

    def take_lease(self) -> str:
        self.world.leases += 1
        lease = f"lease-{self.world.leases}"
        self.world.lease_owners[lease] = self
        return lease

    def start(self, run: Run) -> None:
        world = self.world
        if world.dies("before a run starts"):
            raise Crash
        world.check_start(run)
        world.retrain(run)
        trigger = run.job.trigger
        often = trigger.every < DAY if isinstance(trigger, Interval) else " * * *" in trigger.cron[:8]
        long = 50 * MINUTE if often else 30 * HOUR if world.slow else 3 * HOUR
        takes = MINUTE if world.calm else world.random.choice([MINUTE, 10 * MINUTE, 50 * MINUTE, long])
        succeeds = world.calm or world.random.random() > world.failure_rate
        world.live[run.run] = SimulatedRun(run, world.real + takes * world.random.random(), succeeds, self)
        if world.dies("after a run started"):
            raise Crash

    def finished(self) -> list[Finished]:
        return [
            Finished(number, run.succeeds, "" if run.succeeds else "exit 1")
            for number, run in self.world.live.items()
            if run.owner is self and run.ends <= self.world.real
        ]

    def let_go(self, run: int) -> None:
        del self.world.live[run]

    def cost_of(self, lease: str) -> None:
        pass

    def is_alive(self, lease: str) -> bool:
        owner = self.world.lease_owners.get(lease)
        if owner is not None and not owner.dead:
            return True
        return any(run.run.lease == lease and run.ends > self.world.real for run in self.world.live.values())


def new_state() -> Any:
    """Open an operational state in which nothing has happened."""
    return sqlite3.connect(":memory:")


@dataclass
class SimulatedWorld:
    seed: int
    days: int
    real: datetime = START
    clock_error: timedelta = timedelta(0)
    calm: bool = False
    leases: int = 0
    live: dict[int, SimulatedRun] = field(default_factory=dict)
    lease_owners: dict[str, SimulatedProcesses] = field(default_factory=dict)
    # The accounts: identities by name, what was due, what was seen to start, fail and succeed.
    identities: dict[str, int] = field(default_factory=dict)
    buried: dict[str, int] = field(default_factory=dict)
    triggers: dict[int, Trigger] = field(default_factory=dict)
    seen_until: dict[int, datetime] = field(default_factory=dict)
    due: dict[int, set[datetime]] = field(default_factory=lambda: defaultdict(set))
    succeeded: dict[int, set[datetime]] = field(default_factory=lambda: defaultdict(set))
    missed: set[tuple[int, datetime]] = field(default_factory=set)
    failures: dict[tuple[int, datetime], int] = field(default_factory=lambda: defaultdict(int))
    attempts: dict[tuple[int, datetime], int] = field(default_factory=lambda: defaultdict(int))
    forgotten: dict[tuple[int, datetime], str] = field(default_factory=dict)
    lateness: dict[datetime, timedelta] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.failure_rate = self.random.choice([0.0, 0.05, 0.3])
        self.crash_rate = self.random.choice([0.0, 0.01, 0.05])
        self.slow = self.random.random() < 0.3
        self.trouble = self.random.choice([0.5, 2.0, 6.0]) / DAY.total_seconds()
        self.names = iter(f"job{n}" for n in range(10_000))
        self.file = self.first_schedule()
        self.shelf: list[Job] = []
        self.grids = {f"product{n}": Grid.parse(f"0 {6 * n} * * *", "UTC") for n in range(3)}
        self.retrainings = {name: SimulatedRetraining(f"{self.seed} {name}", START) for name in self.grids}
        self.tick_store = TickStore(new_state())
        self.daemons: dict[str, Scheduler | None] = {"a": None, "b": None}

    @property
    def now(self) -> datetime:
        """What the machine's clock says."""
        return self.real + self.clock_error

    # The schedule and its edits

    def a_trigger(self) -> Trigger:
        r = self.random
        if r.random() < 0.2:
            return Interval(r.choice([20, 90, 360]) * 12 * MINUTE)
        hour = "*" if r.random() < 0.1 else str(r.randrange(24))
        weekday = str(r.randrange(7)) if r.random() < 0.2 and hour != "*" else "*"
        return Grid.parse(f"{r.choice([0, 5, 30])} {hour} * * {weekday}", "UTC")

    def a_job(self, others: Iterable[str]) -> Job:
        r, others = self.random, list(others)
        product = f"product{r.randrange(3)}"
        work = r.choice(
            [
                Work("ingest"),
                Work("predict", (product,)),
                Work("predict", (product,)),
                Work("retrain", (product,)),
                Work("shell", ("x",)),
            ]
        )
        return Job(
            name=next(self.names),
            work=work,
            trigger=self.a_trigger(),
            after=tuple(r.sample(others, min(len(others), r.choice([0, 0, 1, 2])))),
            ready_when="complete" if r.random() < 0.3 else None,
            wait_at_most=r.choice([2, 8, 48]) * HOUR,
            retries=Retries(r.choice([1, 2, 4]), MINUTE * r.choice([1, 30]), 2 * HOUR, r.random()),
            catch_up=r.choice(["all", "latest", "none"]),
            catch_up_at_most=r.choice([2, 100]),
            overlap=r.choice(["queue", "skip"]),
            pool=r.choice(list(POOLS)),
        )

    def first_schedule(self) -> Schedule:
        jobs: dict[str, Job] = {}
        for _ in range(self.random.randint(1, 5)):
            job = self.a_job(jobs)
            jobs[job.name] = job
        return Schedule(jobs, POOLS)

    def edit(self) -> None:
        r, jobs = self.random, dict(self.file.jobs)
        kind = r.choice(["trigger", "trigger", "rename", "rename carelessly", "remove", "add", "return", "options"])
        kind = "remove" if len(jobs) > 6 else kind
        job = r.choice(list(jobs.values()))
        if kind == "trigger":
            jobs[job.name] = replace(job, trigger=self.a_trigger())
        elif kind == "options":
            jobs[job.name] = replace(job, catch_up=r.choice(["all", "latest", "none"]), pool=r.choice(list(POOLS)))
        elif kind == "add":
            added = self.a_job(jobs)
            jobs[added.name] = added
        elif kind == "return" and self.shelf:
            back = self.shelf.pop()
            jobs[back.name] = replace(back, after=(), was=())
        elif kind.startswith("rename"):
            new = replace(job, name=next(self.names), was=(job.name,) if kind == "rename" else ())
            jobs = {
                new.name if name == job.name else name: new if name == job.name else other
                for name, other in jobs.items()
            }
            jobs = {
                n: replace(j, after=tuple(new.name if a == job.name else a for a in j.after)) for n, j in jobs.items()
            }
        elif kind == "remove" and len(jobs) > 1:
            self.shelf.append(jobs.pop(job.name))
            jobs = {n: replace(j, after=tuple(a for a in j.after if a != job.name)) for n, j in jobs.items()}
        self.file = Schedule(jobs, POOLS)

    # The world's own accounts

    def take_note(self) -> None:
        """A scheduler is about to look: what came due since the last look, and which schedule counts from now."""
        for number, trigger in self.triggers.items():
            if self.now > self.seen_until[number]:
                news = set(occurrences(trigger, self.seen_until[number], self.now)) - self.due[number]
                self.due[number] |= news
                self.missed.update((number, at) for at in news if self.now - at > 5 * MINUTE)
                self.seen_until[number] = self.now
        active = {}
        for job in self.file.jobs.values():
            old = [name for name in job.was if name not in self.file.jobs]
            known = [self.identities[name] for name in (job.name, *old) if name in self.identities]
            graves = [self.buried[name] for name in (job.name, *old) if name in self.buried]
            number = (known or graves or [len(self.due) + 1])[0]
            if not known:
                self.seen_until[number] = max(self.now, self.seen_until.get(number, self.now))
            self.due[number] |= set()
            active[job.name] = number
        for name, number in self.identities.items():
            if number not in active.values():
                self.buried[name] = number
                del self.triggers[number]
        for name, number in active.items():
            self.buried = {n: x for n, x in self.buried.items() if x != number}
            self.triggers[number] = self.file.jobs[name].trigger
        self.identities = active

    def data_is_there(self, page: datetime) -> bool:
        """Data comes up to ten hours after its page, on some days much later; it does not heed our clock."""
        if page not in self.lateness:
            self.lateness[page] = random.Random(f"{self.seed} {page}").choice([0, 0, 1, 10, 60]) * HOUR
        return self.calm or self.now >= page + self.lateness[page]

    def unready(self, questions: Sequence[Question]) -> dict[Question, str | None]:
        return {(name, page): None if self.data_is_there(page) else "not true yet" for name, page in questions}

    def published(self, product: str, pages: Iterable[datetime]) -> set[datetime]:
        """Of a failed catch-up, a part of the pages is there; a random one, but always the same."""
        found = {p for p in pages if random.Random(f"{self.seed} {product} {p}").random() < 0.3}
        for live in self.live.values():
            if live.run.job.work.product == product and live.ends <= self.real:
                for tick in live.run.ticks:
                    if tick.page in found:
                        self.succeeded[tick.job_id].add(tick.at)
        return found

    def page_of(self, job: Job, at: datetime) -> datetime | None:
        return self.grids[job.work.product].latest(at) if job.work.product else at

    def check_start(self, run: Run) -> None:
        """Look at a run the moment that it starts."""
        others = [live.run for live in self.live.values() if self.still_runs(live)]
        assert all(other.ticks[0].job_id != run.ticks[0].job_id for other in others), "a job ran twice at once"
        if run.job.work.product:
            pages = {(run.job.work.product, tick.page) for tick in run.ticks}
            taken = {(other.job.work.product, tick.page) for other in others for tick in other.ticks}
            assert not pages & taken, "a page ran twice at once"
        in_pool = [other for other in others if other.job.pool == run.job.pool]
        assert len(in_pool) < POOLS[run.job.pool], "a pool overflowed"
        for tick in run.ticks:
            self.attempts[tick.job_id, tick.at] += 1
            assert tick.at in self.due[tick.job_id], "what was not due ran"
            assert self.failures[tick.job_id, tick.at] < run.job.retries.attempts, "it was tried too often"
            assert run.job.ready_when is None or self.data_is_there(tick.page or tick.at), "ran before its data"
            for name in run.job.after:
                number = self.identities[name]
                newest = max((at for at in self.due[number] if at <= tick.at), default=None)
                if newest:
                    assert any(at >= newest for at in self.succeeded[number]), f"ran before {name} succeeded"
        if len(run.ticks) > 1:
            assert run.job.catch_up == "all"
            assert all(tick.missed for tick in run.ticks)
            assert len(run.ticks) <= run.job.catch_up_at_most

    def retrain(self, run: Run) -> None:
        """A run of `almanac retrain` begins: it asks, unless another that lives has the product."""
        if run.job.work.kind == "retrain":
            of_product = self.retrainings[run.job.work.names[0]]
            other = self.live.get(of_product.holder or -1)
            of_product.begin(run.run, self.now, other is not None and self.still_runs(other))

    def retrained(self, run: Run) -> None:
        """A run of `almanac retrain` has done its work."""
        if run.job.work.kind == "retrain":
            self.retrainings[run.job.work.names[0]].end(run.run)

    def still_runs(self, live: SimulatedRun) -> bool:
        return live.ends > self.real

    # What happens

    def dies(self, where: str) -> bool:
        return not self.calm and self.random.random() < self.crash_rate

    def step(self, name: str) -> None:
        daemon = self.daemons[name]
        assert daemon is not None
        self.steps += 1
        self.take_note()
        for live in self.live.values():
            if live.owner is daemon.executor and live.ends <= self.real:
                for tick in live.run.ticks:
                    if live.succeeds:
                        self.succeeded[tick.job_id].add(tick.at)
                        self.retrained(live.run)
                    else:
                        self.failures[tick.job_id, tick.at] += 1
        try:
            daemon.step(self.now)
        except Crash:
            self.kill(name)

    def kill(self, name: str) -> None:
        """The daemon is gone; its children die with it, or a little later."""
        daemon = self.daemons[name]
        if daemon is None:
            return
        executor: Any = daemon.executor
        executor.dead = True
        self.daemons[name] = None
        lingers = self.random.choice([timedelta(0), timedelta(0), 2 * MINUTE])
        for live in self.live.values():
            if live.owner is executor:
                live.ends = min(live.ends, self.real + lingers)
                live.owner = None

    def restart(self, name: str) -> None:
        if self.daemons[name] is None:
            world = World(self.page_of, self.unready, self.published)
            self.daemons[name] = Scheduler(
                self.tick_store, lambda: self.file, world, SimulatedProcesses(self), self.seed
            )

    def something_happens(self) -> None:
        """One of these at random, some more often than others."""
        happenings = [
            lambda: self.kill(self.random.choice("ab")),
            lambda: [self.kill(name) for name in "ab"],
            *[lambda: self.restart(self.random.choice("ab"))] * 3,
            self.edit,
            self.set_clock,
            self.pause,
            self.resume,
            self.upkeep,
            self.set_back,
        ]
        self.random.choice(happenings)()

    def set_clock(self) -> None:
        hours = self.random.choice([-30, -2, -0.02, 0.02, 2, 30])
        self.clock_error += hours * HOUR if self.random.random() < 0.7 else -self.clock_error

    def pause(self) -> None:
        if self.identities and self.random.random() < 0.3:
            name = self.random.choice(list(self.identities))
            if self.identities[name] not in self.paused():
                self.tick_store.pause(name, "simulation", "to see what happens", self.now)

    def resume(self) -> None:
        for name, number in self.identities.items():
            if number in self.paused():
                self.tick_store.resume(name, "simulation", "seen", self.now)

    def upkeep(self) -> None:
        """What is over is forgotten; the world keeps it in mind, so that it is noticed if it comes back."""
        rows = self.rows()
        forget(self.tick_store.db, self.now - self.random.choice([0, 1, 3]) * DAY)
        for key in rows.keys() - self.rows().keys():
            self.check_outcome(rows[key])
            assert rows[key]["outcome"], "a tick was forgotten before its end"
            assert key not in self.forgotten, "what was forgotten came back"
            self.forgotten[key] = rows[key]["outcome"]

    def set_back(self) -> None:
        """Somebody says that the clock is right: what was due later and never ran will be due again."""
        # Whoever died between taking a tick and running it is known to the tick store alone.
        tried = {key for key, row in self.rows().items() if row["last_run"]}
        with self.tick_store.writing():
            self.tick_store.set_back(self.now)
        for number, seen_until in self.seen_until.items():
            self.seen_until[number] = min(seen_until, self.now)
            later = {at for at in self.due[number] if at > self.now}
            for at in {at for at in later if (number, at) not in tried}:
                self.due[number].discard(at)
                self.succeeded[number].discard(at)
                self.missed.discard((number, at))
                self.failures.pop((number, at), None)
                self.forgotten.pop((number, at), None)

    def rows(self) -> dict[tuple[int, datetime], sqlite3.Row]:
        rows = self.tick_store.db.execute("SELECT * FROM ticks").fetchall()
        return {(row["job_id"], datetime.fromisoformat(row["at"])): row for row in rows}

    def paused(self) -> dict[int, str]:
        return dict(self.tick_store.board(self.file, {}).paused)

    def next_moment(self) -> datetime:
        """When a daemon's triggers, a run's end or a tick's rest would have something looked at."""
        soon = [self.real + DAY]
        soon += [live.ends for live in self.live.values() if live.ends > self.real]
        for trigger in self.triggers.values():
            due = next(occurrences(trigger, self.now, self.now + 8 * DAY), None)
            soon += [due - self.clock_error] if due else []
        waiting = self.tick_store.db.execute(
            "SELECT min(not_before) FROM ticks INDEXED BY ticks_open"
            " WHERE outcome IS NULL AND run IS NULL AND not_before > ?",
            (str(self.now),),
        )
        (rest,) = waiting.fetchone()
        if rest:  # readiness is polled every minute: often enough is every half hour
            soon.append(max(datetime.fromisoformat(rest) - self.clock_error, self.real + 30 * MINUTE))
        if any(live.owner is None for live in self.live.values()):
            soon.append(self.real + MINUTE)
        return max(min(soon), self.real + timedelta(seconds=1))

    def live_through(self) -> None:
        """Let all the days pass, then let everything come to rest."""
        self.restart("a")
        end = START + self.days * DAY
        trouble_at = self.real
        while self.real < end:
            self.real = self.next_moment()
            while trouble_at < self.real:
                self.something_happens()
                trouble_at += timedelta(seconds=self.random.expovariate(self.trouble))
            self.live = {n: live for n, live in self.live.items() if live.owner is not None or self.still_runs(live)}
            for name in self.random.sample("ab", 2):
                if self.daemons[name] is not None and self.random.random() < 0.9:
                    self.step(name)
        self.come_to_rest()

    def come_to_rest(self) -> None:
        self.calm = True
        for name in ("a", "b"):
            self.kill(name)
        self.restart("a")
        final = self.now
        for _ in range(3000):
            self.real = self.next_moment()
            self.live = {n: live for n, live in self.live.items() if live.owner is not None or self.still_runs(live)}
            self.step("a")
            query = "SELECT count(*) FROM ticks INDEXED BY ticks_open WHERE outcome IS NULL AND at <= ?"
            if not self.tick_store.db.execute(query, (str(final),)).fetchone()[0]:
                return
        raise AssertionError("ticks are left without an outcome")

    def check_outcome(self, row: sqlite3.Row) -> None:
        """Compare one row of the tick store with what the world knows."""
        number, at = row["job_id"], datetime.fromisoformat(row["at"])
        if "no longer in schedules.yaml" not in (row["reason"] or ""):
            assert bool(row["missed"]) == ((number, at) in self.missed)
        if row["outcome"] in ("ran", "caught up"):
            assert at in self.succeeded[number]
            assert (row["outcome"] == "caught up") == bool(row["missed"])
        elif row["outcome"] == "coalesced":
            assert row["missed"]
            assert datetime.fromisoformat(row["covered_by"]) in self.due[number]
            assert row["covered_by"] > row["at"]
        elif row["outcome"] == "skipped":
            assert row["reason"]
            assert at not in self.succeeded[number] or row["attempts"] or row["abandoned"]
        elif row["outcome"] == "failed":
            assert row["reason"]
            assert self.attempts[number, at] or row["abandoned"]

    def check_accounts(self) -> dict[str, int]:
        """Compare the tick store with what the world knows; gives the number of ticks by outcome."""
        rows = self.rows()
        for row in rows.values():
            self.check_outcome(row)
        assert not rows.keys() & self.forgotten.keys(), "what was forgotten came back"
        entered: dict[int, set[datetime]] = defaultdict(set)
        for number, at in (*rows, *self.forgotten):
            entered[number].add(at)
        assert {n: due for n, due in self.due.items() if due} == dict(entered), "due and accounted for differ"
        for retraining in self.retrainings.values():
            retraining.check()
        return dict(Counter([*(row["outcome"] or "open" for row in rows.values()), *self.forgotten.values()]))
