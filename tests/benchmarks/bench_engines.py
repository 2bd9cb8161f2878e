"""Benchmark: one large page by DuckDB here, in shards by 1, 2 and 4 processes, by Spark, and by Spark's own SQL.

    python -m tests.benchmarks.bench_engines [--rows N] [--keys N] [--rounds N] [--spark [--pandas]]

The page is the history of each customer among so many purchases: counts, sums, an ordered window. All that is made in
shards has to be equal in every bit, or it stops. Spark's own SQL is the same query rewritten by hand over the same
Parquet file, with no sandbox, no comparison and no commit; a page in shards is compared with itself asked whole, which
is in its figure. With more workers than cores there is nothing to win here: what matters is how the CPU seconds grow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.facts.ingest import ingest
from jobs.pages.shards.engine import Shards
from jobs.pages.shards.processes import Processes
from jobs.pages.shards.spark import SPARK_VARIABLE, Spark
from jobs.suite import Suite, open_suite
from tests.benchmarks.timing import Contestant, Elsewhere, machine, measure, table, versions
from tests.shards import rows_of_pages
from warehouse.batching.engines import DuckDBHere, Engine

PAGE = datetime(2026, 2, 1)
PRODUCT = "value"
SOURCE = """/*
description: Purchases.
owner: benchmark
files: purchases.parquet
key: [purchase]
known_at: bought_at
*/
SELECT purchase, customer, item, pence, bought_at FROM read_parquet($files)
"""
HISTORY = """
WITH ordered AS (
    SELECT customer, item, pence, bought_at,
        lag(bought_at) OVER (PARTITION BY customer ORDER BY bought_at, purchase) AS before
    FROM purchases
)

SELECT customer, count(*) AS purchases, sum(pence) AS spent, count(DISTINCT item) AS items, max(bought_at) AS newest,
    max({gap}) AS longest_gap
FROM ordered
GROUP BY customer
"""
GROUP = "/*\ndescription: What each customer has bought.\nowner: benchmark\nkey: [customer]\n*/" + HISTORY
FILES = {
    "sql/sources/purchases.sql": SOURCE,
    "sql/features/history.sql": GROUP.format(gap="date_diff('minute', before, bought_at)"),
    f"sql/products/{PRODUCT}/entities.sql": "/*\ndescription: All customers.\nowner: benchmark\n*/\n"
    "SELECT DISTINCT customer FROM purchases\n",
    f"sql/products/{PRODUCT}/label.sql": "/*\ndescription: Whether they come again.\nowner: benchmark\n*/\n"
    "SELECT customer, TRUE AS label FROM purchases\nWHERE bought_at >= $as_of AND known_at < $known_by\nGROUP BY 1\n",
    f"sql/products/{PRODUCT}/product.yaml": "description: Customers.\nowner: benchmark\nkeys: [customer]\n"
    "features: [history]\nlabel: {kind: binary, matures_within: 1 day}\nvalid_for: 1 day\n"
    "model: {estimator: hist_gradient_boosting_classifier}\n"
    "pages: {cron: '0 0 * * *', zone: UTC, since: 2026-01-01}\n",
    "schedules.yaml": "jobs: {}\n",
}


def suite_of(root: Path, rows: int, keys: int) -> Suite:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    duckdb.execute(
        f"COPY (SELECT i AS purchase, hash(i) % {keys} AS customer, hash(i + 1) % 500 AS item,"
        f" (hash(i + 2) % 10000)::INTEGER AS pence, TIMESTAMP '2025-01-01' + INTERVAL 1 SECOND * (i % 31000000)"
        f" AS bought_at FROM range({rows}) AS r(i)) TO '{root / 'purchases.parquet'}' (FORMAT parquet)"
    )
    suite = open_suite(root, lambda: datetime(2026, 3, 1))
    ingest(suite)
    return suite


def page_by(suite: Suite, engine: Engine, wanted: list[object]) -> Callable[[], object]:
    def run() -> None:
        found = rows_of_pages(suite, PRODUCT, [PAGE], engine)
        if wanted and wanted[0] != found:
            raise AssertionError(f"{engine.name} has made other rows")
        wanted[:] = [found]

    return run


def by_spark(work: Callable[[], object]) -> Callable[[], Elsewhere]:
    """Have the CPU seconds counted of Spark's Java and of its Python processes, beside those of this one."""
    from pyspark.sql import SparkSession

    def run() -> Elsewhere:
        session = SparkSession.getActiveSession()
        assert session is not None
        java = session.sparkContext._gateway.proc.pid
        began, own = cpu_of_tree(java), time.process_time()
        work()
        return Elsewhere(cpu_of_tree(java) - began + time.process_time() - own)

    return run


def cpu_of_tree(root: int) -> float:
    """Give the CPU seconds of a process and of all below it, those that have ended among them."""
    spent, parents = dict[int, float](), dict[int, int]()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            pid = int(file.parent.name)
            parents[pid] = int(fields[1])
            spent[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def is_below(pid: int) -> bool:
        while pid not in (0, root):
            pid = parents.get(pid, 0)
        return pid == root

    return sum(seconds for pid, seconds in spent.items() if is_below(pid))


@contextlib.contextmanager
def spark_here(cores: int) -> Iterator[None]:
    """Hold a session open, so that no round waits for Java to start."""
    from pyspark.sql import SparkSession

    os.environ[SPARK_VARIABLE] = f"local[{cores}]"
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(f"local[{cores}]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", str(cores)).getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield
    session.stop()


def spark_sql(file: Path, into: Path) -> Callable[[], object]:
    from pyspark.sql import SparkSession

    def run() -> None:
        session = SparkSession.getActiveSession()
        assert session is not None
        session.conf.set("spark.sql.session.timeZone", "UTC")
        session.read.parquet(str(file)).createOrReplaceTempView("purchases")
        gap = "(unix_timestamp(date_trunc('minute', bought_at)) - unix_timestamp(date_trunc('minute', before))) / 60"
        session.sql(HISTORY.format(gap=gap)).write.mode("overwrite").parquet(str(into))

    return run


def pandas_on_spark(file: Path, into: Path) -> Callable[[], object]:
    """The same by pyspark.pandas, written by hand: it has no window but `shift`, and counts distinct values apart."""
    import pyspark.pandas as ps
    from pyspark.sql import SparkSession

    def run() -> None:
        session = SparkSession.getActiveSession()
        assert session is not None
        session.conf.set("spark.sql.session.timeZone", "UTC")
        # Its `shift` knows no instants without a zone; as numbers, instants are seconds there.
        session.conf.set("spark.sql.parquet.inferTimestampNTZ.enabled", "false")
        ps.set_option("compute.default_index_type", "distributed")
        rows = ps.read_parquet(str(file)).sort_values(["customer", "bought_at", "purchase"])
        rows["minute"] = rows["bought_at"].astype("int64") // 60
        rows["gap"] = rows["minute"] - rows.groupby("customer")["minute"].shift()
        by = rows.groupby("customer")
        made = by.agg({"purchase": "count", "pence": "sum", "item": "nunique", "bought_at": "max", "gap": "max"})
        made.to_parquet(str(into), mode="overwrite", index_col="customer")

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--keys", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spark", action="store_true", help="also Spark, with up to four local workers")
    parser.add_argument("--pandas", action="store_true", help="with --spark: also pandas on Spark, for pandas before 3")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        root, wanted = Path(directory).resolve(), list[object]()
        suite = suite_of(root, given.rows, given.keys)
        ways: list[tuple[str, Engine]] = [("DuckDB here", DuckDBHere())]
        ways += [(f"{n} processes, {n} shards", Shards(Processes(n), n)) for n in (1, 2, 4)]
        if given.spark:
            # Of four workers no more are at work than there are shards.
            stack.enter_context(spark_here(4))
        contestants = [Contestant(name, given.rows, page_by(suite, engine, wanted)) for name, engine in ways]
        if given.spark:
            purchases, into = root / "purchases.parquet", root / "spark"
            spark = [(f"Spark, {n} shards", page_by(suite, Shards(Spark(), n), wanted)) for n in (1, 2, 4)]
            spark.append(("Spark SQL, rewritten", spark_sql(purchases, into)))
            spark += [("pandas on Spark", pandas_on_spark(purchases, into))] if given.pandas else []
            contestants += [Contestant(name, given.rows, by_spark(work)) for name, work in spark]
        measure(contestants, given.rounds)
    print(f"{machine()}; {versions('duckdb', 'pyarrow', *(['pyspark'] if given.spark else []))}")
    print(f"{given.rows:,} rows of {given.keys:,} keys, medians of {given.rounds} rounds in turn")
    cells = [
        [one.name, f"{statistics.median(one.seconds):.2f}", f"{statistics.median(one.cpu_seconds):.2f}"]
        for one in contestants
    ]
    print(table(["", "s", "s of CPU"], cells))


if __name__ == "__main__":
    main()
