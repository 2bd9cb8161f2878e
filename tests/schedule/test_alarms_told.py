"""One source that breaks under many products: each has its alarm, and people are told once."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import datetime, timedelta

from jobs.schedule.alerts import alert_of_alarms
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.tick_store import TickStore
from warehouse.ledger.alarms import ACUTE, DRIFT, Alarm, alarm_id

DAY = timedelta(days=1)
PAGE = datetime(2026, 3, 10, 18)
SOURCES = {f"product{n}": {"weather", f"own{n}"} for n in range(30)} | {"alone": {"elsewhere"}}


def acute(product: str, page: datetime, found_at: datetime | None = None) -> Alarm:
    name = alarm_id(product, ACUTE, page)
    return Alarm(name, product, ACUTE, "open", page, page, message="missing values of x", known_by=found_at or page)


def told(store: TickStore, alarms: list[Alarm], now: datetime) -> list[tuple[str, str]]:
    with store.writing():
        alert_of_alarms(store, Schedule(alerts=("OPS",)), alarms, now, lambda product: SOURCES[product])
    return [(row["title"], row["body"]) for row in store.db.execute("SELECT title, body FROM alerts ORDER BY rowid")]


def test_a_source_that_breaks_under_thirty_products_is_told_once() -> None:
    store = TickStore(sqlite3.connect(":memory:"))
    broken = [acute(f"product{n}", PAGE, PAGE + timedelta(minutes=n)) for n in range(30)]
    # They are found one after the other, and the first is told at once.
    ((title, _),) = told(store, broken[:1], PAGE)
    assert title.startswith("product0: acute alarm")
    for n in range(2, 31):
        assert len(told(store, broken[:n], PAGE + timedelta(minutes=n))) == 1
    # One that stood for others is over, and these are not told for that.
    assert len(told(store, broken[1:], PAGE + DAY)) == 1
    # Another fault of the same source, days later, is told.
    assert len(told(store, [*broken[1:], acute("product3", PAGE + 5 * DAY)], PAGE + 5 * DAY)) == 2


def test_found_together_they_are_named_in_the_one_that_is_told() -> None:
    store = TickStore(sqlite3.connect(":memory:"))
    broken = [acute(f"product{n}", PAGE) for n in range(30)]
    ((_, body),) = told(store, broken, PAGE)
    assert "So have 29 other products (" in body
    assert "which all read weather" in body


def test_what_reads_another_source_or_is_no_fault_is_told_for_itself() -> None:
    store = TickStore(sqlite3.connect(":memory:"))
    slow = replace(acute("product1", PAGE), kind=DRIFT, alarm_id="slow")
    found = told(store, [acute("product0", PAGE), acute("alone", PAGE), slow], PAGE)
    assert len(found) == 3
    # Two of one product are two.
    assert len(told(store, [acute("product0", PAGE), acute("product0", PAGE + DAY)], PAGE + DAY)) == 4
