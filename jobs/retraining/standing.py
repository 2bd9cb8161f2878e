"""How the retraining of a product stands: what its jobs would answer as of an instant, and what was answered before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.retraining.decision import Answer, decide
from jobs.retraining.figures import as_numbers, figures_at
from jobs.retraining.retraining_jobs import retraining_jobs
from jobs.suite import Suite
from warehouse.errors import UsageError
from warehouse.ledger.triggers import Trigger, triggers_of


@dataclass(frozen=True)
class Standing:
    """What a job would answer as of an instant, and by which figures. Nothing is written or carried out."""

    job: str
    at: datetime
    answer: Answer
    figures: Mapping[str, float]


def standing(
    suite: Suite, product_name: str, at: datetime | None = None
) -> tuple[Sequence[Standing], Sequence[Trigger]]:
    """Give what each job would answer as of an instant (naive UTC; None: now), and the answers written before it.

    Raises
    ------
    UsageError
        If the instant lies in the future, or no job trains the product again.
    """
    product = suite.definitions.product(product_name)
    now = suite.clock()
    if at is not None and at > now:
        raise UsageError(f"--at {at} lies in the future; what is known is known up to now ({now} UTC).")
    instant = at or now
    jobs = retraining_jobs(suite, product)
    with suite.lake.reading() as connection:
        written = triggers_of(connection, product.name, at)
    figures = figures_at(suite, product, instant)
    numbers = as_numbers(figures)
    return [Standing(name, instant, decide(rules, figures), numbers) for name, rules in jobs.items()], written
