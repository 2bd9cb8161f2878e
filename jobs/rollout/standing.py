"""Where rollouts stand: stage, pages, who served how much, the looks, and what they wait for. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.monitoring.performance.unfinished import finished_pages
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.ledger.rollouts import ArmPage, Course, LookRecord, Step, courses_of, looks_of, pages_of, stage_name


@dataclass(frozen=True)
class Standing:
    """How one rollout stands.

    Attributes
    ----------
    state
        `goes on`, `held`, or how it ended.
    stage
        In words; of one that is over the last.
    pages
        How many pages its arms have written, and how many of those have matured labels.
    waits
        What happens next, or what it waits for.
    arms
        By arm: the rows that it scored and served.
    """

    product: str
    rollout_id: str
    state: str
    stage: str
    live: str
    versions: list[str]
    first_page: datetime
    pages: int
    matured: int
    looked_at: int
    waits: str
    arms: list[dict[str, Any]] = field(default_factory=list)
    looks: list[LookRecord] = field(default_factory=list)
    steps: Sequence[Step] = ()


def standings(suite: Suite, product_name: str | None = None) -> list[Standing]:
    """Say how the rollouts of a product, or of all, stand; the newest of each product first."""
    named = [suite.definitions.product(product_name)] if product_name else list(suite.definitions.products.values())
    found = []
    for product in named:
        with suite.lake.reading() as connection:
            courses = courses_of(connection, product.name).courses
            parts = [(course, pages_of(connection, course.rollout), looks_of(connection, course.rollout.rollout_id))
                     for course in reversed(courses)]  # fmt: skip
        found += [_standing(suite, product, *part) for part in parts]
    return found


def _standing(
    suite: Suite,
    product: Product,
    course: Course,
    written: dict[datetime, list[ArmPage]],
    looks: list[LookRecord],
) -> Standing:
    rollout, newest = course.rollout, course.newest
    matured = finished_pages(suite, product, sorted(written), suite.clock())
    looked_at = {look.as_of for look in looks}
    state = newest.action if newest.is_end else "held" if newest.held else "goes on"
    return Standing(
        product.name,
        rollout.rollout_id,
        state,
        stage_name(rollout, newest.stage),
        rollout.live,
        rollout.versions if newest.is_end else newest.versions,
        rollout.effective_from,
        len(written),
        len(matured),
        len(looked_at),
        _waits(product, course, sorted(written), matured, looks),
        _arms(written),
        looks,
        course.steps,
    )


def _arms(written: dict[datetime, list[ArmPage]]) -> list[dict[str, Any]]:
    sums: dict[str, list[int]] = {}
    for arms in written.values():
        for one in arms:
            own = sums.setdefault(one.arm, [0, 0])
            own[0] += one.n_rows
            own[1] += one.n_served
    served = sum(own[1] for own in sums.values())
    return [
        {"arm": arm, "scored": scored, "served": own, "share": own / served if served else None}
        for arm, (scored, own) in sums.items()
    ]


def _waits(
    product: Product, course: Course, pages: list[datetime], matured: list[datetime], looks: list[LookRecord]
) -> str:
    newest = course.newest
    if newest.is_end:
        return newest.reason or ""
    unseen = [page for page in matured if page not in {look.as_of for look in looks}]
    if unseen:
        return f"a look after the page {unseen[0]}: almanac rollout look {product.name}"
    waiting = [page for page in pages if page not in matured]
    if not pages:
        return f"the page {course.rollout.effective_from}, the first of it"
    if not waiting:
        return f"the next page, after {pages[-1]}"
    ready = waiting[0] + product.maturity
    then = f"; {looks[-1].reason}" if looks else ""
    return f"labels of the page {waiting[0]}, which are all there by {ready}{then}"
