"""The sources against the raw files: every fact is there, in its time; what breaks a rule is set aside."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.flights.by_hand import Flight, Key, next_time_on_clocks, read_rows, work_out, zones_by_airport
from tests.flights.conftest import Facts

FORWARD, BACK = date(2013, 3, 10), date(2013, 11, 3)


def stored(facts: Facts, source: str, columns: str) -> dict[Key, tuple[Any, ...]]:
    query = f"SELECT flight_date, carrier, flight, origin, {columns} FROM facts.{source}"
    return {row[:4]: row[4:] for row in facts.connection.execute(query).fetchall()}


def test_every_row_of_the_files_is_a_fact_or_a_reject(facts: Facts, raw_flights: list[dict[str, str]]) -> None:
    rows = {name: len(read_rows(f"{name}.csv")) for name in ("weather", "planes", "airports", "airlines")}
    for source, expected in (rows | {name: len(raw_flights) for name in ("schedule", "landings")}).items():
        kept, rejected = (
            facts.connection.execute(f"SELECT count(*) FROM {schema}.{source}").fetchall()[0][0]
            for schema in ("facts", "rejects")
        )
        assert kept + rejected == expected, source


def test_what_breaks_a_rule_is_set_aside_with_the_reason(facts: Facts) -> None:
    rejected = "SELECT wind_speed::DOUBLE, origin, observed_at, reason FROM rejects.weather"
    assert facts.connection.execute(rejected).fetchall() == [
        (1048.36, "EWR", datetime(2013, 2, 12, 8), "wind speed is plausible")
    ]
    misplaced = "SELECT airport, reason FROM rejects.airports ORDER BY airport"
    assert facts.connection.execute(misplaced).fetchall() == [
        (airport, "lies in the Americas") for airport in ("DVT", "EEN", "MYF")
    ]
    for source in ("schedule", "landings", "planes", "airlines"):
        assert facts.connection.execute(f"SELECT * FROM rejects.{source}").fetchall() == []


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("schedule", "flight_date, carrier, flight, origin"),
        ("landings", "flight_date, carrier, flight, origin"),
        ("weather", "origin, observed_at"),
        ("planes", "tailnum"),
        ("airports", "airport"),
        ("airlines", "carrier"),
    ],
)
def test_keys_are_unique_and_every_fact_has_its_time(facts: Facts, source: str, key: str) -> None:
    query = f"SELECT count(*), count(DISTINCT ({key})), count(known_at) FROM facts.{source}"
    rows, keys, timed = facts.connection.execute(query).fetchall()[0]
    assert rows == keys == timed


def test_outcomes_are_as_the_files_tell(facts: Facts) -> None:
    query = "SELECT outcome, count(*) FROM facts.landings GROUP BY outcome"
    assert dict(facts.connection.execute(query).fetchall()) == {
        "landed": 327_346,
        "cancelled": 8_255,
        "diverted": 1_175,
    }


def test_the_schedule_is_placed_in_time_and_known_a_week_ahead(facts: Facts, flights: list[Flight]) -> None:
    schedule = stored(facts, "schedule", "departs_at, scheduled_arrival, block_minutes, known_at")
    wrong = []
    for flight in flights:
        minutes = (flight.scheduled_arrival - flight.departs_at) // timedelta(minutes=1)
        week_ahead = flight.departs_at - timedelta(days=7)
        if schedule[flight.key] != (flight.departs_at, flight.scheduled_arrival, minutes, week_ahead):
            wrong.append((flight, schedule[flight.key]))
    assert not wrong


def test_an_end_is_known_when_it_happens(facts: Facts, flights: list[Flight]) -> None:
    landings = stored(facts, "landings", "outcome, known_at, departure_delay, arrival_delay")
    wrong = []
    for flight in flights:
        expected = (flight.outcome, flight.known_at, flight.departure_delay, flight.arrival_delay)
        if landings[flight.key] != expected:
            wrong.append((flight, landings[flight.key]))
    assert not wrong


def test_the_sample_holds_the_cases_that_matter(flights: list[Flight], raw_flights: list[dict[str, str]]) -> None:
    for day in (FORWARD, BACK, FORWARD - timedelta(days=1), BACK - timedelta(days=1)):
        assert sum(flight.flight_date == day for flight in flights) > 600
    by_outcome = {outcome: [f for f in flights if f.outcome == outcome] for outcome in ("cancelled", "diverted")}
    assert all(len(found) > 50 for found in by_outcome.values())
    assert sum(f.known_at.date() > f.departs_at.date() for f in flights if f.outcome == "landed") > 1_000
    crossing = [row for row in raw_flights if row["arr_time"] != "NA" and int(row["arr_time"]) < int(row["dep_time"])]
    assert len(crossing) == 10_633


# Worked out from the printed rows: local times in the comments, instants in UTC.
BY_EYE = {
    # 2013-03-09 23:59 to San Juan (UTC-4), due 03:37, which is an hour ahead of New York until that night.
    "sleeps through the change in spring": (
        {"day": "9", "month": "3", "hour": "23", "minute": "59", "sched_arr_time": "437", "dest": "SJU"},
        datetime(2013, 3, 10, 4, 59),
        datetime(2013, 3, 10, 8, 37),
    ),
    # 2013-11-02 21:40 to Los Angeles, due 00:40 on its clocks, which go back hours later.
    "crosses midnight before the change in autumn": (
        {"day": "2", "month": "11", "hour": "21", "minute": "40", "sched_arr_time": "40", "dest": "LAX"},
        datetime(2013, 11, 3, 1, 40),
        datetime(2013, 11, 3, 7, 40),
    ),
    # 2013-07-01 10:00 to Honolulu (UTC-10), due 14:45 the same day there.
    "takes eleven hours": (
        {"day": "1", "month": "7", "hour": "10", "minute": "0", "sched_arr_time": "1445", "dest": "HNL"},
        datetime(2013, 7, 1, 14, 0),
        datetime(2013, 7, 2, 0, 45),
    ),
}


@pytest.mark.parametrize("case", BY_EYE)
def test_the_hand_calculation_itself_is_right(case: str) -> None:
    changed, departs_at, scheduled_arrival = BY_EYE[case]
    row = {"year": "2013", "carrier": "B6", "flight": "1", "origin": "JFK", "tailnum": "NA"}
    row |= {"dep_delay": "NA", "arr_delay": "NA"} | changed
    flight = work_out(row, zones_by_airport())
    assert (flight.departs_at, flight.scheduled_arrival) == (departs_at, scheduled_arrival)
    assert flight.known_at == departs_at + timedelta(hours=3)


def test_the_next_time_on_clocks_is_the_first() -> None:
    zone = zones_by_airport()["JFK"]
    # At 05:30 UTC New York shows 01:30 for the first time, at 06:30 again.
    assert next_time_on_clocks(datetime(2013, 11, 3, 4, 0), zone, 130) == datetime(2013, 11, 3, 5, 30)
    assert next_time_on_clocks(datetime(2013, 11, 3, 5, 30), zone, 130) == datetime(2013, 11, 3, 6, 30)
    # A time that the clocks leave out comes a day later.
    assert next_time_on_clocks(datetime(2013, 3, 10, 5, 0), zone, 230) == datetime(2013, 3, 11, 6, 30)
    assert next_time_on_clocks(datetime(2013, 6, 1, 3, 0), zone, 2400) == datetime(2013, 6, 1, 4, 0)


def test_weather_is_known_an_hour_after_it_was_observed(facts: Facts) -> None:
    query = "SELECT origin, observed_at, known_at, temperature, wind_gust, pressure FROM facts.weather"
    stored_rows = {(row[0], row[1]): row[2:] for row in facts.connection.execute(query).fetchall()}
    rows = read_rows("weather.csv")
    assert len(stored_rows) == len(rows) - 1
    for row in rows:
        # The file's time_hour is UTC: the local columns beside it agree, also where they show 01:00 twice.
        observed_at = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
        if (row["origin"], observed_at) == ("EWR", datetime(2013, 2, 12, 8)):
            continue
        local = datetime(*(int(row[part]) for part in ("year", "month", "day", "hour")))  # type: ignore[arg-type]
        assert observed_at - local in (timedelta(hours=4), timedelta(hours=5))
        known_at, temperature, gust, pressure = stored_rows[row["origin"], observed_at]
        assert known_at == observed_at + timedelta(hours=1)
        # One hour of one airport has no temperature.
        assert temperature == (None if row["temp"] == "NA" else Decimal(row["temp"]))
        assert (gust is None) == (row["wind_gust"] == "NA")
        assert (pressure is None) == (row["pressure"] == "NA")


def test_hours_that_come_twice_are_two_facts(facts: Facts) -> None:
    query = (
        "SELECT list(hour(observed_at) ORDER BY observed_at) FROM facts.weather WHERE origin = 'LGA'"
        " AND observed_at BETWEEN TIMESTAMP '2013-11-03 05:00' AND TIMESTAMP '2013-11-03 06:00'"
    )
    assert facts.connection.execute(query).fetchall() == [([5, 6],)]
