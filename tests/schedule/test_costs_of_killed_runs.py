"""What a command cost that was killed is in a total, once: less what it had written down itself."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.schedule.costs import costs
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite
from tests.conftest import NOW
from tests.schedule.clock_suites import run

#: A source that comes after all others, whose files kill whoever asks for them, after some work.
KILLER = "import os\ndef load(into):\n    sum(i * i for i in range(3_000_000))\n    os.kill(os.getpid(), 9)\n"
HEADER = "description: Trouble.\nkey: [n]\nloader: killer:load\nknown_at: TIMESTAMP '2026-01-01'"
SOURCE = f"/*\n{HEADER}\n*/\nSELECT 1 AS n\n"
JOBS = {
    "almanac": "ingest",
    "shell": f'{{shell: "{sys.executable} -m jobs ingest orders zz_trouble; kill -9 $$"}}',
}


def _more_orders(root: Path) -> None:
    delivery = next((root / "data").glob("orders*.csv"))
    first, second, *_ = delivery.read_text().splitlines()
    delivery.with_name("orders_more.csv").write_text(f"{first}\n{second.replace(second.split(',')[0], 'new', 1)}\n")


@pytest.mark.parametrize("kind", JOBS)
def test_what_a_killed_command_cost_is_counted_once(ingested: Suite, kind: str) -> None:
    root = ingested.root
    (root / "killer.py").write_text(KILLER)
    (root / "sql/sources/zz_trouble.sql").write_text(SOURCE)
    (root / "schedules.yaml").write_text(f'jobs: {{fetch: {{run: {JOBS[kind]}, cron: "0 17 * * *", team: harbour}}}}')
    _more_orders(root)
    store = TickStore.open(ingested.lake.root)
    before = sum(row["cpu_s"] for row in costs(ingested.lake, store, "team", None, None))
    # The simulated clock is months off the one by which the command dates what it writes down.
    run(root, "tick", "--now", str(NOW + timedelta(days=200)))
    run(root, "tick", "--now", str(NOW + timedelta(days=200, hours=17)), expect=1)
    (measured, reason) = store.db.execute("SELECT cpu_s, reason FROM runs").fetchone()
    assert reason.startswith("killed by signal")
    with ingested.lake.reading() as connection:
        ((n_runs, written),) = connection.execute(
            "SELECT count(*), sum(cpu_s) FROM ledger.runs WHERE lease IS NOT NULL"
        ).fetchall()
    assert n_runs == 1, "the delivery before it was taken in"
    after = {row["job"]: row for row in costs(ingested.lake, store, "job", None, None)}
    assert after["fetch"]["runs"] == 1
    assert after["fetch"]["cpu_s"] == pytest.approx(measured - written)
    assert sum(row["cpu_s"] for row in after.values()) == pytest.approx(before + measured)
