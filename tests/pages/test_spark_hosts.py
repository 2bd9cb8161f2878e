"""Spark on two hosts begins a second attempt at a task that lingers, on the other one: the rows are the same.

On demand (`ALMANAC_ALL_KILLS=1`): a master, two workers and their executors take two minutes to come up and import all.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.pages.shards.engine import Shards
from jobs.pages.shards.spark import Spark
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.lake.hosts import Network, can_have_networks, network
from tests.schedule.clock_suites import wait_for
from tests.shard_processes import KILLED, lingers_once
from tests.shards import needs_spark, rows_of_pages
from warehouse.batching.engines import DuckDBHere

pytestmark = [
    needs_spark,
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.skipif("ALMANAC_ALL_KILLS" not in os.environ, reason="minutes: ALMANAC_ALL_KILLS=1"),
    pytest.mark.skipif(not can_have_networks(), reason="no networks can be made here, which takes root and `ip`"),
]
ROOT = Path(__file__).parents[2]


class Daemon:
    """A master or a worker of Spark, and what it logs."""

    def __init__(self, log: Path, address: str, command: list[str]) -> None:
        spec = importlib.util.find_spec("pyspark")
        assert spec is not None
        assert spec.submodule_search_locations
        environment = os.environ | {"SPARK_HOME": spec.submodule_search_locations[0], "PYSPARK_PYTHON": sys.executable}
        environment |= {"SPARK_LOCAL_IP": address, "SPARK_LOCAL_HOSTNAME": address}
        self._log = log
        with log.open("wb") as output:
            program = Path(spec.submodule_search_locations[0]) / "bin/spark-class"
            command = [str(program) if word == "spark-class" else word for word in command]
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

    def wait_for(self, said: str) -> str:
        """Wait until it says something, and give what a group of that caught."""
        wait_for(lambda: re.search(said, self._log.read_text()) or self.process.poll() is not None, said)
        found = re.search(said, self._log.read_text())
        assert found is not None
        return found[1]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A master here, and a worker on each of two hosts; gives the master's URL and address."""
    daemons: list[Daemon] = []
    place = "org.apache.spark.deploy"
    with network() as made:
        try:
            own = ["--host", made.address, "--port", "0", "--webui-port", "0"]
            master = Daemon(tmp_path / "master", made.address, ["spark-class", f"{place}.master.Master", *own])
            daemons.append(master)
            url = master.wait_for(r"Starting Spark master at (spark://\S+)")
            for host in (1, 2):
                daemons.append(_worker(made, host, url, tmp_path))
                daemons[-1].wait_for("(Successfully registered) with master")
            yield url, made.address
        finally:
            for daemon in reversed(daemons):
                daemon.end()


def _worker(made: Network, host: int, url: str, place: Path) -> Daemon:
    kernel = place / f"kernel-{host}"
    kernel.write_text(f"kernel {host}")
    own = ["--host", made.address_of(host), "--webui-port", "0", "--cores", "1", "--memory", "1g"]
    words = [
        "spark-class",
        "org.apache.spark.deploy.worker.Worker",
        *own,
        "--work-dir",
        str(place / f"work-{host}"),
        url,
    ]
    return Daemon(place / f"worker-{host}", made.address_of(host), made.command(host, kernel, *words))


def test_a_speculative_attempt_on_another_host_changes_nothing(
    ingested: Suite, cluster: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyspark.sql import SparkSession

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    url, address = cluster
    (left := tmp_path / "left").mkdir()
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        "spark.executor.memory": "512m",
        "spark.executor.cores": "1",
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(
            [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        ),
        f"spark.executorEnv.{KILLED}": str(left),
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.1",
        "spark.speculation.multiplier": "1",
        "spark.speculation.minTaskRuntime": "1s",
    }
    builder: Any = SparkSession.builder.master(url).appName("almanac's tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    try:
        session.sparkContext.setLogLevel("OFF")
        here = rows_of_pages(ingested, PRODUCT, [PAGE], DuckDBHere())
        assert rows_of_pages(ingested, PRODUCT, [PAGE], Shards(Spark(lingers_once), 3)) == here
    finally:
        session.stop()
    (first,) = (left / "lingers").iterdir()
    assert {first.read_text(), (left / "again").read_text()} == {"host1", "host2"}
