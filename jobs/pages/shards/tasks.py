"""Tasks: what one process does for one shard of one page, told all that it needs, and what it tells when it is done.

A task opens the lake read-only at the snapshot that it is told and works with the definitions that it is handed. It
writes to a place of its own, so that two attempts at one task never meet; only files that a task has returned count.
"""

from __future__ import annotations

import hashlib
import pickle
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from jobs.pages.shards.scores import Scores
from warehouse.batching.batch import Batch
from warehouse.batching.page_shards import Forms, PageShards, Rows, Shard
from warehouse.definitions import Definitions
from warehouse.errors import AlmanacError, DefinitionError, RunFailed
from warehouse.lake.lake import Lake
from warehouse.sandbox import Sandbox

#: What a task does: ask the queries, put a shard of the page together, or ask over all rows and compare.
ASK, PUT_TOGETHER, COMPARE = "ask", "put together", "compare"


@dataclass(frozen=True)
class Work:
    """What all tasks of one batch of pages share.

    Attributes
    ----------
    lake
        The lake, whose directory every process has to see under the same path.
    snapshot_id, ingest_id
        The state of the lake, and the newest ingestion that pages are made from.
    directory
        Where files are staged.
    forms
        How each query splits.
    scores
        By which version each shard is scored; None: by none, there.
    """

    lake: Lake
    definitions: Definitions
    product: str
    snapshot_id: int
    ingest_id: int
    directory: Path
    forms: Forms
    memory_limit: str
    scores: Scores | None = None

    def packed(self) -> bytes:
        """Write it down, to be handed to processes."""
        return pickle.dumps(self)


@dataclass(frozen=True)
class Task:
    """One task: `files` are by query what tasks before it have written, `part` those of the shard to be compared."""

    step: str
    as_of: datetime
    shard: Shard
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    part: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes
    ----------
    rows
        The files that it has written, by query; of a shard that was put together, by what it holds.
    differing
        By query, how it differs where it is asked over all rows.
    failed
        Why the page cannot be made, if it fails on the data.
    mistakes
        What is to be mended in the definitions.
    refused
        Why no page at all can be made from what this process sees.
    n_crossed
        How many rows have quantiles that crossed, and were put in order.
    """

    rows: Mapping[str, Rows] = field(default_factory=dict)
    differing: Mapping[str, str] = field(default_factory=dict)
    failed: str | None = None
    mistakes: Sequence[str] = ()
    refused: str | None = None
    n_crossed: int = 0


#: What a shard that was put together holds.
FEATURES, PREDICTIONS = "features", "predictions"


def run_task(packed: bytes, task: Task) -> Done:
    """Do a task, in whatever process this is."""
    try:
        opened = _opened_for(packed)
    except AlmanacError as error:
        return Done(refused=str(error))
    directory = opened.work.directory / f"{task.step.replace(' ', '-')}-{uuid.uuid4().hex}"
    directory.mkdir()
    product = opened.work.definitions.product(opened.work.product)
    try:
        with Batch(opened.sandbox, opened.work.definitions, product) as batch:
            return _done(opened.work, task, PageShards(batch, opened.work.forms, task.as_of), directory)
    except DefinitionError as error:
        return Done(mistakes=error.problems)
    except RunFailed as error:
        return Done(failed=str(error))


def _done(work: Work, task: Task, page: PageShards, directory: Path) -> Done:
    if task.step == ASK:
        return Done(page.ask(task.shard, directory))
    if task.step == COMPARE:
        return Done(differing=page.differing(task.files, task.part))
    made = page.put_together(task.shard, task.files, directory / "features.parquet")
    if why := page.batch.failed.get(task.as_of):
        return Done(failed=why)
    keys = page.batch.product.keys
    rows = {FEATURES: page.rows_of(made.file, keys)}
    if work.scores is None:
        return Done(rows)
    scored = work.scores.write(page.batch, work.lake, made.file, file := directory / "predictions.parquet")
    return Done({**rows, PREDICTIONS: page.rows_of(file, keys)}, n_crossed=scored.crossed.get(task.as_of, 0))


class _Opened:
    """The lake of one batch of pages, opened by this process."""

    def __init__(self, packed: bytes) -> None:
        self.work: Work = pickle.loads(packed)  # noqa: S301 - it comes from the process that hands out the tasks
        spill = self.work.directory / f"spill-{uuid.uuid4().hex}"
        work = self.work
        self.sandbox = Sandbox(work.lake, snapshot_id=work.snapshot_id, spill=spill, memory_limit=work.memory_limit)
        if self.sandbox.ingest_id != work.ingest_id:
            self.sandbox.close()
            raise RunFailed(
                f"the lake {work.lake.root} has ingestions up to {self.sandbox.ingest_id} here, and up to"
                f" {work.ingest_id} where the pages are published: it is another lake. Nothing was published."
            )


_kept: dict[str, _Opened] = {}
_lock = threading.Lock()


def _opened_for(packed: bytes) -> _Opened:
    """Give what this process has opened for some work; that of another batch is closed."""
    name = hashlib.sha256(packed).hexdigest()
    with _lock:
        if name not in _kept:
            while _kept:
                _kept.popitem()[1].sandbox.close()
            _kept[name] = _Opened(packed)
        return _kept[name]
