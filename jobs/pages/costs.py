"""What making pages would cost, by what the ledger's past runs did cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.system_sql import system_sql


@dataclass(frozen=True)
class Cost:
    """An estimate: seconds by the clock and rows, from `n_runs` past runs; None where there is nothing to go by."""

    seconds: float | None
    rows: int | None
    n_runs: int


@dataclass(frozen=True)
class _Run:
    n_pages: int
    n_rows: int
    wall_s: float


def estimate_cost(
    connection: duckdb.DuckDBPyConnection, product: str, job: str, n_pages: int, batch_pages: int
) -> Cost:
    """Estimate what making pages costs.

    A page of a large batch costs less than a page alone, so the runs that count are those whose size is nearest
    to that of the batches to be made.

    Parameters
    ----------
    connection
        One that reads the lake.
    product, job
        Whose pages, made by which job: predict or features.
    n_pages, batch_pages
        How many there are to make, and how many at a time.
    """
    rows = connection.execute(system_sql("ledger/costs"), [product, job]).fetchall()
    runs = [_Run(n_pages=row[0], n_rows=row[1], wall_s=row[2]) for row in rows]
    if not runs or not n_pages:
        return Cost(0.0 if not n_pages else None, 0 if not n_pages else None, len(runs))
    alike = _nearest_in_size(runs, min(batch_pages, n_pages))
    pages = sum(run.n_pages for run in alike)
    seconds = sum(run.wall_s for run in alike) / pages * n_pages
    return Cost(seconds, round(sum(run.n_rows for run in alike) / pages * n_pages), len(alike))


def _nearest_in_size(runs: Sequence[_Run], batch_pages: int) -> list[_Run]:
    """Give the runs whose number of pages is within twice the least factor by which any run's is off."""

    def factor(run: _Run) -> float:
        return max(run.n_pages, batch_pages) / min(run.n_pages, batch_pages)

    least = min(factor(run) for run in runs)
    return [run for run in runs if factor(run) <= 2 * least]
