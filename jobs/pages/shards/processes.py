"""Processes on this machine that work tasks off, each one at a time.

They are spawned, and have a pipe to this process: when this one ends, however it ends, the pipe does too, and they with
it. One that is killed is replaced, and its task is done again; what it had written is read by nobody.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from jobs.pages.shards.tasks import Done, Task, run_task
from jobs.scoring.worker_pool import interrupts_blocked
from warehouse.errors import RunFailed

#: So often a task is tried before the run fails.
ATTEMPTS = 3
Run = Callable[[bytes, Sequence[Task]], list[Done]]


def serve(pipe: Connection) -> None:
    """Do tasks as they come, until there is nobody to send them."""
    try:
        while True:
            pipe.send(run_task(*pipe.recv()))
    except (EOFError, OSError):
        return


class Processes:
    """As many processes as there are tasks to do, but no more than `workers`; `serving` is what each does."""

    name = "processes"

    def __init__(self, workers: int, serving: Callable[[Connection], None] = serve) -> None:
        self.workers, self._serving = workers, serving

    @contextlib.contextmanager
    def running(self) -> Iterator[Run]:
        """Give what works tasks off, and end the processes afterwards."""
        crew = _Crew(self._serving)
        with ThreadPoolExecutor(self.workers, "almanac-shards") as threads:
            try:
                yield lambda packed, tasks: list(threads.map(lambda task: crew.ask(packed, task), tasks))
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
                crew.close()


class _Crew:
    """The processes that are there, each started when a task finds none free."""

    def __init__(self, serving: Callable[[Connection], None]) -> None:
        self._serving = serving
        self._context = multiprocessing.get_context("spawn")
        self._free: queue.SimpleQueue[tuple[BaseProcess, Connection]] = queue.SimpleQueue()

    def ask(self, packed: bytes, task: Task) -> Done:
        """Have a task done.

        Raises
        ------
        RunFailed
            If the process of the task ended `ATTEMPTS` times.
        """
        for _ in range(ATTEMPTS):
            process, pipe = self._take()
            try:
                pipe.send((packed, task))
                done: Done = pipe.recv()
            except (EOFError, OSError):
                process.kill()
                process.join()
                pipe.close()
                continue
            self._free.put((process, pipe))
            return done
        raise RunFailed(
            f"the process of a shard of the page {task.as_of} ended {ATTEMPTS} times, perhaps for want of memory: make"
            " more shards (--shards), or give each less memory (ALMANAC_MEMORY_LIMIT). Nothing was published."
        )

    def _take(self) -> tuple[BaseProcess, Connection]:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=self._serving, args=(theirs,), daemon=True)
            with interrupts_blocked():
                process.start()
            theirs.close()
            return process, ours

    def close(self) -> None:
        """End the processes."""
        with contextlib.suppress(queue.Empty):
            while True:
                process, pipe = self._free.get_nowait()
                pipe.close()
                process.join()
