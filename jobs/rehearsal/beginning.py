"""The beginning of a rehearsal: a lake as it was at an instant, as far as one product is concerned.

What the ledger got later is taken out of the scratch lake. Facts stay, and are not seen before their time, since the
sandbox shows none that were not known, and `jobs.rehearsal.deliveries` none that had not come. Feature pages stay too:
they follow from facts and definitions alone, and all policies share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from warehouse.definitions import Product
from warehouse.errors import NotFoundError
from warehouse.lake.lake import Commit, Lake, table_columns
from warehouse.lake.registry import arms_table
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import exact_path, literal, quote, system_sql

#: When a row of a table of the ledger was written, by the suite's clock: the column that says so.
WRITTEN_AT: Final[Mapping[str, str]] = {
    "runs": "finished_at",
    "models": "trained_at",
    "promotions": "promoted_at",
    "decisions": "decided_at",
    "rollouts": "started_at",
    "rollout_steps": "decided_at",
    "looks": "known_by",
    "rollbacks": "rolled_back_at",
    "compiled_models": "written_at",
    "reasons": "written_at",
    "exports": "recorded_at",
    "outbox": "recorded_at",
    "drift": "known_by",
    "alarms": "known_by",
    "performance": "known_by",
    "fairness": "known_by",
    "triggers": "known_by",
    "trials": "known_by",
    "freshness": "known_by",
    "rehearsals": "known_by",
    "pages": "recorded_at",
}
#: Rows that belong to a version or a decision, and go with it: by which column, and of which table.
BELONGS_TO: Final[Mapping[str, tuple[str, str]]] = {
    "gates": ("decision_id", "decisions"),
    "training_profiles": ("model_version", "models"),
    "freshness_figures": ("freshness_id", "freshness"),
    "rehearsed_policies": ("rehearsal_id", "rehearsals"),
}
#: Rows that belong to a publication, and go with it: of predictions, or of what their column `kind` says.
OF_PAGES: Final = ("profiles", "segment_profiles", "checks", "wrong_rows", "arms", "reason_runs", "label_sums")
KINDS_OF_PAGES: Final = ("features", "predictions", "labels")
#: What says nothing of when anything happened: texts, page grids, and what the bins of profiles count from.
TIMELESS: Final = ("definitions", "grids", "profile_centres")


@dataclass(frozen=True)
class Staying:
    """The pages of one kind that stay: of each the snapshot of its publication, and files with rows that come back."""

    pages: Mapping[datetime, int]
    replaced: Mapping[datetime, Path]


def staying_pages(
    base: Lake, product: Product, begin: datetime, directory: Path, *, in_its_time: bool
) -> dict[str, Staying]:
    """Find out which pages of a lake stay, and fetch the rows of those that were replaced later.

    What a replaced page said is read from its snapshot; where upkeep has let go of that, the page does not stay.

    Parameters
    ----------
    begin, in_its_time
        See `forget_later`.
    directory
        Where the rows are put.
    """
    with base.reading() as connection:
        found = connection.execute(system_sql("rehearsal/newest_publications"), [product.name, begin]).fetchall()
    kept: dict[str, dict[datetime, int]] = {kind: {} for kind in KINDS_OF_PAGES}
    old: dict[tuple[str, int], list[datetime]] = {}
    for kind, as_of, newest, recorded_at, before in found:
        is_ahead = kind == "features" and as_of >= begin
        if not in_its_time:
            stays = newest if kind == "features" else None
        elif is_ahead:
            stays = newest if recorded_at < product.grid.next(as_of) else None
        else:
            stays = before
        if stays is not None and stays != newest:
            old.setdefault((kind, stays), []).append(as_of)
        elif stays is not None:
            kept[kind][as_of] = stays
    replaced: dict[str, dict[datetime, Path]] = {kind: {} for kind in KINDS_OF_PAGES}
    for (kind, snapshot_id), pages in old.items():
        file = _rows_at(base, product, (kind, snapshot_id), pages, directory)
        if file is not None:
            kept[kind] |= dict.fromkeys(pages, snapshot_id)
            replaced[kind] |= dict.fromkeys(pages, file)
    return {kind: Staying(kept[kind], replaced[kind]) for kind in KINDS_OF_PAGES}


def _rows_at(
    base: Lake, product: Product, what: tuple[str, int], pages: list[datetime], directory: Path
) -> Path | None:
    """Write the rows that pages of a kind had at a snapshot to a file; None if it is not there any more."""
    kind, snapshot_id = what
    file = directory / f"{kind}-{snapshot_id}.parquet"
    listed = ", ".join(timestamp_literal(page) for page in pages)
    try:
        with base.reading(snapshot_id) as connection:
            rows = f"SELECT * FROM {kind}.{quote(product.name)} WHERE as_of IN ({listed})"
            connection.execute(f"COPY ({rows}) TO {literal(str(file))} (FORMAT parquet)")
    except (NotFoundError, duckdb.Error):
        return None
    return file


def forget_later(
    commit: Commit, product: Product, begin: datetime, staying: Mapping[str, Staying], *, in_its_time: bool
) -> None:
    """Take out of a scratch lake what the ledger got of a product at an instant or later.

    Parameters
    ----------
    begin
        The instant, naive UTC.
    staying
        What `staying_pages` found.
    in_its_time
        Whether facts came in their time. Then a feature page of later stays only if it was made before the next one was
        due, so that it knows no more than it could. Where facts came in bulk, nothing that was published from them was
        made in its time: predictions and labels go, feature pages stay, as if made in theirs.
    """
    connection, name = commit.connection, product.name
    for kind, pages in staying.items():
        _forget_pages(connection, product, kind, pages)
    if not in_its_time:
        as_if_in_its_time(connection, product)
    for table, column in WRITTEN_AT.items():
        if table != "pages":
            connection.execute(f"DELETE FROM ledger.{table} WHERE product = $1 AND {column} >= $2", [name, begin])
    for table, (column, of) in BELONGS_TO.items():
        kept = f"SELECT {'version' if column == 'model_version' else column} FROM ledger.{of} WHERE product = $1"
        connection.execute(f"DELETE FROM ledger.{table} WHERE product = $1 AND {column} NOT IN ({kept})", [name])
    for table in OF_PAGES:
        kind = f"{table}.kind" if table.endswith("profiles") else "'predictions'"
        as_of = "" if table == "reason_runs" else f"AND pages.as_of = {table}.as_of"
        connection.execute(system_sql("rehearsal/forget_rows_of_pages", table=table, kind=kind, as_of=as_of), [name])


def as_if_in_its_time(connection: duckdb.DuckDBPyConnection, product: Product) -> None:
    """Let pages that were made later have been made when they were due."""
    made = "UPDATE ledger.pages SET recorded_at = as_of WHERE product = $1 AND recorded_at > as_of"
    connection.execute(made, [product.name])


def _forget_pages(connection: duckdb.DuckDBPyConnection, product: Product, kind: str, staying: Staying) -> None:
    """Leave the rows and records of pages that stay, and put those back that were replaced."""
    name = product.name
    current = [page for page in staying.pages if page not in staying.replaced]
    for table in (name, arms_table(name)) if kind == "predictions" else (name,):
        if table_columns(connection, kind, table):
            gone = f"DELETE FROM {kind}.{quote(table)} WHERE as_of NOT IN (SELECT unnest($1::TIMESTAMP[]))"
            connection.execute(gone, [current])
    for file in sorted(set(staying.replaced.values())):
        back = f"INSERT INTO {kind}.{quote(name)} BY NAME SELECT * FROM read_parquet($1)"
        connection.execute(back, [exact_path(file)])
    values = [name, kind, list(staying.pages), list(staying.pages.values())]
    connection.execute(system_sql("rehearsal/forget_pages"), values)
