"""A shop whose clock stands where it is put, with versions to try beside the live one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.pages.predict import predict_pages, run_page
from jobs.rollout.look import Looked, look
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import NOW, PRODUCT, clock_at
from tests.lakes import rows

YAML = f"sql/products/{PRODUCT}/product.yaml"
#: Rules: a coin; what is known of depots; a coin that is a little worse, one that says late of everything, and what no
#: scorer takes for a probability.
COIN, GOOD, WORSE, WILD, BROKEN = "0.5", "coalesce(depot_late_share_28d, 0.2)", "0.58", "0.97", "2.0"
PLAN = "{stages: [{shadow: {pages: 2}}, {canary: {share: 30%, pages: 3}}], margin: 0.01, at_most: 30}"


def at(root: Path, now: datetime) -> Suite:
    """Open a suite at an instant."""
    return open_suite(root, clock_at(now))


def with_plan(root: Path, plan: str = PLAN) -> None:
    """Give the product a plan for rollouts."""
    path = root / YAML
    path.write_text(path.read_text().partition("rollout:")[0] + f"rollout: {plan}\n")


def make(root: Path, page: datetime) -> Any:
    """Make the page of an instant, at that instant."""
    return run_page(at(root, page), PRODUCT, page)


def page_of(suite: Suite, page: datetime, table: str = PRODUCT) -> list[Any]:
    """Give a page's rows, sorted, but for which run and arm wrote them."""
    what = "COLUMNS(name -> name NOT IN ('run_id', 'published_at', 'arm'))"
    return rows(suite, f"SELECT {what} FROM predictions.{table} WHERE as_of = $1 ORDER BY ALL", [page])


def with_rules(root: Path, *rules: str) -> None:
    """Register SQL as the product's versions v1, v2, ..., the first of which is live: they need no training."""
    directory = root / f"sql/products/{PRODUCT}"
    header = directory / "product.yaml"
    text = re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", header.read_text(), flags=re.M | re.S)
    header.write_text(text)
    for rule in rules:
        (directory / "score.sql").write_text(
            f"/*\ndescription: A rule.\n*/\nSELECT order_id, {rule} AS probability\nFROM page\n"
        )
        train(at(root, NOW), PRODUCT, datetime(2026, 2, 1))


def live_through(root: Path, first: datetime, n_pages: int, at_a_time: int = 4) -> Iterator[Looked]:
    """Make pages, some at a time, and look after each lot as soon as the labels of its last page are there."""
    for place in range(0, n_pages, at_a_time):
        pages = [first + timedelta(days=place + n) for n in range(at_a_time)]
        suite = at(root, pages[-1])
        predict_pages(suite, suite.definitions.product(PRODUCT), pages)
        yield from look(at(root, pages[-1] + timedelta(days=5)), PRODUCT)
