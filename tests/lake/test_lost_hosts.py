"""Two hosts run the jobs of one lake, and one is lost with all that it does: the other takes it over within a minute.

Nothing is shortened: the lost host's leases last as long as in production, and it takes its leave of nobody.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.lake.hosts import Network, can_have_networks, network
from tests.lake.shared_lakes import moved, password
from tests.lakes import page_rows, rows
from tests.postgres_server import Server, needs_postgres, running_server
from tests.schedule.clock_suites import real_now, run, wait_for
from warehouse.lake.postgres.owners import LASTS_S

pytestmark = [
    needs_postgres,
    pytest.mark.skipif(not can_have_networks(), reason="no networks can be made here, which takes root and `ip`"),
]
SCHEDULE = """
jobs:
  page:
    run:
      shell: >-
        while [ ! -e {go} ]; do sleep 0.1; done;
        exec {python} -m jobs --suite "$ALMANAC_SUITE" run {product} --as-of "{page}"
    cron: "{minute}"
    zone: UTC
  often:
    run: {{shell: 'echo "$ALMANAC_TICK" >> {ticks}'}}
    every: 1 minute
    catch_up: all
"""
WAITS = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
#: Which kernel's run has the page.
AT_IT = "SELECT kernel FROM almanac.claims JOIN almanac.owners ON owner = name"
#: Until when the sign of life lasts that its scheduler gives of it.
LASTS = "SELECT expires FROM almanac.runs JOIN almanac.owners ON lease = name WHERE job = 'page'"
#: The jobs with ticks that have no outcome yet.
OPEN = "SELECT DISTINCT name FROM almanac.ticks JOIN almanac.jobs USING (job_id) WHERE outcome IS NULL"


def server_time(asked: Callable[[str], list[Any]]) -> datetime:
    ((now,),) = asked("SELECT clock_timestamp()")
    assert isinstance(now, datetime)
    return now


class Host:
    """A host that runs `almanac schedule` from a checkout of its own."""

    def __init__(self, made: Network, number: int, suite: Path) -> None:
        self._made, self._number = made, number
        self.kernel = f"kernel-of-{number}"
        kernel = suite.with_name(self.kernel)
        kernel.write_text(self.kernel)
        command = made.command(number, kernel, sys.executable, "-m", "jobs", "--suite", str(suite), "schedule")
        self._log = suite.with_name(f"log-{number}")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def log(self) -> str:
        return self._log.read_text()

    def lose_at(self, asked: Callable[[str], list[Any]]) -> datetime:
        """Cut it off, and kill all of its processes; give when that was by the server's clock, or just before."""
        gone_at = server_time(asked)
        self._made.unplug(self._number)
        self.lose()
        return gone_at

    def lose(self) -> None:
        """Kill all of its processes with the signal that cannot be caught."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Have its scheduler end, and wait for that."""
        pid = self.process.pid
        (scheduler,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(scheduler), signal.SIGTERM)
        assert self.process.wait(120) == 0, self.log()


@pytest.fixture
def shared(_trained: Path, tmp_path: Path) -> Iterator[tuple[Network, Server, Suite]]:
    """A suite whose page is not made yet, with its lake on a server that two hosts reach."""
    with password(), network() as made, running_server(made.address) as server:
        yield made, server, moved(server, "lost", _trained, tmp_path / "hosts")


@pytest.mark.slow
def test_what_a_lost_host_was_at_is_taken_over_within_a_minute(
    shared: tuple[Network, Server, Suite], published: Suite, tmp_path: Path
) -> None:
    made, server, suite = shared
    go, ticks, now = tmp_path / "go", tmp_path / "ticks", real_now()
    minute = f"{now - timedelta(minutes=10):%M %H %d %m} *"
    words = {"python": sys.executable, "product": PRODUCT, "page": PAGE, "minute": minute}
    (suite.root / "schedules.yaml").write_text(SCHEDULE.format(go=go, ticks=ticks, **words))
    run(suite.root, "tick", "--now", str(now - timedelta(minutes=20)))
    shutil.copytree(suite.root, tmp_path / "hosts/another")
    with server.connect("lost") as asking:

        def asked(query: str) -> list[Any]:
            return list(asking.execute(query).fetchall())

        hosts = [Host(made, 1, suite.root), Host(made, 2, tmp_path / "hosts/another")]
        try:
            for host in hosts:
                wait_for(lambda host=host: "scheduler started" in host.log(), "a scheduler")
            wait_for(lambda: asked(OPEN) == [("page",)], "the ticks that were missed")
            with suite.lake.writer_lock():
                go.touch()
                # All of the page is there, and its run is about to commit it.
                wait_for(lambda: asked(AT_IT) and asked(WAITS), "the run of the page")
                ((kernel,),) = asked(AT_IT)
                lost, left = sorted(hosts, key=lambda host: host.kernel != kernel)
                assert lost.kernel == kernel
                gone_at = lost.lose_at(asked)
                ((lease_ends,),) = asked(LASTS)
            again = "SELECT 1 FROM almanac.runs WHERE job = 'page' HAVING count(*) = 2"
            wait_for(lambda: asked(again), "the other host to take the page up")
            taken_at = server_time(asked)
            wait_for(lambda: ("page",) not in asked(OPEN), "the page")
            done_at = server_time(asked)
            left.stop()
        finally:
            for host in hosts:
                host.lose()
        print(f"taken up {taken_at - gone_at} and published {done_at - gone_at} after the loss")
        assert LASTS_S == 40
        assert lease_ends <= taken_at < gone_at + timedelta(minutes=1)
        of_page = "FROM almanac.ticks JOIN almanac.jobs USING (job_id) WHERE name = 'page'"
        assert asked(f"SELECT outcome, abandoned, attempts {of_page}") == [("caught up", 1, 0)]
        results = asked("SELECT result FROM almanac.runs WHERE job = 'page' ORDER BY run")
        assert results == [("abandoned",), ("succeeded",)]
        _check_ticks(asked("SELECT at, outcome, abandoned " + of_page.replace("'page'", "'often'")), ticks)
    told = "SELECT state, count(*) FROM ledger.pages WHERE kind = 'predictions' AND as_of = $1 GROUP BY state"
    assert rows(suite, told, [PAGE]) == [("published", 1)]
    assert len(rows(suite, f"SELECT DISTINCT run_id FROM predictions.{PRODUCT}")) == 1
    assert page_rows(suite, PRODUCT) == page_rows(published, PRODUCT)
    suite.lake.close()


def _check_ticks(found: list[Any], ran: Path) -> None:
    """See that each tick of the job that is due often was run once; one that was lost in the middle may be again.

    One that came while the scheduler was being stopped is left to the next.
    """
    done = {datetime.fromisoformat(at): abandoned for at, outcome, abandoned in found if outcome is not None}
    assert len(done) >= 20
    assert {outcome for _, outcome, _ in found} <= {"ran", "caught up", None}
    lines = [datetime.fromisoformat(line) for line in ran.read_text().split()]
    assert set(lines) == done.keys()
    assert len(lines) <= len(done) + sum(done.values())
