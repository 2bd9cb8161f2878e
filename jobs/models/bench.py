"""Bench: how fast a version scores, and how long one whole page takes, from facts to staged predictions."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.metering import RunMeter
from jobs.models.columns.requirements import given_columns, require_met
from jobs.models.gates import Times
from jobs.models.versions import load_scorer, model_history
from jobs.suite import Suite
from warehouse.batching.batch import Batch
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.sandbox import Sandbox
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.scoring import Scorer


@dataclass(frozen=True)
class BenchResult:
    """How fast a version is. `budget_s` is the page's time limit (gates.page_seconds), if one is declared."""

    product: str
    version: str
    scorer: str
    page: datetime
    times: Times
    budget_s: float | None
    peak_memory_bytes: int

    @property
    def within_budget(self) -> bool | None:
        """Whether a page is made in time; None without a budget."""
        return None if self.budget_s is None else self.times.page_seconds <= self.budget_s


#: Rows that are scored at a time, as when pages are made.
_BATCH_ROWS = 65_536
_REPEATS = 5


def bench(suite: Suite, product_name: str, version: str) -> BenchResult:
    """Measure a registered version on the newest page that has rows. Nothing is published.

    Raises
    ------
    NotFoundError
        If there is no such version.
    UsageError
        If there is none, or the version reads what the definitions do not give any more.
    """
    product = suite.definitions.product(product_name)
    with suite.lake.reading() as connection:
        model = model_history(connection, product.name).version(version)
        columns = given_columns(connection, suite.definitions, product)
        made = ledger.published_pages(connection, product.name, "features")
    page = max((page for page, record in made.items() if record.n_rows), default=None)
    if page is None:
        raise UsageError(f"{product.name} has no page with rows to measure {version} on; run `almanac run` first.")
    if columns is not None:
        require_met(product, model, columns)
    scorer = load_scorer(suite.lake, model)
    meter = RunMeter(suite, "bench", product.name)
    with suite.staging(meter.run_id) as directory, Sandbox(suite.lake, spill=directory / "spill") as sandbox:
        table = f"{sandbox.catalogue}.features.{quote(product.name)}"
        query = system_sql("pages/scored", columns=quote_all(model.features), features=f"{table} LIMIT {_BATCH_ROWS}")
        with contextlib.closing(sandbox.cursor()) as cursor:
            sample = cursor.execute(query).to_arrow_table()
        times = measure_times(suite, product, sandbox, directory, scorer, sample, page)
    budget = product.header.gates.page_seconds if product.header.gates else None
    memory = meter.record("succeeded").peak_memory_bytes
    return BenchResult(product.name, version, scorer.kind, page, times, budget, memory)


def measure_times(
    suite: Suite,
    product: Product,
    sandbox: Sandbox,
    directory: Path,
    scorer: Scorer,
    sample: pa.Table,
    page: datetime,
) -> Times:
    """Measure a scorer on a sample of rows, and on one page made as a daily run makes it, but for the commit.

    Parameters
    ----------
    sandbox, directory
        Where the page's features are computed and staged.
    scorer
        The version's.
    sample
        Rows with its features.
    page
        The page to make.
    """
    seconds, n_rows = _seconds_of_page(suite, product, sandbox, directory, scorer, page)
    return Times(_rows_per_second(scorer, sample), seconds, n_rows)


def _rows_per_second(scorer: Scorer, sample: pa.Table) -> float:
    rows = _repeated(sample.select(list(scorer.feature_names)), _BATCH_ROWS)
    scorer.predict(rows.slice(0, 1_000))  # compiles, and fills caches
    seconds = statistics.median(_timed(scorer, rows) for _ in range(_REPEATS))
    return float(rows.num_rows / seconds)


def _timed(scorer: Scorer, rows: pa.Table) -> float:
    began = time.perf_counter()
    scorer.predict(rows)
    return time.perf_counter() - began


def _repeated(sample: pa.Table, n_rows: int) -> pa.Table:
    """Repeat a sample until there are enough rows for a rate to mean something."""
    import pyarrow as pa

    times = max(1, n_rows // max(1, sample.num_rows))
    return pa.concat_tables([sample.slice(0, n_rows)] * times).combine_chunks()


def _seconds_of_page(
    suite: Suite, product: Product, sandbox: Sandbox, directory: Path, scorer: Scorer, page: datetime
) -> tuple[float, int]:
    """Make a page's features and predictions several times; give the median of seconds, and its rows."""
    found: Sequence[tuple[float, int]] = [
        _one_page(suite, product, sandbox, directory / f"bench-{repeat}.parquet", scorer, page) for repeat in range(3)
    ]
    return statistics.median(seconds for seconds, _ in found), found[0][1]


def _one_page(
    suite: Suite, product: Product, sandbox: Sandbox, file: Path, scorer: Scorer, page: datetime
) -> tuple[float, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    began = time.perf_counter()
    with Batch(sandbox, suite.definitions, product) as batch:
        made = batch.compute([page], file, 1, lambda _: None)
        wanted = quote_all(list(dict.fromkeys([*product.keys, *scorer.feature_names])))
        relation = f"read_parquet({literal(exact_path(file))})"
        reader = batch.cursor.execute(system_sql("pages/scored", columns=wanted, features=relation)).to_arrow_reader(
            _BATCH_ROWS
        )
        batches = [batch.select(list(product.keys)).add_column(0, "score", _plain(scorer, batch)) for batch in reader]
        pq.write_table(pa.Table.from_batches(batches, reader.schema if not batches else None), f"{file}.scored")
    return time.perf_counter() - began, made.n_rows[page]


def _plain(scorer: Scorer, batch: pa.RecordBatch) -> pa.Array:
    import pyarrow as pa

    scores = scorer.predict(batch)
    return pa.array(scores[:, -1] if scores.ndim == 2 else scores)
