"""Pages made in shards are those that DuckDB makes in one piece, and nothing that a task says is believed unseen."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.make import PageOrder, make_pages
from jobs.pages.predict import run_page
from jobs.pages.shards import processes
from jobs.pages.shards.choice import with_engine
from jobs.pages.shards.engine import Shards
from jobs.pages.shards.processes import ATTEMPTS, Processes, Run
from jobs.pages.shards.tasks import ASK, FEATURES, PREDICTIONS, PUT_TOGETHER, Done, Task, run_task
from jobs.progress import Silent
from jobs.suite import Suite
from jobs.training.train import train
from tests.command_line import said
from tests.conftest import PAGE, PRODUCT, reopened
from tests.lakes import page_rows, rows
from tests.shard_processes import KILLED, killed_always, killed_once
from tests.shards import Inline, check_published_by_spark, check_published_pages, needs_spark, rows_of_pages, staged
from tests.worlds.shop import PRODUCT as SHELF
from tests.worlds.shop import START, Shop, make_shop
from warehouse.batching.engines import DuckDBHere
from warehouse.errors import DefinitionError, RunFailed, UsageError

PAGES = [PAGE, PAGE + timedelta(days=1)]
Spoil = Callable[[Task, Done], Done]


@pytest.mark.parametrize(("n", "pages"), [(1, PAGES[:1]), (2, PAGES), (7, PAGES[:1])])
def test_pages_in_shards_have_the_same_rows_in_every_bit(ingested: Suite, n: int, pages: list[datetime]) -> None:
    here = rows_of_pages(ingested, PRODUCT, pages, DuckDBHere())
    assert here[1]
    assert rows_of_pages(ingested, PRODUCT, pages, Shards(Inline(), n)) == here


def test_a_published_page_in_shards_is_the_same_in_every_bit(published: Suite) -> None:
    check_published_pages(published, PRODUCT, PAGE, set(), scores_in_tasks=True)


def test_so_is_a_page_of_ranked_lists_which_are_scored_where_the_command_runs(tmp_path: Path) -> None:
    suite, page = shop_with_a_model(tmp_path)
    check_published_pages(suite, SHELF, page, set(), scores_in_tasks=False)


@pytest.mark.spark
@needs_spark
def test_spark_publishes_a_page_of_ranked_lists_that_is_the_same_in_every_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, page = shop_with_a_model(tmp_path)
    check_published_by_spark(suite, SHELF, page, monkeypatch)


def shop_with_a_model(directory: Path) -> tuple[Suite, datetime]:
    """Make a shop of ranked lists, and train; give a page that can be written."""
    suite, _ = make_shop(directory / "shop", Shop(n_customers=20, n_days=20))
    ingest(suite)
    train(suite, SHELF, page := START + timedelta(days=15))
    return suite, page


def forget(suite: Suite) -> None:
    """Forget the features of PAGE, so that they are made again."""
    with suite.lake.commit("forget the features") as commit:
        commit.execute("DELETE FROM ledger.pages WHERE kind = 'features' AND as_of = $1", [PAGE])
        commit.execute(f"DELETE FROM features.{PRODUCT} WHERE as_of = $1", [PAGE])


def test_a_command_makes_a_page_by_processes_and_publishes_it_as_one(published: Suite) -> None:
    before = page_rows(published, PRODUCT), page_rows(published, PRODUCT, "features")
    forget(published)
    said(published.root, "run", PRODUCT, "--as-of", str(PAGE), "--shards", "2")
    assert (page_rows(published, PRODUCT), page_rows(published, PRODUCT, "features")) == before
    assert not staged(published.root)


def test_tasks_score_what_they_have_put_together_and_the_page_is_the_same(
    published: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = page_rows(published, PRODUCT), page_rows(published, PRODUCT, "features")
    forget(published)
    suite = with_engine(published, [PRODUCT], "processes", 3)
    monkeypatch.setattr(processes, "Processes", lambda workers: Inline(note))
    told: list[Done] = []

    def note(task: Task, done: Done) -> Done:
        told.extend([done] if task.step == PUT_TOGETHER else [])
        return done

    run_page(suite, PRODUCT, PAGE)
    assert [set(done.rows) for done in told] == [{FEATURES, PREDICTIONS}] * 3
    assert sum(done.rows[PREDICTIONS].n_rows for done in told) == len(before[0])
    assert (page_rows(suite, PRODUCT), page_rows(suite, PRODUCT, "features")) == before
    assert not staged(suite.root)


def test_the_task_of_a_process_that_is_killed_is_done_again(
    ingested: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KILLED, str(tmp_path))
    here = rows_of_pages(ingested, PRODUCT, PAGES[:1], DuckDBHere())
    engine = Shards(Processes(1, killed_once), 2)
    assert rows_of_pages(ingested, PRODUCT, PAGES[:1], engine) == here
    assert (tmp_path / "killed").exists()


def test_a_task_that_always_kills_its_process_fails_the_run(ingested: Suite) -> None:
    product = ingested.definitions.product(PRODUCT)
    engine = Shards(Processes(1, killed_always), 2)
    with pytest.raises(RunFailed, match=rf"a shard of the page {PAGE} ended {ATTEMPTS} times"):
        make_pages(ingested, PageOrder(product, [PAGE], None, engine=engine), Silent())
    assert rows(ingested, "SELECT DISTINCT state FROM ledger.pages") == [("failed",)]
    assert not staged(ingested.root)


def changed(file: Path, query: str) -> None:
    """Let a file that was written hold something else."""
    other = file.with_suffix(".other")
    duckdb.execute(f"COPY ({query.format(file=file)}) TO '{other}' (FORMAT parquet)")
    other.replace(file)


def with_a_row_less(task: Task, done: Done) -> Done:
    if task.step == PUT_TOGETHER and task.shard.i == 1:
        changed(done.rows[FEATURES].file, "FROM '{file}' OFFSET 1")
    return done


def with_another_type(task: Task, done: Done) -> Done:
    if task.step == PUT_TOGETHER and task.shard.i == 1:
        made = done.rows[FEATURES]
        changed(made.file, "SELECT * REPLACE (courier_open_orders::DOUBLE AS courier_open_orders) FROM '{file}'")
        columns = {**made.columns, "courier_open_orders": "DOUBLE"}
        return Done({FEATURES: dataclasses.replace(made, columns=columns)})
    return done


def with_another_value(task: Task, done: Done) -> Done:
    if task.step == ASK:
        changed(
            done.rows["courier_load"].file,
            "SELECT * REPLACE (courier_open_orders + 1 AS courier_open_orders) FROM '{file}'",
        )
    return done


def with_a_row_twice(task: Task, done: Done) -> Done:
    if task.step == ASK:
        changed(done.rows["courier_load"].file, "FROM '{file}' UNION ALL (FROM '{file}' LIMIT 1)")
    return done


def with_other_columns(task: Task, done: Done) -> Done:
    if task.step == ASK and task.shard.i == 1:
        made = done.rows["courier_load"]
        return Done({**done.rows, "courier_load": dataclasses.replace(made, columns={"courier": "VARCHAR"})})
    return done


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_a_row_less, "is not what its task said"),
        (with_another_type, "is not what its task said"),
        (with_another_value, r"courier_load.sql: on the page .* rows of one of its shards differ"),
        (with_a_row_twice, r"courier_load.sql: on the page .* its shards have \d+ rows, and asked whole it has \d+"),
        (with_other_columns, "the shards of courier_load have different columns"),
    ],
)
def test_what_a_task_makes_badly_is_refused_and_nothing_is_published(
    ingested: Suite, spoil: Spoil, message: str
) -> None:
    product = ingested.definitions.product(PRODUCT)
    with pytest.raises(RunFailed, match=message):
        make_pages(ingested, PageOrder(product, [PAGE], None, engine=Shards(Inline(spoil), 2)), Silent())
    assert rows(ingested, "SELECT DISTINCT state FROM ledger.pages") == [("failed",)]
    assert not (ingested.lake.data / "features").exists()


def test_files_that_no_task_has_returned_are_read_by_nobody(ingested: Suite) -> None:
    def twice(task: Task, done: Done) -> Done:
        for each in done.rows.values():  # what a second attempt at the same task would leave
            each.file.with_name(f"again-{each.file.name}").write_bytes(each.file.read_bytes())
        return done

    here = rows_of_pages(ingested, PRODUCT, PAGES[:1], DuckDBHere())
    assert rows_of_pages(ingested, PRODUCT, PAGES[:1], Shards(Inline(twice), 2)) == here


def test_another_lake_is_refused(ingested: Suite) -> None:
    def elsewhere(packed: bytes, tasks: Sequence[Task]) -> list[Done]:
        work = dataclasses.replace(pickle.loads(packed), ingest_id=77)  # noqa: S301 - our own
        return [run_task(work.packed(), task) for task in tasks]

    class Elsewhere(Inline):
        @contextlib.contextmanager
        def running(self) -> Iterator[Run]:
            yield elsewhere

    with pytest.raises(RunFailed, match=r"has ingestions up to \d+ here, and up to 77"):
        rows_of_pages(ingested, PRODUCT, PAGES[:1], Shards(Elsewhere(), 2))


def test_a_page_that_fails_on_the_data_fails_alone(ingested: Suite) -> None:
    file = ingested.root / "sql/features/courier_load.sql"
    text = file.read_text()
    at = f"count(*) + CASE WHEN $as_of = TIMESTAMP '{PAGES[1]}' THEN max(courier)::BIGINT ELSE 0 END"
    assert "count(*)" in text
    file.write_text(text.replace("count(*)", at, 1))
    suite = reopened(ingested)
    product = suite.definitions.product(PRODUCT)
    made = make_pages(suite, PageOrder(product, PAGES, None, engine=Shards(Inline(), 2)), Silent())
    assert [record.as_of for record in made.published] == PAGES[:1]
    assert "the query failed on the data" in made.failed[PAGES[1]]


def test_a_suite_and_a_command_say_which_engine_and_how_many_shards(ingested: Suite) -> None:
    file = ingested.root / f"sql/products/{PRODUCT}/product.yaml"
    plain = file.read_text()

    def header(said: str, engine: str | None = None, shards: int | None = None) -> tuple[str, int | None]:
        file.write_text(plain + said)
        product = with_engine(reopened(ingested), [PRODUCT], engine, shards).definitions.product(PRODUCT)
        return product.header.engine, product.header.shards

    assert header("") == ("duckdb", None)
    assert header("engine: processes\nshards: 3\n") == ("processes", 3)
    assert header("", shards=5) == ("processes", 5)
    assert header("engine: spark\nshards: 3\n", shards=5) == ("spark", 5)
    assert header("engine: spark\nshards: 3\n", engine="duckdb") == ("duckdb", None)
    with pytest.raises(DefinitionError, match="`shards` goes with `engine: processes` or `engine: spark`"):
        header("shards: 3\n")
    with pytest.raises(UsageError, match="--shards goes with --engine processes or --engine spark"):
        header("", engine="duckdb", shards=3)
    with pytest.raises(UsageError, match="--engine is `dask`; give one of duckdb, processes, spark"):
        header("", engine="dask")


def test_the_plan_says_what_splits_and_what_is_asked_whole(ingested: Suite) -> None:
    file = ingested.root / "sql/features/courier_load.sql"
    file.write_text(f"{file.read_text().rstrip()}\nORDER BY courier\nLIMIT 1000\n")
    [plan] = json.loads(said(ingested.root, "plan", PRODUCT, "--shards", "7", "--json"))
    ways = {way["query"]: (way["way"], way["why"]) for way in plan["shard_ways"]}
    assert ways["depot_history"] == ("in 7 shards", "by depot of orders; deliveries read whole")
    assert ways["courier_load"][0] == "whole, in one task"
    assert ways["courier_load"][1].startswith("its LIMIT counts rows of all shards")
    [without] = json.loads(said(ingested.root, "plan", PRODUCT, "--json"))
    assert without["shard_ways"] == []
