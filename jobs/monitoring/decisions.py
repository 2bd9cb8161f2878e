"""What people decide on alarms: accept that the world is so now, or close one that is dealt with."""

from __future__ import annotations

from jobs.metering import RunMeter, who
from jobs.suite import Suite
from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import ACCEPTED, CLOSED, Alarm, alarms_of, decide_alarm


def alarms(suite: Suite, product_name: str | None = None, every: bool = False) -> list[Alarm]:
    """List alarms of one product, or of all: those that are open, or every one; the oldest first."""
    name = suite.definitions.product(product_name).name if product_name else None
    with suite.lake.reading() as connection:
        found = alarms_of(connection, name)
    return [one for one in found if every or one.state == "open"]


def accept(suite: Suite, alarm_id: str, why: str) -> Alarm:
    """Accept what an alarm found: the world is so now. It is not told again.

    Raises
    ------
    NotFoundError
        If there is no such alarm.
    UsageError
        If no reason is given.
    """
    return _decide(suite, alarm_id, ACCEPTED, why)


def close(suite: Suite, alarm_id: str, why: str) -> Alarm:
    """Close an alarm that has been dealt with, as `accept` does."""
    return _decide(suite, alarm_id, CLOSED, why)


def _decide(suite: Suite, alarm_id: str, state: str, why: str) -> Alarm:
    if not why.strip():
        raise UsageError("--why is empty; say why, for whoever reads the ledger later.")
    meter = RunMeter(suite, "alarms")
    with suite.lake.commit(f"alarm {alarm_id} {state}, run {meter.run_id}") as commit:
        decided = decide_alarm(commit, alarm_id, state, who(), why, meter.run_id, suite.clock())
        ledger.append(commit, [meter.record("succeeded", snapshot_id=commit.snapshot_id)])
    return decided
