"""Predict: a product's page for one as_of, or its pages for many, by the model in effect at each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime

from jobs.models.columns.requirements import given_columns, require_bound, unmet, what_to_do
from jobs.models.versions import model_history, refuse_hindsight
from jobs.pages.batches import PagesWanted, make_in_batches
from jobs.pages.make import PagesResult
from jobs.pages.outcomes import settle_labels
from jobs.pages.staleness import versions_in_effect
from jobs.progress import Progress, Silent
from jobs.suite import Suite
from warehouse.batching.shared_rows import SharedRows
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.recorded_deliveries import facts_needed
from warehouse.ledger.records import ModelRecord, Rollback, SourceFacts
from warehouse.wording import to_the_second


def page_for(suite: Suite, product: Product, as_of: datetime | None) -> datetime:
    """Choose the page to make: the one asked for, which must be on the product's grid, or the newest due by now.

    Raises
    ------
    UsageError
        If there is no such page, or it lies in the future.
    """
    now = suite.clock()
    grid = product.header.pages
    shown = f"{grid.cron} in {grid.zone}, since {grid.since}"
    if as_of is None:
        newest = product.page_at(now)
        if newest is None:
            raise UsageError(
                f"{product.name} has no page yet: its grid is {shown}, and it is {to_the_second(now)} UTC."
            )
        return newest
    if as_of > now:
        raise UsageError(
            f"the page {as_of} lies in the future (it is {to_the_second(now)} UTC): its facts are not all known yet."
        )
    if product.page_at(as_of) != as_of:
        before, after = product.page_at(as_of), product.grid.next(max(as_of, grid.since))
        near = f"the nearest are {before} and {after}" if before else f"the first is {after}"
        raise UsageError(f"{product.name} has no page {as_of} (UTC): its grid is {shown}; {near}.")
    return as_of


def run_page(
    suite: Suite,
    product_name: str,
    as_of: datetime | None = None,
    *,
    version: str | None = None,
    hindsight: bool = False,
    progress: Progress | None = None,
    shared: SharedRows | None = None,
) -> PagesResult:
    """Make one page: a daily run. See `predict_pages`.

    Where no page is named and the newest was rolled back, it is left as it is: only who names it undoes that.
    """
    product = suite.definitions.product(product_name)
    page = page_for(suite, product, as_of)
    standing = rolled_back_pages(suite, product, [page]) if suite.lake.exists() else []
    if standing and as_of is None:
        told = f"the page {page} of {product.name} was {standing[0].said}. It is left so; to make it again, name it"
        (progress or Silent()).warn(f"{told} with --as-of.")
        return PagesResult()
    return predict_pages(
        suite, product, [page], standing, version=version, hindsight=hindsight, progress=progress, shared=shared
    )


def predict_pages(
    suite: Suite,
    product: Product,
    pages: Sequence[datetime],
    standing: Sequence[Rollback] | None = None,
    *,
    version: str | None = None,
    hindsight: bool = False,
    progress: Progress | None = None,
    pages_per_commit: int | None = None,
    shared: SharedRows | None = None,
) -> PagesResult:
    """Make and publish pages, each by the version in effect at its as_of, or by the one named.

    `standing` are the rollbacks of these pages that stand, where the caller has looked; `shared` are rows that the
    products of a run share.

    Raises
    ------
    UsageError
        If no model was in effect, a version has seen the labels of a page (and not `hindsight`), or no fact is
        known before a page.
    RunFailed
        If a batch fails; the batches before it stay published.
    """
    progress = progress or Silent()
    models = writers(suite, product, sorted(pages), version=version, hindsight=hindsight)
    progress.start("predict", len(pages))
    for rollback in rolled_back_pages(suite, product, pages) if standing is None else standing:
        progress.warn(f"the page {rollback.as_of} was {rollback.said}. It is made again, which undoes that.")
    alone, sorted_pages = version is not None, sorted(pages)
    wanted = PagesWanted(product, sorted_pages, models, pages_per_commit=pages_per_commit, shared=shared, alone=alone)
    result = make_in_batches(suite, wanted, progress)
    settle_labels(suite, product)
    progress.finish()
    return result


def rolled_back_pages(suite: Suite, product: Product, pages: Sequence[datetime]) -> list[Rollback]:
    """Give the rollbacks, among some pages, that stand: no publication has followed them."""
    with suite.lake.reading() as connection:
        rolled_back = ledger.rollbacks(connection, product.name)
        among = [page for page in pages if page in rolled_back]
        published = ledger.published_pages(connection, product.name, "predictions", among) if among else {}
    return [rolled_back[page] for page in among if published[page].snapshot_id == rolled_back[page].snapshot_id]


def writers(
    suite: Suite, product: Product, pages: Sequence[datetime], *, version: str | None = None, hindsight: bool = False
) -> dict[datetime, ModelRecord]:
    """Give the version that writes each of some pages: the one named, or the one in effect at its as_of.

    Raises
    ------
    UsageError
        If no model was in effect (the first that was is named), a version has seen the labels of a page (and not
        `hindsight`), reads what the definitions do not give any more, or no fact is known before a page.
    """
    with suite.lake.reading() as connection:
        history = model_history(connection, product.name)
        facts = facts_needed(connection, suite.definitions.sources_of(product))
        refuse_before_all_data(suite, product, pages, facts)
        require_bound(connection, suite.definitions, product)
        columns = given_columns(connection, suite.definitions, product) if pages else None
    if version is not None:
        model = history.version(version)
        refuse_hindsight(model, pages, allowed=hindsight)
        _require_met(product, model, columns, pages)
        return dict.fromkeys(pages, model)
    models: dict[datetime, ModelRecord] = {}
    for name, same in itertools.groupby(versions_in_effect(history.promotions, pages), key=lambda item: item[1]):
        part = [page for page, _ in same]
        # Where there is none, this says so.
        model = history.version(name) if name is not None else history.in_effect(part[0])
        refuse_hindsight(model, part, allowed=hindsight)
        _require_met(product, model, columns, part)
        models |= dict.fromkeys(part, model)
    return models


def _require_met(
    product: Product, model: ModelRecord, columns: Mapping[str, str] | None, pages: Sequence[datetime]
) -> None:
    """See that a version can write some pages, as the product is defined now."""
    if columns is not None and (why := unmet(product, model, columns)):
        last = f" to {pages[-1]}" if len(pages) > 1 else ""
        raise UsageError(f"{why}. It is to write the page {pages[0]}{last}. {what_to_do(product)}")


def refuse_before_all_data(
    suite: Suite, product: Product, pages: Sequence[datetime], facts: Mapping[str, SourceFacts]
) -> None:
    """Refuse pages before which no fact at all is known.

    Raises
    ------
    UsageError
        Naming the first fact.
    """
    names = [source.name for source in suite.definitions.sources_of(product)]
    known = [known for name in names if name in facts for _, known in facts[name].ingestions if known is not None]
    early = [page for page in pages if not known or page <= min(known)]
    if early:
        first = f"the first fact is known at {min(known)}" if known else "no fact has been ingested"
        raise UsageError(
            f"{product.name}: nothing is known before the page {early[0]}: {first}. Choose later pages, or ingest"
            f" older files (sources: {', '.join(names)})."
        )
