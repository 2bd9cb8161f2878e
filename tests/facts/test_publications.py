"""A product's predictions as a source: known when they were published, never before, and restated with their page."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, reopened
from tests.lakes import rows
from warehouse.definitions import load_definitions
from warehouse.errors import DefinitionError
from warehouse.sandbox import Sandbox

SAID = """/*
description: What we said of each order.
product: late_order
key: [order_id, as_of]
arrives_within: 10 minutes
{more}*/
SELECT order_id, as_of, probability, model_version, published_at, as_if_on_time
FROM read_parquet($files)
"""
AGAIN = NOW + timedelta(hours=6)


def with_source(suite: Suite, more: str = "") -> Suite:
    (suite.root / "sql/sources/said.sql").write_text(SAID.format(more=more))
    return reopened(suite)


def seen_at(suite: Suite, instant: datetime) -> dict[datetime, int]:
    """Count the predictions that a page of this instant sees, by their own page."""
    with Sandbox(suite.lake) as sandbox, sandbox.at(instant, [suite.definitions.source("said")]) as page:
        return dict(page.cursor.execute("SELECT as_of, count(*) FROM said GROUP BY as_of").fetchall())


def test_publications_are_known_when_they_were_published_and_never_before(published: Suite) -> None:
    suite = with_source(published)
    ((n_rows,),) = rows(suite, "SELECT count(*) FROM predictions.late_order")
    (first,) = ingest(suite, ["said"])
    assert first.ingestion is not None
    assert (first.ingestion.rows_new, first.ingestion.min_known_at) == (n_rows, NOW)
    # As if it had not been: the page of March was made in April, and no page before that sees it.
    assert seen_at(suite, PAGE + timedelta(days=1)) == seen_at(suite, NOW) == {}
    assert seen_at(suite, NOW + timedelta(minutes=10)) == {}
    assert seen_at(suite, NOW + timedelta(minutes=10, microseconds=1)) == {PAGE: n_rows}
    assert [result.ingestion for result in ingest(suite, ["said"])] == [None]


def test_a_page_that_replaces_another_restates_it_and_hindsight_is_left_out(published: Suite) -> None:
    suite = with_source(published)
    run_page(reopened(suite, AGAIN), PRODUCT, PAGE)
    early = TRAINED_AS_OF - timedelta(days=3, hours=6)
    run_page(reopened(suite, AGAIN), PRODUCT, early, version="v1", hindsight=True)
    # Two publications of one page: two deliveries, each with what was said then.
    results = ingest(reopened(suite, AGAIN), ["said"])
    counts = [(one.ingestion.rows_new, one.ingestion.rows_restated) for one in results if one.ingestion]
    ((n_rows,),) = rows(suite, f"SELECT count(*) FROM predictions.late_order WHERE as_of = TIMESTAMP '{PAGE}'")
    assert counts == [(n_rows, 0), (0, n_rows)]
    found = rows(suite, "SELECT as_of, known_at, count(*) FROM sources.said GROUP BY ALL ORDER BY known_at")
    assert found == [(PAGE, NOW, n_rows), (PAGE, AGAIN, n_rows)]
    assert [result.ingestion for result in ingest(reopened(suite, AGAIN), ["said"])] == [None]


def test_as_if_on_time_a_backfilled_page_counts_from_its_as_of_and_is_marked(published: Suite) -> None:
    suite = with_source(published, "as_if_on_time: true\n")
    early = TRAINED_AS_OF - timedelta(days=3, hours=6)
    run_page(suite, PRODUCT, early, version="v1", hindsight=True)
    ingest(suite, ["said"])
    assert rows(suite, "SELECT DISTINCT as_of, known_at, as_if_on_time FROM sources.said") == [(PAGE, PAGE, True)]
    assert seen_at(suite, PAGE + timedelta(minutes=10)) == {}
    assert seen_at(suite, PAGE + timedelta(minutes=11)).keys() == {PAGE}
    # Made again, it says something else from then on only.
    run_page(reopened(suite, AGAIN), PRODUCT, PAGE)
    ingest(reopened(suite, AGAIN), ["said"])
    with Sandbox(suite.lake) as sandbox, sandbox.at(NOW, [suite.definitions.source("said")]) as page:
        assert page.cursor.execute("SELECT DISTINCT published_at FROM said").fetchall() == [(NOW,)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("known_at: as_of\n", "has no `known_at`"),
        ("files: data/*.csv\n", "give one of `files`"),
    ],
)
def test_what_a_source_of_publications_cannot_say_is_refused(starter: Path, more: str, words: str) -> None:
    (starter / "sql/sources/said.sql").write_text(SAID.format(more=more))
    with pytest.raises(DefinitionError, match=words):
        load_definitions(starter)


def test_it_names_a_product_that_there_is(starter: Path) -> None:
    text = SAID.format(more="").replace("late_order", "late_ordre")
    (starter / "sql/sources/said.sql").write_text(text)
    with pytest.raises(DefinitionError, match=r"said.sql:3: there is no product `late_ordre`"):
        load_definitions(starter)
