"""Feature groups against loops over the raw rows, on pages around both changes of clocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
import yaml

from tests.flights.by_hand import Flight, evening, history, overdue, rotation
from tests.flights.conftest import PRODUCT, SQL, Facts, read_definition

FEATURES = SQL / "features"
PAGES = (date(2013, 3, 8), date(2013, 3, 10), date(2013, 11, 2), date(2013, 11, 3))
HISTORIES = {
    "carrier_history": "carrier",
    "route_history": "route",
    "origin_history": "origin",
    "aircraft_history": "aircraft",
    "flight_history": "flight",
}


def is_same(found: Any, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-15)


def assert_same(
    found: Sequence[Mapping[str, Any]],
    key: Sequence[str],
    expected: Mapping[tuple[Any, ...], Mapping[str, float | None]],
) -> None:
    rows = {tuple(row[name] for name in key): row for row in found}
    assert len(rows) == len(found), "a key comes twice"
    assert rows.keys() == expected.keys()
    for values, wanted in expected.items():
        features = {name: value for name, value in rows[values].items() if name not in key}
        assert features.keys() == wanted.keys()
        # Sums of whole numbers are exact, and so one division apart at most.
        assert all(is_same(features[name], wanted[name]) for name in wanted), (values, features, wanted)


@pytest.mark.parametrize("day", PAGES)
@pytest.mark.parametrize("group", HISTORIES)
def test_histories_count_what_was_known(facts: Facts, flights: list[Flight], group: str, day: date) -> None:
    header, _ = read_definition(FEATURES / f"{group}.sql")
    as_of = evening(day)
    expected = history(flights, header["key"], HISTORIES[group], as_of)
    assert_same(facts.run(FEATURES / f"{group}.sql", as_of), header["key"], expected)


@pytest.mark.parametrize("day", PAGES)
def test_rotations_follow_each_aircraft(facts: Facts, flights: list[Flight], day: date) -> None:
    header, _ = read_definition(FEATURES / "rotation.sql")
    expected = rotation(flights, evening(day), day + timedelta(days=1))
    assert_same(facts.run(FEATURES / "rotation.sql", evening(day)), header["key"], expected)


@pytest.mark.parametrize("day", PAGES)
def test_flights_that_have_not_come_in_are_counted(facts: Facts, flights: list[Flight], day: date) -> None:
    header, _ = read_definition(FEATURES / "carrier_today.sql")
    expected = overdue(flights, evening(day))
    assert_same(facts.run(FEATURES / "carrier_today.sql", evening(day)), header["key"], expected)
    assert any(row["today_overdue"] for row in expected.values())


def test_every_group_has_one_row_per_key(facts: Facts) -> None:
    product = yaml.safe_load((PRODUCT / "product.yaml").read_text())
    for path in [FEATURES / f"{name}.sql" for name in product["features"]]:
        header, _ = read_definition(path)
        rows = facts.run(path, evening(date(2013, 7, 10)))
        keys = [tuple(row[name] for name in header["key"]) for row in rows]
        assert rows, path.stem
        assert len(set(keys)) == len(keys), path.stem
        assert all(None not in key for key in keys), path.stem


def test_the_weather_of_a_page_is_that_of_the_hours_known(facts: Facts) -> None:
    as_of = evening(date(2013, 6, 7))
    # The hour that began an hour ago is known at as_of, which is not before it.
    query = "SELECT origin, temperature FROM facts.weather WHERE observed_at = $as_of - INTERVAL 2 HOUR"
    newest = {row[0]: row[1] for row in facts.connection.execute(query, {"as_of": as_of}).fetchall()}
    found = {row["origin"]: row for row in facts.run(FEATURES / "airport_weather.sql", as_of)}
    assert {origin: row["temperature"] for origin, row in found.items()} == newest
    assert all(row["pressure"] is not None for row in found.values())
