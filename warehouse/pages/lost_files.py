"""Data files of pages that are gone from the disk: which pages they held, and how such a file leaves the catalogue.

DuckLake opens every file that statistics do not exclude, so that one lost file of predictions ends `_current`, and the
DELETE with which its pages would be replaced. No statement of DuckLake 1.5 takes a file out without reading it. So its
pages are marked as lost in a commit, and the file is then ended in the catalogue as of that commit's snapshot, under
the writer lock. If the process dies in between, readers fail as before, and the next run does it again; no page is ever
missing that the ledger calls published.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.definitions import Product
from warehouse.lake.lake import Commit, Lake, table_columns
from warehouse.lake.registry import arms_table
from warehouse.lake.storage.storage import Storage
from warehouse.ledger import records as ledger
from warehouse.ledger.exports import announce_lost
from warehouse.ledger.records import PageRecord
from warehouse.pages.views import ensure_views
from warehouse.system_sql import exact_path, system_sql

KINDS = ("features", "labels", "predictions")
#: Stands for what arms of rollouts did not serve: rows beside pages, none of which is lost with them.
ARMS = "arms"


@dataclass(frozen=True)
class LostFile:
    """A data file of pages that is not where the catalogue has it, and the pages that it spans."""

    kind: str
    file_id: int
    path: str
    first: datetime
    last: datetime

    def spans(self, pages: Iterable[datetime]) -> bool:
        """Tell whether one of some pages may have been in it."""
        return any(self.first <= page <= self.last for page in pages)


def lost_files_of(connection: duckdb.DuckDBPyConnection, storage: Storage, product: str) -> list[LostFile]:
    """Find the data files of a product's features and predictions that are gone. Opens none."""
    found = []
    for kind, schema, table in (*((kind, kind, product) for kind in KINDS), (ARMS, "predictions", arms_table(product))):
        paths = {Path(path).name: path for path, _ in _files(connection, schema, table)}
        gone = storage.missing(list(paths.values()))
        if not gone:
            continue
        for file_id, name, first, last in connection.execute(
            system_sql("publish/data_files"), [schema, table]
        ).fetchall():
            path = paths.get(Path(name).name)
            if path is not None and path in gone:
                found.append(LostFile(kind, file_id, path, first, last))
    return found


@dataclass(frozen=True)
class Loss:
    """What a product lost: data files that are gone, and the published pages whose rows were in them."""

    product: Product
    files: list[LostFile]
    pages: list[PageRecord]


def loss_of(lake: Lake, product: Product, pages: Collection[datetime] | None = None) -> Loss:
    """Find what a product lost: all of it, or the files that may have held one of some pages."""
    with lake.reading() as connection:
        files = lost_files_of(connection, lake.storage, product.name)
        files = files if pages is None else [file for file in files if file.spans(pages)]
        gone = [page for file in files if file.kind != ARMS for page in _pages_lost(connection, product, file, files)]
    return Loss(product, files, gone)


def give_up(lake: Lake, product: Product, pages: Collection[datetime], run_id: str, now: datetime) -> list[PageRecord]:
    """Take the lost files out of the catalogue that may have held one of some pages; give the pages that were lost.

    Call it when these pages are ready to be published: what else was in the files is missing from then on.
    """
    loss = loss_of(lake, product, pages)
    if not loss.files:
        return []
    # Rows beside pages are lost without a mark, in no commit: they are gone from the newest snapshot on.
    snapshot_id = lake.newest_snapshot()
    if loss.pages:
        with lake.commit(f"pages of {product.name} whose files were lost, run {run_id}") as commit:
            mark_lost(commit, loss, run_id, now)
            snapshot_id = commit.snapshot_id
    end_files(lake, [loss], snapshot_id)
    return loss.pages


def mark_lost(commit: Commit, loss: Loss, run_id: str, now: datetime) -> None:
    """Mark a product's lost pages, inside a commit; `end_files` then takes their files out of the catalogue."""
    if not loss.pages:
        return
    note = f"its data file {Path(loss.files[0].path).name} was lost"
    marks = [replace(page, state="lost", run_id=run_id, recorded_at=now, note=note) for page in loss.pages]
    marks = [replace(mark, snapshot_id=commit.snapshot_id) for mark in marks]
    ledger.append(commit, marks)
    announce_lost(commit, loss.product, marks)
    ensure_views(commit, loss.product)


def end_files(lake: Lake, losses: Collection[Loss], snapshot_id: int) -> None:
    """Take lost files out of the catalogue, as of the snapshot of the commit that marked their pages."""
    ids = [file.file_id for loss in losses for file in loss.files]
    if not ids:
        return
    with lake.maintaining() as connection:
        for table in ("ducklake_data_file", "ducklake_delete_file"):
            connection.execute(system_sql("publish/end_files", table=table), [snapshot_id, ids])


def _files(connection: duckdb.DuckDBPyConnection, kind: str, product: str) -> list[tuple[str, str | None]]:
    if not table_columns(connection, kind, product):
        return []
    query = "SELECT data_file, delete_file FROM ducklake_list_files('lake', $1, schema => $2)"
    return connection.execute(query, [product, kind]).fetchall()


def _pages_lost(
    connection: duckdb.DuckDBPyConnection, product: Product, file: LostFile, lost: Collection[LostFile]
) -> list[PageRecord]:
    """Give the published pages of a lost file: those whose rows are not in the files that are left."""
    away = {each.path for each in lost}
    left = [(path, deletes) for path, deletes in _files(connection, file.kind, product.name) if path not in away]
    there: dict[datetime, int] = {}
    if left:
        deletes = [f"SELECT file_path, pos FROM read_parquet('{exact_path(path)}')" for _, path in left if path]
        none = "SELECT '' AS file_path, -1 AS pos LIMIT 0"
        query = system_sql("publish/pages_there", deletes=" UNION ALL ".join(deletes) or none)
        values = {"files": [exact_path(path) for path, _ in left], "first": file.first, "last": file.last}
        there = dict(connection.execute(query, values).fetchall())
    published = ledger.published_pages(connection, product.name, file.kind, [file.first, file.last])
    return [page for as_of, page in published.items() if page.n_rows > there.get(as_of, 0)]
