"""Pages made in shards beside the same pages made by DuckDB in one piece: features alone, or published with scores."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from jobs.pages.make import PageOrder, make_pages
from jobs.pages.predict import writers
from jobs.pages.shards.engine import Shards
from jobs.pages.shards.processes import Run
from jobs.pages.shards.spark import SPARK_VARIABLE, Spark
from jobs.pages.shards.tasks import ASK, COMPARE, FEATURES, PREDICTIONS, PUT_TOGETHER, Done, Task, run_task
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from tests.command_line import said
from tests.lakes import compared_columns
from warehouse.batching.batch import Batch
from warehouse.batching.engines import DuckDBHere, Engine, Wanted, compute
from warehouse.sandbox import Sandbox
from warehouse.system_sql import parquet

SPARK_IS_THERE = shutil.which("java") is not None and importlib.util.find_spec("pyspark") is not None
needs_spark = pytest.mark.skipif(not SPARK_IS_THERE, reason="it needs Java and pyspark")


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


THERE = "SELECT 1 FROM duckdb_tables() WHERE schema_name = $1 AND table_name = $2"
#: In how many shards pages are made whole, with their scores.
NUMBERS = (1, 2, 7)


def check_published_pages(
    suite: Suite, product: str, page: datetime, whole: set[str], *, scores_in_tasks: bool
) -> None:
    """See that a page with its predictions is the same in every bit by DuckDB here and in 1, 2 and 7 shards.

    Each time it is made from facts, and published. `whole` are the queries that are asked whole, in one task, and that
    `plan` tells of as such.
    """
    [plan] = json.loads(said(suite.root, "plan", product, "--shards", "7", "--from", str(page), "--json"))
    ways = {way["query"]: way["way"] for way in plan["shard_ways"]}
    assert ways == {name: "whole, in one task" if name in whole else "in 7 shards" for name in ways}
    here = _made_anew(suite, product, page, DuckDBHere())
    assert here[FEATURES][1]
    assert here[PREDICTIONS][1]
    for n in NUMBERS:
        told: list[tuple[Task, Done]] = []

        def note(task: Task, done: Done, told: list[tuple[Task, Done]] = told) -> Done:
            told.append((task, done))
            return done

        assert _made_anew(suite, product, page, Shards(Inline(note), n)) == here, n
        asked = Counter(name for task, done in told if task.step == ASK for name in done.rows)
        assert sorted(asked.values()) == sorted(1 if name in whole else n for name in ways)
        assert all(asked[name] == 1 for name in whole)
        # One shard of the page is asked once more, over all rows, of each query that splits.
        assert [len(task.part) for task, _ in told if task.step == COMPARE] == [len(ways) - len(whole)]
        put = [done.rows for task, done in told if task.step == PUT_TOGETHER]
        assert len(put) == len({rows[FEATURES].file for rows in put}) == n
        kinds = {FEATURES, PREDICTIONS} if scores_in_tasks else {FEATURES}
        assert [set(rows) for rows in put] == [kinds] * n
        for kind in kinds:
            types = here[kind][0]
            assert all({name: rows[kind].columns[name] for name in types} == types for rows in put)
            assert sum(rows[kind].n_rows for rows in put) == len(here[kind][1])
            assert sum(rows[kind].n_rows > 0 for rows in put) > 1 or n == 1


def check_published_by_spark(suite: Suite, product: str, page: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """See that a page with its predictions is the same in every bit by DuckDB here and by two of Spark's threads."""
    monkeypatch.setenv(SPARK_VARIABLE, "local[2]")
    here = _made_anew(suite, product, page, DuckDBHere())
    assert here[FEATURES][1]
    assert here[PREDICTIONS][1]
    assert _made_anew(suite, product, page, Shards(Spark(), 2)) == here


def _made_anew(
    suite: Suite, product: str, page: datetime, engine: Engine
) -> dict[str, tuple[dict[str, str], list[str]]]:
    """Forget a page of all products, publish it anew, and give what there is of it, without what differs by run."""
    tables = [(kind, name) for name in suite.definitions.products for kind in (FEATURES, PREDICTIONS)]
    with suite.lake.commit("forget the page") as commit:
        commit.execute("DELETE FROM ledger.pages WHERE as_of = $1", [page])
        for kind, name in tables:
            if commit.execute(THERE, [kind, name]).fetchall():
                commit.execute(f"DELETE FROM {kind}.{name} WHERE as_of = $1", [page])
    definition = suite.definitions.product(product)
    model = writers(suite, definition, [page])[page]
    made = make_pages(suite, PageOrder(definition, [page], model, engine=engine), Silent())
    assert not made.failed
    assert {record.kind for record in made.published} == {FEATURES, PREDICTIONS}
    found = {}
    with suite.lake.reading() as connection:
        for kind in (FEATURES, PREDICTIONS):
            query = f"SELECT {compared_columns(kind)} FROM {kind}.{product} WHERE as_of = $1 ORDER BY ALL"
            described = connection.execute(f"DESCRIBE {query}", [page]).fetchall()
            found[kind] = (
                {row[0]: row[1] for row in described},
                [repr(row) for row in connection.execute(query, [page]).fetchall()],
            )
    return found


def copied(suite: Suite, directory: Path) -> Suite:
    """Copy a suite that tests share, with its lake, so that a test may write to it."""
    suite.lake.close()
    shutil.copytree(suite.root, directory / "suite")
    return open_suite(directory / "suite", suite.clock)


def staged(root: Path) -> list[Path]:
    """Give what is left in a lake's staging directory."""
    return list((root / "lake/staging").iterdir())
