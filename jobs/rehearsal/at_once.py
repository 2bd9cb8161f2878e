"""Several policies lived through at once, each in a process of its own, which share what they train.

The processes are spawned. Each has a pipe to this one, by which it says how far it is, and asks for trainings that
another has made. When this process ends, however it ends, so does its end of a second pipe, and they with it: that is
as if they had been killed, and the same rehearsal goes on where they were. Ctrl-C is for this process to hear.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, fields
from multiprocessing.connection import Connection
from typing import Any

import duckdb
import filelock

from jobs.progress import Progress
from jobs.rehearsal.lives import Ended, Terms, live
from jobs.rehearsal.policies import TRAINING, Policy
from jobs.rehearsal.room import Room
from jobs.rehearsal.works import Moment
from jobs.schedule.suite_clock import schedule_of
from jobs.scoring import ready_scorer
from jobs.scoring.worker_pool import interrupts_blocked
from jobs.training.fit import Learnt
from jobs.training.recalled import Fitted, Recalled
from warehouse.errors import AlmanacError, RunFailed, UsageError

PAGES, ASKS, MADE, ENDED, FAILED = "pages", "asks", "made", "ended", "failed"
#: A training without its scorer, by the names of `Fitted`.
_Bare = Mapping[str, Any]
#: How long a process waits for one before it that lived the same life, which ends as soon as it can.
_LET_GO_S = 60


def live_all(room: Room, terms: Terms, recalled: Recalled, progress: Progress, processes: int) -> Mapping[str, Ended]:
    """Live through the stretch under each policy of a rehearsal, so many at once; give what each came to, in order.

    Raises
    ------
    AlmanacError
        What ended one of the lives; the others are broken off.
    RunFailed
        If a process ended before its life did.
    """
    asked = room.asked
    n_pages = len(asked.product.pages_between(asked.begin, asked.end))
    processes = min(processes, len(asked.policies))
    if processes > 1:
        progress.start(f"{len(asked.policies)} policies", n_pages * len(asked.policies))
        found = Lives(room, terms, recalled, progress).all(processes)
        progress.finish()
        return found
    ended = {}
    for policy in asked.policies:
        progress.start(policy.name, n_pages)
        ended[policy.name] = live(room, policy, terms, recalled, progress.advance)
        progress.finish()
    return ended


@dataclass
class Lives:
    """The lives of a rehearsal, each attended to by a thread of this process."""

    room: Room
    terms: Terms
    recalled: Recalled
    progress: Progress
    made: dict[str, _Bare] = field(default_factory=dict)
    making: dict[str, threading.Lock] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)
    leashes: list[Connection] = field(default_factory=list)
    are_over: bool = False

    def all(self, processes: int) -> Mapping[str, Ended]:
        """Live them, those first that train most often, since they take the longest."""
        policies = self.room.asked.policies
        with ThreadPoolExecutor(processes, "almanac-lives") as threads:
            try:
                first = sorted(policies, key=self._n_trainings, reverse=True)
                going = {policy.name: threads.submit(self._attend, policy) for policy in first}
                wait(going.values(), return_when=FIRST_EXCEPTION)
                # The first that failed is what is told, not those that are broken off for it.
                for one in going.values():
                    if one.done() and (error := one.exception()):
                        raise error
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                with self.guard:
                    self.are_over = True
                    for leash in self.leashes:
                        leash.close()
        return {policy.name: going[policy.name].result() for policy in policies}

    def _n_trainings(self, policy: Policy) -> int:
        """Count the instants at which a policy may train."""
        asked = self.room.asked
        there = self.room.open(policy, Moment(asked.begin))
        with contextlib.closing(there.lake):
            jobs = [job for job in schedule_of(there).jobs.values() if job.work.kind in TRAINING]
        return sum(1 for job in jobs for _ in job.trigger.between(asked.begin, asked.end))

    def _attend(self, policy: Policy) -> Ended:
        """Have a policy's life lived by a process, and answer what it asks."""
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        their_leash, leash = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(theirs, their_leash), daemon=True)
        with interrupts_blocked():
            process.start()
        theirs.close()
        their_leash.close()
        with self.guard:
            self.leashes.append(leash)
            if self.are_over:
                leash.close()
        try:
            pipe.send((self.room, policy, self.terms))
            return self.answer(pipe)
        except (EOFError, OSError) as error:
            process.join()
            raise RunFailed(
                f"the process that lived through the policy {policy.name} ended with code {process.exitcode}, perhaps"
                " for want of memory. Give the same command again, and it goes on where it was; with --processes 1, if"
                " it happens again."
            ) from error
        finally:
            leash.close()
            pipe.close()
            process.join()

    def answer(self, pipe: Connection) -> Ended:
        """Answer until the life has ended."""
        with contextlib.ExitStack() as making:
            while True:
                said, value = pipe.recv()
                if said == PAGES:
                    with self.guard:
                        self.progress.advance(value)
                elif said == ASKS:
                    # What it was making before, and never told of, has failed.
                    making.close()
                    making.enter_context(self._made_by_one(value))
                    found = self._find(value)
                    pipe.send(found)
                    if found is not None:
                        making.close()
                elif said == MADE:
                    key, found = value
                    with self.guard:
                        self.made[key] = found
                    making.close()
                elif said == FAILED:
                    is_usage, why = value
                    raise UsageError(why) if is_usage else RunFailed(why)
                else:
                    ended: Ended = value
                    return ended

    @contextlib.contextmanager
    def _made_by_one(self, key: str) -> Iterator[None]:
        """Keep others from making the same training until it is there, or its maker has ended."""
        with self.guard:
            lock = self.making.setdefault(key, threading.Lock())
        with lock:
            yield

    def _find(self, key: str) -> _Bare | None:
        """Give a training that was made before."""
        with self.guard:
            if key not in self.made and key in self.recalled.made:
                self.made[key] = _bare(self.recalled.made[key])
            self.recalled.n_shared += key in self.made
            return self.made.get(key)


@dataclass(frozen=True)
class _Elsewhere:
    """Knows the trainings of all lives, by the process that attends to them."""

    pipe: Connection

    def of(self, key: str, make: Callable[[], Fitted]) -> tuple[Fitted, bool]:
        """Give the training of a key, and whether another life has made it."""
        self.pipe.send((ASKS, key))
        bare: _Bare | None = self.pipe.recv()
        if bare is not None:
            return _whole(bare), True
        found = make()
        self.pipe.send((MADE, (key, _bare(found))))
        return found, False


def _bare(fitted: Fitted) -> _Bare:
    """Take the scorer from a training, whose machine code does not travel."""
    return {one.name: getattr(fitted, one.name) for one in fields(fitted) if one.name != "scorer"}


def _whole(bare: _Bare) -> Fitted:
    """Give a training a scorer again."""
    learnt: Learnt = bare["learnt"]
    scorer, _ = ready_scorer(learnt.estimator, learnt.names, bare["rows"].sample)
    return Fitted(scorer=scorer, **bare)


def _serve(pipe: Connection, leash: Connection) -> None:
    """Live a policy's life, and say what it came to, or what ended it."""
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    room, policy, terms = pipe.recv()
    try:
        # Where another process was killed, one that lived this life for it may not have noticed yet.
        with filelock.FileLock(room.directory / f"{policy.name}.lock", timeout=_LET_GO_S):
            pipe.send((ENDED, live(room, policy, terms, _Elsewhere(pipe), lambda n: pipe.send((PAGES, n)))))
    except (AlmanacError, duckdb.Error) as error:
        pipe.send((FAILED, (isinstance(error, UsageError), str(error))))


def _end_with(leash: Connection) -> None:
    """End this process when the one that holds the other end does."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv()
    os._exit(1)
