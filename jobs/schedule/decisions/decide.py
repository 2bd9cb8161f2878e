"""Every decision of the scheduler: what becomes of a tick at a given moment.

Nothing here reads a clock, a file or a database, and nothing here has an effect: `decide` looks at a `Board`
(all that is open at one moment) and returns what to do. The rules stand in `RULES`, in the order in which they
are asked; the first that has an answer decides, and a tick that no rule holds back may start.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from jobs.schedule.decisions.ticks import SUCCEEDED, Outcome, Tick
from jobs.schedule.files.schedule import Job, Retries, Schedule

#: How soon a readiness query that said no is asked again.
ASK_AGAIN = timedelta(minutes=1)
_ASK_AT_ONCE = 10
_QUEUES = "another tick of the job is running"
#: How often a tick is taken up again after whoever ran it was gone, before it counts as failed.
ABANDONED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Settle:
    """The tick ends here. `into`: the tick that does its work, if it is coalesced; `alarming`: tell somebody."""

    tick: Tick
    outcome: Outcome
    reason: str = ""
    into: datetime | None = None
    alarming: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """The tick waits. `ask`: for the answer to this question about its page; `until`: no use in looking earlier."""

    tick: Tick
    reason: str
    ask: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """These ticks of one job start now, as one run. More than one: missed pages that are caught up together."""

    job: Job
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Upstream:
    """What became of a tick that another one comes after; `outcome` is None while it is open."""

    at: datetime
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Running:
    """What a run that is not over takes up."""

    job_id: int
    pool: str
    product: str | None


@dataclass
class Board:
    """All that is open at one moment.

    Attributes
    ----------
    schedule
        The schedule in force.
    names
        The current name of each identity in `open`; those that are not in the schedule were taken out of it.
    open
        The ticks without an outcome by identity, oldest first.
    paused
        Who paused a job and why, by identity.
    newest_at
        The newest tick of a job (by name) at or before an instant, coalesced ones followed to the tick that
        does their work; None if the tick store has none.
    running
        The runs that are not over, those of jobs that were taken out of the schedule too.
    ready
        The answers about pages so far: a sentence on what is not ready, or that nothing is new; None if nothing keeps
        the page from being made.
    """

    schedule: Schedule
    names: Mapping[int, str]
    open: Mapping[int, list[Tick]]
    paused: Mapping[int, str]
    newest_at: Callable[[str, datetime], Upstream | None]
    running: Sequence[Running] = ()
    ready: Mapping[tuple[str, datetime], str | None] = field(default_factory=dict)

    @functools.cached_property
    def busy(self) -> frozenset[int]:
        """The identities of the jobs that have a run that is not over."""
        return frozenset(run.job_id for run in self.running)

    def job_of(self, tick: Tick) -> Job | None:
        """Give the job as the schedule has it now, or None if it was taken out."""
        return self.schedule.jobs.get(self.names.get(tick.job_id, ""))


Verdict = Settle | Hold | None


def decide(board: Board, now: datetime) -> Iterator[Settle | Hold | Start]:
    """Say what to do at `now` (naive UTC) with each tick that waits.

    A job that comes after another one is looked at later than that one, but settling a tick may free another:
    ask again, with a fresh board, until nothing is settled any more.
    """
    in_pool = Counter(run.pool for run in board.running)
    busy = {run.product for run in board.running} - {None}
    for ticks in board.open.values():
        job = board.job_of(ticks[0])
        verdicts = [(tick, _verdict(board, job, tick, now)) for tick in ticks if not _may_be_left(board, tick)]
        yield from (verdict for _, verdict in verdicts if verdict is not None and not _asks(verdict))
        startable = _first_batch(job, verdicts) if job else ()
        if job is None:
            continue
        if not startable:
            # A question takes a query. Behind the first few there may be hundreds, which can wait for these.
            at_once = job.catch_up_at_most if job.work.product and job.catch_up == "all" else _ASK_AT_ONCE
            yield from [verdict for _, verdict in verdicts if verdict and _asks(verdict)][:at_once]
            continue
        if held := _no_room(board, job, in_pool, busy):
            yield Hold(startable[0], held)
            continue
        in_pool[job.pool] += 1
        busy |= {job.work.product} - {None}
        yield Start(job, startable)


def _may_be_left(board: Board, tick: Tick) -> bool:
    """Tell whether a tick runs, or is known to wait for one of its job that still does."""
    if tick.run is not None:
        return True
    return tick.reason == _QUEUES and tick.job_id in board.busy and tick.job_id not in board.paused


def _asks(verdict: Verdict) -> bool:
    return isinstance(verdict, Hold) and bool(verdict.ask)


def _verdict(board: Board, job: Job | None, tick: Tick, now: datetime) -> Verdict:
    if job is None:
        return Settle(tick, "skipped", "its job is no longer in schedules.yaml")
    for rule in RULES:
        verdict = rule(board, job, tick, now)
        if verdict is not None:
            return verdict
    return None


def _paused(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    why = board.paused.get(tick.job_id)
    return Settle(tick, "skipped", why) if why is not None else None


def _before_the_first_page(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if tick.page is None:
        return Settle(tick, "skipped", f"the pages of {job.work.product} begin later")
    return None


def _not_caught_up(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if tick.missed and job.catch_up == "none" and not tick.attempts and not tick.abandoned:
        return Settle(tick, "skipped", "missed, and catch_up is none")
    return None


def _coalesced(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    newest = board.open[tick.job_id][-1]
    fresh = not tick.attempts and not tick.abandoned
    if tick.missed and job.catch_up == "latest" and fresh and newest.at > tick.at:
        return Settle(tick, "coalesced", "missed, and catch_up is latest", into=newest.at)
    return None


def _overlaps(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if job.overlap == "queue" or tick.missed or tick.attempts or tick.abandoned:
        return None
    for other in board.open[tick.job_id]:
        if other.at < tick.at and (other.run or other.attempts or other.abandoned):
            return Settle(tick, "skipped", f"the tick of {other.at} was not done, and overlap is skip")
    return None


def _waits_for_jobs(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    for name in job.after:
        upstream = board.newest_at(name, tick.at)
        if upstream is None or upstream.outcome in SUCCEEDED:
            continue
        if upstream.outcome is not None:
            return Settle(tick, "skipped", f"comes after {name}, whose tick of {upstream.at} {_became(upstream)}")
        return _wait(job, tick, now, f"waits for {name}'s tick of {upstream.at}")
    return None


def _rests(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if tick.not_before is None or now >= tick.not_before:
        return None
    # However far the clock was set back meanwhile, no rest is longer than the longest that is ever given.
    longest = max(job.retries.at_most * (1 + job.retries.jitter), ASK_AGAIN)
    if tick.not_before > now + longest:
        return None
    return Hold(tick, f"rests until {tick.not_before}", until=tick.not_before)


def _queues(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if tick.job_id in board.busy:
        return Hold(tick, _QUEUES)
    return None


def _waits_for_data(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if job.ready_when is None or tick.page is None:
        return None
    if (job.ready_when, tick.page) not in board.ready:
        return Hold(tick, f"{job.ready_when} is asked", ask=job.ready_when)
    if (said_no := board.ready[job.ready_when, tick.page]) is None:
        return None
    return _wait(job, tick, now, said_no, until=now + ASK_AGAIN)


def _nothing_is_new(board: Board, job: Job, tick: Tick, now: datetime) -> Verdict:
    if job.unless is None or tick.page is None:
        return None
    if (job.unless, tick.page) not in board.ready:
        return Hold(tick, f"{job.unless} is asked", ask=job.unless)
    said = board.ready[job.unless, tick.page]
    return Settle(tick, "skipped", said) if said is not None else None


RULES: tuple[Callable[[Board, Job, Tick, datetime], Verdict], ...] = (
    _paused,
    _before_the_first_page,
    _not_caught_up,
    _coalesced,
    _overlaps,
    _waits_for_jobs,
    _rests,
    _queues,
    _waits_for_data,
    _nothing_is_new,
)


def _became(upstream: Upstream) -> str:
    return "was skipped" if upstream.outcome == "skipped" else f"{upstream.outcome}"


def _wait(job: Job, tick: Tick, now: datetime, what: str, until: datetime | None = None) -> Verdict:
    if now >= tick.seen_at + job.wait_at_most:
        return Settle(tick, "skipped", f"{what}, longer than wait_at_most ({job.wait_at_most})", alarming=True)
    return Hold(tick, what, until=until)


def _no_room(board: Board, job: Job, in_pool: Counter[str], busy: set[str | None]) -> str:
    """Say what a job that could start has to wait for; an empty string if nothing."""
    if job.work.product in busy:
        return f"another job is writing pages of {job.work.product}"
    if in_pool[job.pool] >= board.schedule.pools.get(job.pool, 1):
        return f"the pool {job.pool} is full"
    return ""


def _first_batch(job: Job, verdicts: list[tuple[Tick, Verdict]]) -> tuple[Tick, ...]:
    """Give the ticks that start together: the first free one, with the missed ones right behind it."""
    free = [(index, tick) for index, (tick, verdict) in enumerate(verdicts) if verdict is None]
    if not free:
        return ()
    batch = [free[0][1]]
    together = job.work.product is not None and batch[0].missed and job.catch_up == "all"
    for (before, _), (index, tick) in pairwise(free):
        alike = tick.missed and (tick.attempts, tick.abandoned) == (batch[0].attempts, batch[0].abandoned)
        if not (together and alike and index == before + 1 and len(batch) < job.catch_up_at_most):
            break
        batch.append(tick)
    return tuple(batch)


@dataclass(frozen=True, slots=True)
class Again:
    """The tick is tried again, not before the given instant, with these counts of earlier attempts."""

    tick: Tick
    attempts: int
    abandoned: int
    not_before: datetime
    reason: str


def after_failure(job: Job, tick: Tick, now: datetime, seed: int, reason: str) -> Settle | Again:
    """Decide what follows a failed attempt: another one after a rest, or the end."""
    attempts = tick.attempts + 1
    if attempts >= job.retries.attempts:
        return Settle(tick, "failed", reason if attempts == 1 else f"{reason} (attempt {attempts})")
    rest = rest_after(job.retries, attempts, seed, f"{tick.job_id} {tick.at.isoformat()}")
    return Again(tick, attempts, tick.abandoned, now + rest, reason)


def after_abandonment(tick: Tick, now: datetime, reason: str) -> Settle | Again:
    """Decide what follows when whoever ran a tick is gone: at once again, but not without end."""
    if tick.abandoned + 1 >= ABANDONED_AT_MOST:
        return Settle(tick, "failed", f"{reason} ({tick.abandoned + 1} times)")
    return Again(tick, tick.attempts, tick.abandoned + 1, now, reason)


def rest_after(retries: Retries, attempts: int, seed: int, what: str) -> timedelta:
    """Give the rest after the given number of failed attempts; equal arguments, equal rest."""
    doubled: int = 2 ** min(attempts - 1, 20)
    enough = retries.at_most // retries.backoff + 1
    rest = min(retries.backoff * min(doubled, enough), retries.at_most)
    digest = hashlib.blake2b(f"{seed} {what} {attempts}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest) / 2**63 - 1  # from -1 to 1
    return rest * (1 + retries.jitter * share)
