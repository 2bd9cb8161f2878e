"""The year of flight_delay's feature pages: `almanac backfill`, and what people use instead.

    python -m tests.benchmarks.bench_backfill [--pages 365] [--repeats 3] [--without dbt sqlmesh] [--groups NAME ...]

365 daily pages, 329,778 rows of 13 feature groups, or of those that are named. Contestants, each as a whole command
in a process of its own, in
turns, from the same ingested sources: Almanac; Almanac with every query page by page; a loop of one DuckDB
query a page into a table; dbt-duckdb's microbatch; SQLMesh by day. At the end their rows are compared. dbt and
SQLMesh are installed into environments of their own, and left out, with the reason, where that fails.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import duckdb

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_flights
from tests.benchmarks.backfill_peers.page_query import page_query
from tests.benchmarks.backfill_peers.projects import DBT_AS_OF, SQLMESH_AS_OF, make_dbt, make_sqlmesh
from tests.benchmarks.peers import PeerMissing, environment
from warehouse.sandbox import Sandbox

PRODUCT = "flight_delay"
FIRST_DAY = "2013-01-08"
PACKAGES = {"dbt": ("dbt-core>=1.10,<1.12", "dbt-duckdb<2", "duckdb==1.5.5"), "sqlmesh": ("sqlmesh", "duckdb==1.5.5")}
#: `almanac` with all quicker ways off.
PLAIN = (
    "import sys, warehouse.batching.batch as c; c.TOGETHER_FROM_PAGES = sys.maxsize; from jobs.cli import main; main()"
)
LOOP = Path(__file__).with_name("backfill_peers") / "loop.py"


@dataclass
class Contestant:
    """A way to make the pages: `prepare` makes all as it was before, `command` makes them, `rows` reads them."""

    name: str
    command: list[str]
    prepare: Callable[[], object]
    rows: str
    database: Path | None
    directory: Path
    does: str
    seconds: list[float] = field(default_factory=list)
    work_s: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run once, and note the time."""
        self.prepare()
        began = time.perf_counter()
        done = subprocess.run(self.command, cwd=self.directory, capture_output=True, text=True, check=False)
        self.seconds.append(time.perf_counter() - began)
        if done.returncode:
            raise PeerMissing(f"{self.name} failed: {(done.stderr or done.stdout).strip()[-600:]}")
        if done.stdout.startswith("query work"):
            self.work_s.append(float(done.stdout.split()[2]))


def source_tables(suite: Suite, database: Path) -> None:
    """Copy the sources into a DuckDB file, sorted as they lie in the lake."""
    with suite.lake.reading() as lake, duckdb.connect(str(database)) as connection:
        connection.execute("CREATE SCHEMA facts")
        for name in suite.definitions.sources:
            table = lake.execute(f'SELECT * EXCLUDE (ingest_id, withdrawn) FROM sources."{name}"').to_arrow_table()
            connection.register("found", table)
            connection.execute(f'CREATE TABLE facts."{name}" AS FROM found')


def columns_of(suite: Suite) -> dict[str, dict[str, list[str]]]:
    """Give the columns of sources and feature groups, by a page of the sandbox."""
    product = suite.definitions.product(PRODUCT)
    found: dict[str, dict[str, list[str]]] = {"sources": {}, "groups": {}}
    with Sandbox(suite.lake) as sandbox:
        for source in suite.definitions.sources.values():
            found["sources"][source.name] = list(sandbox.source_columns(source))
        with sandbox.at(datetime(2013, 2, 1), suite.definitions.sources_of(product)) as page:
            for group in suite.definitions.groups_of(product):
                bound = group.query.bound(as_of=page.instant) or None
                page.cursor.execute(f"SELECT * FROM ({group.query.text}\n) LIMIT 0", bound)
                found["groups"][group.name] = [column[0] for column in page.cursor.description or ()]
    return found


def keep_groups(directory: Path, groups: list[str], columns: dict[str, list[str]]) -> None:
    """Leave some feature groups in a product, and nothing that would name columns of others: no model, fewer checks.

    Parameters
    ----------
    columns
        Those of each of its groups.
    """
    file = directory / "product.yaml"
    text = file.read_text()
    before, _, rest = text.partition("features:\n")
    after = rest[rest.index("label:") :]
    listed = "".join(f"  - {name}\n" for name in groups)
    head, _, model = after.partition("  leave_out:\n")
    file.write_text(f"{before}features:\n{listed}{head}{model[model.index('pages:') :]}")
    kept = {column for name in groups for column in columns[name]}
    gone = {column for found in columns.values() for column in found} - kept
    for check in (directory / "checks").glob("*.sql"):
        if gone.intersection(re.findall(r"\w+", check.read_text())):
            check.unlink()


def ingested(root: Path, groups: list[str]) -> Suite:
    """Make the suite, of these feature groups where some are named, with the year's sources."""
    make_flights(root / "suite")
    suite = open_suite(root / "suite", lambda: datetime(2014, 2, 1))
    ingest(suite)
    if groups:
        keep_groups(root / "suite/sql/products" / PRODUCT, groups, columns_of(suite)["groups"])
        suite = open_suite(root / "suite", lambda: datetime(2014, 2, 1))
    return suite


def contestants(root: Path, n_pages: int, without: list[str], groups: list[str]) -> list[Contestant]:
    """Ingest the sources once, and set everybody up on a copy of them."""
    suite = ingested(root, groups)
    shutil.copytree(suite.lake.root, root / "lake")
    source_tables(suite, root / "sources.duckdb")
    product, columns = suite.definitions.product(PRODUCT), columns_of(suite)
    until = datetime.fromisoformat(FIRST_DAY) + timedelta(days=n_pages)

    def fresh_lake() -> None:
        shutil.rmtree(suite.lake.root)
        shutil.copytree(root / "lake", suite.lake.root)

    def fresh(database: Path) -> Callable[[], object]:
        def copy() -> None:
            shutil.rmtree(database.parent / "target", ignore_errors=True)
            shutil.copyfile(root / "sources.duckdb", database)

        return copy

    words = ["--suite", str(suite.root), "backfill", PRODUCT, "--features-only", "--from", FIRST_DAY]
    words += ["--to", until.isoformat()]
    in_lake = f"SELECT * EXCLUDE (valid_until) FROM features.{PRODUCT}"
    found = [
        Contestant("almanac", [sys.executable, "-m", "jobs", *words], fresh_lake, in_lake, None, root,
                   "checks, ledger, leases, resume, one page made twice"),
        Contestant("almanac, page by page", [sys.executable, "-c", PLAIN, *words], fresh_lake, in_lake, None, root,
                   "the same, but for the page made twice"),
    ]  # fmt: skip
    query = page_query(suite.definitions, product, columns, "$as_of", "facts")
    (root / "query.sql").write_text(query)
    database = root / "loop.duckdb"
    command = [sys.executable, str(LOOP), str(database), str(root / "query.sql"), FIRST_DAY, str(n_pages)]
    found.append(Contestant("hand-written loop", command, fresh(database), "FROM made.features", database, root,
                            "one INSERT a page; no record of what is done"))  # fmt: skip
    for name, as_of in (("dbt", DBT_AS_OF), ("sqlmesh", SQLMESH_AS_OF)):
        if name in without:
            continue
        try:
            python = environment(name, PACKAGES[name])
        except PeerMissing as missing:
            print(f"{name} is left out: {missing}")
            continue
        directory = root / name
        database = directory / "flights.duckdb"
        last_day = (until - timedelta(days=1)).date().isoformat()
        query = page_query(suite.definitions, product, columns, as_of, "facts")
        if name == "dbt":
            make_dbt(directory, database, query, FIRST_DAY)
        else:
            make_sqlmesh(directory, database, query, FIRST_DAY, last_day)
        program = str(python.with_name(name))
        if name == "dbt":
            run = [program, "run", "--profiles-dir", ".", "--event-time-start", FIRST_DAY]
            run += ["--event-time-end", until.date().isoformat()]
            does, rows = "a batch a day, replaced on its own; no facts' versions, no leases", "FROM main.features"
        else:
            run = [program, "plan", "--auto-apply", "--no-prompts"]
            does, rows = "intervals recorded; environments; no facts' versions", "FROM made.features"
        found.append(Contestant(name, run, fresh(database), rows, database, directory, does))
    return found


def rows_of(contestant: Contestant, suite_root: Path) -> duckdb.DuckDBPyRelation:
    """Read what a contestant made, its columns by name."""
    if contestant.database is None:
        with open_suite(suite_root, lambda: datetime(2014, 2, 1)).lake.reading() as lake:
            return duckdb.from_arrow(lake.execute(contestant.rows).to_arrow_table())
    with duckdb.connect(str(contestant.database), read_only=True) as connection:
        return duckdb.from_arrow(connection.execute(contestant.rows).to_arrow_table())


def differing(one: duckdb.DuckDBPyRelation, other: duckdb.DuckDBPyRelation) -> str:
    """Say how many rows of two relations differ, over the columns that both have."""
    shared = ", ".join(f'"{name}"' for name in one.columns if name in other.columns)
    row = duckdb.execute(
        f"SELECT count(*) FROM ((SELECT {shared} FROM one EXCEPT ALL SELECT {shared} FROM other)"
        f" UNION ALL (SELECT {shared} FROM other EXCEPT ALL SELECT {shared} FROM one))"
    ).fetchone()
    return f"{row[0] if row else '?'} over {len([n for n in one.columns if n in other.columns])} columns"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=365)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], choices=list(PACKAGES))
    parser.add_argument("--groups", nargs="*", default=[], help="only these feature groups of the product")
    options = parser.parse_args()
    duckdb.execute("SET enable_progress_bar = false")
    with tempfile.TemporaryDirectory() as directory:
        everybody = contestants(Path(directory), options.pages, options.without, options.groups)
        for _ in range(options.repeats):
            for contestant in list(everybody):
                try:
                    contestant.run()
                    print(f"{contestant.name}: {contestant.seconds[-1]:.1f} s", flush=True)
                except PeerMissing as missing:
                    if contestant is everybody[0]:
                        raise SystemExit(str(missing)) from None
                    print(missing)
                    everybody.remove(contestant)
        groups = " ".join(options.groups) or "all feature groups"
        print(f"{options.pages} pages of {PRODUCT}, {groups}; {options.repeats} runs of each in turns, medians of")
        print("whole commands;")
        print(f"duckdb {version('duckdb')}, Python {platform.python_version()}, {PACKAGES}")
        ours = everybody[0]
        first = rows_of(ours, Path(directory) / "suite")
        print(f"| | seconds | times almanac | of it queries | rows | differing rows | does besides |\n|{'---|' * 7}")
        for contestant in everybody:
            ratios = [theirs / mine for theirs, mine in zip(contestant.seconds, ours.seconds, strict=True)]
            made = rows_of(contestant, Path(directory) / "suite")
            work = f"{statistics.median(contestant.work_s):.1f}" if contestant.work_s else ""
            print(
                f"| {contestant.name} | {statistics.median(contestant.seconds):.1f} | {statistics.median(ratios):.1f} |"
                f" {work} | {len(made)} | {differing(first, made)} | {contestant.does} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
