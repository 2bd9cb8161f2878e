"""The beginning of a rehearsal: a lake as it was at an instant, as far as one product is concerned.

What the ledger got later is taken out of the scratch lake. Facts stay, and are not seen before their time, since the
sandbox shows none that were not known, and `jobs.rehearsal.deliveries` none that had not come. Feature pages stay too:
they follow from facts and definitions alone, and all policies share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import duckdb

from warehouse.definitions import Product
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.registry import arms_table
from warehouse.system_sql import quote, system_sql

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
    "pages": "recorded_at",
}
#: Rows that belong to a version or a decision, and go with it: by which column, and of which table.
BELONGS_TO: Final[Mapping[str, tuple[str, str]]] = {
    "gates": ("decision_id", "decisions"),
    "training_profiles": ("model_version", "models"),
}
#: Rows that belong to a publication, and go with it: of predictions, or of what their column `kind` says.
OF_PAGES: Final = ("profiles", "checks", "wrong_rows", "arms", "reason_runs")
#: What says nothing of when anything happened: texts, page grids, and what the bins of profiles count from.
TIMELESS: Final = ("definitions", "grids", "profile_centres")


def forget_later(commit: Commit, product: Product, begin: datetime, *, in_its_time: bool) -> None:
    """Take out of a scratch lake what the ledger got of a product at an instant or later.

    Parameters
    ----------
    begin
        The instant, naive UTC.
    in_its_time
        Whether facts came in their time. Then a feature page of later stays only if it was made before the next one was
        due, so that it knows no more than it could. Where facts came in bulk, nothing that was published from them was
        made in its time: predictions and labels go, feature pages stay, as if made in theirs.
    """
    connection, name = commit.connection, product.name
    _forget_pages(connection, product, begin, in_its_time)
    for table, column in WRITTEN_AT.items():
        if table != "pages":
            connection.execute(f"DELETE FROM ledger.{table} WHERE product = $1 AND {column} >= $2", [name, begin])
    for table, (column, of) in BELONGS_TO.items():
        kept = f"SELECT {'version' if column == 'model_version' else column} FROM ledger.{of} WHERE product = $1"
        connection.execute(f"DELETE FROM ledger.{table} WHERE product = $1 AND {column} NOT IN ({kept})", [name])
    for table in OF_PAGES:
        kind = f"{table}.kind" if table == "profiles" else "'predictions'"
        as_of = "" if table == "reason_runs" else f"AND pages.as_of = {table}.as_of"
        connection.execute(system_sql("rehearsal/forget_rows_of_pages", table=table, kind=kind, as_of=as_of), [name])


def _forget_pages(connection: duckdb.DuckDBPyConnection, product: Product, begin: datetime, in_its_time: bool) -> None:
    """Leave the pages that were there, and feature pages of later; a page's rows and its record go together."""
    name = product.name
    newest = connection.execute(system_sql("rehearsal/newest_publications"), [name]).fetchall()
    kept: dict[str, list[datetime]] = {"predictions": [], "labels": [], "features": []}
    for kind, as_of, recorded_at in newest:
        until = product.grid.next(as_of) if kind == "features" and as_of >= begin else begin
        if (recorded_at < until and (in_its_time or kind == "features")) or (kind == "features" and not in_its_time):
            kept[kind].append(as_of)
    for kind, pages in kept.items():
        for table in (name, arms_table(name)) if kind == "predictions" else (name,):
            if table_columns(connection, kind, table):
                gone = f"DELETE FROM {kind}.{quote(table)} WHERE as_of NOT IN (SELECT unnest($1::TIMESTAMP[]))"
                connection.execute(gone, [pages])
        connection.execute(system_sql("rehearsal/forget_pages"), [name, kind, pages])
    if not in_its_time:
        made_in_time = "UPDATE ledger.pages SET recorded_at = as_of WHERE product = $1 AND recorded_at > as_of"
        connection.execute(made_in_time, [name])
