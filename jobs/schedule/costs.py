"""What runs cost, added up by owner, team, product or job.

The lake's ledger has the runs of Almanac's own commands (the view `ledger.costs`), and the tick store those of
Python functions and shell commands, and of commands that were cut short. Of these only what the ledger does not have is
counted: a backfill that is killed has written down the batches that it committed.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any

from jobs.schedule.tick_store import TickStore
from warehouse.errors import UsageError
from warehouse.lake.lake import Lake, table_columns
from warehouse.system_sql import quote, system_sql

BY = ("owner", "team", "product", "job")


def costs(
    lake: Lake,
    tick_store: TickStore,
    by: str,
    start: datetime | None,
    end: datetime | None,
    *,
    per_month: bool = False,
) -> list[dict[str, Any]]:
    """Add up CPU seconds, wall seconds, peak memory, rows and bytes of the runs that began from `start` to `end`.

    With `per_month` each month by itself, the first first; its rows have `month`, such as 2026-03.

    Raises
    ------
    UsageError
        If `by` is none of `BY`.
    """
    if by not in BY:
        raise UsageError(f"--by {by}: expected one of {', '.join(BY)}")
    import duckdb
    import pyarrow as pa

    text = pa.string()
    schema = pa.schema(
        [(name, text) for name in ("run_id", "lease", "job", "product", "owner", "team", "state")]
        + [(name, pa.timestamp("us")) for name in ("started_at", "finished_at")]
        + [(name, pa.float64()) for name in ("cpu_s", "wall_s")]
        + [(name, pa.int64()) for name in ("peak_memory_bytes", "n_rows", "bytes_written")]
    )
    others = pa.Table.from_pylist(tick_store.costs_outside_the_ledger(), schema)
    there = lake.exists()
    with lake.reading() if there else contextlib.closing(duckdb.connect()) as connection:
        connection.register("other_costs", others)
        runs = "ledger.runs" if there else "(FROM other_costs LIMIT 0)"
        # A lake of an earlier version that cannot be written to has no such column.
        lease = "lease" if not there or "lease" in table_columns(connection, "ledger", "runs") else "NULL::VARCHAR"
        month = "strftime(started_at, '%Y-%m') AS month, " if per_month else ""
        parts = {"by": quote(by), "runs": runs, "lease": lease, "month": month, "order": "month, " if month else ""}
        query = connection.execute(system_sql("costs/by", **parts), [start, end])
        names = [column[0] for column in query.description or []]
        return [dict(zip(names, row, strict=True)) for row in query.fetchall()]
