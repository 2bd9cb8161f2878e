"""Which open alarms people are told of: of acute ones that one source may explain, the first stands for all.

A source that breaks is seen by every product that reads it. Each of them has its alarm, which keeps its own training
from learning of the faulty pages; people are told once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from warehouse.ledger.alarms import ACUTE, Alarm

#: Pages of two products that lie no further apart are of one fault.
_APART = timedelta(days=1)
#: The alarms that another one stands for, by name, as the tick store keeps them.
STOOD_FOR = "alarms that another one stands for"


def told_together(
    alarms: Collection[Alarm], sources_of: Callable[[str], Collection[str]], known: Mapping[str, str]
) -> dict[str, str]:
    """Give, by alarm, the one that stands for it; one that stands for itself is left out.

    Parameters
    ----------
    alarms
        Those that are open.
    sources_of
        The sources that a product reads.
    known
        What was found before, which stays so: an alarm that was told as part of another is not told alone later.
    """
    found = {one.alarm_id: known[one.alarm_id] for one in alarms if one.alarm_id in known}
    acute = sorted((one for one in alarms if one.kind == ACUTE), key=_when)
    first: list[Alarm] = [one for one in acute if one.alarm_id in known.values()]
    for one in acute:
        if one.alarm_id in found or one in first:
            continue
        own = set(sources_of(one.product))
        of_same = (
            other
            for other in first
            if other.product != one.product and own.intersection(sources_of(other.product)) and _meet(one, other)
        )
        leader = next(of_same, None)
        if leader is None:
            first.append(one)
        else:
            found[one.alarm_id] = leader.alarm_id
    return found


def _when(alarm: Alarm) -> tuple[datetime, datetime, str]:
    return (alarm.known_by or alarm.first_page, alarm.first_page, alarm.alarm_id)


def _meet(one: Alarm, other: Alarm) -> bool:
    """Tell whether two alarms are about the same time."""
    return one.first_page <= other.last_page + _APART and other.first_page <= one.last_page + _APART


def written(found: Mapping[str, str]) -> str:
    """Put what was found in a line for the tick store."""
    return json.dumps(dict(sorted(found.items())))


def read(text: str | None) -> dict[str, str]:
    """Read what `written` wrote."""
    return dict(json.loads(text)) if text else {}
