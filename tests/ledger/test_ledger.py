"""What is appended to the ledger is read back as it was, and what cannot be stored is not stored as something else."""

from __future__ import annotations

import itertools
import math
import random
from datetime import datetime, timedelta

import duckdb
import pytest

from jobs.suite import Suite
from tests.conftest import NOW, PRODUCT
from tests.lakes import rows
from warehouse.errors import PublishFailed
from warehouse.ledger import records as ledger
from warehouse.ledger.records import (
    DefinitionsRecord,
    GridRecord,
    ModelRecord,
    PageRecord,
    Record,
    SourceFacts,
    WrongRow,
)
from warehouse.pages.publishing import record_definitions

ODD_TEXT = 'a\1b "quoted" \\ \'single\' \N{OLD PERSONAL COMPUTER} \N{LINE SEPARATOR} {"a": null}'
MICROSECONDS = datetime(1969, 12, 31, 23, 59, 59, 999_999)


def append(suite: Suite, *records: Record) -> None:
    with suite.lake.commit("odd records") as commit:
        ledger.append(commit, records)


def model(**values: object) -> ModelRecord:
    texts = dict.fromkeys(
        ["definitions", "estimator", "parameters", "artifact", "sha256", "scorer", "scorer_reason", "trained_by"], "-"
    )
    times = dict.fromkeys(["label_cutoff", "trained_at", "first_page", "last_page"], NOW)
    numbers = dict.fromkeys(["n_pages", "n_rows", "ingest_id", "seed"], 1)
    kept = {"product": PRODUCT, "version": "odd", "run_id": "-", "features": [], "metrics": {}, "libraries": {}}
    return ModelRecord(**{**texts, **times, **numbers, **kept, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [ODD_TEXT, "", "null", "NaN", "12", "[1]", "x" * 3_000_000])
def test_texts_come_back_as_they_were(ingested: Suite, text: str) -> None:
    append(ingested, WrongRow("odd", PRODUCT, MICROSECONDS, text, text))
    append(ingested, DefinitionsRecord("odd", PRODUCT, NOW, {text: text}))
    query = "SELECT as_of, name, wrong_row FROM ledger.wrong_rows WHERE run_id = 'odd'"
    assert rows(ingested, query) == [(MICROSECONDS, text, text)]
    files = rows(ingested, "SELECT files FROM ledger.definitions WHERE definitions = 'odd'")
    assert files == [({text: text},)]


def test_numbers_come_back_to_the_last_bit(ingested: Suite) -> None:
    numbers = {"third": 1 / 3, "least": 5e-324, "most": -math.inf, "zero": -0.0, "whole": 3.0}
    append(ingested, model(metrics={**numbers, "none": math.nan}, seed=2**63 - 1), model(version="empty"))
    query = "SELECT metrics, seed, importance FROM ledger.models WHERE version = $1"
    ((metrics, seed, importance),) = rows(ingested, query, ["odd"])
    assert math.isnan(metrics.pop("none"))
    assert {name: repr(value) for name, value in metrics.items()} == {name: repr(x) for name, x in numbers.items()}
    assert (seed, importance) == (2**63 - 1, {})
    assert rows(ingested, query, ["empty"]) == [({}, 1, {})]


def test_what_is_unknown_stays_unknown(ingested: Suite) -> None:
    page = PageRecord(PRODUCT, "features", MICROSECONDS, "failed", "odd", "-", 1, NOW, 1)
    append(ingested, page, page)
    query = "SELECT model_version, valid_until, note, n_rows FROM ledger.pages WHERE run_id = 'odd'"
    assert rows(ingested, query) == [(None, None, None, 0)] * 2


def test_what_a_column_cannot_hold_is_refused(ingested: Suite) -> None:
    before = ingested.lake.newest_snapshot()
    for unfit in ({"seed": 2**63}, {"metrics": {"auc": "good"}}, {"label_cutoff": "yesterday"}):
        with pytest.raises(PublishFailed, match="the commit «odd records» did not take place"):
            append(ingested, model(**unfit))
    assert ingested.lake.newest_snapshot() == before


def test_facts_bear_on_what_is_made_after_them_and_not_on_what_is_made_at_their_own_instant() -> None:
    tick = timedelta(microseconds=1)
    facts = SourceFacts(ingestions=[(3, NOW - tick), (4, NOW), (5, None), (7, NOW - tick)])
    assert facts.newer_than(2, NOW) == 3
    assert facts.newer_than(3, NOW) == 7, "what became known at that instant does not exist for it"
    assert facts.newer_than(3, NOW + tick) == 4
    assert facts.newer_than(7, NOW) is None


def test_a_grid_is_noted_once_although_the_clock_was_set_back_since_the_one_before(ingested: Suite) -> None:
    product = ingested.definitions.product(PRODUCT)
    for _ in range(2):
        with ingested.lake.commit("a page") as commit:
            record_definitions(commit, product, "a fingerprint", ingested.definitions, NOW)
    append(ingested, GridRecord(PRODUCT, "@daily", "UTC", datetime(2026, 1, 1), NOW + timedelta(days=365)))
    for _ in range(2):
        with ingested.lake.commit("a page") as commit:
            record_definitions(commit, product, "a fingerprint", ingested.definitions, NOW)
    noted = rows(ingested, "SELECT cron FROM ledger.grids ORDER BY rowid")
    assert noted == [(product.header.pages.cron,), ("@daily",), (product.header.pages.cron,)]


def test_pages_are_asked_for_as_the_view_of_what_is_published_has_them(ingested: Suite) -> None:
    rng = random.Random(7)
    days = [NOW + timedelta(days=n) for n in range(9)]
    tried = [
        PageRecord(
            product=rng.choice((PRODUCT, "lat", "late_order features")),
            kind=rng.choice(("features", "predictions", "labels")),
            as_of=rng.choice(days),
            state=rng.choice(("published", "published", "published", "lost", "failed", "rejected")),
            run_id=f"run {n}",
            definitions="-",
            ingest_id=1,
            recorded_at=NOW + timedelta(minutes=rng.randint(0, 3)),
            snapshot_id=1000 + n // 3,
            n_rows=n,
        )
        for n in range(300)
    ]
    # Of several that differ in nothing by which the newest is told, any may be it.
    tried = list({(one.product, one.kind, one.as_of, one.snapshot_id, one.recorded_at): one for one in tried}.values())
    append(ingested, *tried)
    with ingested.lake.reading() as connection:
        for product, kind in itertools.product((PRODUCT, "lat", "unknown"), ("features", "predictions", "p")):
            _compare(connection, [one for one in tried if one.product == product], product, kind, days)


def _compare(
    connection: duckdb.DuckDBPyConnection, tried: list[PageRecord], product: str, kind: str, days: list[datetime]
) -> None:
    query = "SELECT as_of, run_id, n_rows FROM ledger.published_pages WHERE product = $1 AND kind = $2 ORDER BY as_of"
    view = connection.execute(query, [product, kind]).fetchall()
    for among in (None, [days[3], days[5], days[4]], [days[2]]):
        found = ledger.published_pages(connection, product, kind, among)
        wanted = [row for row in view if among is None or min(among) <= row[0] <= max(among)]
        assert [(one.as_of, one.run_id, one.n_rows) for one in found.values()] == wanted
    sizes = ledger.published_sizes(connection, product, kind, days[4])
    assert sizes == [(as_of, n_rows) for as_of, _, n_rows in view if as_of < days[4]]
    since = ledger.attempts_since(connection, product, kind, 1050)
    assert since.keys() == {one.as_of for one in tried if one.kind == kind and one.snapshot_id > 1050}
    made = [one.n_rows for one in tried if one.state == "published" and one.kind in ("features", "predictions")]
    mean = ledger.rows_per_page(connection, product)
    assert mean == (pytest.approx(sum(made) / len(made)) if made else None)
