"""Pages made in shards by Spark: the same rows, also where an executor is killed or a task is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.pages.shards.engine import Shards
from jobs.pages.shards.spark import SPARK_VARIABLE, Spark
from jobs.suite import Suite
from tests.command_line import almanac, said
from tests.conftest import PAGE, PRODUCT
from tests.lakes import page_rows, rows
from tests.pages.test_shards import forget
from tests.shard_processes import KILLED, done_twice, executor_killed_once
from tests.shards import SPARK_IS_THERE, needs_spark, rows_of_pages, staged
from warehouse.batching.engines import DuckDBHere

ROOT = Path(__file__).parents[2]


def say_in_its_file(suite: Suite) -> None:
    """Have the product's own file name Spark as its engine."""
    with (suite.root / f"sql/products/{PRODUCT}/product.yaml").open("a") as file:
        file.write("engine: spark\nshards: 2\n")


@pytest.mark.slow
@pytest.mark.spark
@needs_spark
def test_a_command_makes_a_page_by_spark_and_publishes_it_as_one(
    published: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands before those that have a session open, which it would take."""
    before = page_rows(published, PRODUCT), page_rows(published, PRODUCT, "features")
    monkeypatch.setenv(SPARK_VARIABLE, "local[2]")
    for options in (["--shards", "2", "--engine", "spark"], []):
        forget(published)
        if not options:
            say_in_its_file(published)
        said(published.root, "run", PRODUCT, "--as-of", str(PAGE), *options)
        assert (page_rows(published, PRODUCT), page_rows(published, PRODUCT, "features")) == before
        made = "SELECT count(*) FROM ledger.pages WHERE kind = 'features' AND as_of = $1 AND state = 'published'"
        assert rows(published, made, [PAGE]) == [(1,)]
    assert not staged(published.root)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two executors in processes of their own; the directory in which tasks leave word that something was done."""
    from pyspark.sql import SparkSession

    left = tmp_path_factory.mktemp("left")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_WORKER_DIR", str(tmp_path_factory.mktemp("work")))
        settings = {
            "spark.ui.enabled": "false",
            "spark.executorEnv.PYTHONPATH": str(ROOT),
            f"spark.executorEnv.{KILLED}": str(left),
        }
        builder: Any = SparkSession.builder.master("local-cluster[2,1,512]").appName("almanac's tests")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.config("spark.executor.memory", "512m").getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield left
        session.stop()


@pytest.mark.slow
@pytest.mark.spark
@needs_spark
def test_an_executor_that_is_killed_and_a_task_that_is_done_twice_change_nothing(
    ingested: Suite, cluster: Path
) -> None:
    """Spark begins no speculative attempt on the host of the first (see `test_spark_hosts.py`).

    Here the second follows its executor's end.
    """
    here = rows_of_pages(ingested, PRODUCT, [PAGE], DuckDBHere())
    assert rows_of_pages(ingested, PRODUCT, [PAGE], Shards(Spark(executor_killed_once), 3)) == here
    assert (cluster / "killed").exists()
    assert rows_of_pages(ingested, PRODUCT, [PAGE], Shards(Spark(done_twice), 3)) == here
    assert (cluster / "written").exists()


@pytest.mark.parametrize("options", [["--shards", "2", "--engine", "spark"], []])
def test_without_java_or_pyspark_a_command_says_what_to_install(
    trained: Suite, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a page that is not made yet: one whose features are there needs no engine."""
    if SPARK_IS_THERE:
        monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    if not options:
        say_in_its_file(trained)
    done = almanac(trained.root, "run", PRODUCT, "--as-of", str(PAGE), *options)
    assert done.returncode
    assert "Java 17" in done.stderr
    assert rows(trained, "SELECT kind FROM ledger.published_pages WHERE as_of = $1", [PAGE]) == []


def test_the_client_of_connect_finds_pandas_where_commands_keep_it_out() -> None:
    """It does not begin without, and said that pandas was not installed."""
    program = (
        "from warehouse.without_pandas import keep_pandas_out\n"
        "from jobs.pages.shards.spark import Spark\n"
        "keep_pandas_out()\n"
        "try:\n"
        "    with Spark().running(): pass\n"
        "except Exception as error: print(error)\n"
        "import pandas\n"
    )
    environment = os.environ | {SPARK_VARIABLE: "sc://127.0.0.1:none"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Pandas" not in done.stdout
