"""Past pages: what a page was at an earlier snapshot, for as long as upkeep keeps what has been superseded.

The ledger says between which two publications a snapshot lies. What the page was then can be read at any snapshot
of that stretch, so that it can be had even where upkeep has expired the very one that was named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import duckdb

from warehouse.errors import NotFoundError, PublishFailed
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord
from warehouse.queries.wrong_answers import switch_off_wrong_optimizers
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import quote, system_sql

_SHOWN = 10


@dataclass(frozen=True)
class PastPage:
    """One kind of a page's rows, as a publication put them there, and a snapshot at which they can be read."""

    record: PageRecord
    readable_at: int

    @property
    def relation(self) -> str:
        """Give SQL of the page's rows at that snapshot."""
        table = f"{self.record.kind}.{quote(self.record.product)} AT (VERSION => {self.readable_at})"
        return f"(SELECT * FROM {table} WHERE as_of = {timestamp_literal(self.record.as_of)})"


def past_page(
    connection: duckdb.DuckDBPyConnection, product: str, kind: str, as_of: datetime, snapshot_id: int | None = None
) -> PastPage:
    """Find a page as it was at a snapshot; None: as it is.

    Parameters
    ----------
    connection
        One that reads the lake, or a commit's.
    product, kind, as_of
        Which page, and its features, labels or predictions.
    snapshot_id
        The snapshot, as `almanac pages` and `almanac status` number them.

    Raises
    ------
    NotFoundError
        If the page was not published by then, or upkeep has expired what it was.
    """
    switch_off_wrong_optimizers(connection, reads_the_past=True)
    all_of_it = ledger.publications(connection, product, kind, as_of)
    by_then = [record for record in all_of_it if snapshot_id is None or record.snapshot_id <= snapshot_id]
    if not by_then:
        at = "is" if snapshot_id is None else f"was, at snapshot {snapshot_id},"
        raise NotFoundError(f"the page {as_of} of {product} {at} not published. {said_of(product, all_of_it)}")
    record = by_then[-1]
    later = [other.snapshot_id for other in all_of_it if other.snapshot_id > record.snapshot_id]
    last = min(later) - 1 if later else ledger.newest_snapshot(connection)
    kept = connection.execute(system_sql("reading/kept_snapshots"), [record.snapshot_id, last]).fetchone()
    if kept is None:
        raise NotFoundError(
            f"what the page {as_of} of {product} was at snapshot {snapshot_id} is no longer kept: it was superseded at"
            f" {last + 1}, longer ago than `almanac upkeep` keeps such pages. {said_of(product, all_of_it)}"
        )
    return PastPage(record, int(kept[0]))


def put_back(commit: Commit, past: PastPage, run_id: str, now: datetime, note: str) -> PageRecord:
    """Make what a page was the page again, inside a commit; give the ledger's row of that, which is not appended yet.

    Whether what is there now was made from newer facts does not matter here: that is what is undone.

    Raises
    ------
    PublishFailed
        If the rows at that snapshot are not as many as the ledger has of them.
    """
    record = past.record
    target = f"{record.kind}.{quote(record.product)}"
    commit.execute(f"DELETE FROM {target} WHERE as_of = $1", [record.as_of])
    row = commit.execute(system_sql("publish/put_back", target=target, rows=past.relation)).fetchone()
    if row is None or row[0] != record.n_rows:
        raise PublishFailed(
            f"the page {record.as_of} of {record.product} has {row[0] if row else 0} rows of {record.kind} at snapshot"
            f" {past.readable_at}, and {record.n_rows} in the ledger. Nothing was changed; see `almanac doctor`."
        )
    return replace(record, run_id=run_id, recorded_at=now, snapshot_id=commit.snapshot_id, note=note)


def said_of(product: str, publications: Sequence[PageRecord]) -> str:
    """Say when a page was published, for a message on a snapshot at which it was not."""
    if not publications:
        return f"It never was; `almanac pages {product}` shows what is."
    listed = [f"{record.snapshot_id} ({record.model_version or 'features'})" for record in publications]
    more = f"{len(listed) - _SHOWN} more, " if len(listed) > _SHOWN else ""
    return f"It was published at the snapshots {more}{', '.join(listed[-_SHOWN:])}."
