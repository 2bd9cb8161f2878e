"""The flights of 2013 with a page for each day, an alarm, a rollout, a rehearsal, a measured freshness and a clock."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.monitoring.judging.monitor import monitor_product
from jobs.monitoring.performance.fairness import judge_fairness
from jobs.monitoring.performance.judge import judge_performance
from jobs.pages.predict import predict_pages
from jobs.rehearsal.rehearse import rehearse
from jobs.rollout.look import look
from jobs.rollout.stages import start
from jobs.schedule.daemon import Daemon
from jobs.suite import Suite, open_suite
from jobs.suites.demo import PRODUCT
from jobs.suites.starter import make_flights
from jobs.training.freshness import freshness
from jobs.training.train import train
from tests.conftest import clock_at

#: From which page on there are versions, from which a rollout goes on, and when the site is looked at.
BEGIN, ROLLED, SEEN_AT = datetime(2013, 1, 9), datetime(2013, 12, 1, 23), datetime(2014, 1, 6)
#: What is known of a route and a carrier; the same, far too sure.
RULES = (
    "coalesce(route_late_28d, carrier_late_28d, 0.15)",
    "least(0.99, 0.02 + 0.9 * coalesce(route_late_28d, carrier_late_28d, 0.15))",
)


def make_year(root: Path) -> Suite:
    """Make the suite; gives it as of `SEEN_AT`."""
    make_flights(root)
    with_settings(root)
    ingest(_at(root))
    pages_of_rules(root)
    measure(root)
    run_by_the_clock(root)
    return _at(root)


def run_by_the_clock(root: Path) -> None:
    """Let the clock run a job on two mornings, as `almanac schedule` does."""
    schedule = root / "schedules.yaml"
    text = schedule.read_text() if schedule.exists() else None
    schedule.write_text('jobs: {look: {run: {shell: "echo looked"}, cron: "0 0 * * *"}}')
    for ago in (timedelta(days=2), timedelta(days=1)):
        with Daemon(root, clock_at(SEEN_AT - ago), clock_at(SEEN_AT - ago)) as daemon:
            daemon.run_once()
    if text is not None:
        schedule.write_text(text)


def with_settings(root: Path) -> None:
    """Let rollouts have stages, groups be compared, and trainings be short."""
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    text = header.read_text().replace("max_iter: 70", "max_iter: 20")
    plan = "rollout: {stages: [{shadow: {pages: 3}}, {canary: {share: 30%, pages: 5}}], margin: 0.01, at_most: 60}\n"
    monitor = "monitor: {segments: [origin], fairness: {by: [origin], min_rows: 100}}\n"
    header.write_text(f"{text}{plan}{'' if 'monitor:' in text else monitor}")


def measure(root: Path) -> None:
    """Train a version that does not go live, measure what fresh data is worth, and rehearse two policies."""
    train(_at(root), PRODUCT, datetime(2013, 6, 1))
    freshness(_at(root), PRODUCT, datetime(2013, 2, 15), datetime(2013, 3, 25), cutoffs=3)
    policies = root / "policies.yaml"
    weekly = f'{{train: {{run: {{train: {PRODUCT}}}, cron: "0 9 * * SUN"}}}}'
    policies.write_text(f"policies: {{never: {{jobs: {{}}}}, weekly: {{jobs: {weekly}}}}}")
    rehearse(_at(root), PRODUCT, datetime(2013, 2, 15), datetime(2013, 2, 19), policies)


def pages_of_rules(root: Path) -> None:
    """Publish the year by a rule, with a rollout of another one from December on, and judge all of it."""
    directory = root / f"sql/products/{PRODUCT}"
    header, text = directory / "product.yaml", (directory / "product.yaml").read_text()
    header.write_text(re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", text, flags=re.M | re.S))
    keys = "flight_date, carrier, flight, origin"
    for rule in RULES:
        (directory / "score.sql").write_text(
            f"/*\ndescription: A rule.\n*/\nSELECT {keys}, {rule} AS probability\nFROM page\n"
        )
        train(_at(root), PRODUCT, BEGIN)
    suite = _at(root)
    product = suite.definitions.product(PRODUCT)
    before = product.pages_between(BEGIN, ROLLED)
    predict_pages(suite, product, before)
    start(open_suite(root, clock_at(before[-1] + timedelta(hours=1))), PRODUCT, ["v2"], reason="less sure")
    predict_pages(_at(root), product, product.pages_between(ROLLED, datetime(2014, 1, 1)))
    look(_at(root), PRODUCT)
    monitor_product(_at(root), PRODUCT)
    judge_fairness(_at(root), PRODUCT, judge_performance(_at(root), PRODUCT))
    header.write_text(text)


def _at(root: Path) -> Suite:
    return open_suite(root, clock_at(SEEN_AT))
