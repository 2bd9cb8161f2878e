"""Processes that score beside this one, each with an estimator that it loaded itself.

They are spawned, never forked: a fork would copy DuckDB's locks in whatever state its threads had them. Each has a
pipe to this process; when this one ends, however it ends, the pipe does too, and they with it. Ctrl-C is for this
process to hear.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import pyarrow as pa

from jobs.scoring.interface.arrow_input import Batch
from jobs.scoring.interface.scorer import EstimatorScorer, Floats, take_one_thread
from warehouse.errors import ScoringFailed

READY, ANSWER, REFUSED = "ready", "answer", "refused"


def _serve(pipe: Connection, load: Callable[[], Any], feature_names: Sequence[str]) -> None:
    """Load the estimator, then score pieces as they come, until there is nobody to send them."""
    import threadpoolctl

    estimator = load()
    # There are as many of these processes as CPUs.
    threadpoolctl.threadpool_limits(1)
    take_one_thread(estimator)
    scorer = EstimatorScorer(estimator, feature_names, "in a process of its own")
    try:
        pipe.send((READY, None))
        while True:
            piece = pa.ipc.open_stream(pipe.recv_bytes()).read_all()
            try:
                pipe.send((ANSWER, scorer.predict(piece)))
            except ScoringFailed as error:
                pipe.send((REFUSED, str(error)))
    except (EOFError, OSError):
        return


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and so in the processes that it starts; they inherit the mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python starts this with the first process, and unblocks Ctrl-C afterwards.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Crew:
    """Several processes with the same estimator.

    Parameters
    ----------
    load
        Loads the estimator; sent to the processes by pickle.
    feature_names
        Its features in order.
    size
        How many processes.
    """

    def __init__(self, load: Callable[[], Any], feature_names: Sequence[str], size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._names = list(feature_names)
        self._processes: list[SpawnProcess] = []
        self._starting: list[Connection] = []
        #: Not a `queue.Queue`, whose lock stays taken where Ctrl-C comes in the middle.
        self._free: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._failed = False
        self._threads = ThreadPoolExecutor(size, "almanac-crew")
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, load, self._names), daemon=True)
            with interrupts_blocked():
                process.start()
            theirs.close()
            self._processes.append(process)
            self._starting.append(ours)

    def is_ready(self) -> bool:
        """Tell whether all of them have loaded the estimator; does not wait."""
        for pipe in list(self._starting):
            if not pipe.poll():
                continue
            self._starting.remove(pipe)
            try:
                pipe.recv()
            except (EOFError, OSError):
                self._failed = True
            else:
                self._free.put(pipe)
        return not self._starting and not self._failed

    def has_failed(self) -> bool:
        """Tell whether one of them ended before it was ready."""
        return self._failed

    def score(self, pieces: Sequence[Batch], stop: Callable[[], bool]) -> list[Floats]:
        """Return the predictions of each piece, in order.

        Raises
        ------
        ScoringFailed
            The estimator refuses a row, a process ended, or `stop()` became true between two pieces.
        """
        return list(self._threads.map(lambda piece: self._ask(piece, stop), pieces))

    def _ask(self, piece: Batch, stop: Callable[[], bool]) -> Floats:
        if stop():
            raise ScoringFailed("Scoring was stopped.")
        pipe = self._free.get()
        try:
            pipe.send_bytes(_as_bytes(piece.select(self._names)))
            kind, answer = pipe.recv()
        except (EOFError, OSError) as error:
            self._failed = True
            raise ScoringFailed(
                "a process that scored beside this one has ended, perhaps for want of memory. Run this again; with"
                " more memory, or on one CPU (taskset -c 0), if it happens again."
            ) from error
        finally:
            self._free.put(pipe)
        if kind == REFUSED:
            raise ScoringFailed(answer)
        found: Floats = answer
        return found

    def close(self) -> None:
        """End the processes at once."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            # The number of one that has ended may be another's by now.
            if process.is_alive():
                process.terminate()
        for process in self._processes:
            process.join()


def _as_bytes(piece: Batch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, piece.schema) as writer:
        writer.write(piece)
    return sink.getvalue()
