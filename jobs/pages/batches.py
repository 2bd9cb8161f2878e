"""Pages worked off batch by batch, each page leased while it is made, so that no other process makes it too.

A daily run, a backfill and the pages that a training needs all go this way. A page that another process holds is
left for later; once that one has published it, or tried to, there is nothing left to do for it, and if that one
was killed, it is made here.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from jobs.models.reasons.records import WantedReasons
from jobs.models.versions import model_history
from jobs.pages.batch_size import MAX_PAGES, batch_size
from jobs.pages.make import PageOrder, PagesResult, make_pages
from jobs.pages.scores.arms import Arms, arms_of
from jobs.pages.shards.choice import engine_of
from jobs.pages.staleness import Staleness
from jobs.progress import Progress
from jobs.suite import Suite
from warehouse.batching.shared_rows import SharedRows
from warehouse.definitions import Product
from warehouse.errors import PublishFailed, RunFailed
from warehouse.lake.lake import one_transaction
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import source_facts
from warehouse.ledger.records import ModelRecord, PageRecord
from warehouse.ledger.rollouts import courses_of
from warehouse.operations.leases import Leases, pages_held
from warehouse.pages.views import ensure_views

#: How often a process that has nothing else left to do looks whether another one's pages are done.
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True)
class PagesWanted:
    """Pages of a product, in the order in which they are to be made.

    Attributes
    ----------
    models
        The version that writes each page; None: features only.
    workers
        How many pages of a batch are computed at a time.
    pages_per_commit
        The size of batches; None: as many as the memory budget holds.
    keep_going
        After a batch that failed, go on with the next one; otherwise the error is raised at once.
    stop
        Asked before each batch; once true, what is left is left.
    shared
        Rows that the products of a run share; None where pages of one product are made.
    alone
        Leave out the arms of rollouts: each version writes its pages alone.
    """

    product: Product
    pages: Sequence[datetime]
    models: Mapping[datetime, ModelRecord] | None
    workers: int = os.cpu_count() or 1
    pages_per_commit: int | None = None
    keep_going: bool = False
    stop: Callable[[], bool] = lambda: False
    shared: SharedRows | None = None
    alone: bool = False

    @property
    def kind(self) -> str:
        """What is published: predictions, or features alone."""
        return "features" if self.models is None else "predictions"

    def version_of(self, page: datetime) -> str | None:
        """Give the version that writes a page."""
        return self.models[page].version if self.models is not None else None


@contextlib.contextmanager
def sharing_rows(suite: Suite, products: Sequence[str]) -> Iterator[SharedRows | None]:
    """Let products of one run share what they ask alike, for as long as it takes; one product has nothing to share."""
    if len(products) < 2:
        yield None
        return
    named = [suite.definitions.product(name) for name in products]
    with suite.staging(f"shared-{uuid.uuid4().hex[:12]}") as directory:
        yield SharedRows(directory, suite.definitions, named)


def make_in_batches(suite: Suite, wanted: PagesWanted, progress: Progress) -> PagesResult:
    """Make pages and publish them, batch by batch.

    Raises
    ------
    DefinitionError
        If a query of the product does not bind.
    RunFailed
        If a page fails, and it was not said to keep going; its batch's other pages and the batches before it stay
        published.
    """
    with suite.lake.reading(follow=True) as connection, Leases(suite.lake) as leases:
        worklist = _Worklist(suite, wanted, connection, leases, progress)
        try:
            return worklist.work_off()
        finally:
            worklist.have_views_name_pages()


class _Worklist:
    """The pages of one call that are not done yet."""

    def __init__(
        self,
        suite: Suite,
        wanted: PagesWanted,
        connection: duckdb.DuckDBPyConnection,
        leases: Leases,
        progress: Progress,
    ) -> None:
        self.suite, self.wanted, self.product = suite, wanted, wanted.product
        self.engine = engine_of(suite, wanted.product, wanted.workers)
        # It sees each commit as it comes; opening one for every look would take longer than the look.
        self.connection, self.leases, self.progress = connection, leases, progress
        with one_transaction(connection):
            self.began_at = ledger.newest_snapshot(connection)
            # A batch of the only page needs no estimate of how many fit.
            self.fixed = 1 if len(wanted.pages) == 1 else wanted.pages_per_commit
            self.size = batch_size(connection, wanted.product, self.fixed)
            self.with_features = self._pages_with_features()
            self.arms = self._arms()
        self.result = PagesResult()
        #: Whether the newest batch that was published was to be followed by another.
        self.more_follow = False

    def work_off(self) -> PagesResult:
        """Go through the pages, and then again through those that others held, until none is left."""
        left = list(self.wanted.pages)
        said = False
        while left:
            busy: list[datetime] = []
            position = 0
            while position < len(left):
                if self.wanted.stop():
                    self.result.left += [*busy, *left[position:]]
                    return self.result
                batch = self._next_batch(left, position)
                position += len(batch)
                busy += self._work_on(batch, more_follow=position < len(left))
            if len(busy) == len(left):
                said = said or self._say_who(busy)
                time.sleep(_LOOK_AGAIN_S)
            left = busy
        return self.result

    def have_views_name_pages(self) -> None:
        """Make views as after a last batch, where none was published; they show the right rows as they are, too."""
        if self.more_follow and self.wanted.models is not None:
            with (
                contextlib.suppress(PublishFailed),
                self.suite.lake.commit(f"the views of {self.product.name} name their pages") as commit,
            ):
                ensure_views(commit, self.product)

    def _pages_with_features(self) -> set[datetime]:
        """Give the pages that only have to be scored, as things stand now."""
        if self.wanted.models is None or not self.wanted.pages or self.product.keeps_part:
            return set()
        records = ledger.published_pages(self.connection, self.product.name, "features", self.wanted.pages)
        staleness = self._staleness()
        return {page for page, record in records.items() if staleness.why(record) is None}

    def _arms(self) -> dict[datetime, Arms]:
        """Give the arms of those pages that have some."""
        if self.wanted.models is None or self.wanted.alone:
            return {}
        courses = courses_of(self.connection, self.product.name)
        if not courses.courses:
            return {}
        return arms_of(courses, model_history(self.connection, self.product.name), self.wanted.models)

    def _staleness(self) -> Staleness:
        definitions = self.suite.definitions
        facts = source_facts(self.connection, definitions.sources_of(self.product))
        return Staleness(definitions, self.product, facts, self.connection)

    def _next_batch(self, left: Sequence[datetime], start: int) -> list[datetime]:
        version, arms = self.wanted.version_of(left[start]), self._arms_named(left[start])
        batch: list[datetime] = []
        n_computed = 0
        # As long as their size is not known, many are offered; of these so many are made as turn out to fit.
        most = (self.size.pages_in_all(), self.size.pages()) if self.size.is_known else (MAX_PAGES, MAX_PAGES)
        for page in left[start : start + most[0]]:
            n_computed += page not in self.with_features
            if self.wanted.version_of(page) != version or n_computed > most[1] or self._arms_named(page) != arms:
                break
            batch.append(page)
        return batch

    def _arms_named(self, page: datetime) -> tuple[str, int] | None:
        return self.arms[page].name if page in self.arms else None

    def _work_on(self, batch: Sequence[datetime], *, more_follow: bool) -> list[datetime]:
        """Make those pages of a batch that nobody else makes or has just made; give those that are left for later."""
        later: list[datetime] = []
        with self.leases.holding(self.product.name, batch) as ours:
            done = self._done_by_others(ours) if ours else {}
            todo = [page for page in batch if page in ours and page not in done]
            self._note_others(done)
            if todo:
                later = self._make(todo, more_follow=more_follow)
        return [page for page in batch if page not in ours or page in later]

    def _make(self, pages: Sequence[datetime], *, more_follow: bool) -> list[datetime]:
        """Make pages; give those that did not fit into one batch."""
        model = self.wanted.models[pages[0]] if self.wanted.models is not None else None
        workers, arms = self.wanted.workers, self.arms.get(pages[0])
        how = (workers, self.size, self.engine, self.wanted.shared, arms, more_follow)
        order = PageOrder(self.product, pages, model, *how)
        try:
            made = make_pages(self.suite, order, self.progress)
        except RunFailed as error:
            if not self.wanted.keep_going:
                raise
            made = PagesResult(failed=dict.fromkeys(pages, str(error)))
        if self.size.n_columns:
            self.size.learn(len(pages) - len(made.later) - len(made.rejected) - len(made.failed), made.n_rows)
        else:
            self.size = batch_size(self.connection, self.product, self.fixed)
        self.result.add(made)
        self.more_follow = more_follow if made.published else self.more_follow
        if made.failed and not self.wanted.keep_going:
            page, why = min(made.failed.items())
            more = f" {len(made.failed) - 1} more pages failed; see `almanac plan`." if len(made.failed) > 1 else ""
            raise RunFailed(f"the page {page} of {self.product.name} failed: {why}{more}")
        for why, pages_failed in _by_reason(made.failed).items():
            between = f" between {pages_failed[0]} and {pages_failed[-1]}" if len(pages_failed) > 1 else ""
            self.progress.warn(f"{len(pages_failed)} pages{between or f' ({pages_failed[0]})'} failed: {why}")
        return made.later

    def _done_by_others(self, pages: set[datetime]) -> dict[datetime, PageRecord]:
        """Give the pages that another process has made since we began just as we would, or has failed to make."""
        tried = ledger.attempts_since(self.connection, self.product.name, self.wanted.kind, self.began_at)
        if not any(page in tried for page in pages):
            return {}
        staleness = self._staleness()
        undone = ledger.rollbacks(self.connection, self.product.name)
        # Somebody put these back since we began, and does not want what we would make.
        put_back = {page for page, rollback in undone.items() if rollback.snapshot_id > self.began_at}
        return {
            page: record
            for page, record in tried.items()
            if page in pages and (page in put_back or self._is_what_we_would_do(record, staleness))
        }

    def _is_what_we_would_do(self, record: PageRecord, staleness: Staleness) -> bool:
        if record.definitions != staleness.fingerprint:
            return False
        if record.state == "failed":
            return True
        if record.kind == "predictions" and WantedReasons(self.connection, self.product).why(record.run_id):
            return False
        return record.model_version == self.wanted.version_of(record.as_of) and staleness.why(record) is None

    def _note_others(self, done: Mapping[datetime, PageRecord]) -> None:
        self.progress.advance(len(done))
        self.result.by_others += [record for record in done.values() if record.state == "published"]
        self.result.rejected |= {page for page, record in done.items() if record.state == "rejected"}
        self.result.failed |= {page: r.note or "failed" for page, r in done.items() if r.state == "failed"}

    def _say_who(self, pages: Sequence[datetime]) -> bool:
        held = pages_held(self.suite.lake, self.product.name)
        owners = {held[page].pid: held[page].command for page in pages if page in held}
        for pid, command in owners.items():
            self.progress.warn(f"{len(pages)} pages are being made by process {pid} ({command}); waiting for it.")
        return bool(owners)


def _by_reason(failed: Mapping[datetime, str]) -> dict[str, list[datetime]]:
    reasons: dict[str, list[datetime]] = {}
    for page, why in sorted(failed.items()):
        reasons.setdefault(why, []).append(page)
    return reasons
