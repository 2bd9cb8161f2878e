"""Ctrl-C in the middle of a long query ends a command with one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.suite import Suite

ENDLESS = """/*
description: every number there is
owner: you
key: [n]
files: data/orders*.csv
known_at: since
*/
SELECT sum(hash(a.range + b.range))::VARCHAR AS n, TIMESTAMP '2026-01-01' AS since
FROM range(1000000000) AS a, range(1000000000) AS b
"""


ENDLESS_GROUP = """/*
description: every number there is
key: [courier]
*/
SELECT courier, sum(hash(a.range + b.range))::VARCHAR AS n
FROM orders, range(1000000000) AS a, range(1000000000) AS b
GROUP BY courier
"""


@pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGTERM)])
def test_what_drops_the_batch_in_hand_ends_pages_within_seconds(ingested: Suite, signals: tuple[int, ...]) -> None:
    (ingested.root / "sql/features/courier_load.sql").write_text(ENDLESS_GROUP)
    pages = ["late_order", "--from", "2026-03-01", "--to", "2026-03-03", "--features-only", "--workers", "2"]
    command = [sys.executable, "-m", "jobs", "--suite", str(ingested.root), "backfill", *pages]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not list(ingested.root.glob("lake/staging/*/")):
            assert worker.poll() is None
            time.sleep(0.05)
        time.sleep(1)
        for number in signals:
            began = time.monotonic()
            worker.send_signal(number)
            time.sleep(0.5)
        _, errors = worker.communicate(timeout=240)
        took = time.monotonic() - began
    finally:
        worker.kill()
    assert worker.returncode == 130
    assert "what was committed" in errors.splitlines()[-1] or "what was committed" in errors.splitlines()[-2]
    assert "Traceback" not in errors, errors
    # From the second signal on: two seconds, and what a machine with more to do takes besides. It would take for ever.
    assert took < float(os.environ.get("ALMANAC_DROPPED_WITHIN_S", "30")), took


def test_ctrl_c_in_a_query_says_so_without_a_traceback(starter: Path) -> None:
    (starter / "sql/sources/orders.sql").write_text(ENDLESS)
    command = [sys.executable, "-m", "jobs", "--suite", str(starter), "ingest", "orders"]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not list(starter.glob("lake/staging/*")):
            assert worker.poll() is None
            time.sleep(0.05)
        time.sleep(1)  # The query begins at once after that.
        worker.send_signal(signal.SIGINT)
        _, errors = worker.communicate(timeout=240)
    finally:
        worker.kill()
    assert worker.returncode == 130
    assert errors.splitlines()[-1] == "almanac: stopped; what was committed stays, and nothing else does."
    assert "Traceback" not in errors
