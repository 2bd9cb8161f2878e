"""Drives the scheduler of a suite: as a daemon in the foreground, or once, for whatever is due.

Time comes from the clock that is handed in. The first SIGTERM or SIGINT drains: nothing new is started, and what
runs is waited for. The second stops every run with all its processes; their ticks are taken up again by whoever
looks next.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from jobs.schedule.alerts import (
    alert_of_alarms,
    alert_of_clock,
    alert_of_freshness,
    alert_of_promises,
    alert_of_refusal,
    alert_of_step,
    send_alerts,
)
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.host import SHOW_EVERY, show_host
from jobs.schedule.logs import log_step, open_log
from jobs.schedule.processes.runs import Children
from jobs.schedule.scheduler import Scheduler, Step
from jobs.schedule.suite_clock import SuiteClock, alert_variables
from jobs.schedule.tick_store import TickStore
from jobs.schedule.wake_up import WakeUp
from jobs.suite import Clock
from warehouse.errors import DefinitionError, RunFailed
from warehouse.lake.lake import lake_of

#: What the clock keeps of runs' output, and how often that is looked through.
KEEP_LOGS = timedelta(days=30)
_SWEEP_EVERY_S = 3600.0
_FRESHNESS_EVERY_S = 60.0
_SEND_EVERY_S = 2.0
#: How often the daemon looks without a tick: for leases that ended, data that came, files that changed.
LOOK_EVERY_S = 5.0
#: A clock that goes back by less is being corrected, as clocks are.
_SET_BACK = timedelta(minutes=5)


@dataclass
class Daemon:
    """One scheduler at work on one suite. `clock` tells the time of ticks, `wall` the time of this machine."""

    root: Path
    clock: Clock
    wall: Clock
    log: Any = field(default_factory=open_log)
    _signals: list[int] = field(default_factory=list)
    _told_of: int = 0
    _wake_up: WakeUp = field(default_factory=WakeUp)
    _last: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        self.lake = lake_of(self.root).root
        self.tick_store = TickStore.open(self.lake)
        self.files = SuiteClock(self.root, self.tick_store, self.clock)
        self.children = Children(self.root, lambda: alert_variables(self.files.schedule()), self._wake_up.ring)
        self.scheduler = Scheduler(
            self.tick_store, self.files.schedule, self.files.world(), self.children, on_step=self._alert_of
        )

    @property
    def drains(self) -> int:
        """How often it was told to stop."""
        return len(self._signals)

    def __enter__(self) -> Self:
        show_host(self.tick_store, self.wall())
        try:
            # The first reading of the files says at once what is wrong with them.
            self.files.schedule()
        except DefinitionError as error:
            with self.tick_store.writing():
                stopped = Schedule(alerts=self.files.last_channels())
                alert_of_refusal(
                    self.tick_store, stopped, error.problems, self.clock(), "Nothing runs until it is mended."
                )
            send_alerts(self.tick_store, self.log, self.wall())
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.children.stop_all()
        self.tick_store.close()

    def run_daemon(self) -> None:
        """Run jobs as they are due, until told to stop."""
        from jobs.schedule.wakeups import Wakeups

        self._catch_signals()
        wakeups = Wakeups(self._wake_up.ring)
        wakeups.start()
        sender = threading.Thread(target=self._keep_sending, daemon=True, name="alerts")
        sender.start()
        self.log.info("scheduler started", suite=str(self.root), jobs=len(self.files.schedule().jobs))
        try:
            while not (self.drains and not self.children.running()):
                self._look_unless_the_server_is_away()
                wakeups.follow(self.files.schedule().jobs)
                # By a clock that nobody sets: the one that wakes us for ticks may have been set back.
                self._rest(LOOK_EVERY_S)
            self._heed_signals()
            self.step()
        finally:
            wakeups.stop()
        send_alerts(self.tick_store, self.log, self.wall())
        self.log.info("scheduler stopped", drained=self.drains == 1)

    def run_once(self) -> Step:
        """Run whatever is due, wait until it is done, and run what has become due by that; then send alerts."""
        self._catch_signals()
        done = Step()
        while True:
            done.add(self._look())
            if not self.children.running() and not self.children.finished():
                break
            self._rest(SHOW_EVERY.total_seconds())
        self._look_at_alarms()
        send_alerts(self.tick_store, self.log, self.wall())
        return done

    def is_set_back(self) -> bool:
        """Tell whether the clock was later once: then nothing new is due until it has caught up."""
        seen_until = self.tick_store.seen_until()
        return seen_until is not None and seen_until - self.clock() > _SET_BACK

    def set_back(self) -> None:
        """Take it that the clock is right now, and was wrong when it was later."""
        with self.tick_store.writing():
            self.tick_store.set_back(self.clock())

    def step(self) -> Step:
        """Do one step of the scheduler, and log it."""
        step = self.scheduler.step(self.clock(), start_runs=not self.drains)
        log_step(self.log, step)
        return step

    def _look_unless_the_server_is_away(self) -> None:
        """Look, see `_look`; a server that is away now is asked again at the next look, and its host's runs go on."""
        try:
            self._look()
        except (sqlite3.Error, RunFailed) as error:
            if not self.tick_store.is_shared:
                raise
            self.log.error("the lake's server cannot be asked", problem=str(error))

    def _look(self) -> Step:
        """Do a step, with what else is to be looked at from time to time."""
        if self._is_time("host", SHOW_EVERY.total_seconds()):
            show_host(self.tick_store, self.wall(), again=True)
            self._look_at_the_clock()
        step = self.step()
        if self._is_time("freshness", _FRESHNESS_EVERY_S):
            now = self.clock()
            stale = self.files.stale_products(now)
            if stale is not None:
                with self.tick_store.writing():
                    schedule, watched = self.files.schedule(), self.files.fresh_within()
                    alert_of_freshness(self.tick_store, schedule, stale, watched, now)
            broken = self.files.broken_promises(now)
            if broken is not None:
                with self.tick_store.writing():
                    alert_of_promises(self.tick_store, self.files.schedule(), broken, now)
            self._look_at_alarms()
        if self._is_time("sweep", _SWEEP_EVERY_S):
            self.children.sweep(self.wall() - KEEP_LOGS)
        return step

    def _look_at_alarms(self) -> None:
        if alarms := self.files.alarms_to_tell():
            with self.tick_store.writing():
                alert_of_alarms(self.tick_store, self.files.schedule(), alarms, self.clock(), self.files.sources_of)

    def _look_at_the_clock(self) -> None:
        seen_until, now = self.tick_store.seen_until(), self.clock()
        if seen_until is not None and seen_until - now > _SET_BACK:
            if self._is_time("set back", _SWEEP_EVERY_S):
                self.log.error("the clock was set back", seen_until=seen_until, now=now)
            with self.tick_store.writing():
                alert_of_clock(self.tick_store, self.files.schedule(), seen_until - now, seen_until, now)

    def _alert_of(self, step: Step, now: datetime) -> None:
        schedule = self.files.schedule()
        alert_of_step(self.tick_store, schedule, step, now)
        if alert_of_refusal(
            self.tick_store, schedule, self.files.refused, now, "The schedule before this edit goes on."
        ):
            self.log.error("an edit of the suite's files is wrong", problems=self.files.refused)

    def _is_time(self, what: str, every_s: float) -> bool:
        if time.monotonic() - self._last.get(what, float("-inf")) < every_s:
            return False
        self._last[what] = time.monotonic()
        return True

    def _keep_sending(self) -> None:
        tick_store = TickStore.open(self.lake)
        while True:
            try:
                send_alerts(tick_store, self.log, self.wall())
            except sqlite3.Error as error:  # a full disk, say; what was raised stays in the tick store
                self.log.error("alerts cannot be sent", problem=str(error))
            time.sleep(_SEND_EVERY_S)

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._drain)

    def _drain(self, number: int, _frame: object) -> None:
        # No log and no lock here: this interrupts the main thread, which may hold any of them.
        self._signals.append(number)
        self._wake_up.ring()

    def _rest(self, seconds: float) -> None:
        """Wait until there may be something to do, and heed the signals that came by then."""
        self._wake_up.wait(seconds)
        self._heed_signals()

    def _heed_signals(self) -> None:
        for count, number in list(enumerate(self._signals, start=1))[self._told_of :]:
            how = "draining; once more stops what runs" if count == 1 else "stopping what runs"
            self.log.warning(how, signal=signal.Signals(number).name, running=self.children.running())
            self._told_of = count
        if self.drains > 1:
            self.children.stop_all()
