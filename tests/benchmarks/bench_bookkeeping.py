"""Bookkeeping at scale: what the ledger and the commits cost a page, over thousands of pages of a small product.

    python tests/benchmarks/bench_bookkeeping.py [--pages 10000] [--per-commit 512]

Feature pages of two rows each are staged by hand and published through `warehouse.pages.publishing`, with their ledger
rows, as a backfill does: what is measured is all that is not the pages' own work. Then `plan` and `pages` are
timed as functions and as whole commands.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.metering import RunMeter
from jobs.pages.plan import plan
from jobs.pages.states import grid_pages, page_states
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from warehouse.ledger import records as ledger
from warehouse.ledger.records import PageRecord, Promotion
from warehouse.pages.publishing import StagedRows, publish, record_definitions

PRODUCT = "late_order"
NOW = datetime(2026, 4, 10)
STAGE = (
    "COPY (SELECT 'order ' || row AS order_id, as_of, as_of + INTERVAL 1 DAY AS valid_until, 0.5 AS probability,"
    " 'v1' AS model_version FROM unnest($1::TIMESTAMP[]) AS pages (as_of), range(2) AS rows (row) ORDER BY as_of)"
    " TO '{file}' (FORMAT parquet)"
)


def publish_batch(suite: Suite, pages: list[datetime], *, more_follow: bool) -> None:
    product = suite.definitions.product(PRODUCT)
    fingerprint = suite.definitions.page_fingerprint(product)
    meter = RunMeter(suite, "predict", PRODUCT)
    with suite.staging(meter.run_id) as directory, suite.lake.reading() as connection:
        file = directory / "predictions.parquet"
        connection.execute(STAGE.format(file=file), [pages])
        types = ("VARCHAR", "TIMESTAMP", "TIMESTAMP", "DECIMAL(2,1)", "VARCHAR")
        names = ("order_id", "as_of", "valid_until", "probability", "model_version")
        records = [
            PageRecord(
                product=PRODUCT,
                kind="predictions",
                as_of=page,
                state="published",
                run_id=meter.run_id,
                definitions=fingerprint,
                ingest_id=2,
                recorded_at=NOW,
                snapshot_id=0,
                n_rows=2,
                model_version="v1",
            )
            for page in pages
        ]
        with suite.lake.commit(f"{len(pages)} pages") as commit:
            record_definitions(commit, product, fingerprint, suite.definitions, NOW)
            staged = [StagedRows("predictions", file, dict(zip(names, types, strict=True)), records)]
            publish(commit, product, staged, more_follow=more_follow)
            ledger.append(commit, [meter.record("succeeded", n_pages=len(pages), n_rows=2 * len(pages))])


def hourly_suite(root: Path) -> Suite:
    make_starter(root)
    file = root / f"sql/products/{PRODUCT}/product.yaml"
    file.write_text(file.read_text().replace('"0 18 * * *"', '"0 * * * *"').replace("2026-01-15", "2024-01-01"))
    suite = open_suite(root, lambda: NOW)
    ingest(suite)
    with suite.lake.commit("promote") as commit:
        ledger.append(commit, [Promotion(PRODUCT, "v1", datetime(2024, 1, 1), NOW, "bench", "to measure")])
    return suite


def seconds_of(work: object) -> float:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--per-commit", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        suite = hourly_suite(Path(directory) / "shop")
        product = suite.definitions.product(PRODUCT)
        pages = grid_pages(product, None, None, NOW)[: options.pages]
        batches = [pages[start : start + options.per_commit] for start in range(0, len(pages), options.per_commit)]
        spent = [
            seconds_of(lambda batch=batch: publish_batch(suite, batch, more_follow=batch is not batches[-1]))
            for batch in batches
        ]
        print(f"{len(pages)} pages in {len(batches)} commits: {sum(spent) / len(pages) * 1000:.2f} ms a page;")
        print(f"  first commit {spent[0] * 1000:.0f} ms, last full one {spent[-2] * 1000:.0f} ms")
        until = pages[-1]
        print(f"page_states {seconds_of(lambda: page_states(suite, product, pages)) * 1000:.0f} ms")
        print(f"plan        {seconds_of(lambda: plan(suite, PRODUCT, None, until)) * 1000:.0f} ms")
        for words in (["plan", PRODUCT, "--to", until.isoformat()], ["pages", PRODUCT, "--to", until.isoformat()]):
            command = [sys.executable, "-m", "jobs", "--suite", str(suite.root), *words]
            taken = [
                seconds_of(lambda command=command: subprocess.run(command, capture_output=True, check=True))
                for _ in range(3)
            ]
            print(f"almanac {words[0]:<6} {sorted(taken)[1] * 1000:.0f} ms, the whole command")


if __name__ == "__main__":
    main()
