"""The state of every page of a product: missing, published, rejected, failed or running; and whether it is stale.

All of it is read from the ledger, the leases and the definitions as they are. What is published and stale stays
visible to readers until it is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import duckdb

from jobs.models.columns.requirements import versions_unfit
from jobs.models.reasons.records import WantedReasons
from jobs.models.versions import ModelHistory, model_history
from jobs.pages.scores.made import ArmsMade
from jobs.pages.staleness import Staleness, versions_in_effect
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import source_facts
from warehouse.ledger.records import PageRecord, Rollback
from warehouse.operations.leases import pages_held
from warehouse.wording import to_the_second

Kind = Literal["predictions", "features"]
#: What `--only` takes, and the states that it means. Stale pages are published ones.
ONLY: dict[str, tuple[str, ...]] = {
    "missing": ("missing",),
    "failed": ("failed", "rejected"),
    "stale": ("published",),
    "all": ("missing", "failed", "rejected", "published"),
}


class PageState(NamedTuple):
    """One page. Times are naive UTC. A plan makes tens of thousands of them, in a fifth of a dataclass's time.

    Attributes
    ----------
    state
        missing, published, rejected, failed or running. A page that was published, and later tried without
        success, is rejected or failed, and its earlier rows are still seen.
    at_rest
        The state that it has if whoever is making it does not get it done; `state` if nobody is.
    why
        Why it is stale, was rejected, failed, or cannot be made; who is making it; None otherwise.
    stale
        Whether it is published, and would say something else if it were made now. A page that was rolled back is
        not called so: it was meant to say something else.
    model
        The version in effect at `as_of`; None where there was none, and for features.
    record
        The ledger's row that counts: the newest attempt, or None.
    published
        The newest publication, or None.
    rolled_back
        The rollback that this publication is, if it is one.
    unfit
        Why the version in effect cannot write this page as the product is defined now; None if it can.
    """

    as_of: datetime
    state: str
    at_rest: str
    why: str | None
    stale: bool
    model: str | None
    record: PageRecord | None
    published: PageRecord | None
    rolled_back: Rollback | None = None
    unfit: str | None = None

    @property
    def shown(self) -> str:
        """`state`, or `stale` or `rolled back` for a published page that is."""
        if self.state == "published" and self.rolled_back is not None:
            return "rolled back"
        return "stale" if self.stale and self.state == "published" else self.state

    def is_wanted(self, only: str | None) -> bool:
        """Tell whether a backfill with `--only` makes it; None: what is missing and what failed.

        A page that another process is making is wanted too: it is made only if that one does not get it done. A
        page that was rolled back is wanted only where such pages are asked for, or all: nobody undoes a rollback
        unawares.
        """
        if self.rolled_back is not None:
            return only in ("rolled-back", "all")
        if only == "rolled-back":
            return False
        if only is None:
            return self.at_rest in (*ONLY["missing"], *ONLY["failed"])
        return self.at_rest in ONLY[only] and (only != "stale" or self.stale)


def grid_pages(product: Product, start: datetime | None, end: datetime | None, now: datetime) -> list[datetime]:
    """Give the pages of a product's grid from `start` to before `end`, none that is not due yet.

    Parameters
    ----------
    start, end
        Naive UTC; None: from the grid's first page, up to the newest that is due.
    now
        The time; a page is due at its own `as_of`.

    Raises
    ------
    UsageError
        If there are none.
    """
    grid = product.header.pages
    due = now + timedelta(microseconds=1)
    first, until = start or grid.since, min(end or due, due)
    pages = product.pages_between(first, until) if first < until else []
    if not pages:
        raise UsageError(
            f"{product.name} has no page from {first} to {end or now} (UTC, the end excluded) that is due at"
            f" {to_the_second(now)}: its grid is {grid.cron} in {grid.zone}, since {grid.since}."
        )
    return pages


def page_states(
    suite: Suite,
    product: Product,
    pages: Sequence[datetime],
    kind: Kind = "predictions",
    connection: duckdb.DuckDBPyConnection | None = None,
) -> list[PageState]:
    """Tell the state of pages of a product's grid, in the order given. Changes nothing.

    Parameters
    ----------
    kind
        Whether predictions are looked at, or features alone.
    connection
        One that reads the lake, if there is one open already.
    """
    if connection is None:
        with suite.lake.reading() as opened:
            return page_states(suite, product, pages, kind, opened)
    attempts = ledger.newest_attempts(connection, product.name, kind, min(pages), max(pages))
    history = model_history(connection, product.name)
    facts = source_facts(connection, suite.definitions.sources_of(product))
    staleness = Staleness(suite.definitions, product, facts, connection)
    running = pages_held(suite.lake, product.name)
    rolled_back = ledger.rollbacks(connection, product.name) if kind == "predictions" else {}
    named = {promotion.version for promotion in history.promotions} if kind == "predictions" else set[str]()
    promoted = [model for model in history.models if model.version in named]
    unfit = versions_unfit(connection, suite.definitions, product, promoted)
    wanted = WantedReasons(connection, product) if kind == "predictions" else None
    made = ArmsMade.of(connection, product.name, pages) if kind == "predictions" else None
    judge = _Judge(history, staleness, kind, unfit, wanted, made)
    states = []
    for page, version in _with_versions(history, pages, kind):
        record, published = attempts.get(page, (None, None))
        at_rest, why, stale = judge.judge(page, record, version)
        rollback = _standing(rolled_back.get(page), published)
        if rollback is not None and at_rest == "published":
            why, stale = f"{rollback.said}{f'; {why}' if why else ''}", False
        state = at_rest
        if page in running:
            owner = running[page]
            state, why = "running", f"process {owner.pid} on {owner.host} makes it"
        unable = unfit.get(version) if version else None
        states.append(PageState(page, state, at_rest, why, stale, version, record, published, rollback, unable))
    return states


def _standing(rollback: Rollback | None, published: PageRecord | None) -> Rollback | None:
    """Give a page's newest rollback, unless the page was published again since."""
    if rollback is None or published is None or published.snapshot_id != rollback.snapshot_id:
        return None
    return rollback


def _with_versions(
    history: ModelHistory, pages: Sequence[datetime], kind: Kind
) -> Iterable[tuple[datetime, str | None]]:
    if kind == "features":
        return ((page, None) for page in pages)
    return versions_in_effect(history.promotions, pages)


@dataclass(frozen=True)
class _Judge:
    history: ModelHistory
    staleness: Staleness
    kind: Kind
    unfit: Mapping[str, str]
    reasons: WantedReasons | None
    made: ArmsMade | None

    def judge(self, page: datetime, record: PageRecord | None, version: str | None) -> tuple[str, str | None, bool]:
        """Give a page's state, why, and whether it is stale, by its newest attempt."""
        unfit = self.unfit.get(version) if version is not None else None
        if record is None:
            none = self.kind == "predictions" and version is None
            return "missing", "no model was in effect" if none else unfit, False
        if record.state == "lost":
            return "missing", record.note, False
        if record.state != "published":
            return record.state, record.note, False
        why = self.staleness.why(record)
        if why is None and version is not None and record.model_version != version:
            why = f"made by {record.model_version}; {version} is in effect"
        if why is None and self.made is not None:
            why = self.made.why(page, version)
        if why is None and self.reasons is not None:
            why = self.reasons.why(record.run_id)
        if why is not None and unfit is not None:
            why = f"{why}; {unfit}"
        return "published", why, why is not None
