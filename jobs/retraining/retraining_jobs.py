"""The jobs of schedules.yaml that train a product again, and what each says of when."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.schedule.files.retraining import Retraining
from jobs.schedule.suite_clock import schedule_of
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError


def retraining_jobs(suite: Suite, product: Product) -> Mapping[str, Retraining]:
    """Give the jobs that train a product again, by name.

    Raises
    ------
    NotFoundError
        If the suite has no schedules.yaml.
    DefinitionError
        If it is wrong.
    UsageError
        If no job does, or the product has a rule, which learns nothing.
    """
    if product.rule is not None:
        raise UsageError(f"{product.name} has a rule, {product.rule.where}, which is not trained, and cannot be again.")
    schedule = schedule_of(suite)
    jobs = {
        name: job.retraining
        for name, job in schedule.jobs.items()
        if job.work.kind == "retrain" and job.work.concerns == product.name
    }
    if not jobs:
        raise UsageError(
            f"no job of schedules.yaml trains {product.name} again. Add one, for example retrain_{product.name}: {{run:"
            f' {{retrain: {product.name}}}, cron: "30 18 * * *", when: {{age: 30 days}}, cooldown: 7 days}}; see'
            " docs/retraining.md."
        )
    return jobs


def retraining_job(suite: Suite, product: Product, name: str | None) -> tuple[str, Retraining]:
    """Give the job of this name, or the only one; see `retraining_jobs` for what it raises besides.

    Raises
    ------
    UsageError
        If there is no such job, or there are several and none is named.
    """
    jobs = retraining_jobs(suite, product)
    if name is None and len(jobs) == 1:
        return next(iter(jobs.items()))
    if name is None:
        raise UsageError(f"{product.name} is trained again by {', '.join(jobs)}; name one with --job.")
    if name not in jobs:
        raise UsageError(f"no job {name} trains {product.name} again; {', '.join(jobs)} does.")
    return name, jobs[name]
