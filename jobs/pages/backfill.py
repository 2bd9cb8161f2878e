"""Backfill: any range of a product's pages, only what is left of it to do, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from jobs.models.columns.requirements import require_bound
from jobs.pages.batch_size import batch_size
from jobs.pages.batches import PagesWanted, make_in_batches
from jobs.pages.costs import Cost, estimate_cost
from jobs.pages.make import PagesResult
from jobs.pages.outcomes import settle_labels
from jobs.pages.plan import Group, group_states
from jobs.pages.predict import refuse_before_all_data, writers
from jobs.pages.states import Kind, grid_pages, page_states
from jobs.progress import Progress, Silent
from jobs.suite import Suite
from warehouse.batching.shared_rows import SharedRows
from warehouse.definitions import Product
from warehouse.ledger.recorded_deliveries import facts_needed
from warehouse.ledger.records import ModelRecord
from warehouse.wording import counted

Only = Literal["missing", "failed", "stale", "rolled-back", "all"]


@dataclass(frozen=True)
class BackfillOrder:
    """What is asked for.

    Attributes
    ----------
    product
        Its name.
    start, end
        The range: pages with start <= as_of < end, naive UTC, as far as they are due.
    only
        Which of them: missing, failed (or rejected), stale, rolled back, all; None: missing and failed.
    version
        The model version that writes them; None: for each page the one in effect at its as_of.
    hindsight
        Let a version write pages before its label cut-off; they are marked.
    features_only
        Make feature pages, and score nothing.
    reverse
        The newest first.
    pages_per_commit
        None: as many as the memory budget holds.
    workers
        How many pages of a batch are computed at a time.
    """

    product: str
    start: datetime | None
    end: datetime | None
    only: Only | None = None
    version: str | None = None
    hindsight: bool = False
    features_only: bool = False
    reverse: bool = False
    pages_per_commit: int | None = None
    workers: int = os.cpu_count() or 1

    @property
    def kind(self) -> Kind:
        """What is published."""
        return "features" if self.features_only else "predictions"


@dataclass(frozen=True)
class BackfillPlan:
    """What an order comes to: the pages to make, in that order, and who writes them.

    Attributes
    ----------
    groups
        The pages to make by state and reason.
    n_pages
        How many pages the range has, to make or not.
    n_running
        How many of them another process is making just now.
    n_rolled_back
        How many of those to make were rolled back: making them undoes that.
    n_left_rolled_back
        How many more were rolled back, and are left as they are.
    models
        How many pages each version writes; empty for features.
    """

    product: Product
    pages: list[datetime]
    groups: list[Group]
    n_pages: int
    n_running: int
    n_rolled_back: int
    n_left_rolled_back: int
    pages_per_commit: int
    cost: Cost
    writers: dict[datetime, ModelRecord] | None = field(repr=False)

    @property
    def models(self) -> dict[str, int]:
        """How many pages each version writes."""
        counts: dict[str, int] = {}
        for page in self.pages if self.writers is not None else ():
            assert self.writers is not None
            version = self.writers[page].version
            counts[version] = counts.get(version, 0) + 1
        return counts


def prepare_backfill(suite: Suite, order: BackfillOrder) -> BackfillPlan:
    """Work out what an order comes to. Changes nothing.

    Pages that another process is making are among those wanted: they are made here only if that one does not
    get them done.

    Raises
    ------
    UsageError
        If the range has no page, no model was in effect at one of those to make (the first that was is named), or
        a version has seen the labels of one (and not `hindsight`).
    """
    product = suite.definitions.product(order.product)
    grid = grid_pages(product, order.start, order.end, suite.clock())
    with suite.lake.reading() as connection:
        require_bound(connection, suite.definitions, product)
        states = page_states(suite, product, grid, order.kind, connection)
        chosen = [state for state in states if state.is_wanted(order.only)]
        pages = [state.as_of for state in chosen]
        facts = facts_needed(connection, suite.definitions.sources_of(product))
        per_commit = batch_size(connection, product, order.pages_per_commit).pages()
        job = "features" if order.features_only else "predict"
        cost = estimate_cost(connection, product.name, job, len(pages), per_commit)
    models = None
    if order.features_only:
        refuse_before_all_data(suite, product, pages, facts)
    else:
        models = writers(suite, product, pages, version=order.version, hindsight=order.hindsight)
    running = sum(state.state == "running" for state in states)
    undone = sum(state.rolled_back is not None for state in chosen)
    left = sum(state.rolled_back is not None for state in states) - undone
    if order.reverse:
        pages.reverse()
    counts = (len(grid), running, undone, left, per_commit)
    return BackfillPlan(product, pages, group_states(chosen), *counts, cost, models)


def backfill(
    suite: Suite,
    order: BackfillOrder,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> PagesResult:
    """Make the pages that an order comes to, and publish them.

    A page that fails an error-check is taken out of its batch and marked; the rest is published. A batch that
    fails is marked, and the next one begun. A second call does only what is left.

    Parameters
    ----------
    suite, order
        What to make, of what.
    progress
        Told of what is done.
    stop
        Asked before each batch; once true, nothing more is begun.

    Raises
    ------
    UsageError
        See `prepare_backfill`.
    DefinitionError
        If a query of the product does not bind.
    """
    return run_backfill(suite, order, prepare_backfill(suite, order), progress, stop)


def run_backfill(
    suite: Suite,
    order: BackfillOrder,
    prepared: BackfillPlan,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    shared: SharedRows | None = None,
) -> PagesResult:
    """Make the pages of a prepared order; see `backfill`. `shared` are rows that the products of a run share."""
    progress = progress or Silent()
    progress.start("features" if order.features_only else "backfill", len(prepared.pages))
    if prepared.n_rolled_back:
        progress.warn(
            f"{counted(prepared.n_rolled_back, 'page')} that had been rolled back: made again, which undoes that."
        )
    if prepared.n_left_rolled_back:
        progress.warn(
            f"{counted(prepared.n_left_rolled_back, 'page')} that had been rolled back: left as it was put back."
        )
    wanted = PagesWanted(
        prepared.product,
        prepared.pages,
        prepared.writers,
        workers=order.workers,
        pages_per_commit=order.pages_per_commit,
        keep_going=True,
        stop=stop,
        shared=shared,
        alone=order.version is not None,
    )
    result = make_in_batches(suite, wanted, progress) if prepared.pages else PagesResult()
    if result.published and not order.features_only:
        settle_labels(suite, prepared.product)
    progress.finish()
    return result
