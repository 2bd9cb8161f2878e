"""Judgements and alarms in the ledger: written once, superseded, opened, closed, accepted, told."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta

import pytest

from jobs.check.making import ChosenPages, Made
from jobs.check.speaking import open_alarms, what_speaks
from jobs.monitoring.decisions import accept, alarms, close
from jobs.monitoring.judging.judgements import judge, judge_and_write
from jobs.monitoring.judging.monitor import monitor_product
from jobs.pages.make import PagesResult
from jobs.schedule.alerts import alert_of_alarms
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.suite import Suite
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from tests.monitoring.watched_lake import LOST, grid, publish
from warehouse.errors import NotFoundError, UsageError

OF_PAGES = (
    "SELECT * EXCLUDE (known_by, snapshot_id) FROM ledger.newest_drift ORDER BY kind, as_of, column_name NULLS FIRST"
)
LATER = NOW + timedelta(days=30)


@pytest.fixture
def watched(ingested: Suite) -> Suite:
    """A suite with 91 pages, the last of which lost most of a column."""
    publish(ingested, range(LOST + 1))
    judge_and_write(ingested, ingested.definitions.product(PRODUCT))
    return ingested


def test_an_alarm_is_opened_once_and_closed_by_four_pages_without_a_finding(watched: Suite) -> None:
    product, page = watched.definitions.product(PRODUCT), grid(watched, 120)[LOST]
    (alarm,) = alarms(watched, PRODUCT)
    assert (alarm.kind, alarm.first_page, alarm.last_page, alarm.columns) == ("acute", page, page, ["x"])
    assert alarm.flags == ["shape", "missing"]
    assert alarm.message.startswith("the distribution of x; missing values of x")
    before = watched.lake.newest_snapshot()
    judge_and_write(watched, product)
    assert watched.lake.newest_snapshot() == before
    publish(watched, range(LOST + 1, LOST + 4))
    judge_and_write(watched, product)
    assert [one.state for one in alarms(watched, every=True)] == ["open"]
    later = reopened(watched, LATER)
    publish(later, [LOST + 4])
    judge_and_write(later, product)
    assert [(one.state, one.decided_by) for one in alarms(later, PRODUCT, every=True)] == [("closed", None)]
    assert alarms(later) == []
    then = monitor_product(later, PRODUCT, known_at=NOW)
    assert [one.alarm_id for one in then.open_alarms] == [alarm.alarm_id]
    assert (then.pages[-1].page, len(then.pages)) == (grid(later, 120)[LOST + 3], 28)
    assert monitor_product(later, PRODUCT).last_year.acute_alarms == 1


def test_pages_made_in_reverse_are_judged_as_if_day_by_day(watched: Suite, ingested: Suite) -> None:
    product = watched.definitions.product(PRODUCT)
    by_day = rows(watched, OF_PAGES)
    with watched.lake.commit("as if nothing had been judged") as commit:
        commit.execute("DELETE FROM ledger.drift")
        commit.execute("DELETE FROM ledger.profiles")
        commit.execute("DELETE FROM ledger.pages")
        commit.execute("DELETE FROM ledger.alarms")
    for places in (range(60, LOST + 1), range(30, 60), range(30)):
        publish(watched, places[::-1])
        judge_and_write(watched, product)
    assert rows(watched, OF_PAGES) == by_day
    assert [one.state for one in alarms(watched, every=True)] == ["open"]


def test_a_page_that_is_made_again_takes_the_alarm_back(watched: Suite) -> None:
    later = reopened(watched, LATER)
    publish(later, [LOST], lost=(), run="again")
    with later.lake.reading() as connection:
        product = later.definitions.product(PRODUCT)
        assert judge(connection, product).alarms == []
        assert len(judge(connection, product, known_at=NOW).alarms) == 1
    judge_and_write(later, product)
    assert [one.state for one in alarms(later, every=True)] == ["withdrawn"]
    assert rows(later, "SELECT count(*) FROM ledger.newest_drift WHERE len(flags) > 0") == [(0,)]


def test_what_a_person_has_decided_stays(watched: Suite) -> None:
    (alarm,) = alarms(watched)
    with pytest.raises(UsageError, match="--why is empty"):
        accept(watched, alarm.alarm_id, " ")
    with pytest.raises(NotFoundError, match="there is no alarm 0000"):
        close(watched, "0000", "a test")
    shown = said(watched.root, "alarms")
    assert alarm.alarm_id in shown
    said(watched.root, "alarms", "accept", alarm.alarm_id, "--why", "the world is so")
    publish(watched, range(LOST + 1, LOST + 3), lost=(LOST + 1, LOST + 2))
    judge_and_write(watched, watched.definitions.product(PRODUCT))
    assert alarms(watched) == []
    (decided,) = json.loads(said(watched.root, "alarms", PRODUCT, "--all", "--json"))
    assert (decided["state"], decided["reason"]) == ("accepted", "the world is so")
    closed = json.loads(said(watched.root, "alarms", "close", alarm.alarm_id, "--why", "mended", "--json"))
    assert closed["state"] == "closed"
    assert "No alarm is open" in said(watched.root, "alarms")
    # Nor is it news that its reason is gone: a judgement that finds nothing else commits nothing.
    publish(watched, range(LOST, LOST + 3), lost=(), run="again")
    judge_and_write(watched, watched.definitions.product(PRODUCT))
    before = watched.lake.newest_snapshot()
    judge_and_write(watched, watched.definitions.product(PRODUCT))
    assert watched.lake.newest_snapshot() == before


def test_a_day_of_the_calendar_is_shown_and_not_told(ingested: Suite) -> None:
    day = grid(ingested, 120)[LOST]
    directory = ingested.root / f"sql/products/{PRODUCT}"
    header = directory / "product.yaml"
    header.write_text(header.read_text() + "\nmonitor: {calendar: holidays.yaml}\n")
    (directory / "holidays.yaml").write_text(f"a holiday: {day + timedelta(days=1):%Y-%m-%d}\n")
    suite = reopened(ingested)
    publish(suite, range(LOST + 1))
    found = monitor_product(suite, PRODUCT, first=day)
    assert [(one.state, list(one.found)) for one in found.pages] == [("expected", ["shape", "missing"])]
    assert (found.last_year.acute_alarms, found.last_year.expected_pages) == (0, 1)
    assert [one.expected for one in found.open_alarms] == ["a holiday"]


def test_monitor_tells_page_by_page_and_of_the_last_year(watched: Suite) -> None:
    page = grid(watched, 120)[LOST]
    shown = said(watched.root, "monitor", PRODUCT, "--column", "y")
    assert "shape: x; missing: x" in shown
    assert "alarms 0 times for slow drift and once for acute findings, on 1 pages" in shown
    arguments = ("--from", page.isoformat(), "--to", datetime(2027, 1, 1).isoformat(), "--json")
    found = json.loads(said(watched.root, "monitor", PRODUCT, *arguments))["drift"]
    assert [(one["state"], one["found"]) for one in found["pages"]] == [("judged", {"shape": ["x"], "missing": ["x"]})]
    assert found["last_year"]["pages"] == LOST + 1
    assert almanac(watched.root, "monitor", PRODUCT, "--column", "nothing").returncode == 2
    states = dict(rows(watched, "SELECT state, count(*) FROM ledger.newest_drift WHERE column_name = 'y' GROUP BY 1"))
    # Four pages of a weekday are a reference, and 28 pages with a score are a pool.
    assert states == {"no evidence": 28, "learning": 28, "judged": LOST + 1 - 56}


def test_an_alarm_is_told_once_by_the_clock(watched: Suite) -> None:
    (alarm,) = alarms(watched)
    clock = SuiteClock(watched.root, TickStore.open(watched.lake.root), clock_at(NOW))
    tick_store, schedule = TickStore(sqlite3.connect(":memory:")), Schedule(alerts=("OPS",))
    for minute in range(3):
        with tick_store.writing():
            alert_of_alarms(tick_store, schedule, clock.alarms_to_tell(), NOW + timedelta(minutes=minute))
    ((what, title, body),) = tick_store.db.execute("SELECT what, title, body FROM alerts").fetchall()
    assert (what, title) == (f"alarm {alarm.alarm_id}", f"{PRODUCT}: acute alarm {alarm.alarm_id}")
    assert body.startswith("the distribution of x; missing values of x; on 1 page, since the page of 2026-")
    header = watched.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + "\nmonitor: {notify: [drift]}\n")
    assert SuiteClock(watched.root, clock.tick_store, clock_at(NOW)).alarms_to_tell() == []


def test_a_run_of_the_clock_judges_what_it_has_published(published: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = "SELECT DISTINCT kind, as_of FROM ledger.drift WHERE kind = 'predictions' ORDER BY ALL"
    said(published.root, "run", PRODUCT, "--as-of", PAGE.isoformat())
    assert rows(published, judged) == []
    monkeypatch.setenv("ALMANAC_LEASE", "a run of the clock")
    said(published.root, "run", PRODUCT, "--as-of", (PAGE + timedelta(days=1)).isoformat())
    assert rows(published, judged) == [("predictions", PAGE), ("predictions", PAGE + timedelta(days=1))]
    of_training = "SELECT DISTINCT as_of, n_reference > 1000, js > 0 FROM ledger.drift WHERE reference = 'training'"
    depot = f"{of_training} AND column_name = 'depot' ORDER BY ALL"
    assert rows(published, depot) == [(PAGE, True, True), (PAGE + timedelta(days=1), True, True)]
    assert rows(published, "SELECT count(*) > 0 FROM ledger.performance") == [(True,)]
    day = (PAGE + timedelta(days=2)).date()
    said(published.root, "backfill", PRODUCT, "--from", f"{day}", "--to", f"{day + timedelta(days=1)}")
    assert rows(published, judged)[-1][1].date() == day


def test_a_check_tells_of_the_alarm_that_its_pages_open_and_of_no_other(ingested: Suite) -> None:
    product = ingested.definitions.product(PRODUCT)
    publish(ingested, range(LOST))
    # What production has not judged yet is judged first, and counts as before.
    before = open_alarms(ingested, product)
    assert before == set()
    publish(ingested, [LOST])
    made = Made(ChosenPages([], []), ingested.lake.newest_snapshot(), PagesResult(), None)
    (spoken,) = what_speaks(ingested, product, made, before)
    assert (spoken.kind, spoken.name, spoken.severity, spoken.is_new) == ("monitor", "acute", "alarm", True)
    assert spoken.message.startswith("the distribution of x; missing values of x")
    # Of pages that alarm before the change too nothing speaks.
    assert what_speaks(ingested, product, made, open_alarms(ingested, product)) == []
