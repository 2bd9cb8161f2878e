"""Nothing from the future: no fact with known_at >= as_of can change a page, whatever it is."""

from __future__ import annotations

import csv
import functools
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from tests.conftest import clock_at
from tests.effort import times
from warehouse.batching.batch import Batch
from warehouse.pages.labels import compute_labels
from warehouse.sandbox import Sandbox

AS_OF = datetime(2026, 3, 1, 18)
NOW = datetime(2026, 6, 1)

FILES = {
    "sql/sources/readings.sql": """/*
description: Meter readings, which may be corrected or withdrawn later.
key: [reading]
files: data/readings*.csv
known_at: read_at
restated_at: corrected_at
withdrawn: gone
arrives_within: 10 minutes
*/
SELECT reading, meter, litres, read_at, corrected_at, gone
FROM read_csv($files, header = true, types = {
    'reading': 'INTEGER', 'meter': 'VARCHAR', 'litres': 'INTEGER', 'read_at': 'TIMESTAMP',
    'corrected_at': 'TIMESTAMP', 'gone': 'BOOLEAN'})
""",
    "sql/features/meter_week.sql": """/*
description: What a meter showed of late.
key: [meter]
*/
SELECT
    meter,
    count(*) AS readings,
    sum(litres) FILTER (WHERE known_at >= $as_of - INTERVAL 2 DAY) AS litres_2d,
    quantile_disc(litres, 0.9) AS litres_p90,
    max(known_at) AS last_known_at
FROM readings
WHERE known_at >= $as_of - INTERVAL 7 DAY
GROUP BY meter
""",
    "sql/products/leak/product.yaml": """
description: Whether a meter leaks.
keys: [meter]
features: [meter_week]
label: {kind: binary, matures_within: 1 day}
model: {estimator: hist_gradient_boosting_classifier}
pages: {cron: "0 18 * * *", since: 2026-02-01}
valid_for: 1 day
""",
    "sql/products/leak/entities.sql": """/*
description: Every meter that was ever read.
*/
SELECT meter, count(*) AS readings_ever, sum(litres) AS litres_ever FROM readings GROUP BY meter
""",
    "sql/products/leak/label.sql": """/*
description: A large reading on the next day.
*/
SELECT meter, max((litres > 50)::INTEGER) AS label
FROM readings
WHERE read_at >= $as_of AND read_at < $as_of + INTERVAL 1 DAY
GROUP BY meter
""",
}

MINUTES = 60 * 24 * 10
#: A reading: its key, meter, litres, and minutes from AS_OF - 10 days at which it was read and corrected.
Reading = tuple[int, str, int, int, int | None, bool]


def readings(first: int, last: int) -> st.SearchStrategy[list[Reading]]:
    """Readings known (first read, or corrected or withdrawn) within a span of minutes from AS_OF - 10 days."""
    instant = st.integers(first, last)
    return st.lists(
        st.tuples(
            st.integers(0, 30), st.sampled_from("abc"), st.integers(0, 100), instant, st.none() | instant, st.booleans()
        ),
        max_size=25,
    )


def write(root: Path, name: str, rows: list[Reading]) -> None:
    (root / "data").mkdir(exist_ok=True)
    with (root / "data" / f"{name}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["reading", "meter", "litres", "read_at", "corrected_at", "gone"])
        for key, meter, litres, at, corrected, gone in rows:
            start = AS_OF - timedelta(days=10)
            when = "" if corrected is None else start + timedelta(minutes=corrected)
            writer.writerow([key, meter, litres, start + timedelta(minutes=at), when, gone and corrected is not None])


@functools.cache
def suite_without_facts() -> tempfile.TemporaryDirectory[str]:
    """Write the definitions and make the lake, which takes as long as an ingestion, once for all examples."""
    directory = tempfile.TemporaryDirectory()
    for path, text in FILES.items():
        (Path(directory.name) / path).parent.mkdir(parents=True, exist_ok=True)
        (Path(directory.name) / path).write_text(text)
    open_suite(Path(directory.name), clock_at(NOW)).lake.create(NOW, "a test")
    return directory


@pytest.fixture(scope="module", autouse=True)
def _made_before_any_test() -> None:
    """Make it outside of every test: what one makes on a server goes with it."""
    suite_without_facts()


def make_suite(root: Path) -> Suite:
    shutil.copytree(suite_without_facts().name, root, dirs_exist_ok=True)
    return open_suite(root, clock_at(NOW))


def page(suite: Suite, as_of: datetime) -> list[Any]:
    """Give the rows of one feature page, computed now."""
    product = suite.definitions.product("leak")
    with tempfile.TemporaryDirectory(dir=suite.lake.staging) as directory, Sandbox(suite.lake) as sandbox:
        file = Path(directory) / "features.parquet"
        with Batch(sandbox, suite.definitions, product) as batch:
            batch.compute([as_of], file, 1, lambda _: None)
            return batch.cursor.execute("FROM read_parquet($1) ORDER BY ALL", [str(file)]).fetchall()


@settings(
    max_examples=times(7), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    past=readings(0, MINUTES - 11),
    # Known at AS_OF - 10 minutes or later: with the ten minutes that it takes to arrive, that is the future.
    future=readings(MINUTES - 10, MINUTES + 5000),
)
def test_facts_known_later_change_nothing(past: list[Reading], future: list[Reading]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        suite = make_suite(Path(directory))
        write(suite.root, "readings_past", past)
        ingest(suite)
        before = page(suite, AS_OF)
        # A fact read in the future, and a correction or withdrawal in the future of a fact from the past.
        write(
            suite.root,
            "readings_future",
            [row if row[4] is None else (*row[:4], max(row[3:5]), row[5]) for row in future],
        )
        ingest(suite)
        assert page(suite, AS_OF) == before


@settings(max_examples=times(5), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(past=readings(0, MINUTES + 1000), future=readings(MINUTES + 2000 - 10, MINUTES + 5000))
def test_labels_known_later_change_nothing(past: list[Reading], future: list[Reading]) -> None:
    known_by = AS_OF + timedelta(minutes=2000)
    with tempfile.TemporaryDirectory() as directory:
        suite = make_suite(Path(directory))
        write(suite.root, "readings_past", past)
        ingest(suite)
        before = labels(suite, known_by)
        write(
            suite.root,
            "readings_future",
            [row if row[4] is None else (*row[:4], max(row[3:5]), row[5]) for row in future],
        )
        ingest(suite)
        assert labels(suite, known_by) == before


def labels(suite: Suite, known_by: datetime) -> list[Any]:
    product = suite.definitions.product("leak")
    with tempfile.TemporaryDirectory(dir=suite.lake.staging) as directory, Sandbox(suite.lake) as sandbox:
        file = Path(directory) / "labels.parquet"
        compute_labels(sandbox, suite.definitions, product, [AS_OF], known_by, file)
        return sandbox.cursor().execute("FROM read_parquet($1) ORDER BY ALL", [str(file)]).fetchall()


def test_a_correction_is_seen_from_its_own_time_on(tmp_path: Path) -> None:
    suite = make_suite(tmp_path)
    write(tmp_path, "readings_a", [(1, "a", 10, MINUTES - 3000, None, False), (2, "b", 7, MINUTES - 3000, None, False)])
    ingest(suite)
    write(tmp_path, "readings_b", [(1, "a", 99, MINUTES - 3000, MINUTES + 60, False)])
    write(tmp_path, "readings_c", [(2, "b", 7, MINUTES - 3000, MINUTES + 90, True)])
    ingest(suite)
    seen = {row[0]: row[4] for row in page(suite, AS_OF)}
    assert seen == {"a": 10, "b": 7}
    later = {row[0]: row[4] for row in page(suite, AS_OF + timedelta(days=1))}
    assert later == {"a": 99}


def test_a_fact_counts_only_once_it_can_have_arrived(tmp_path: Path) -> None:
    suite = make_suite(tmp_path)
    write(tmp_path, "readings", [(1, "a", 10, MINUTES - 10, None, False), (2, "b", 7, MINUTES - 11, None, False)])
    ingest(suite)
    assert [row[0] for row in page(suite, AS_OF)] == ["b"]


def test_an_old_page_can_be_made_again_as_it_was(tmp_path: Path) -> None:
    """Facts that reached us late change the page made today, and not the one made from what there was."""
    suite = make_suite(tmp_path)
    write(tmp_path, "readings_a", [(1, "a", 10, MINUTES - 3000, None, False)])
    ingest(suite)
    product = suite.definitions.product("leak")
    with Sandbox(suite.lake) as sandbox:
        then = sandbox.ingest_id
    write(tmp_path, "readings_late", [(2, "a", 20, MINUTES - 2000, None, False)])
    ingest(suite)
    sources = suite.definitions.sources_of(product)
    with Sandbox(suite.lake) as sandbox:
        for ingest_id, count in ((None, 2), (then, 1)):
            with sandbox.at(AS_OF, sources, ingest_id=ingest_id) as view:
                assert view.cursor.execute("SELECT count(*) FROM readings").fetchone() == (count,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('data/readings.csv')",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "CREATE TABLE lake.sources.planted AS SELECT 1 AS x",
    ],
)
def test_the_doors_are_closed_even_for_a_query_that_was_not_checked(tmp_path: Path, query: str) -> None:
    """A second line of defence, behind the check: no files, no settings, no writes."""
    import duckdb

    suite = make_suite(tmp_path)
    write(tmp_path, "readings", [(1, "a", 10, 0, None, False)])
    ingest(suite)
    product = suite.definitions.product("leak")
    sources = suite.definitions.sources_of(product)
    with Sandbox(suite.lake) as sandbox, sandbox.at(AS_OF, sources) as view, pytest.raises(duckdb.Error):
        view.cursor.execute(query)
