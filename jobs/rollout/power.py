"""The power of a product's rollouts: after how many pages a difference would be seen, from pages of its own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import duckdb
import numpy as np

from jobs.monitoring.performance.records import newest_judgements
from jobs.rollout.inference.e_process import LEAST, Rules
from jobs.rollout.inference.power import PowerRow
from jobs.rollout.inference.power import power as simulate
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger.rollouts import courses_of, looks_of

#: Differences that are asked about, in standard deviations of a page's difference.
DEVIATIONS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Power:
    """What a rollout of a product would see.

    Attributes
    ----------
    history
        What the past is, in words.
    n_pages, deviation
        Its pages, and the standard deviation of a page's difference.
    margin, at_most
        Of the plan in product.yaml.
    """

    product: str
    history: str
    n_pages: int
    deviation: float
    margin: float
    at_most: int
    rows: list[PowerRow] = field(default_factory=list)


def power(suite: Suite, product_name: str, n_challengers: int = 1, plan_name: str | None = None) -> Power:
    """Simulate rollouts by a plan of product.yaml from the pages of the past.

    Raises
    ------
    UsageError
        If product.yaml has no `rollout`, or no such plan, or there are fewer than 9 pages to learn from.
    """
    product = suite.definitions.product(product_name)
    settings = product.header.rollout
    if settings is None:
        raise UsageError(f"{product.yaml_where}: there is no key `rollout`, whose margin is asked about; add it.")
    plan = settings.plan(plan_name)
    with suite.lake.reading() as connection:
        words, history = _history(suite, connection, product)
    if len(history) < LEAST:
        raise UsageError(
            f"{product.name} has {len(history)} pages with labels whose differences are known; {LEAST} are the least."
            f" Let a rollout look at some, or judge published pages: almanac monitor {product.name}"
        )
    deviation = float(np.std(history, ddof=1))
    rules = Rules(plan.margin, n_challengers=n_challengers, n_guardrails=len(plan.guardrails), at_most=plan.at_most)
    rows = simulate(history, [deviation * each for each in DEVIATIONS], rules)
    return Power(product.name, words, len(history), deviation, plan.margin, plan.at_most, rows)


def _history(suite: Suite, connection: duckdb.DuckDBPyConnection, product: Product) -> tuple[str, Sequence[float]]:
    """Give the differences of the newest rollout that has enough; else how the live version's own loss varies."""
    for course in reversed(courses_of(connection, product.name).courses):
        looks = looks_of(connection, course.rollout.rollout_id)
        for version in course.rollout.versions:
            found = {one.as_of: one.difference for one in looks if one.arm == version and one.difference is not None}
            if len(found) >= LEAST:
                words = f"{version} less {course.rollout.live}, in the rollout {course.rollout.rollout_id}"
                return words, list(found.values())
    rows = newest_judgements(connection, product.name, suite.clock())
    excess = {row.as_of: row.excess for row in rows if row.segment is None and row.is_mature and row.excess is not None}
    words = "the excess loss of published pages: no rollout has been looked at yet, and two versions differ by less"
    return words, [value for _, value in sorted(excess.items())]
