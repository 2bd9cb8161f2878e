"""Scores a stream of batches while it is still being read, and while what was scored is being written.

Three stages run at once: a thread reads the next batch, another scores the one before, and the caller, who takes
the results, writes the one before that. Between two stages at most `DEPTH` batches wait, so that memory does not
grow with the rows; DuckDB, the kernels and Arrow's writers all leave Python's lock to the others while they work.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.scoring.interface.scorer import Floats, Scorer, Stoppable

DEPTH = 2
"""Batches that wait between two stages."""
POLL_S = 0.1

ToRows = Callable[[pa.RecordBatch, Floats], pa.RecordBatch]


@dataclass(frozen=True)
class _Failed:
    """What a stage hands on instead of a batch when it fails."""

    error: BaseException


_END = object()


class _Link:
    """A short queue between two stages that either side can give up.

    Made of two simple queues, the items and the places for them, since these are locked in C: Ctrl-C in the middle of
    `queue.Queue` leaves its lock taken, and the stage before would wait for it for ever.
    """

    def __init__(self, abandoned: threading.Event) -> None:
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._places: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(DEPTH):
            self._places.put(None)
        self._abandoned = abandoned

    def put(self, item: Any) -> bool:
        """Hand an item on; False if nobody will take it any more."""
        while not self._abandoned.is_set():
            try:
                self._places.get(timeout=POLL_S)
            except queue.Empty:
                continue
            self._items.put(item)
            return True
        return False

    def items(self) -> Iterator[Any]:
        """Yield what comes, up to the end; raises what the stage before raised."""
        while not self._abandoned.is_set():
            try:
                item = self._items.get(timeout=POLL_S)
            except queue.Empty:
                continue
            self._places.put(None)
            if item is _END:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item


def _stage(source: Iterable[Any], work: Callable[[Any], Any], link: _Link) -> None:
    """Work on each item of a source and hand it on; hand on what is raised, to be raised where it is taken."""
    try:
        for item in source:
            if not link.put(work(item)):
                return
        link.put(_END)
    except BaseException as error:  # noqa: BLE001 the consumer raises it
        link.put(_Failed(error))


def _in_order(source: Iterable[Any], work: Callable[[Any], Any], at_once: int) -> Iterator[Any]:
    """Yield what work makes of each item of a source, in their order, several worked on at once."""
    with ThreadPoolExecutor(at_once, "almanac-score") as pool:
        begun: deque[Future[Any]] = deque()
        for item in source:
            begun.append(pool.submit(work, item))
            if len(begun) == at_once:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def score_stream(
    reader: Iterable[pa.RecordBatch],
    scorer: Scorer,
    to_rows: ToRows,
    done: Callable[[int], None] | None = None,
    at_once: int = 1,
) -> Generator[pa.RecordBatch, None, None]:
    """Yield each batch of a stream, scored, in the order of the stream.

    Reading, scoring and the caller's own work overlap. If the caller stops early, closes the iterator or fails,
    the stages end; what a stage raises, is raised here.

    Parameters
    ----------
    reader
        Batches with the scorer's columns, such as a `pyarrow.RecordBatchReader`. It is read in another thread, so
        the connection behind it must not be used meanwhile.
    scorer
        Its `predict` is asked for each batch.
    to_rows
        Makes a batch of what was read and of its predictions: (n_rows,) or (n_rows, n_classes).
    done
        Told the number of rows of each batch, in the caller's thread, once the caller asks for the next one.
    at_once
        How many batches are scored, and made into rows, at once. With two no core waits for the last run of rows of a
        batch, which is worth it where those take long; `to_rows` is then asked in two threads.

    Raises
    ------
    ScoringFailed
        The model refuses a row.
    """
    abandoned = threading.Event()
    read, scored = _Link(abandoned), _Link(abandoned)

    def score(batch: pa.RecordBatch) -> pa.RecordBatch:
        if isinstance(scorer, Stoppable):
            return to_rows(batch, scorer.predict_until(batch, abandoned.is_set))
        return to_rows(batch, scorer.predict(batch))

    made = (read.items(), score) if at_once == 1 else (_in_order(read.items(), score, at_once), lambda batch: batch)
    stages = [
        threading.Thread(target=_stage, args=(reader, lambda batch: batch, read), name="almanac-read"),
        threading.Thread(target=_stage, args=(*made, scored), name="almanac-score"),
    ]
    try:
        for stage in stages:
            stage.start()
        for batch in scored.items():
            yield batch
            if done is not None:
                done(batch.num_rows)
    finally:
        abandoned.set()
        for stage in stages:
            if stage.ident is not None:
                stage.join()


def scored_reader(
    reader: pa.RecordBatchReader,
    scorer: Scorer,
    to_rows: ToRows,
    done: Callable[[int], None] | None = None,
) -> pa.RecordBatchReader:
    """Return `score_stream` as a reader, for whatever takes Arrow streams (DuckDB, a Parquet dataset writer)."""
    nothing = pa.RecordBatch.from_pylist([], reader.schema)
    schema = to_rows(nothing, scorer.predict(nothing)).schema
    return pa.RecordBatchReader.from_batches(schema, score_stream(reader, scorer, to_rows, done))
