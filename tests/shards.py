"""Pages made in shards beside the same pages made by DuckDB in one piece."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from jobs.pages.shards.processes import Run
from jobs.pages.shards.tasks import Done, Task, run_task
from jobs.suite import Suite
from warehouse.batching.batch import Batch
from warehouse.batching.engines import Engine, Wanted, compute
from warehouse.sandbox import Sandbox
from warehouse.system_sql import parquet

SPARK_IS_THERE = shutil.which("java") is not None and importlib.util.find_spec("pyspark") is not None
needs_spark = pytest.mark.skipif(not SPARK_IS_THERE, reason="it needs Java and pyspark")
#: In how many shards pages are made once, where a run takes one of these numbers.
ALL_SHARDS = (1, 2, 7) if "ALMANAC_ALL_STEPS" in os.environ else ()


class Inline:
    """Runs tasks in this process, one after the other; `spoil` is handed what they said."""

    name = "this process"

    def __init__(self, spoil: Callable[[Task, Done], Done] = lambda task, done: done) -> None:
        self.spoil = spoil

    @contextlib.contextmanager
    def running(self) -> Iterator[Run]:
        yield lambda packed, tasks: [self.spoil(task, run_task(packed, task)) for task in tasks]


def rows_of_pages(suite: Suite, product: str, pages: Sequence[datetime], engine: Engine) -> tuple[dict[str, str], list]:
    """Compute feature pages by an engine; give their columns with types, and their rows as text, every bit of them."""
    with (
        suite.staging("shards") as directory,
        Sandbox(suite.lake) as sandbox,
        Batch(sandbox, suite.definitions, suite.definitions.product(product)) as batch,
    ):
        computed = compute(engine, batch, Wanted(pages, directory / "features.parquet", 1, lambda n: None))
        assert not computed.failed
        made = computed.pages
        found = batch.cursor.execute(f"FROM {parquet(made.files)} ORDER BY ALL").fetchall()
        assert len(found) == sum(made.n_rows.values())
    return made.columns, [repr(row) for row in found]


def staged(root: Path) -> list[Path]:
    """Give what is left in a lake's staging directory."""
    return list((root / "lake/staging").iterdir())
