"""APScheduler as the daemon's clock: it wakes the daemon at each tick of each job.

What is done then is decided in `jobs.schedule.decisions.decide`, not by APScheduler, whose CronTrigger has other rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from jobs.schedule.files.schedule import Job
from jobs.schedule.files.triggers import Trigger
from warehouse.errors import UsageError


class OccurrenceTrigger:
    """The occurrences of one of our triggers, in the form that APScheduler asks for."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Give the first occurrence after the last one, and not before now."""
        after = now - timedelta(microseconds=1)
        if previous_fire_time is not None:
            after = max(after, previous_fire_time)
        try:
            return self.trigger.next(after.astimezone(UTC).replace(tzinfo=None)).replace(tzinfo=UTC)
        except UsageError:
            return None  # none in fifty years


# Not a subclass: APScheduler ships no types, and asks of a trigger nothing but the method above.
BaseTrigger.register(OccurrenceTrigger)


class Wakeups:
    """Calls `wake` whenever there may be something to do."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._triggers: dict[str, Trigger] = {}

    def start(self) -> None:
        """Start APScheduler."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop it."""
        self._scheduler.shutdown(wait=False)

    def follow(self, jobs: Mapping[str, Job]) -> None:
        """Wake at the ticks of these jobs from now on, and of no others."""
        wanted = {name: job.trigger for name, job in jobs.items()}
        for name in self._triggers.keys() - wanted.keys():
            self._scheduler.remove_job(name)
        for name, trigger in wanted.items():
            if self._triggers.get(name) != trigger:
                self._scheduler.add_job(
                    self._wake, OccurrenceTrigger(trigger), id=name, replace_existing=True, **_ALWAYS
                )
        self._triggers = wanted


#: A wakeup that comes late is not dropped, and several late ones are one.
_ALWAYS: dict[str, Any] = {"misfire_grace_time": None, "coalesce": True, "max_instances": 3}
