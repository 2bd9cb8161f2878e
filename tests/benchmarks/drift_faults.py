"""The faults that are put into pages of flights, each a function of a page's columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Page = dict[str, Any]
#: What a fault makes of a page: given its columns, the page before the first faulty one, and which faulty page it is.
Fault = Callable[[Page, Page, int], Page]
_random = np.random.default_rng(3)


def _leave_out(carrier: str) -> Fault:
    def fault(page: Page, before: Page, number: int) -> Page:
        kept = page["carrier"] != carrier
        return {name: values[kept] for name, values in page.items()}

    return fault


def _change(column: str, change: Callable[[Any], Any]) -> Fault:
    return lambda page, before, number: page | {column: change(page[column])}


def _lose(column: str, share: float) -> Fault:
    return _change(column, lambda values: np.where(_random.random(len(values)) < share, np.nan, values))


def _rename(column: str, old: str, new: str) -> Fault:
    return _change(column, lambda values: np.where(values == old, new, values).astype(object))


def _double(share: float) -> Fault:
    def fault(page: Page, before: Page, number: int) -> Page:
        n = len(page["carrier"])
        rows = np.concatenate((np.arange(n), np.flatnonzero(_random.random(n) < share)))
        return {name: values[rows] for name, values in page.items()}

    return fault


def _swap(one: str, other: str, share: float) -> Fault:
    def fault(page: Page, before: Page, number: int) -> Page:
        swapped = _random.random(len(page[one])) < share
        return page | {
            one: np.where(swapped, page[other], page[one]),
            other: np.where(swapped, page[one], page[other]),
        }

    return fault


WEATHER = (
    "temperature dew_point humidity wind_speed wind_direction visibility pressure precipitation_6h precipitation_24h"
    " precipitation_1h pressure_change_6h temperature_change_6h temperature_min_24h temperature_max_24h"
    " wind_gust_max_24h visibility_min_24h"
).split()
LANDINGS = {
    "carrier_": ("carrier",),
    "today_": ("origin",),
    "route_": ("origin", "dest"),
    "aircraft_": ("tailnum",),
    "flight_": ("carrier", "flight", "origin"),
}
_SCHEDULED = ("departures", "today_due", "today_overdue", "aircraft_manufacturer", "aircraft_age", "flight_date")


def _is_frozen(column: str, prefix: str) -> bool:
    return column.startswith(prefix) and not any(word in column for word in _SCHEDULED)


def _freeze(groups: dict[str, tuple[str, ...]], columns: Callable[[str, str], bool]) -> Fault:
    """Give columns the values that they had on the page before the first faulty one, by the keys of their group."""

    def fault(page: Page, before: Page, number: int) -> Page:
        changed = dict(page)
        for prefix, keys in groups.items():
            there: dict[tuple[Any, ...], int] = {}
            for row, key in enumerate(zip(*(before[name] for name in keys), strict=True)):
                there.setdefault(key, row)
            rows = np.array([there.get(key, -1) for key in zip(*(page[name] for name in keys), strict=True)])
            for name in (name for name in page if columns(name, prefix) and page[name].dtype != object):
                changed[name] = np.where(rows >= 0, before[name][rows], np.nan)
        return changed

    return fault


_FROZEN_LANDINGS = _freeze(LANDINGS, _is_frozen)
#: By name: the fault, and on how many pages in turn.
FAULTS: dict[str, tuple[Fault, int]] = {
    "carrier B6 (16 % of rows) gone": (_leave_out("B6"), 3),
    "carrier US (6 %) gone": (_leave_out("US"), 3),
    "distance x 1.6": (_change("distance", lambda x: x * 1.6), 40),
    "block_minutes x 1.6": (_change("block_minutes", lambda x: x * 1.6), 40),
    "10 % missing in minute_of_day": (_lose("minute_of_day", 0.1), 40),
    "3 % missing in minute_of_day": (_lose("minute_of_day", 0.03), 40),
    "10 % missing in seats": (_lose("seats", 0.1), 40),
    "operated_by B6 renamed": (_rename("operated_by", "B6", "JetBlue"), 40),
    "operated_by US renamed": (_rename("operated_by", "US", "AA2"), 40),
    "weather frozen 5 days": (_freeze({"": ("origin",)}, lambda name, _: name in WEATHER), 5),
    "landings frozen 5 days": (_FROZEN_LANDINGS, 5),
    "landings frozen 40 days": (_FROZEN_LANDINGS, 40),
    "30 % of rows doubled": (_double(0.3), 3),
    "5 % swapped, distance with block": (_swap("distance", "block_minutes", 0.05), 40),
    "5 % swapped, minute with block": (_swap("minute_of_day", "block_minutes", 0.05), 40),
    "minute_of_day + 1 h": (_change("minute_of_day", lambda x: (x + 60) % 1440), 40),
    "minute_of_day + 5 h": (_change("minute_of_day", lambda x: (x + 300) % 1440), 40),
    "temperature F to C": (_change("temperature", lambda x: (x - 32) / 1.8), 40),
    "pressure + 20": (_change("pressure", lambda x: x + 20), 40),
    "pressure stuck": (_change("pressure", lambda x: np.full(len(x), 1013.2)), 40),
    "minute_of_day all NULL": (_lose("minute_of_day", 1.1), 40),
    "carrier_delay_7d in hours": (_change("carrier_delay_7d", lambda x: x / 60), 40),
    ".25 sd in three columns": (
        lambda page, before, number: (
            page | {c: page[c] + d for c, d in {"distance": 183.0, "minute_of_day": 70.0, "seats": 17.5}.items()}
        ),
        40,
    ),
    "block_minutes + 1 % a week": (
        lambda page, before, number: page | {"block_minutes": page["block_minutes"] * (1 + 0.01 * (number // 7 + 1))},
        40,
    ),
}
_NOISY = "delay_1d delay_p90_1d delay_7d delay_p90_7d delay_28d delay_p90_28d".split()
#: Reported beside them; not all of it can be found.
BESIDE: dict[str, tuple[Fault, int]] = {
    ".1 sd in minute_of_day": (_change("minute_of_day", lambda x: x + 28.0), 40),
    ".1 sd in ten columns": (
        lambda page, before, number: (
            page | {c: page[c] + 0.1 * np.nanstd(before[c]) for c in list(NUMBERS)[:10] if c in page}
        ),
        40,
    ),
    "delays + 20 %": (
        lambda page, before, number: (
            page | {c: page[c] * 1.2 for c in page if c.rpartition("delay")[1] and page[c].dtype != object}
        ),
        40,
    ),
    "operated_by HA (0.1 %) renamed": (_rename("operated_by", "HA", "Hawaii"), 40),
}
NUMBERS = (
    "minute_of_day distance block_minutes seats departures_hour arrivals_hour minutes_to_spare route_delay_28d"
    " carrier_delay_7d aircraft_age"
).split()
