"""The rows of a page that arms of a rollout scored and did not serve: `predictions.PRODUCT_arms`.

They come and go in the commits that publish the page. What a challenger served can be given back to the live version
from there, without scoring anything again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.definitions import Product
from warehouse.errors import PublishFailed
from warehouse.lake.lake import Commit, Lake, table_columns
from warehouse.lake.registry import arms_table
from warehouse.lake.tables import ensure_table
from warehouse.ledger.records import PageRecord
from warehouse.ledger.rollouts import courses_of
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import exact_path, quote, quote_all, system_sql

#: A temporary table of the rows of a page, served or not.
_PAGE = 'temp."almanac: page"'


def clear_arms(commit: Commit, product: str, pages: Collection[datetime]) -> None:
    """Delete what stands beside some pages, which are just being published anew."""
    if table_columns(commit.connection, "predictions", arms_table(product)):
        commit.execute(f"DELETE FROM predictions.{quote(arms_table(product))} WHERE as_of = ANY($1)", [list(pages)])


def publish_arms(commit: Commit, product: str, file: Path, pages: Collection[datetime]) -> None:
    """Put the staged rows that are not served beside the pages that this commit publishes; see `clear_arms`."""
    table, of_file = arms_table(product), exact_path(file)
    described = commit.execute("DESCRIBE SELECT * FROM read_parquet($1)", [of_file]).fetchall()
    columns = {str(row[0]): str(row[1]) for row in described}
    as_it_is = ensure_table(commit, "predictions", table, columns, fields_come=True)
    staged = {row[0] for row in commit.execute(system_sql("pages/staged"), [of_file]).fetchall()}
    if as_it_is and staged <= set(pages):
        commit.add_file("predictions", table, file)
    else:
        target = f"predictions.{quote(table)}"
        commit.execute(system_sql("publish/insert_rows", target=target), {"file": of_file, "pages": list(pages)})


def give_back(commit: Commit, product: Product, page: datetime, version: str | None, live: str) -> int:
    """Let the live version serve, on one page, what a challenger served; give how many rows were given back.

    Parameters
    ----------
    version
        The challenger; None: all of them.

    Raises
    ------
    PublishFailed
        If rows of the live version do not stand beside the page.
    """
    by = quote_all(product.ranking.keys if product.ranking is not None else product.keys)
    table, beside = f"predictions.{quote(product.name)}", f"predictions.{quote(arms_table(product.name))}"
    who = {"page": page, "version": version, "live": live}
    commit.execute(system_sql("rollouts/given_back", table=table, beside=beside, by=by), who)
    query = f"SELECT count(*) FILTER (is_served), count(*) FILTER (NOT is_served) FROM {_PAGE} WHERE changes"
    n_live, n_theirs = commit.execute(query).fetchone() or (0, 0)
    if n_live != n_theirs:
        raise PublishFailed(
            f"the page {page} of {product.name} has {n_theirs} rows to be given back to {live}, of which {n_live} stand"
            f" beside it. Nothing was changed; make the page again: almanac run {product.name} --as-of"
            f" {page:%Y-%m-%dT%H:%M}"
        )
    for target, condition in ((table, "is_served"), (beside, "NOT is_served")):
        # All of the page, and not some rows of it: a file that a transaction takes some rows from cannot be read as it
        # was in that transaction (seen with DuckLake of DuckDB 1.5.5), which who puts the page back has to do.
        commit.execute(f"DELETE FROM {target} WHERE as_of = $1", [page])
        commit.execute(
            f"INSERT INTO {target} BY NAME SELECT * EXCLUDE (is_served, changes) FROM {_PAGE} WHERE {condition}"
        )
    commit.execute(f"DROP TABLE {_PAGE}")
    return int(n_theirs)


def put_back_arms(commit: Commit, record: PageRecord, readable_at: int, run_id: str) -> None:
    """Put back beside a page what stood there when it was published so, and what its arms had written."""
    product, page = record.product, record.as_of
    clear_arms(commit, product, [page])
    values = [product, page, record.run_id, record.snapshot_id, run_id, commit.snapshot_id]
    commit.execute(system_sql("rollouts/put_back"), values)
    wrote = "SELECT count(*) FROM ledger.arms WHERE product = $1 AND as_of = $2 AND run_id = $3"
    if commit.execute(wrote, [product, page, run_id]).fetchone() != (0,):
        table = f"predictions.{quote(arms_table(product))}"
        rows = f"(SELECT * FROM {table} AT (VERSION => {readable_at}) WHERE as_of = {timestamp_literal(page)})"
        commit.execute(system_sql("publish/put_back", target=table, rows=rows))


def forget_arms(lake: Lake, products: Iterable[str], before: datetime) -> None:
    """Delete rows that were not served and were written before an instant, but for those of a rollout that goes on.

    In a commit of its own, and in none where there is nothing to forget.
    """
    with lake.reading() as connection:
        kept = {name: first for name in products if (first := _kept_from(connection, name)) is not None}
        old = [name for name, first in kept.items() if _has_old(connection, name, before, first)]
    if not old:
        return
    with lake.commit(f"rows of arms of {', '.join(old)} from before {before} are forgotten") as commit:
        for name in old:
            values = {"before": before, "kept": kept[name]}
            commit.execute(system_sql("rollouts/forget_arms", beside=_beside(name)), values)


def _has_old(connection: duckdb.DuckDBPyConnection, product: str, before: datetime, kept: datetime) -> bool:
    query = system_sql("rollouts/old_arms", beside=_beside(product))
    return connection.execute(query, {"before": before, "kept": kept}).fetchone() != (0,)


def _beside(product: str) -> str:
    return f"predictions.{quote(arms_table(product))}"


def _kept_from(connection: duckdb.DuckDBPyConnection, product: str) -> datetime | None:
    """Give the first page of the rollout that goes on, the end of time where none does; None without such rows."""
    if not table_columns(connection, "predictions", arms_table(product)):
        return None
    course = courses_of(connection, product).open
    return course.rollout.effective_from if course is not None else datetime(9000, 1, 1)
