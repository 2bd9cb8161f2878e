"""The clock on a suite with a lake: pages made on time, readiness, freshness, costs."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import whole_app
from jobs.pages.predict import run_page
from jobs.schedule.alerts import alert_of_freshness
from jobs.schedule.costs import costs
from jobs.schedule.files.definitions import json_schema
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.readiness import why_unready
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_flights, make_starter
from jobs.suites.upkeep import upkeep
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.schedule.clock_suites import book_rows, open_webhook, run, run_json
from warehouse.errors import DefinitionError
from warehouse.ledger import records as ledger

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

SCHEDULE = """
jobs:
  orders:
    run: {predict: late_order}
    cron: "0 18 * * *"
    ready_when: deliveries_are_in
    owner: ada
  report: {run: {shell: "sleep 0.1"}, cron: "0 18 * * *", after: orders, team: readers}
"""
READY = """/* description: Deliveries of the hour before the page have come in. */
SELECT count(*) > {least} FROM deliveries WHERE known_at >= $as_of - INTERVAL 6 HOUR
"""


def write_readiness(suite: Path, text: str) -> None:
    (suite / "sql" / "readiness").mkdir(exist_ok=True)
    (suite / "sql" / "readiness" / "deliveries_are_in.sql").write_text(text)


def ask(suite: Suite) -> str | None:
    (answer,) = why_unready(suite, [("deliveries_are_in", PAGE)]).values()
    return answer


def test_a_page_is_made_on_time_once_its_data_are_complete(trained: Suite) -> None:
    (trained.root / "schedules.yaml").write_text(SCHEDULE)
    write_readiness(trained.root, READY.format(least=1_000_000))
    run(trained.root, "tick", "--now", str(PAGE - HOUR))
    done = run_json(trained.root, "tick", "--now", str(PAGE))
    assert (done["runs"], done["settled"]) == ([], [])
    (row, *_) = [row for row in run_json(trained.root, "ticks") if row["job"] == "orders"]
    assert (row["state"], row["reason"]) == ("waiting", "not ready: deliveries_are_in gives False")
    write_readiness(trained.root, READY.format(least=0))
    done = run_json(trained.root, "tick", "--now", str(PAGE + timedelta(minutes=2)))
    assert [(end["job"], end["outcome"]) for end in done["settled"]] == [("orders", "ran"), ("report", "ran")]
    query = f"SELECT count(*) AS n FROM predictions.{PRODUCT} WHERE as_of = TIMESTAMP '{PAGE}'"
    (counted,) = json.loads(run(trained.root, "query", query, "--format", "json"))
    assert counted["n"] > 0


def test_the_agenda_gives_each_tick_the_page_that_it_is_for(starter: Path) -> None:
    (starter / "schedules.yaml").write_text(
        'jobs: {orders: {run: {predict: late_order}, cron: "0 9 * * *", zone: Asia/Tokyo}}'
    )
    grid = open_suite(starter, clock_at(NOW)).definitions.products[PRODUCT]
    (tick,) = run_json(starter, "agenda", "--from", "2026-03-10", "--to", "2026-03-11")["ticks"]
    assert (tick["at"], tick["local"]) == ("2026-03-10T00:00:00Z", "2026-03-10 09:00+09:00")
    assert tick["page"] == f"{grid.page_at(datetime(2026, 3, 10)):%Y-%m-%dT%H:%M:%SZ}" != tick["at"]


def test_pages_that_were_missed_are_made_by_one_backfill(trained: Suite) -> None:
    text = SCHEDULE.replace("ready_when: deliveries_are_in", "catch_up: all")
    (trained.root / "schedules.yaml").write_text(text)
    run(trained.root, "tick", "--now", str(PAGE - 2 * DAY - HOUR))
    done = run_json(trained.root, "tick", "--now", str(PAGE + HOUR))
    assert [(end["page"], end["outcome"]) for end in done["settled"] if end["job"] == "orders"] == [
        (f"{page.isoformat()}Z", "caught up") for page in (PAGE - 2 * DAY, PAGE - DAY, PAGE)
    ]
    assert {row["run"] for row in run_json(trained.root, "ticks", "orders")} == {1}
    with trained.lake.reading() as connection:
        found = ledger.published_pages(connection, PRODUCT, "predictions")
        assert sorted(found) == [PAGE - 2 * DAY, PAGE - DAY, PAGE]


def test_of_the_pages_that_a_failed_backfill_was_to_make_those_that_are_there_count(trained: Suite) -> None:
    clock = SuiteClock(trained.root, TickStore(sqlite3.connect(":memory:")), clock_at(PAGE))
    assert clock.published(PRODUCT, [PAGE]) == set()
    run_page(trained, PRODUCT, PAGE)
    run_page(trained, PRODUCT, PAGE - 2 * DAY)
    assert clock.published(PRODUCT, [PAGE - DAY, PAGE]) == {PAGE}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT true WHERE $as_of > TIMESTAMP '2000-01-01'", None),
        ("SELECT false WHERE $as_of > TIMESTAMP '2000-01-01'", "not ready: deliveries_are_in gives False"),
        ("SELECT max(NULL) FROM deliveries", "not ready: deliveries_are_in gives None"),
        ("SELECT true FROM deliveries WHERE false", "not ready: deliveries_are_in gives no row"),
        ("SELECT true FROM deliveries", "not ready: deliveries_are_in gives more than one row"),
        ("SELECT nothing FROM deliveries", "the readiness query deliveries_are_in failed: "),
        ("SELECT true FROM read_csv('x')", "readiness cannot be asked: "),
    ],
)
def test_what_a_readiness_query_may_answer(ingested: Suite, query: str, said: str | None) -> None:
    write_readiness(ingested.root, f"/* description: x */\n{query}\n")
    found = ask(ingested)
    assert (found is None) == (said is None)
    assert said is None or (found or "").startswith(said)


def test_a_readiness_query_sees_what_was_known_at_the_page(ingested: Suite) -> None:
    text = "SELECT max(known_at) < $as_of AND count(*) > 0 FROM deliveries"
    write_readiness(ingested.root, f"/* description: x */\n{text}\n")
    assert ask(ingested) is None


def test_without_a_lake_nothing_is_ready(starter: Path) -> None:
    write_readiness(starter, READY.format(least=0))
    assert "there is no lake" in (ask(open_suite(starter, clock_at(PAGE))) or "")


def stale(suite: Suite, now: datetime) -> dict[str, str]:
    return SuiteClock(suite.root, TickStore(sqlite3.connect(":memory:")), clock_at(now)).stale_products(now)


def test_a_product_is_as_fresh_as_its_newest_page_and_an_old_page_helps_nothing(trained: Suite) -> None:
    product = trained.root / "sql" / "products" / PRODUCT / "product.yaml"
    product.write_text(product.read_text() + "\nfresh_within: 26 hours\n")
    suite = reopened(trained)
    run_page(suite, PRODUCT, PAGE)
    assert stale(suite, PAGE + 26 * HOUR) == {}
    said = f"{PRODUCT} is to be fresh within 26 hours, and its newest page is of {PAGE} (UTC)"
    assert stale(suite, PAGE + 27 * HOUR) == {PRODUCT: said}
    run_page(suite, PRODUCT, PAGE - DAY)
    assert stale(suite, PAGE + 27 * HOUR) == {PRODUCT: said}
    run_page(suite, PRODUCT, PAGE + DAY)
    assert stale(suite, PAGE + 27 * HOUR) == {}


def test_going_stale_and_being_fresh_again_are_told_once_each() -> None:
    tick_store, schedule = TickStore(sqlite3.connect(":memory:")), Schedule(alerts=("OPS",))
    said = {PRODUCT: "it is old"}
    for hour, found in enumerate([{}, said, said, said, {}, {}, said, {}]):
        with tick_store.writing():
            alert_of_freshness(tick_store, schedule, found, {PRODUCT}, PAGE + hour * HOUR)
    titles = [row["title"] for row in tick_store.db.execute("SELECT title FROM alerts ORDER BY raised_at")]
    assert titles == [f"{PRODUCT} is stale", f"{PRODUCT} is fresh again"] * 2


def test_a_product_that_is_no_longer_watched_is_not_said_to_be_fresh() -> None:
    tick_store, schedule = TickStore(sqlite3.connect(":memory:")), Schedule(alerts=("OPS",))
    for hour, (found, watched) in enumerate([({PRODUCT: "it is old"}, {PRODUCT}), ({}, set()), ({}, {PRODUCT})]):
        with tick_store.writing():
            alert_of_freshness(tick_store, schedule, found, watched, PAGE + hour * HOUR)
    assert [row["title"] for row in tick_store.db.execute("SELECT title FROM alerts")] == [f"{PRODUCT} is stale"]


def test_a_tick_by_hand_tells_of_a_stale_product(trained: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    product = trained.root / "sql" / "products" / PRODUCT / "product.yaml"
    product.write_text(product.read_text() + "\nfresh_within: 26 hours\n")
    schedule = "jobs: {orders: {run: {predict: late_order}, every: 1000 days, alerts: TEST_ALERTS}}"
    (trained.root / "schedules.yaml").write_text(schedule)
    run_page(reopened(trained), PRODUCT, PAGE)
    with open_webhook() as (address, received):
        monkeypatch.setenv("TEST_ALERTS", address)
        for hours in (25, 27, 28):
            run(trained.root, "tick", "--now", str(PAGE + hours * HOUR))
        run_page(reopened(trained), PRODUCT, PAGE + DAY)
        run(trained.root, "tick", "--now", str(PAGE + 29 * HOUR))
    assert [message["title"] for message in received] == [f"{PRODUCT} is stale", f"{PRODUCT} is fresh again"]


def test_costs_are_added_up_by_owner_team_product_and_job(trained: Suite) -> None:
    (trained.root / "schedules.yaml").write_text(SCHEDULE.replace("    ready_when: deliveries_are_in\n", ""))
    run(trained.root, "tick", "--now", str(PAGE - HOUR))
    run(trained.root, "tick", "--now", str(PAGE))

    tick_store = TickStore.open(trained.lake.root)

    def by(what: str) -> dict[Any, Any]:
        return {row[what]: row for row in costs(trained.lake, tick_store, what, None, None)}

    jobs = by("job")
    assert {"ingest", "train", "predict", "report"} <= jobs.keys()
    assert jobs["report"]["wall_s"] >= 0.1
    assert jobs["report"]["runs"] == 1
    assert jobs["report"]["peak_memory_bytes"] > 0
    assert jobs["predict"]["rows"] > 0
    assert jobs["predict"]["cpu_s"] > 0
    assert by("product").keys() == {PRODUCT, None}
    assert by("team")["readers"]["runs"] == 1
    total = sum(row["runs"] for row in by("owner").values())
    assert total == sum(row["runs"] for row in jobs.values())
    with trained.lake.reading() as connection:
        assert connection.execute("SELECT count(*) FROM ledger.costs").fetchall() == [(total - 1,)]
    assert costs(trained.lake, tick_store, "team", datetime(2100, 1, 1), None) == []
    assert {row["team"] for row in run_json(trained.root, "costs", "--by", "team")} == by("team").keys()
    assert "expected one of owner, team, product, job" in run(trained.root, "costs", "--by", "moon", expect=2)


def test_upkeep_forgets_ticks_of_more_than_400_days_ago(ingested: Suite) -> None:
    (ingested.root / "schedules.yaml").write_text('jobs: {report: {run: {shell: "true"}, every: 1 day, catch_up: all}}')
    for now in (NOW - 407 * DAY, NOW - 403 * DAY, NOW - 398 * DAY):
        run(ingested.root, "tick", "--now", str(now))
    left_behind = ingested.lake.root / "owners" / "left.lock"
    left_behind.touch()
    os.utime(left_behind, (0, 0))
    assert upkeep(ingested).forgotten_ticks == 4
    kept = [f"{(NOW - days * DAY).date()}T00:00:00Z" for days in range(398, 403)]
    assert [row["at"] for row in run_json(ingested.root, "ticks")] == kept, "what was settled since is kept"
    assert not left_behind.exists()
    assert upkeep(ingested).forgotten_ticks == 0


def test_what_a_job_is_for_nobody_else_costs_its_owner(trained: Suite) -> None:
    (trained.root / "schedules.yaml").write_text(
        'jobs: {fetch: {run: ingest, cron: "0 17 * * *", owner: ada, team: harbour}}'
    )
    run(trained.root, "tick", "--now", "2026-04-01")
    delivery = next((trained.root / "data").glob("orders*.csv"))
    more = delivery.with_name("orders_more.csv")
    lines = delivery.read_text().splitlines()
    more.write_text("\n".join([lines[0], lines[1].replace(lines[1].split(",")[0], "never-seen", 1)]) + "\n")
    run(trained.root, "tick", "--now", "2026-04-01T17:00")
    assert "harbour" in {row["team"] for row in run_json(trained.root, "costs", "--by", "team")}


@pytest.mark.parametrize("make", [make_starter, make_flights])
def test_a_new_suite_has_a_schedule_that_is_right_and_editors_understand(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "new")
    schedule = SuiteClock(tmp_path / "new", TickStore(sqlite3.connect(":memory:")), clock_at(PAGE)).schedule()
    assert {job.work.kind for job in schedule.jobs.values()} >= {"ingest", "predict", "train", "upkeep"}
    named = (tmp_path / "new" / "schedules.yaml").read_text().splitlines()[0].partition("$schema=")[2]
    assert json.loads((tmp_path / "new" / named).read_text()) == json_schema()


def test_a_suite_without_a_schedule_says_how_to_get_one(ingested: Suite) -> None:
    (ingested.root / "schedules.yaml").unlink(missing_ok=True)
    assert "docs/schedule.md says how to write one" in run(ingested.root, "tick", expect=2)


def test_a_definition_that_is_broken_from_the_start_is_told(ingested: Suite) -> None:
    (ingested.root / "schedules.yaml").write_text("jobs: {a: {run: {predict: late_ordr}, every: 1 day}}")
    assert "Did you mean `late_order`?" in run(ingested.root, "tick", expect=2)
    with pytest.raises(DefinitionError):
        SuiteClock(ingested.root, TickStore(sqlite3.connect(":memory:")), clock_at(PAGE)).schedule()


def test_every_command_of_the_clock_is_documented_and_shows_examples() -> None:
    document = (Path(__file__).parents[2] / "docs" / "schedule.md").read_text()
    for name in ("schedule", "tick", "agenda", "ticks", "pause", "resume", "costs"):
        assert f"almanac {name}" in document
        (command,) = [each for each in whole_app().registered_commands if each.name == name]
        assert f"Examples:  almanac {name}" in (command.callback.__doc__ or "")  # type: ignore[union-attr]


def test_a_readiness_query_that_may_not_run_is_a_mistake_of_the_schedule(ingested: Suite) -> None:
    (ingested.root / "schedules.yaml").write_text(SCHEDULE)
    write_readiness(ingested.root, "/* description: x */ SELECT true FROM read_csv('x')")
    with pytest.raises(DefinitionError, match="deliveries_are_in"):
        SuiteClock(ingested.root, TickStore(sqlite3.connect(":memory:")), clock_at(PAGE)).schedule()


def test_the_book_and_the_lake_are_different_files(ingested: Suite) -> None:
    (ingested.root / "schedules.yaml").write_text("jobs: {}")
    run(ingested.root, "tick")
    assert book_rows(ingested.root, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'ducklake%'") == [(0,)]
