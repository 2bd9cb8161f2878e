"""The main job on real data: every flight from New York of 2013, from files to a table that applications query.

It trains on fewer pages, and fewer trees, than `almanac demo` does, to save time; `.ci/run` runs that as it stands.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from jobs.models.artifacts import read_artifact
from jobs.models.versions import load_scorer, model_history
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.scoring import estimator_scorer
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_flights
from tests.command_line import almanac, said
from tests.effort import EFFORT
from tests.flights.by_hand import history, read_rows, work_out, zones_by_airport
from tests.lakes import rows
from tests.shards import check_published_by_spark, check_published_pages, copied, needs_spark
from warehouse.lake.lake import check_format

PRODUCT = "flight_delay"
YAML = f"sql/products/{PRODUCT}/product.yaml"
SINCE = "2013-08-20"
PAGE = datetime(2013, 10, 3, 22)
#: The queries that look at no source, or at all flights.
WHOLE = {"calendar", "congestion", "winds_aloft"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, str]:
    root = tmp_path_factory.mktemp("demo") / "suite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.suites.demo.make_flights", make_a_smaller_one)
        printed = said(root.parent, "demo", str(root))
    return open_suite(root, lambda: datetime(2026, 1, 1)), printed


def make_a_smaller_one(directory: Path) -> None:
    make_flights(directory)
    file = directory / YAML
    text = file.read_text()
    assert "max_iter: 70" in text
    assert "since: 2013-01-08" in text
    file.write_text(text.replace("max_iter: 70", "max_iter: 40").replace("since: 2013-01-08", f"since: {SINCE}"))


def test_it_publishes_october_pages_and_shows_what_applications_ask(demo: tuple[Suite, str]) -> None:
    suite, printed = demo
    pages = rows(
        suite, "SELECT as_of FROM ledger.published_pages WHERE kind = 'predictions' AND product = $1", [PRODUCT]
    )
    assert len(pages) >= 7
    assert all(datetime(2013, 10, 1) <= page[0] < datetime(2013, 11, 1) for page in pages)
    assert "FROM predictions.flight_delay_current" in printed
    assert "ingest" in printed
    assert rows(suite, "SELECT count(*) > 0 FROM predictions.flight_delay_current") == [(True,)]


def test_its_sources_hold_every_row_of_the_files(demo: tuple[Suite, str]) -> None:
    suite, _ = demo
    assert rows(suite, "SELECT count(*) FROM sources.landings") == [(336_776,)]
    outcomes = dict(rows(suite, "SELECT outcome, count(*) FROM sources.landings GROUP BY outcome"))
    assert outcomes == {"landed": 327_346, "cancelled": 8_255, "diverted": 1_175}
    assert rows(suite, "SELECT reason FROM rejects.weather") == [("wind speed is plausible",)]


def test_a_page_in_shards_is_the_same_in_every_bit(demo: tuple[Suite, str], tmp_path: Path) -> None:
    suite = copied(demo[0], tmp_path)
    assert len(suite.definitions.product(PRODUCT).header.features) == 13
    check_published_pages(suite, PRODUCT, PAGE, WHOLE, scores_in_tasks=True)


@pytest.mark.spark
@needs_spark
def test_spark_publishes_a_page_that_is_the_same_in_every_bit(
    demo: tuple[Suite, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_published_by_spark(copied(demo[0], tmp_path), PRODUCT, PAGE, monkeypatch)


def test_every_query_splits_but_for_those_that_look_at_all_flights(demo: tuple[Suite, str]) -> None:
    suite, _ = demo
    [plan] = json.loads(said(suite.root, "plan", PRODUCT, "--shards", "7", "--json", "--from", str(PAGE)))
    whole = {way["query"]: way["why"] for way in plan["shard_ways"] if way["way"] == "whole, in one task"}
    assert whole.keys() == WHOLE
    assert len(plan["shard_ways"]) == 14
    assert whole["congestion"].startswith("its window does not hold `origin` (line 16: PARTITION BY")
    assert whole["winds_aloft"].startswith("it aggregates all rows, with no GROUP BY (line 30)")


def test_features_of_a_page_are_those_worked_out_by_hand(demo: tuple[Suite, str]) -> None:
    suite, _ = demo
    zones = zones_by_airport()
    flights = [work_out(row, zones) for row in read_rows("flights.csv.zip") if row["month"] in ("9", "10")]
    by_carrier = history(flights, ["carrier"], "carrier", PAGE)
    names = list(next(iter(by_carrier.values())))
    listed = ", ".join(names)
    found = rows(suite, f"SELECT DISTINCT carrier, {listed} FROM features.flight_delay WHERE as_of = $1", [PAGE])
    assert len(found) > 10
    for carrier, *values in found:
        for name, value in zip(names, values, strict=True):
            wanted = by_carrier[(carrier,)][name]
            same = value == wanted if value is None or wanted is None else math.isclose(value, wanted, rel_tol=1e-12)
            assert same, (carrier, name, value, wanted)


def test_the_model_beats_chance_on_pages_made_from_what_was_known(demo: tuple[Suite, str]) -> None:
    suite, _ = demo
    metrics = rows(suite, "SELECT metrics['validation_roc_auc'] FROM ledger.models")[0][0]
    assert metrics > 0.62  # and 0.68 of all of it: see `.ci/run`


def test_every_flight_is_scored_alike_by_the_kernel_and_the_estimator(demo: tuple[Suite, str]) -> None:
    """Raw predictions and probabilities agree in every bit: of the pages that the demo made, or of all of 2013."""
    suite = with_a_page_for_each_day_of_2013(demo[0]) if EFFORT >= 10 else demo[0]
    with suite.lake.reading() as connection:
        model = model_history(connection, PRODUCT).version("v1")
        suite_id = check_format(connection, suite.lake.root)
    scorer = load_scorer(suite.lake, model)
    assert scorer.kind.startswith("bitvector")
    reference = estimator_scorer(read_artifact(model, suite.lake.root, suite_id), model.features)
    flights = set()
    with suite.lake.reading() as connection:
        for batch in connection.execute("FROM features.flight_delay").to_arrow_reader(50_000):
            assert np.array_equal(scorer.raw(batch), reference.raw(batch))
            assert np.array_equal(scorer.predict(batch), reference.predict(batch))
            keys = batch.select(["flight_date", "carrier", "flight", "origin"])
            flights |= set(zip(*(column.to_pylist() for column in keys.columns), strict=True))
    first, last = min(flight[0] for flight in flights), max(flight[0] for flight in flights)
    query = "SELECT count(*) FROM sources.schedule WHERE flight_date BETWEEN $1 AND $2"
    assert rows(suite, query, [first, last]) == [(len(flights),)]
    assert len(flights) == 336_776 or (EFFORT < 10 and len(flights) > 40_000)


def with_a_page_for_each_day_of_2013(suite: Suite) -> Suite:
    """Make what feature pages the demo did not: of the first days, for which it has no history, and of the last."""
    file = suite.root / YAML
    file.write_text(file.read_text().replace(f"since: {SINCE}", "since: 2012-12-31"))
    suite = open_suite(suite.root, suite.clock)
    order = BackfillOrder(PRODUCT, datetime(2012, 12, 31), datetime(2013, 12, 31), features_only=True)
    made = backfill(suite, order)
    assert not made.failed
    return suite


def test_the_demo_refuses_a_directory_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    done = almanac(tmp_path, "demo", str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
