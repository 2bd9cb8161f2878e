"""A suite that has something to show on every page: alarms, a rollout, rejects, a clock's book, and texts like HTML."""

from __future__ import annotations

import contextlib
import json
import shutil
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
from jobs.suites.starter import make_starter
from jobs.training.freshness import freshness
from jobs.training.train import train
from tests.conftest import NOW, PRODUCT, clock_at
from tests.rollout.worlds import at, with_plan, with_rules
from warehouse.errors import FilesSetAside

#: What no page may take for an element of its own; it stands in data, definitions and errors.
TAG = "<img src=x onerror=alert(1)>"
DAY = timedelta(days=1)
FIRST, UNTIL = datetime(2026, 3, 14, 18), datetime(2026, 4, 8)
ROLLED = datetime(2026, 3, 27, 17)
#: One that is far too sure of itself, so that there is an alarm; and what is known of depots, which does better.
RULES = ("0.9", "coalesce(depot_late_share_28d, 0.2)")


def make_seen(root: Path) -> None:
    """Make the suite: two weeks of pages of a rule; then a rollout of another one with its looks; all of it judged."""
    make_starter(root)
    _write_facts(root)
    _write_definitions(root)
    suite = at(root, NOW)
    with contextlib.suppress(FilesSetAside):
        ingest(suite)
    with_rules(root, *RULES)
    stages = "[{shadow: {pages: 2}}, {canary: {share: 30%, pages: 3}}]"
    with_plan(root, f"{{stages: {stages}, margin: 0.01, at_most: 30, acute: {{shift: 0.9}}}}")
    suite = at(root, NOW)
    product = suite.definitions.product(PRODUCT)
    before = product.pages_between(FIRST, ROLLED)
    predict_pages(suite, product, before)
    start(at(root, before[-1] + timedelta(hours=1)), PRODUCT, ["v2"], reason=f"it looks {TAG} better")
    later = product.pages_between(ROLLED, UNTIL)
    predict_pages(at(root, NOW), product, later)
    look(at(root, NOW), PRODUCT)
    monitor_product(at(root, NOW), PRODUCT)
    judge_fairness(at(root, NOW), PRODUCT, judge_performance(at(root, NOW), PRODUCT))
    train_one(root)
    run_by_the_clock(root)
    at(root, NOW).lake.close()


def run_by_the_clock(root: Path) -> None:
    """Let the clock run one job, which prints, and then take up the jobs of the suite."""
    schedule = root / "schedules.yaml"
    text = schedule.read_text()
    said = f"echo 'said by a job: {TAG}'; printf '\\033[31mred\\033[0m\\n'; exit 3"
    schedule.write_text(json.dumps({"jobs": {"say": {"run": {"shell": said}, "cron": "0 0 * * *"}}}))
    for now in (NOW - timedelta(hours=1), NOW):
        with Daemon(root, clock_at(now), clock_at(now)) as daemon:
            daemon.run_once()
    schedule.write_text(text)
    with Daemon(root, clock_at(NOW), clock_at(NOW)) as daemon:
        daemon.run_once()


def train_one(root: Path) -> None:
    """Train a version with a model, whose importance and calibration can be shown; it does not go live."""
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    text = header.read_text()
    model = "{estimator: hist_gradient_boosting_classifier, parameters: {max_iter: 10, max_leaf_nodes: 4}, seed: 1}"
    header.write_text(text.replace("model: {sql: score.sql}", f"model: {model}").replace("2026-01-15", "2026-02-01"))
    train(at(root, NOW), PRODUCT, datetime(2026, 3, 1))
    measure(root)
    header.write_text(text)


def measure(root: Path) -> None:
    """Measure what fresh data is worth, and rehearse two policies for two days."""
    freshness(at(root, NOW), PRODUCT, datetime(2026, 3, 5), datetime(2026, 3, 25), cutoffs=2)
    policies = root / "policies.yaml"
    daily = f'{{train: {{run: {{train: {PRODUCT}}}, cron: "0 4 * * SAT"}}}}'
    policies.write_text(f"policies: {{never: {{jobs: {{}}}}, daily: {{jobs: {daily}, product: {{team: '{TAG}'}}}}}}")
    rehearse(at(root, NOW), PRODUCT, datetime(2026, 3, 20), datetime(2026, 3, 22), policies)


def _write_facts(root: Path) -> None:
    orders = root / "data/orders.csv"
    lines = orders.read_text().splitlines()
    # One depot and one order bear a name that looks like HTML; some rows break a rule; one file is no CSV.
    lines = [line.replace(",west,", f",{TAG},") for line in lines]
    lines.append(f"O{TAG},north,Swift,0,2026-03-01 06:06:00,2026-03-02 06:06:00")
    lines.append(f"X{TAG},north,Swift,2,2026-04-06 06:06:00,2026-04-11 06:06:00")
    orders.write_text("\n".join(lines) + "\n")
    (root / "data/orders_broken.csv").write_text(f"order_id,depot\n{TAG},1\n")


def _write_definitions(root: Path) -> None:
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    text = header.read_text().replace("delivered later than promised.", f"late. {TAG}")
    text = text.replace("owner: you", f"owner: '{TAG}'\nteam: parcels\nfresh_within: 26 hours")
    monitor = "monitor: {segments: [depot], fairness: {by: [depot], min_rows: 5}}\n"
    header.write_text(text.replace("valid_for:", f"{monitor}valid_for:"))


def copy_of(kept: Path, root: Path) -> Path:
    """Copy a suite that is closed."""
    shutil.copytree(kept, root)
    return root
