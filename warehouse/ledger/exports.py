"""The outbox: which publications a target is to hold, and what became of them.

A row of the outbox is written in the commit that publishes a page, for each target of the product, so that no
publication is forgotten whatever happens to the process. That an export took place is written to the ledger after the
target has it. The target's own row is the truth if the process dies in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.definitions import Product
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.system_sql import system_sql

WAITING, NOT_DUE = "waiting", "not due"
EXPORTED, SUPERSEDED, FAILED = "exported", "superseded", "failed"


@dataclass(frozen=True)
class OutboxRecord:
    """One publication of one page for one target. `state`: whether it waits, or was not due."""

    TABLE: ClassVar[str] = "outbox"
    product: str
    target: str
    as_of: datetime
    snapshot_id: int
    state: str
    run_id: str
    recorded_at: datetime


@dataclass(frozen=True)
class ExportRecord:
    """What became of one publication for one target. `place`: where it went, without anything secret."""

    TABLE: ClassVar[str] = "exports"
    product: str
    target: str
    as_of: datetime
    snapshot_id: int
    state: str
    place: str
    n_rows: int
    run_id: str
    recorded_at: datetime
    note: str | None = None


def announce(commit: Commit, product: Product, published: Sequence[PageRecord]) -> None:
    """Put published pages of predictions into the outbox of each target, inside the commit that publishes them.

    Call it after the ledger's rows of the pages are appended: from them is read whether PRODUCT_current changes.
    """
    pages = [page for page in published if page.kind == "predictions"]
    if not pages or not product.header.export:
        return
    values = [product.name, commit.snapshot_id]
    changing = {row[0] for row in commit.execute(system_sql("ledger/changes_current"), values).fetchall()}
    _put(commit, product, pages, lambda page, holds_pages: holds_pages or page.as_of in changing)


def announce_lost(commit: Commit, product: Product, lost: Sequence[PageRecord]) -> None:
    """Put pages whose rows were lost into the outbox, inside the commit that says so; `lost` bear its snapshot.

    A target that holds what is current is to hold it without them. One that holds pages keeps what it has.
    """
    pages = [page for page in lost if page.kind == "predictions"]
    _put(commit, product, pages, lambda _, holds_pages: not holds_pages)


def _put(
    commit: Commit, product: Product, pages: Sequence[PageRecord], waits: Callable[[PageRecord, bool], bool]
) -> None:
    """Put pages into the outbox of each target; `waits` tells of a page, and of whether the target holds pages."""
    ledger.append(
        commit,
        [
            OutboxRecord(
                product=product.name,
                target=name,
                as_of=page.as_of,
                snapshot_id=page.snapshot_id,
                state=WAITING if waits(page, target.holds_pages) else NOT_DUE,
                run_id=page.run_id,
                recorded_at=page.recorded_at,
            )
            for page in pages
            for name, target in product.header.export.items()
        ],
    )


def waiting(connection: duckdb.DuckDBPyConnection, product: str) -> list[OutboxRecord]:
    """Read the publications that wait for an export, in the order in which they were published."""
    return ledger.records_of(connection, OutboxRecord, "ledger/waiting_exports", [product])


def not_due(connection: duckdb.DuckDBPyConnection, product: str) -> list[OutboxRecord]:
    """Read the publications that changed nothing of what a target holds."""
    return ledger.records_of(connection, OutboxRecord, "ledger/not_due_exports", [product])


def exports(connection: duckdb.DuckDBPyConnection, product: str) -> list[ExportRecord]:
    """Read what became of a product's exports, the oldest first."""
    return ledger.records_of(connection, ExportRecord, "ledger/exports", [product])
