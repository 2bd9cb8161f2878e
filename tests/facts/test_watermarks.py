"""How far sources have delivered: labels are made as of that, and what a source promised and did not keep is told."""

from __future__ import annotations

import random
import sqlite3
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.outcomes import matured_pages, settle_labels
from jobs.schedule.alerts import alert_of_promises
from jobs.schedule.files.readiness_names import watermarks_of
from jobs.schedule.files.reading import Known, read_schedule
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.readiness import why_unready
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from jobs.suites.status import status
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from warehouse.definitions import Source
from warehouse.definitions.expect import parse_amount
from warehouse.errors import DefinitionError
from warehouse.facts.promises import broken_promises
from warehouse.facts.watermarks import Watermarks, merged

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
START = datetime(2026, 1, 1)
HEADER = """/*
description: A reading an hour.
key: [n]
files: data/beats*.csv
known_at: read_at
arrives_within: 1 hour
{expect}
*/
SELECT n, read_at, value FROM read_csv($files, header = true, types = {{'n': 'INTEGER', 'read_at': 'TIMESTAMP'}})
"""


def deliver(root: Path, name: str, first: datetime, hours: int, *, value: int = 0) -> None:
    hour = int((first - START) / HOUR)
    lines = [f"{hour + n},{first + n * HOUR},{value}" for n in range(hours)]
    (root / "data" / f"beats{name}.csv").write_text("\n".join(["n,read_at,value", *lines]) + "\n")


def beats(root: Path, expect: str, now: datetime = NOW) -> Suite:
    (root / "sql/sources/beats.sql").write_text(HEADER.format(expect=expect))
    return open_suite(root, clock_at(now))


def broken(suite: Suite, now: datetime) -> list[str]:
    with suite.lake.reading() as connection:
        return [each.sentence for each in broken_promises(connection, [suite.definitions.source("beats")], now)]


def watermark(suite: Suite, at: datetime) -> datetime:
    with suite.lake.reading() as connection:
        return Watermarks(connection, 1 << 40).of(suite.definitions.source("beats"), at)


def test_a_day_that_never_came_holds_the_watermark_though_later_ones_are_there(starter: Path) -> None:
    expect = "expect: {every: 2 hours}"
    for day in (0, 1, 3):
        deliver(starter, f"{day}", START + day * DAY, 24)
        ingest(beats(starter, expect, START + (day + 1) * DAY + HOUR), ["beats"])
    suite = beats(starter, expect)
    gap = START + 2 * DAY - HOUR
    assert watermark(suite, START + 2 * DAY + 2 * HOUR) == gap
    assert watermark(suite, NOW) == gap
    assert watermark(suite, START + DAY + HOUR) == START + DAY - HOUR, "what came later was not there yet"
    assert watermark(suite, START + 12 * HOUR) == START + 11 * HOUR, "before the first, facts count as if on time"
    found = broken(suite, START + 4 * DAY)
    assert len(found) == 1
    assert "a gap: nothing became known from 2026-01-02 23:00 (UTC) to 2026-01-04 00:00 (UTC)" in found[0]
    due = START + 4 * DAY - HOUR + 2 * HOUR + HOUR
    assert broken(suite, due) == found, "the next fact may take as long as all do to reach us"
    assert "late: its newest fact is of 2026-01-04 23:00" in broken(suite, due + timedelta(microseconds=1))[1]
    deliver(starter, "2", START + 2 * DAY, 24)
    done = almanac(starter, "ingest", "beats")
    assert "beats: late" in done.stderr
    assert "a gap" not in done.stderr
    assert watermark(suite, datetime(2050, 1, 1)) == START + 4 * DAY - HOUR


def test_a_stretch_that_is_said_to_be_quiet_is_no_gap(starter: Path) -> None:
    for day in (0, 2):
        deliver(starter, f"{day}", START + day * DAY, 24)
    quiet = "expect: {every: 2 hours, quiet: [{after: 2026-01-02, before: 2026-01-03}]}"
    suite = beats(starter, quiet)
    ingest(suite, ["beats"])
    assert watermark(suite, NOW) == START + 3 * DAY - HOUR
    assert watermark(beats(starter, "expect: {every: 2 hours}"), NOW) == START + DAY - HOUR
    since_before = quiet.replace("2026-01-02", "2025-12-30")
    assert watermark(beats(starter, since_before), NOW) == START + 3 * DAY - HOUR, "also if it began before all facts"


def test_a_delivery_of_no_rows_says_that_there_was_nothing(starter: Path) -> None:
    expect = "expect: {every: 12 hours}"
    deliver(starter, "0", START, 24)
    ingest(beats(starter, expect, START + DAY), ["beats"])
    (starter / "data/beats1.csv").touch()
    at = START + DAY + 10 * HOUR
    ingest(beats(starter, expect, at), ["beats"])
    assert watermark(beats(starter, expect), NOW) == at - HOUR


def test_a_change_that_is_known_from_its_ingestion_says_nothing_of_how_far_a_source_is(starter: Path) -> None:
    expect = "expect: {every: 12 hours}"
    deliver(starter, "0", START, 24)
    ingest(beats(starter, expect, START + DAY), ["beats"])
    deliver(starter, "1", START, 1, value=9)
    ingest(beats(starter, expect, START + DAY + 5 * HOUR), ["beats"])
    assert rows(beats(starter, expect), "SELECT count(*) FROM sources.beats WHERE n = 0") == [(2,)]
    assert watermark(beats(starter, expect), NOW) == START + DAY - HOUR


def test_a_source_can_say_in_its_rows_how_far_it_is(starter: Path) -> None:
    deliver(starter, "0", START, 3)
    suite = beats(starter, "watermark: date_trunc('day', read_at) + INTERVAL 1 DAY", START + DAY)
    ingest(suite, ["beats"])
    assert watermark(suite, NOW) == START + DAY
    assert watermark(suite, START + DAY) == START + DAY - HOUR


def test_what_is_unusual_is_told_by_every_command_that_looks(starter: Path) -> None:
    expect = "expect: {rows: {at_least: half of usual, at_most: 40}, newest: within 26 hours}"
    for day, hours in enumerate((24, 24, 24, 11)):
        deliver(starter, f"{day}", START + day * DAY, hours)
        ingest(beats(starter, expect, START + (day + 1) * DAY), ["beats"])
    suite = beats(starter, expect)
    (rows_are,) = broken(suite, START + 4 * DAY)
    assert rows_are == "beats: its newest delivery has 11 rows, not at least half of usual, and 24 are usual"
    said = "its newest fact is of 2026-01-04 10:00 (UTC), and should be no older than 26 hours"
    for command in ("status", "doctor", "ingest"):
        done = almanac(starter, command)
        assert said in " ".join((done.stdout + done.stderr).split()), command
    assert {row["expect"] for row in status(suite).broken_promises} == {"rows", "newest"}
    deliver(starter, "9", START + 4 * DAY, 48)
    ingest(suite, ["beats"])
    assert "not at most 40" in broken(suite, START + 6 * DAY)[0]


@pytest.mark.parametrize(
    ("text", "rows_of_ten"),
    [(100, 100), ("half of usual", 5), ("80% of usual", 8), ("twice usual", 20), ("3 times usual", 30)],
)
def test_an_amount_of_rows_is_a_number_or_a_share(text: object, rows_of_ten: float) -> None:
    assert parse_amount(text).rows(10) == rows_of_ten


@pytest.mark.parametrize("mistake", ["{rows: {at_least: some}}", "{every: 0}", "{newest: soon}",
                                     "{quiet: [{after: 2026-02-01, before: 2026-01-01}]}"])  # fmt: skip
def test_a_promise_that_is_not_understood_is_a_mistake(starter: Path, mistake: str) -> None:
    with pytest.raises(DefinitionError, match="expect"):
        beats(starter, f"expect: {mistake}")


def test_stretches_as_far_apart_as_something_is_expected_are_one() -> None:
    hours = [START + n * HOUR for n in range(10)]
    apart = [(hours[4], hours[5]), (hours[0], hours[2]), (hours[1], hours[1])]
    assert merged(apart, 2 * HOUR) == [(hours[0], hours[5])]
    assert merged(apart, 2 * HOUR - timedelta(microseconds=1)) == [(hours[0], hours[2]), (hours[4], hours[5])]


def test_the_runs_are_those_that_looking_at_each_fact_gives() -> None:
    """Random facts and ingestions against the rule in plain Python."""
    chance = random.Random(13)
    source_text = HEADER.format(expect="expect: {every: 90 seconds}")
    for _ in range(40):
        facts = sorted((chance.randrange(4), chance.randrange(2_000)) for _ in range(chance.randrange(1, 60)))
        with duckdb.connect() as connection:
            connection.execute("CREATE SCHEMA sources; CREATE SCHEMA ledger")
            connection.execute("CREATE TABLE sources.beats (ingest_id BIGINT, known_at TIMESTAMP)")
            columns = "ingest_id BIGINT, source VARCHAR, ingested_at TIMESTAMP, definition VARCHAR, rows_read BIGINT"
            columns += ", rows_new BIGINT, rows_restated BIGINT, rows_withdrawn BIGINT, min_known_at TIMESTAMP"
            connection.execute(f"CREATE TABLE ledger.ingestions ({columns})")
            for ingest_id in range(4):
                values = [ingest_id, START + timedelta(days=1 + ingest_id), _source(source_text).fingerprint]
                row = "INSERT INTO ledger.ingestions VALUES ($1, 'beats', $2, $3, 1, 1, 0, 0, NULL)"
                connection.execute(row, values)
            for ingest_id, second in facts:
                known = [ingest_id, START + timedelta(seconds=second)]
                connection.execute("INSERT INTO sources.beats VALUES ($1, $2)", known)
            for newest in range(4):
                known_at = sorted(second for ingest_id, second in facts if ingest_id <= newest)
                end = next((a for a, b in pairwise(known_at) if b - a > 90), None)
                end = end if end is not None or not known_at else known_at[-1]
                found = Watermarks(connection, 99).of(_source(source_text), NOW, newest)
                assert found == (START + timedelta(seconds=end) if end is not None else datetime.min)


def _source(text: str) -> Source:
    from warehouse.definitions.source import SourceHeader
    from warehouse.definitions.sql_file import SqlFile, read_header
    from warehouse.queries.checked_query import check_query

    end = text.index("*/")
    file = SqlFile("beats.sql", text[2:end], 1, text)
    header = read_header(SourceHeader, file, [])
    assert header is not None
    query = check_query(file.statement, "beats.sql", tables=(), parameters={"files"}, reads_files=True)
    return Source("beats", file, header, query)


LABEL = """/*
description: Whether an order of the page came late, or not at all within four days.
*/
SELECT order_id, (delivered_at IS NULL OR delivered_at > promised_at)::INTEGER AS label
FROM orders
LEFT JOIN (SELECT order_id, delivered_at FROM deliveries WHERE delivered_at < $as_of + INTERVAL 4 DAY) USING (order_id)
WHERE promised_at > $as_of AND promised_at <= $as_of + INTERVAL 2 DAY AND $known_by >= $as_of + INTERVAL 4 DAY
"""


def test_a_week_that_did_not_arrive_makes_no_label(published: Suite) -> None:
    """Labels of the time that was not delivered wait, and are what they would have been once it is."""
    suite = published
    (suite.root / f"sql/products/{PRODUCT}/label.sql").write_text(LABEL)
    header = suite.root / "sql/sources/deliveries.sql"
    text = header.read_text()
    product = suite.definitions.product(PRODUCT)

    def labels() -> dict[str, int]:
        settle_labels(reopened(suite), product=reopened(suite).definitions.product(PRODUCT))
        return dict(rows(suite, f"SELECT order_id, label FROM labels.{PRODUCT} WHERE as_of = $1", [PAGE]))

    truth = labels()
    assert len(truth) > 10
    week = (PAGE - 2 * DAY, PAGE + 5 * DAY)
    lost = rows(suite, "SELECT * FROM sources.deliveries WHERE known_at >= $1 AND known_at < $2", list(week))
    with suite.lake.commit("as if a week had never come") as commit:
        commit.execute("DELETE FROM sources.deliveries WHERE known_at >= $1 AND known_at < $2", list(week))
    header.write_text(text.replace("arrives_within", "# \narrives_within"))
    with suite.lake.commit("look again") as commit:
        commit.execute("DELETE FROM ledger.pages WHERE kind = 'labels'")
    wrong = labels()
    assert sum(wrong.values()) > sum(truth.values()), "without a promise the orders look late"
    header.write_text(text.replace("arrives_within", "expect: {every: 1 day}\narrives_within"))
    assert labels() == {}
    assert matured_pages(reopened(suite), product, [PAGE - 10 * DAY, PAGE], NOW) == [PAGE - 10 * DAY]
    (suite.root / "data/deliveries-late.csv").write_text(
        "\n".join(["order_id,delivered_at", *(f"{row[0]},{row[1]}" for row in lost)]) + "\n"
    )
    ingest(reopened(suite), ["deliveries"])
    assert labels() == truth
    before = suite.lake.newest_snapshot()
    assert labels() == truth
    assert suite.lake.newest_snapshot() == before, "what is settled is not made again"


def test_a_job_can_wait_for_watermarks(ingested: Suite) -> None:
    header = ingested.root / "sql/sources/orders.sql"
    text = header.read_text()
    question = (watermarks_of(PRODUCT), PAGE)
    assert why_unready(ingested, [question]) == {question: None}
    header.write_text(text.replace("arrives_within", "expect: {every: 1 day}\narrives_within"))
    assert why_unready(reopened(ingested), [question]) == {question: None}
    ahead = (watermarks_of(PRODUCT), NOW)
    (said,) = why_unready(reopened(ingested), [ahead]).values()
    assert said is not None
    assert said.startswith("not ready: orders has delivered up to 2026-0")
    known = Known([PRODUCT], ["orders"], [])
    schedule = read_schedule("jobs: {a: {run: {predict: late_order}, every: 1 day, ready_when: watermarks}}", known)
    assert schedule.jobs["a"].ready_when == watermarks_of(PRODUCT)
    with pytest.raises(DefinitionError, match="goes with `predict` or `train`"):
        read_schedule("jobs: {a: {run: upkeep, every: 1 day, ready_when: watermarks}}", known)


def test_what_breaks_and_what_is_kept_again_is_told_once_each() -> None:
    store, schedule = TickStore(sqlite3.connect(":memory:")), Schedule(alerts=("OPS",))
    gap = {("orders", "every"): "orders: a gap"}
    for hour, found in enumerate([{}, gap, gap, gap | {("orders", "x.csv"): "cannot be read"}, gap, {}, {}]):
        with store.writing():
            alert_of_promises(store, schedule, found, PAGE + hour * HOUR)
    titles = [row["title"] for row in store.db.execute("SELECT title FROM alerts ORDER BY raised_at")]
    assert titles == ["orders does not deliver what it should"] * 2 + ["orders delivers again"] * 2
