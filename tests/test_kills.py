"""A killed run leaves a page absent or whole; the next run succeeds, and upkeep clears what was left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from jobs.predict import run_page
from jobs.suite import Suite
from jobs.upkeep import upkeep
from tests.conftest import PAGE, PRODUCT
from tests.lakes import page_rows, rows

KILLS = 20
#: Runs the page again and again, so that kills fall on every part of it and not on Python's start.
LOOP = """
import sys
from datetime import datetime
from pathlib import Path
from jobs.predict import run_page
from jobs.suite import open_suite
suite = open_suite(Path(sys.argv[1]), lambda: datetime(2026, 4, 10))
print("ready", flush=True)
while True:
    run_page(suite, "late_order", datetime(2026, 3, 10, 18))
"""


@pytest.mark.slow
def test_twenty_kills_at_random_moments(trained: Suite) -> None:
    whole = run_page(trained, PRODUCT, PAGE).n_rows
    expected = page_rows(trained, PRODUCT)
    dice = random.Random(20131001)
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(trained.root)], stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0, 2.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        counts = rows(trained, "SELECT count(*) FROM predictions.late_order WHERE as_of = $1", [PAGE])[0][0]
        assert counts == whole
        assert page_rows(trained, PRODUCT) == expected
    assert run_page(trained, PRODUCT, PAGE).n_rows == whole
    upkeep(trained)
    assert page_rows(trained, PRODUCT) == expected
    assert [path.name for path in trained.lake.staging.glob("[!.]*")] == []
    assert upkeep(trained).orphaned_files == 0


def test_a_run_killed_before_its_first_commit_leaves_no_page(trained: Suite) -> None:
    before = trained.lake.newest_snapshot()
    in_the_commit = "import os, warehouse.lake\nwarehouse.lake.Commit.add_file = lambda *_: os.kill(os.getpid(), 9)\n"
    killer = LOOP.replace("suite = open_suite", f"{in_the_commit}suite = open_suite")
    done = subprocess.run([sys.executable, "-c", killer, str(trained.root)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert trained.lake.newest_snapshot() == before
    assert rows(trained, "SELECT count(*) FROM ledger.pages WHERE kind = 'predictions'") == [(0,)]
    assert upkeep(trained).abandoned_runs == 1
    assert run_page(trained, PRODUCT, PAGE).published
