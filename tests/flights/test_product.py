"""The product's entities, labels and checks, page by page."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.flights.by_hand import NEW_YORK, Flight, evening
from tests.flights.conftest import PRODUCT, Facts

KEYS = ("flight_date", "carrier", "flight", "origin")


@pytest.mark.parametrize("day", [date(2013, 3, 8), date(2013, 3, 9), date(2013, 3, 10), date(2013, 11, 2)])
def test_a_page_is_for_every_flight_of_the_next_day(facts: Facts, flights: list[Flight], day: date) -> None:
    rows = facts.run(PRODUCT / "entities.sql", evening(day))
    keys = [tuple(row[key] for key in KEYS) for row in rows]
    assert sorted(keys) == sorted(flight.key for flight in flights if flight.flight_date == day + timedelta(days=1))


def test_the_next_day_is_new_yorks_whatever_utc_says(facts: Facts) -> None:
    # From 20:00 in summer UTC has the next date already, New York has not.
    late_evening = evening(date(2013, 7, 4)) + timedelta(hours=5, minutes=59)
    assert late_evening.date() == date(2013, 7, 5)
    for as_of in (late_evening, evening(date(2013, 7, 4))):
        assert {row["flight_date"] for row in facts.run(PRODUCT / "entities.sql", as_of)} == {date(2013, 7, 5)}


@pytest.mark.parametrize("day", [date(2013, 3, 9), date(2013, 11, 2)])
def test_labels_are_of_the_flights_that_landed(facts: Facts, flights: list[Flight], day: date) -> None:
    as_of = evening(day)
    expected = {
        flight.key: int((flight.arrival_delay or 0) >= 30)
        for flight in flights
        if flight.flight_date == day + timedelta(days=1) and flight.outcome == "landed"
    }
    rows = facts.run(PRODUCT / "label.sql", as_of, known_by=as_of + timedelta(days=3))
    assert {tuple(row[key] for key in KEYS): row["label"] for row in rows} == expected
    assert 0 < sum(expected.values()) < len(expected)
    assert facts.run(PRODUCT / "label.sql", as_of, known_by=as_of) == []


def test_labels_mature_within_what_the_product_says(facts: Facts) -> None:
    query = (
        "SELECT max(known_at - ((flight_date - 1 + TIME '18:00') AT TIME ZONE $zone AT TIME ZONE 'UTC'))"
        " FROM facts.landings WHERE outcome = 'landed'"
    )
    longest = facts.connection.execute(query, {"zone": NEW_YORK.key}).fetchall()[0][0]
    assert timedelta(days=1) < longest < timedelta(days=3)


def test_a_page_with_a_flight_of_another_day_is_caught(facts: Facts) -> None:
    check, as_of = PRODUCT / "checks" / "in_the_schedule.sql", evening(date(2013, 3, 9))
    rows = f"SELECT {', '.join(KEYS)} FROM facts.schedule WHERE flight_date = DATE '2013-03-10'"
    facts.connection.execute(f"CREATE OR REPLACE TABLE page AS {rows}")
    assert facts.run(check, as_of) == []
    facts.connection.execute(f"INSERT INTO page {rows.replace('03-10', '03-11')} LIMIT 2")
    facts.connection.execute("INSERT INTO page VALUES (DATE '2013-03-10', 'ZZ', 1, 'JFK')")
    assert len(facts.run(check, as_of)) == 3
    assert len(facts.run(check, as_of + timedelta(days=1))) > 3


def test_a_feed_that_has_stopped_is_noticed(facts: Facts) -> None:
    check, as_of = PRODUCT / "checks" / "all_airports_report.sql", evening(date(2013, 3, 9))
    facts.connection.execute(
        "CREATE OR REPLACE TABLE page AS SELECT * FROM (VALUES ('EWR', 300, 50.1), ('JFK', 280, 49.0),"
        " ('LGA', NULL, 49.5)) AS rows(origin, today_flights, temperature)"
    )
    assert [row["origin"] for row in facts.run(check, as_of)] == ["LGA"]
    facts.connection.execute("UPDATE page SET today_flights = 5, temperature = NULL WHERE origin <> 'JFK'")
    assert {row["origin"] for row in facts.run(check, as_of)} == {"EWR", "LGA"}
