"""What a policy came to: how its pages did by all labels that are known since, what it trained, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from jobs.models.versions import left_out_pages
from jobs.monitoring.evaluate import evaluate
from jobs.retraining.figures import faulty_pages
from jobs.suite import Suite
from jobs.training.age_curve import estimate, mean_of_draws
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.label_kinds import KINDS
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import ACUTE, DRIFT, PERFORMANCE, Alarm, alarms_of
from warehouse.ledger.records import ModelRecord

#: Why the version was trained that all policies begin with, where the lake had none.
FIRST_VERSION = "the version that a rehearsal begins with"


@dataclass(frozen=True)
class LivedPages:
    """The pages of one policy: how many labelled rows each has, and its figure."""

    rows: Mapping[datetime, int]
    figures: Mapping[datetime, float]


@dataclass(frozen=True)
class Lived:
    """What a policy's life left in its lake.

    Attributes
    ----------
    versions
        All that there are, the oldest first.
    begin
        When the life began, naive UTC.
    pages
        By all labels that are known since.
    writers
        Which version wrote each page.
    alarms
        Those that were opened in it.
    faulty
        The pages that acute alarms are about, days of the calendar and what a person accepted left out.
    """

    versions: Sequence[ModelRecord]
    begin: datetime
    pages: LivedPages
    writers: Mapping[datetime, str]
    alarms: Sequence[Alarm]
    faulty: Sequence[datetime]


@dataclass(frozen=True)
class PolicyResult:
    """One row of the table.

    Attributes
    ----------
    trainings, promoted, cpu_s
        How many versions were trained, how many of them wrote a page, and what all of them took.
    pages, figure, low, high
        How many pages were judged; the product's metric over them, by rows, with what holds it in 95 of 100 draws of
        blocks of pages.
    against, against_low, against_high
        How much better it is than the first policy of the file, on the same pages.
    acute, drift, performance
        Alarms that were opened.
    age_days
        How old the labels were that the version of a page had learnt, in the mean.
    faulty_days
        Pages that were written by a version that had learnt from pages with an acute alarm.
    failed
        Runs that failed.
    """

    policy: str
    trainings: int
    promoted: int
    cpu_s: float
    pages: int
    figure: float | None
    low: float | None
    high: float | None
    against: float | None
    against_low: float | None
    against_high: float | None
    acute: int
    drift: int
    performance: int
    age_days: float | None
    faulty_days: int
    failed: int
    is_best: bool = False
    note: str = ""


def look_back(suite: Suite, product: Product, begin: datetime, end: datetime) -> Lived:
    """Read what a policy's life has left in its lake, whose suite this is, with its clock at the end of all."""
    with suite.lake.reading() as connection:
        versions = ledger.models(connection, product.name)
        records = ledger.published_pages(connection, product.name, "predictions")
        alarms = alarms_of(connection, product.name)
    writers = {page: one.model_version for page, one in records.items() if begin <= page < end and one.model_version}
    try:
        found = evaluate(suite, product.name, begin, end, by="as_of").groups
    except UsageError:  # no page, or no label of any
        found = []
    metric = KINDS[product.kind.name].loss
    known = {row["group"]: row for row in found if row[metric] is not None}
    pages = LivedPages(
        {page: int(row["n_rows"]) for page, row in known.items()},
        {page: float(row[metric]) for page, row in known.items()},
    )
    since = [one for one in alarms if one.first_page >= begin]
    return Lived(versions, begin, pages, writers, since, faulty_pages(product, alarms))


def compare(
    product: Product, lives: Mapping[str, Lived], failed: Mapping[str, int], among: Sequence[datetime]
) -> list[PolicyResult]:
    """Compare policies on some pages, those alone on which each of them has a figure."""
    shared = sorted(set(among).intersection(*(life.pages.figures for life in lives.values())))
    first = next(iter(lives))
    better = 1.0 if KINDS[product.kind.name].metrics[KINDS[product.kind.name].loss] else -1.0
    found = []
    for name, life in lives.items():
        weights = np.array([life.pages.rows[page] for page in shared], np.float64)
        own = np.array([life.pages.figures[page] for page in shared])
        base = np.array([lives[first].pages.figures[page] for page in shared])
        one = estimate(*mean_of_draws(own, weights)) if shared else None
        less = estimate(*mean_of_draws(better * (own - base), weights)) if shared and name != first else None
        kinds = [alarm.kind for alarm in life.alarms if among and among[0] <= alarm.first_page <= among[-1]]
        versions = {one.version: one for one in life.versions}
        wrote = {page: version for page, version in life.writers.items() if page in among}
        since = _page_before(product, life.begin, among)
        made = [one for one in life.versions if among and _is_trained(one, life.begin, since, among[-1])]
        found.append(
            PolicyResult(
                policy=name,
                trainings=len(made),
                promoted=sum(one.version in wrote.values() for one in made),
                cpu_s=sum(one.cost.get("cpu_s", 0.0) for one in made),
                pages=len(shared),
                figure=one.value if one else None,
                low=one.low if one else None,
                high=one.high if one else None,
                against=less.value if less else None,
                against_low=less.low if less else None,
                against_high=less.high if less else None,
                acute=kinds.count(ACUTE),
                drift=kinds.count(DRIFT),
                performance=kinds.count(PERFORMANCE),
                age_days=_age(wrote, versions),
                faulty_days=sum(_is_faulty(versions.get(version), life.faulty) for version in wrote.values()),
                failed=failed.get(name, 0),
            )
        )
    return found


def _page_before(product: Product, begin: datetime, among: Sequence[datetime]) -> datetime | None:
    """Give the last page of a life before some of its pages; None if they are its first."""
    return max(product.pages_between(begin, among[0]), default=None) if among else None


def _is_trained(model: ModelRecord, begin: datetime, since: datetime | None, last: datetime) -> bool:
    """Tell whether a version was trained in a life for some of its pages: behind the page before them, up to the last.

    So each training before the last page counts for one part of the pages, whatever parts they are cut into.
    """
    if model.trained_at < begin or model.reason == FIRST_VERSION or model.label_cutoff is None:
        return False
    return (since is None or model.label_cutoff > since) and model.label_cutoff <= last


def _age(wrote: Mapping[datetime, str], versions: Mapping[str, ModelRecord]) -> float | None:
    cutoffs = {page: versions[version].label_cutoff for page, version in wrote.items() if version in versions}
    ages = [(page - cutoff).total_seconds() / 86_400 for page, cutoff in cutoffs.items() if cutoff is not None]
    return sum(ages) / len(ages) if ages else None


def _is_faulty(model: ModelRecord | None, faulty: Sequence[datetime]) -> bool:
    """Tell whether a version has learnt from a page that an acute alarm is about."""
    if model is None:
        return False
    left_out = left_out_pages(model)
    return any(model.first_page <= page <= model.last_page and page not in left_out for page in faulty)
