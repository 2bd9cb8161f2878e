"""A product with targets is exported after its pages without a job that says so; a target that is down is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from jobs.schedule.alerts import alert_of_step
from jobs.schedule.files.reading import Known, read_schedule
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.export.targets import in_sqlite, with_targets
from tests.lakes import rows
from tests.schedule.clock_suites import run, run_json
from tests.schedule.test_clock_decisions import DAY, SIX, Clockwork, job
from warehouse.definitions.cron import Grid

KNOWN = Known([PRODUCT], ["orders"], [], exported=[PRODUCT])
PREDICTED = """
jobs:
  pages: {run: {predict: late_order}, cron: "0 18 * * *", zone: Europe/London, alerts: OPS, catch_up: all}
"""


def test_exports_follow_each_job_that_makes_pages() -> None:
    schedule = read_schedule(PREDICTED, KNOWN)
    assert list(schedule.jobs) == ["pages", "export_pages"]
    follows = schedule.jobs["export_pages"]
    assert (str(follows.work), follows.after, follows.alerts) == ("export late_order", ("pages",), ("OPS",))
    assert (follows.trigger, follows.catch_up) == (Grid.parse("0 18 * * *", "Europe/London"), "latest")
    assert follows.retries.attempts == 8
    assert list(read_schedule(PREDICTED, Known([PRODUCT], [], [])).jobs) == ["pages"]


def test_a_job_of_the_file_says_when_instead() -> None:
    text = f"{PREDICTED}  hand_over: {{run: {{export: late_order}}, every: 5 minutes}}\n"
    assert list(read_schedule(text, KNOWN).jobs) == ["pages", "hand_over"]
    other = f"{PREDICTED}  export_pages: {{run: upkeep, every: 1 day}}\n"
    assert list(read_schedule(other, KNOWN).jobs) == ["pages", "export_pages", "export_pages_"]


def test_a_page_that_the_clock_makes_is_exported(trained: Suite) -> None:
    suite = with_targets(trained, "\nexport:\n  app: {to: out/predictions.sqlite}\n")
    (suite.root / "schedules.yaml").write_text(PREDICTED.replace(", alerts: OPS", ""))
    run(suite.root, "tick", "--now", str(PAGE - timedelta(hours=1)))
    done = run_json(suite.root, "tick", "--now", str(PAGE))
    assert [(end["job"], end["outcome"]) for end in done["settled"]] == [("pages", "ran"), ("export_pages", "ran")]
    assert in_sqlite(suite, "SELECT as_of FROM almanac_exports") == [(str(PAGE),)]
    assert rows(suite, "SELECT state FROM ledger.exports") == [("exported",)]


def test_a_target_that_is_down_is_told_once_until_it_is_up_again() -> None:
    follows = read_schedule(PREDICTED, KNOWN).jobs["export_pages"]
    down = replace(job("e"), work=follows.work, alerts=("OPS",))
    clock = Clockwork(down)
    clock.scheduler.on_step = lambda step, now: alert_of_step(clock.tick_store, clock.schedule, step, now)
    for day, reason in enumerate(["down", "down", "down", "", "down"]):
        clock.at(SIX + day * DAY)
        clock.executor.end("e", reason)
        clock.at(SIX + day * DAY)
    assert clock.outcomes("e") == ["failed", "failed", "failed", "ran", "failed"]
    told = clock.tick_store.db.execute("SELECT title FROM alerts ORDER BY raised_at").fetchall()
    assert [row["title"].partition(" (UTC)")[0] for row in told] == [
        f"e: the tick of {SIX}",
        f"e: the tick of {SIX + 4 * DAY}",
    ]
