"""What sources promise, at the very bound of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.complete import Lacking, why_refused
from jobs.facts.ingest import ingest
from jobs.facts.reading import Reading
from jobs.suite import open_suite
from tests.conftest import NOW, clock_at
from warehouse.definitions import Source
from warehouse.facts.promises import _deliveries, _volume
from warehouse.facts.watermarks import Watermarks, merged
from warehouse.ledger.records import newest_ingest_id

AT = datetime(2026, 3, 1)
HOUR = timedelta(hours=1)


def source_with(starter: Path, header: str) -> Source:
    file = starter / "sql/sources/orders.sql"
    file.write_text(file.read_text().replace("known_at: ", f"{header}\nknown_at: ", 1))
    return open_suite(starter, clock_at(NOW)).definitions.source("orders")


def test_stretches_just_as_far_apart_as_is_allowed_are_one_and_a_microsecond_more_is_a_gap() -> None:
    near = [(AT, AT + HOUR), (AT + 2 * HOUR, AT + 3 * HOUR)]
    assert merged(near, HOUR) == [(AT, AT + 3 * HOUR)]
    assert merged(near, HOUR - timedelta(microseconds=1)) == near
    assert merged([(AT, AT + 5 * HOUR), *near], timedelta()) == [(AT, AT + 5 * HOUR)]


@pytest.mark.parametrize(("n_rows", "broken"), [(9, 1), (10, 0), (20, 0), (21, 1)])
def test_just_as_many_rows_as_are_promised_keep_the_promise(starter: Path, n_rows: int, broken: int) -> None:
    source = source_with(starter, "expect: {rows: {at_least: 10, at_most: 20}}")
    assert len(_volume(source, [n_rows, 15.0])) == broken


@pytest.mark.parametrize(
    ("lacking", "allowed", "refused"), [(10, None, False), (11, None, True), (11, 11, False), (11, 12, True)]
)
def test_a_delivery_may_lack_just_what_is_allowed_or_the_very_number_that_somebody_names(
    starter: Path, lacking: int, allowed: int | None, refused: bool
) -> None:
    source = source_with(starter, "delivery: {kind: complete, at_most: 10%}")
    found = Lacking(held=100, lacking=lacking, rows=100 - lacking)
    assert bool(why_refused(source, Reading(), found, allowed)) == refused


def test_labels_are_settled_as_of_the_source_that_has_delivered_least(starter: Path) -> None:
    for name in ("orders", "deliveries"):
        file = starter / f"sql/sources/{name}.sql"
        file.write_text(file.read_text().replace("known_at: ", "expect: {every: 2 days}\nknown_at: ", 1))
    # Its newest five days are missing.
    file = starter / "data/deliveries.csv"
    header, *lines = file.read_text().splitlines()
    place = header.split(",").index("delivered_at")
    kept = [line for line in lines if line.split(",")[place] < "2026-03-20"]
    assert 0 < len(kept) < len(lines)
    file.write_text("\n".join([header, *kept]) + "\n")
    suite = open_suite(starter, clock_at(NOW))
    ingest(suite)
    both = [suite.definitions.source(name) for name in ("orders", "deliveries")]
    with suite.lake.reading() as connection:
        watermarks = Watermarks(connection, newest_ingest_id(connection))
        alone = [watermarks.known_until([source], NOW) for source in both]
        assert alone[1] < alone[0] <= NOW
        assert watermarks.known_until(both, NOW) == alone[1]
        assert watermarks.known_until([], NOW) == NOW


def test_a_source_is_late_a_microsecond_after_the_next_fact_had_to_be_here(starter: Path) -> None:
    source = source_with(starter, "expect: {every: 2 days}")
    suite = open_suite(starter, clock_at(NOW))
    ingest(suite, ["orders"])
    with suite.lake.reading() as connection:
        watermarks = Watermarks(connection, newest_ingest_id(connection))
        due = watermarks.runs(source)[-1][1] + timedelta(days=2) + source.header.arrives_within
        before = _deliveries(source, watermarks, due)
        after = _deliveries(source, watermarks, due + timedelta(microseconds=1))
    assert len(after) == len(before) + 1
    assert "late" in after[-1].sentence
