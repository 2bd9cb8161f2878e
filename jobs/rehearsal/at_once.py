"""Several policies lived through at once, each in a process of its own, which share what they train.

The processes are spawned. Each has a pipe to this one, by which it says how far it is, and asks for trainings that
another has made. When this process ends, however it ends, so does its end of a second pipe, and they with it: that is
as if they had been killed, and the same rehearsal goes on where they were. Ctrl-C is for this process to hear.

A CPU that has no life left to live makes trainings ahead for one that is still lived (`processes.train_ahead`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from jobs.progress import Progress
from jobs.rehearsal.lives import Ended, Terms, live
from jobs.rehearsal.policies import TRAINING, Policy
from jobs.rehearsal.processes import (
    ASKS,
    ENDED,
    FAILED,
    MADE,
    MAKE,
    PAGES,
    PASS_BY,
    STOP,
    Bare,
    bare,
    known_trainings,
    live_a_life,
    train_ahead,
)
from jobs.rehearsal.room import Room
from jobs.rehearsal.works import Moment
from jobs.schedule.suite_clock import schedule_of
from jobs.scoring.worker_pool import interrupts_blocked
from jobs.training.recalled import Recalled
from warehouse.errors import RunFailed, UsageError

#: Trainings are made ahead of a life that has so many to come: fewer are not worth another process.
_WORTH_A_PROCESS = 3


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
    if processes > 1:
        lives = Lives(room, terms, recalled, progress)
        ahead = lives.worth_going_ahead()
        if len(asked.policies) > 1 or ahead:
            told = f"{len(asked.policies)} policies" if len(asked.policies) > 1 else asked.policies[0].name
            progress.start(told, n_pages * len(asked.policies))
            found = lives.all(processes, ahead)
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
    """The lives of a rehearsal, each attended to by a thread of this process.

    Attributes
    ----------
    made, making
        Trainings by what they follow from, and what keeps two processes from making the same one.
    asked_for
        Which policy's life has asked for which training.
    ahead_for
        Of a training that was made ahead: the policy that it was made for, until its life has taken it.
    leashes, ahead
        What ends a process when it is closed: of all processes, and of those that go ahead, by policy.
    """

    room: Room
    terms: Terms
    recalled: Recalled
    progress: Progress
    made: dict[str, Bare] = field(default_factory=dict)
    making: dict[str, threading.Lock] = field(default_factory=dict)
    asked_for: set[tuple[str, str]] = field(default_factory=set)
    ahead_for: dict[str, str] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)
    leashes: list[Connection] = field(default_factory=list)
    ahead: dict[str, Connection] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    are_over: bool = False

    def worth_going_ahead(self) -> list[Policy]:
        """Give the policies for whose lives trainings may be made ahead, those with the most of them first."""
        known = {policy.name: len(known_trainings(self.room, policy)) for policy in self.room.asked.policies}
        worth = [policy for policy in self.room.asked.policies if known[policy.name] >= _WORTH_A_PROCESS]
        return sorted(worth, key=lambda policy: known[policy.name], reverse=True)

    def all(self, processes: int, ahead: Sequence[Policy] = ()) -> Mapping[str, Ended]:
        """Live them, those first that train most often, since they take the longest; go `ahead` of these."""
        policies = self.room.asked.policies
        with ThreadPoolExecutor(processes, "almanac-lives") as threads:
            going_ahead = []
            try:
                first = sorted(policies, key=self._n_trainings, reverse=True)
                going = {policy.name: threads.submit(self._attend, policy) for policy in first}
                going_ahead = [threads.submit(self._attend_ahead, policy) for policy in ahead]
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
                # What they have open is in the way of whoever clears the rooms away.
                wait([one for one in going_ahead if not one.cancelled()])
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
        with self._process(live_a_life, policy) as (pipe, process, _):
            try:
                return self.answer(pipe, policy)
            except (EOFError, OSError) as error:
                process.join()
                raise RunFailed(
                    f"the process that lived through the policy {policy.name} ended with code {process.exitcode},"
                    " perhaps for want of memory. Give the same command again, and it goes on where it was; with"
                    " --processes 1, if it happens again."
                ) from error
            finally:
                with self.guard:
                    self.ended.add(policy.name)
                    if policy.name in self.ahead:
                        self.ahead[policy.name].close()

    def _attend_ahead(self, policy: Policy) -> None:
        """Have trainings made ahead of a life by a process, while it is lived."""
        with self._process(train_ahead, policy) as (pipe, _, leash):
            with self.guard:
                self.ahead[policy.name] = leash
                if policy.name in self.ended:
                    return
            # However it ends, the life goes on without it.
            with contextlib.suppress(EOFError, OSError):
                self.answer_ahead(pipe, policy)

    @contextlib.contextmanager
    def _process(
        self, does: Callable[[Connection, Connection], None], policy: Policy
    ) -> Iterator[tuple[Connection, SpawnProcess, Connection]]:
        """Begin a process for a policy; give the pipe to it, itself, and what ends it when it is closed."""
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        their_leash, leash = context.Pipe(duplex=False)
        process = context.Process(target=does, args=(theirs, their_leash), daemon=True)
        with interrupts_blocked():
            process.start()
        theirs.close()
        their_leash.close()
        with self.guard:
            self.leashes.append(leash)
            if self.are_over:
                leash.close()
        try:
            with contextlib.suppress(BrokenPipeError):
                pipe.send((self.room, policy, self.terms))
            yield pipe, process, leash
        finally:
            leash.close()
            pipe.close()
            process.join()

    def answer(self, pipe: Connection, policy: Policy) -> Ended:
        """Answer a life until it has ended."""
        with contextlib.ExitStack() as making:
            while True:
                said, value = pipe.recv()
                if said == PAGES:
                    with self.guard:
                        self.progress.advance(value)
                elif said == ASKS:
                    # What it was making before, and never told of, has failed.
                    making.close()
                    with self.guard:
                        self.asked_for.add((policy.name, value))
                    making.enter_context(self._made_by_one(value))
                    found = self._find(value, policy)
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

    def answer_ahead(self, pipe: Connection, policy: Policy) -> None:
        """Answer one that goes ahead of a policy's life until it has ended."""
        with contextlib.ExitStack() as making:
            while True:
                said, value = pipe.recv()
                if said == MADE:
                    key, found = value
                    with self.guard:
                        self.made[key] = found
                        self.ahead_for[key] = policy.name
                making.close()
                if said == ENDED:
                    return
                if said == ASKS:
                    with self.guard:
                        # The life goes forward: it has asked for all that come before as well.
                        is_late = (policy.name, value) in self.asked_for
                    if not is_late:
                        making.enter_context(self._made_by_one(value))
                    with self.guard:
                        is_there = value in self.made or value in self.recalled.made
                    pipe.send(STOP if is_late else PASS_BY if is_there else MAKE)

    @contextlib.contextmanager
    def _made_by_one(self, key: str) -> Iterator[None]:
        """Keep others from making the same training until it is there, or its maker has ended."""
        with self.guard:
            lock = self.making.setdefault(key, threading.Lock())
        with lock:
            yield

    def _find(self, key: str, policy: Policy) -> Bare | None:
        """Give a training that was made before; it is shared unless it was made ahead for this very policy."""
        with self.guard:
            if key not in self.made and key in self.recalled.made:
                self.made[key] = bare(self.recalled.made[key])
            if self.ahead_for.get(key) == policy.name:
                del self.ahead_for[key]
            else:
                self.recalled.n_shared += key in self.made
            return self.made.get(key)
