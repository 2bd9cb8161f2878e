"""Spark as what runs tasks: one partition a task, each in a Python process that runs DuckDB over the lake's files.

No row goes through Spark. It says which host does which task, and does again what a lost host had begun; of several
attempts at a task it hands on the answer of one, and only files that are in an answer are taken. Every host needs
Almanac installed and the lake under the same path. Another cluster's scheduler is another class like this one.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jobs.pages.shards.processes import Run
from jobs.pages.shards.tasks import Done, Task, run_task
from warehouse.errors import RunFailed, UsageError
from warehouse.without_pandas import let_pandas_in

if TYPE_CHECKING:
    import pyarrow as pa

#: Where Spark runs: a master (`local[4]`, `spark://host:7077`, `yarn`) or a Connect URL (`sc://host`). Without it,
#: where Spark's own configuration says.
SPARK_VARIABLE = "ALMANAC_SPARK"
_CONNECT = "sc://"


class Spark:
    """The Spark that the environment names, or the session that this program has open; `doing` is what tasks do."""

    name = "Spark"

    def __init__(self, doing: Callable[[bytes, Task], Done] = run_task) -> None:
        self._doing = doing

    @contextlib.contextmanager
    def running(self) -> Iterator[Run]:
        """Give what runs tasks in a session; one that was not open before is stopped afterwards.

        Raises
        ------
        UsageError
            If pyspark is not installed.
        RunFailed
            If there is no Java, or the master cannot be reached.
        """
        session, is_ours = _session()
        try:
            yield lambda packed, tasks: _run(session, self._doing, packed, tasks)
        finally:
            if is_ours:
                session.stop()


def _session() -> tuple[Any, bool]:
    where = os.environ.get(SPARK_VARIABLE)
    by_connect = where is not None and where.startswith(_CONNECT)
    if by_connect:
        let_pandas_in()  # pyspark's client of Connect does not begin without
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError("`engine: spark` needs pyspark, and Java 17: pip install 'almanac[spark]'") from error
    is_open = SparkSession.getActiveSession() is not None
    builder = SparkSession.builder.appName("almanac")
    if where is not None and not is_open:
        builder = builder.remote(where) if by_connect else builder.master(where)
    if not by_connect:
        builder = builder.config("spark.ui.enabled", "false")  # nobody is there to look at it
    # Its Python processes run this Python, unless the environment names another one for a cluster's hosts.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        with _without_warnings():
            return builder.getOrCreate(), not is_open
    except (PySparkException, OSError, RuntimeError) as error:
        raise RunFailed(
            f"Spark could not be started: {str(error).splitlines()[0]} See that Java 17 is installed (`java -version`),"
            f" and that {SPARK_VARIABLE} names a master or a Connect URL that can be reached. Nothing was published."
        ) from error


def _run(session: Any, doing: Callable[[bytes, Task], Done], packed: bytes, tasks: Sequence[Task]) -> list[Done]:
    from pyspark.errors import PySparkException

    def do(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            ids = batch.column(0).to_pylist()
            done = [pickle.dumps(doing(packed, tasks[i])) for i in ids]
            yield pa.record_batch({"id": pa.array(ids, pa.int64()), "done": pa.array(done, pa.binary())})

    if not tasks:
        return []
    # A range of so many rows in as many partitions: each has one row, which is one task.
    ids = session.range(0, len(tasks), 1, len(tasks))
    try:
        with _without_warnings():
            rows = ids.mapInArrow(do, "id long, done binary").collect()
    except PySparkException as error:
        raise RunFailed(f"Spark gave the job up: {str(error).splitlines()[0]} Nothing was published.") from error
    answers = {row["id"]: bytes(row["done"]) for row in rows}
    return [pickle.loads(answers[i]) for i in range(len(tasks))]  # noqa: S301 - from processes that we started


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Say nothing of pandas 3, of which pyspark 4.3 warns, and of which mapInArrow uses nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support", category=FutureWarning)
        yield
