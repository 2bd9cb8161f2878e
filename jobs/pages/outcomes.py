"""Outcomes: the labels of published pages, kept up with the facts as they come in.

What readers see in `predictions.PRODUCT_outcomes` is as good as the last call; `run`, `ingest` and `evaluate`
make one. Pages whose labels cannot have changed are left alone. As pages are, labels are leased while they are
made, so that no two processes make the same ones.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache

from jobs.metering import RunMeter
from jobs.progress import Progress
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import PublishFailed, RunFailed, UsageError
from warehouse.facts.watermarks import Watermarks
from warehouse.lake.lake import table_columns
from warehouse.lake.tables import drop_if_of_another_type
from warehouse.ledger import records as ledger
from warehouse.ledger.recorded_deliveries import facts_needed
from warehouse.ledger.records import PageRecord
from warehouse.operations.leases import Leases
from warehouse.pages.labels import compute_labels, labels_are_settled
from warehouse.pages.profiled_pages import centres_of
from warehouse.pages.profiling.staged import StagedProfiles
from warehouse.pages.publishing import StagedRows, publish, to_send
from warehouse.pages.views import ensure_views
from warehouse.sandbox import Sandbox

#: How many pages' labels are committed at a time.
_PAGES_PER_COMMIT = 400
#: How often a process looks whether the labels that another one is making are done.
_LOOK_AGAIN_S = 0.1


def settle_labels(suite: Suite, product: Product) -> int:
    """Bring the outcomes of a product's published pages up to date; give how many pages were looked at anew.

    Those that another process is making are waited for, and made here if it does not get them done.

    Raises
    ------
    DefinitionError
        If label.sql does not bind.
    RunFailed
        If labels cannot be made of some pages; those of the others are up to date.
    """
    now, began_at = suite.clock(), suite.lake.newest_snapshot()
    unsettled = _unsettled(suite, product, now)
    n_made, failed = 0, dict[datetime, str]()
    if not unsettled:
        return n_made
    with Leases(suite.lake) as leases:
        while unsettled:
            batch = unsettled[:_PAGES_PER_COMMIT]
            with leases.holding(_leased_as(product), batch) as ours:
                # Between the look and the lease another process may have made some.
                nothing_new = not ours or suite.lake.newest_snapshot() == began_at
                made = sorted(ours) if nothing_new else _unsettled(suite, product, now, ours, began_at)
                failed |= _settle(suite, product, made, now) if made else {}
            n_made += len(made)
            others = [page for page in batch if page not in ours]
            if len(others) == len(unsettled):
                time.sleep(_LOOK_AGAIN_S)
            unsettled = unsettled[len(batch) :] + others
    if failed:
        page, why = min(failed.items())
        more = f" So did those of {len(failed) - 1} more pages." if len(failed) > 1 else ""
        raise RunFailed(
            f"the labels of {product.name} {page} failed: {why}{more} Predictions and other pages' labels are not"
            " affected."
        )
    return n_made


def settle_where_possible(suite: Suite, progress: Progress) -> None:
    """Bring the outcomes of all products up to date, but for those whose sources wait to be ingested again."""
    for product in suite.definitions.products.values():
        try:
            with suite.lake.reading() as connection:
                facts_needed(connection, suite.definitions.sources_read([product.label]))
        except UsageError as why:
            progress.warn(f"the outcomes of {product.name} stay as they are: {why}")
        else:
            settle_labels(suite, product)


def _leased_as(product: Product) -> str:
    """Name what is leased: the labels of a page, and not the page."""
    return f"labels of {product.name}"


def _unsettled(
    suite: Suite,
    product: Product,
    now: datetime,
    among: Collection[datetime] | None = None,
    began_at: int | None = None,
) -> list[datetime]:
    """Give the published pages whose labels may not hold all that is known by now.

    With `began_at`, a snapshot, those are left out whose labels another process has made since then.
    """
    definitions = suite.definitions
    fingerprint = definitions.label_definition(product)
    with suite.lake.reading() as connection:
        published = ledger.published_pages_by_kind(connection, product.name, ("predictions", "labels"), among)
        pages, stored = published["predictions"], published["labels"]
        read = definitions.sources_read([product.label])
        facts = list(facts_needed(connection, read).values())
        watermarks = Watermarks(connection, ledger.newest_ingest_id(connection))

        @cache
        def known_until(at: datetime, ingest_id: int | None) -> datetime:
            return watermarks.known_until(read, at, ingest_id)

        def is_settled(page: datetime) -> bool:
            record = stored.get(page)
            just_made = record is not None and began_at is not None and record.snapshot_id > began_at
            # What was made a moment ago was made as of another moment, between which nothing became known.
            as_of_now = record.recorded_at if record is not None and just_made else now
            return labels_are_settled(record, product, fingerprint, facts, as_of_now, known_until)

        asked = pages if among is None else among
        return sorted(page for page in pages if page in asked and page < now and not is_settled(page))


def _settle(suite: Suite, product: Product, pages: Sequence[datetime], now: datetime) -> dict[datetime, str]:
    """Make the labels of some pages; give those that fail, each with its error.

    One query makes them all, and does not say which page it fails on: halves of them tell.
    """
    try:
        _publish_labels(suite, product, pages, now)
    except PublishFailed:
        raise
    except RunFailed as error:
        if len(pages) == 1:
            return {pages[0]: str(error)}
        half = len(pages) // 2
        return _settle(suite, product, pages[:half], now) | _settle(suite, product, pages[half:], now)
    return {}


def _publish_labels(suite: Suite, product: Product, pages: Sequence[datetime], now: datetime) -> None:
    meter = RunMeter(suite, "labels", product.name)
    with suite.staging(meter.run_id) as directory, Sandbox(suite.lake, spill=directory) as sandbox:
        labels = compute_labels(
            sandbox, suite.definitions, product, pages, now, directory / "labels.parquet", needs_lake=False
        )
        records = [
            PageRecord(
                product=product.name,
                kind="labels",
                as_of=page,
                state="published",
                run_id=meter.run_id,
                definitions=suite.definitions.label_definition(product),
                ingest_id=sandbox.ingest_id,
                recorded_at=now,
                snapshot_id=0,
                n_rows=n_rows,
            )
            for page, n_rows in labels.n_rows.items()
        ]
        staged = [StagedRows("labels", labels.file, labels.columns, records)]
        # What comes early is not like what comes late: labels have a profile once all had the time to come.
        matured = [page for page in pages if page + product.maturity <= labels.known_by]
        known = {}
        if matured:
            with suite.lake.reading() as connection:
                known = centres_of(connection, product.name)
        profiles = StagedProfiles(sandbox.cursor(), product, staged, matured, known)
        with suite.lake.commit(f"labels of {product.name}, run {meter.run_id}", to_send(product, staged)) as commit:
            before = table_columns(commit.connection, "labels", product.name)
            # Labels of another kind are other labels: those of all pages are made again, one commit after the other.
            drop_if_of_another_type(commit, "labels", product.name, "label", labels.columns["label"])
            profiles.settle_centres(commit, meter.run_id, now)
            profiles.write(commit, publish(commit, product, staged))
            # Views name the table of labels, and none of its rows; pages of predictions are as they were.
            if table_columns(commit.connection, "labels", product.name) != before:
                ensure_views(commit, product)
            n_rows = sum(labels.n_rows.values())
            figures = {"n_pages": len(pages), "n_rows": n_rows, "snapshot_id": commit.snapshot_id}
            ledger.append(commit, [meter.record("succeeded", first_as_of=pages[0], last_as_of=pages[-1], **figures)])


def matured_pages(suite: Suite, product: Product, pages: Sequence[datetime], known_by: datetime) -> list[datetime]:
    """Leave out pages whose labels had not all had the time to come: what comes early is not like what comes late.

    Nor do those count of which a source that label.sql reads had not delivered all by `known_by`.
    """
    sources = suite.definitions.sources_read([product.label])
    settled_by = known_by
    if any(source.promises_watermark for source in sources):
        with suite.lake.reading() as connection:
            watermarks = Watermarks(connection, ledger.newest_ingest_id(connection))
            settled_by = watermarks.known_until(sources, known_by)
    return [page for page in pages if page + product.maturity <= settled_by]
