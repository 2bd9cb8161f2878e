"""What making pages would cost, by what the ledger's past runs did cost.

A run has a part that it costs whatever it makes (it opens the lake, loads the model, checks and commits) and a part for
each page. From runs of one size the two cannot be told apart: a page made alone in half a minute says little of what
three hundred take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import duckdb

from warehouse.system_sql import system_sql

#: Runs count as alike if one has at most so many times the pages of the other.
_ALIKE = 2.0


@dataclass(frozen=True)
class Cost:
    """An estimate: seconds by the clock and rows, from `n_runs` past runs; None where there is nothing to go by.

    Where past runs do not tell what is fixed and what each page takes, `seconds` is None, and `at_least` and
    `at_most` are what it would be if all of it were fixed, and if nothing was.
    """

    seconds: float | None
    rows: int | None
    n_runs: int
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class _Run:
    n_pages: int
    n_rows: int
    wall_s: float


def estimate_cost(
    connection: duckdb.DuckDBPyConnection, product: str, job: str, n_pages: int, batch_pages: int
) -> Cost:
    """Estimate what making pages costs.

    Runs of about the size of the batches to be made say what a batch costs. If there are none, runs of two sizes say
    what is fixed and what each page takes.

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
    size = min(batch_pages, n_pages)
    n_batches = math.ceil(n_pages / size)
    alike = [run for run in runs if _factor(run, size) <= _ALIKE]
    known = alike or runs
    rows_of_all = round(sum(run.n_rows for run in known) / sum(run.n_pages for run in known) * n_pages)
    if alike:
        seconds = sum(run.wall_s for run in alike) / sum(run.n_pages for run in alike) * n_pages
        return Cost(seconds, rows_of_all, len(alike))
    line = _fixed_and_each(runs)
    if line is not None:
        fixed, each = line
        return Cost(n_batches * fixed + n_pages * each, rows_of_all, len(runs))
    run_s, run_pages = median(run.wall_s for run in runs), median(run.n_pages for run in runs)
    ends = sorted([run_s * n_batches, run_s / run_pages * n_pages])
    return Cost(None, rows_of_all, len(runs), *ends)


def _factor(run: _Run, size: int) -> float:
    return max(run.n_pages, size) / min(run.n_pages, size)


def _fixed_and_each(runs: Sequence[_Run]) -> tuple[float, float] | None:
    """Give the seconds that a run costs anyhow, and those of each page; None if the runs are of one size.

    By the medians of the smallest runs and of the largest ones: a first run, which compiles and loads what later ones
    find there, is no outlier to be averaged in.
    """
    least, most = min(run.n_pages for run in runs), max(run.n_pages for run in runs)
    if most <= _ALIKE * least:
        return None
    small = [run for run in runs if run.n_pages <= _ALIKE * least]
    large = [run for run in runs if _ALIKE * run.n_pages >= most]
    small_s, large_s = median(run.wall_s for run in small), median(run.wall_s for run in large)
    small_pages, large_pages = median(run.n_pages for run in small), median(run.n_pages for run in large)
    if large_pages <= small_pages:
        return None
    each = max(0.0, (large_s - small_s) / (large_pages - small_pages))
    return max(0.0, small_s - each * small_pages), each
