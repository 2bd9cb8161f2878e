"""What stands behind the check of a query's text, so that one hole in that is not enough."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages import outcomes
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.make import PageOrder, make_pages
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from warehouse.batching.batch import Batch
from warehouse.errors import AlmanacError, FilesSetAside, QueryRefused, RunFailed
from warehouse.pages import labels
from warehouse.pages.labels import compute_labels
from warehouse.queries.checked_query import CheckedQuery, check_query
from warehouse.queries.running import running
from warehouse.sandbox import Sandbox, SandboxPage

#: Queries that reach behind the views, had the check let them through; they pass for one that names `orders` once.
REACHING = {
    "the lake, by the name that it has elsewhere": "SELECT max(o.known_at) FROM lake.sources.orders AS o",
    "the lake, by its own name": "SELECT max(o.known_at) FROM {lake}.sources.orders AS o",
    "a copy that is held": "SELECT max(o.known_at) FROM {held} AS o",
    "a table that is named by a text": "SELECT (SELECT max(known_at) FROM query('FROM {held}')) FROM orders",
    "a source by its view, twice": "SELECT * FROM orders UNION ALL SELECT * FROM query('FROM orders')",
    "the names of all tables": "SELECT * FROM duckdb_tables()",
    "what another page made": 'SELECT * FROM memory.other."rows"',
}


def passed(text: str) -> CheckedQuery:
    """Give a query as if it had been checked."""
    good = check_query("SELECT * FROM orders", "q.sql", tables={"orders"}, parameters={"as_of"})
    return replace(good, text=text, fingerprint=text)


@pytest.mark.parametrize("what", REACHING)
def test_a_query_that_scans_more_than_the_views_show_is_not_run(ingested: Suite, what: str) -> None:
    orders = ingested.definitions.sources["orders"]
    with Sandbox(ingested.lake) as sandbox:
        sandbox.hold([orders])
        with contextlib.closing(sandbox.cursor()) as cursor:
            cursor.execute("CREATE SCHEMA memory.other")
            cursor.execute('CREATE TABLE memory.other."rows" AS SELECT 1 AS a')
        text = REACHING[what].format(lake=sandbox.catalogue, held=sandbox.relation(orders).replace('"', '""'))
        text = text.replace('""', '"')
        with sandbox.at(PAGE, [orders]) as page:
            assert page.answer(passed("SELECT count(*) FROM orders"), 1)
            with pytest.raises(AlmanacError, match=r"reads more|does not exist|not found"):
                page.answer(passed(text), 1)


@pytest.mark.parametrize("what", [name for name, text in REACHING.items() if "{held}" not in text])
def test_labels_and_pages_beside_reused_ones_scan_no_more_either(ingested: Suite, tmp_path: Path, what: str) -> None:
    """There the lake may be attached while authors' SQL runs."""
    definitions, product = ingested.definitions, ingested.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE - timedelta(days=5), PAGE)
    with Sandbox(ingested.lake) as sandbox:
        with contextlib.closing(sandbox.cursor()) as cursor:
            cursor.execute("CREATE SCHEMA memory.other")
            cursor.execute('CREATE TABLE memory.other."rows" AS SELECT 1 AS a')
        text = passed(REACHING[what].format(lake=sandbox.catalogue, held=""))
        with pytest.raises(AlmanacError, match=r"reads more|does not exist|not found"):
            compute_labels(sandbox, definitions, replace(product, label=text), pages, PAGE, tmp_path / "labels.parquet")
        with (
            pytest.raises(AlmanacError, match=r"reads more|does not exist|not found"),
            Batch(sandbox, definitions, replace(product, entities=text)) as batch,
        ):
            batch.compute(pages, tmp_path / "features.parquet", 2, lambda _: None, needs_lake=True)


def test_the_lake_is_detached_while_labels_are_made(ingested: Suite) -> None:
    seen: list[int] = []
    collect = labels._collect

    def look(sandbox: Sandbox, *rest: Any) -> None:
        with contextlib.closing(sandbox.cursor()) as cursor:
            found = cursor.execute("SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'lake%'")
            seen.append(found.fetchall()[0][0])
        collect(sandbox, *rest)

    product = ingested.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE - timedelta(days=5), PAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "_collect", look)
        outcomes._publish_labels(ingested, product, pages, NOW)
    assert seen
    assert set(seen) == {0}


def test_the_lake_has_another_name_in_every_sandbox_and_is_detached_while_pages_are_made(ingested: Suite) -> None:
    names = set()
    for _ in range(2):
        with Sandbox(ingested.lake) as sandbox:
            names.add(sandbox.catalogue)
    assert len(names) == 2
    seen: list[int] = []
    prepare = Batch.prepare

    def look(batch: Batch, page: object) -> None:
        with contextlib.closing(batch.sandbox.cursor()) as cursor:
            found = cursor.execute("SELECT count(*) FROM duckdb_databases() WHERE database_name LIKE 'lake%'")
            seen.append(found.fetchall()[0][0])
        prepare(batch, page)  # type: ignore[arg-type]

    product = ingested.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE - timedelta(days=5), PAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batch, "prepare", look)
        made = make_pages(ingested, PageOrder(product, pages, None), Silent())
    assert len(made.published) == len(pages)
    assert seen
    assert set(seen) == {0}


def test_a_check_may_read_a_source_that_no_feature_reads(trained: Suite) -> None:
    """Then the lake stays attached."""
    (trained.root / "sql/sources/depots.sql").write_text(
        "/*\ndescription: Depots.\nkey: [depot]\nfiles: data/depots.csv\nknown_at: since\n*/\n"
        "SELECT depot, since FROM read_csv($files, header = true, types = {'depot': 'VARCHAR', 'since': 'TIMESTAMP'})\n"
    )
    (trained.root / "data/depots.csv").write_text("depot,since\nnowhere,2026-01-01 00:00:00\n")
    (trained.root / "sql/products/late_order/checks/known_depots.sql").write_text(
        "/*\ndescription: No order is of a depot that is closed.\n*/\n"
        "SELECT page.* FROM page SEMI JOIN depots ON depots.depot = page.depot\n"
    )
    suite = reopened(trained)
    ingest(suite)
    result = backfill(suite, BackfillOrder(PRODUCT, PAGE, PAGE + timedelta(days=6)))
    # Six of features, and six of predictions.
    assert len(result.published) == 12
    assert not result.failed


def test_a_query_is_ended_after_its_time(ingested: Suite) -> None:
    header = ingested.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + "query_timeout: 3 seconds\n")
    group = ingested.root / "sql/features/courier_load.sql"
    endless = "SELECT courier, sum(a.range * b.range) AS n FROM orders, range(1000000) AS a, range(1000000) AS b"
    group.write_text(f"/*\ndescription: Endless.\nkey: [courier]\n*/\n{endless} GROUP BY courier\n")
    suite = reopened(ingested)
    made = make_pages(suite, PageOrder(suite.definitions.product(PRODUCT), [PAGE], None), Silent())
    assert "took longer than 3 s" in made.failed[PAGE]


@pytest.mark.parametrize(
    "expression",
    [
        "repeat('x', 3000000000)",
        "lpad('x', 100000000, 'y')",
        "rpad('x', 100000000, 'y')",
        "range(3000000000)",
        "range(0, 3000000000, 2)",
        "generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2020-01-01', INTERVAL 1 SECOND)",
        "bitstring('1', 1000000000)",
        "bar(1, 0, 1, 1000000000)",
        "repeat(repeat('x', 90000), 90000)",
    ],
)
def test_what_makes_texts_and_lists_out_of_nothing_is_bounded(ingested: Suite, expression: str) -> None:
    query = check_query(f"SELECT {expression}", "q.sql", tables=(), parameters=())
    with Sandbox(ingested.lake) as sandbox, sandbox.at(PAGE, []) as page:
        with pytest.raises(RunFailed, match=r"makes (lists of )?at most"):
            page.answer(query, 1)
        assert page.answer(check_query(BOUNDED_WELL, "q.sql", tables=(), parameters=()), 1) == [
            ("xxx", "00x", [0, 1], [1, 3], 3, "+1.50")
        ]


def test_the_functions_of_a_source_are_bounded_too(starter: Path) -> None:
    """In its SELECT, and in the expressions of its header."""
    file = starter / "sql/sources/orders.sql"
    text = file.read_text()
    suite = open_suite(starter, clock_at(NOW))
    file.write_text(text.replace("SELECT order_id", "SELECT length(repeat(depot, 300000000)) AS long, order_id", 1))
    with pytest.raises(FilesSetAside, match="makes at most"):
        ingest(reopened(suite), ["orders"])
    file.write_text(text.replace("rules:", "rules:\n  short: length(repeat(depot, 300000000)) > 0", 1))
    with pytest.raises(FilesSetAside, match="makes at most"):
        ingest(reopened(suite), ["orders"])


def test_the_expressions_of_a_source_are_ended_after_its_time(starter: Path) -> None:
    file = starter / "sql/sources/orders.sql"
    endless = "(SELECT sum(a.range * b.range) FROM range(1000000) AS a, range(1000000) AS b) > parcels"
    text = file.read_text().replace("rules:", f"query_timeout: 3 seconds\nrules:\n  slow: {endless}", 1)
    file.write_text(text)
    with pytest.raises(RunFailed, match="took longer than 3 s"):
        ingest(open_suite(starter, clock_at(NOW)), ["orders"])


BOUNDED_WELL = """
SELECT repeat('x', 3), lpad('x', 3, '0'), range(2), range(1, 4, 2), (SELECT count(*) FROM range(3)),
    format('{:+.2f}', 1.5)
"""


def test_formats_of_any_width_are_refused() -> None:
    for text in (
        "format('{:>1000000000}', 'a')",
        "printf('%*d', 1000000000, 1)",
        "format(a, 1)",
        "printf('%999999d', 1)",
    ):
        with pytest.raises(QueryRefused, match="text of any length"):
            check_query(f"SELECT {text} FROM t", "q.sql", tables={"t"}, parameters=())


def test_what_is_within_its_time_is_left_alone(tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection, running(connection, "here", timedelta(seconds=30)):
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_page_made_in_the_sandbox_shows_its_own_name_only(ingested: Suite) -> None:
    with Sandbox(ingested.lake) as sandbox, sandbox.at(PAGE, ingested.definitions.sources.values()) as page:
        assert isinstance(page, SandboxPage)
        assert page.answer(passed("SELECT count(*) > 0 FROM orders"), 2) == [(True,)]
