"""What people and machines do to a clock: files in every state, signals at any moment, long outages, odd instants."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.schedule.alerts import alert_of_refusal
from jobs.schedule.daemon import Daemon
from jobs.schedule.decisions.decide import rest_after
from jobs.schedule.files.schedule import Job, Retries, Schedule, Work
from jobs.schedule.files.triggers import Interval
from jobs.schedule.suite_clock import SuiteClock
from jobs.schedule.tick_store import TickStore
from jobs.schedule.wake_up import WakeUp
from jobs.schedule.wakeups import OccurrenceTrigger, Wakeups
from tests.conftest import clock_at
from tests.schedule.clock_suites import book_rows, first_look, make_suite, real_now, run, run_json
from tests.schedule.test_clock_decisions import MINUTE, START, Clockwork, job
from warehouse.definitions.cron import Grid
from warehouse.errors import DefinitionError

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RIGHT = 'jobs: {work: {run: {shell: "touch ran"}, every: 1000 days}}'


def open_clock(suite: Path) -> SuiteClock:
    clock = SuiteClock(suite, TickStore(sqlite3.connect(":memory:")), clock_at(START))
    clock.schedule()
    assert not clock.refused
    return clock


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# being written",
        b"jobs:",
        b"jobs: &a {x: *a}",
        b"jobs: {work: {run: upkeep, every: 1 day, owner: 2013-99-99}}",
        b"jobs: " + b"[" * 1200,
        b"jobs: {work: {run: upkeep, every: 99999999999 days}}",
        rb'jobs: {work: {run: {shell: "\0"}, every: 1 day}}',
        b"pools: {x: " + b"9" * 5000 + b"}",
        b"!!python/object/apply:os.system [ls]",
        b"jobs: {} # \xff",
        b"\x00",
        b"jobs: {}\n---\njobs: {}",
    ],
)
def test_whatever_is_written_into_the_schedule_the_last_right_one_goes_on(tmp_path: Path, text: bytes) -> None:
    clock = open_clock(make_suite(tmp_path / "suite", RIGHT))
    before = clock.schedule()
    (clock.root / "schedules.yaml").write_bytes(text)
    assert clock.schedule() == before
    (refused,) = clock.refused
    assert "schedules.yaml" in refused
    after_a_restart = SuiteClock(clock.root, clock.tick_store, clock.clock)
    assert after_a_restart.schedule().jobs.keys() == before.jobs.keys()
    assert after_a_restart.refused == clock.refused


def _replace_with_a_directory(suite: Path) -> None:
    (suite / "schedules.yaml").unlink()
    (suite / "schedules.yaml").mkdir()


@pytest.mark.parametrize(
    "attack",
    [
        lambda suite: (suite / "schedules.yaml").unlink(),
        _replace_with_a_directory,
        lambda suite: (suite / "sql").rename(suite / "moved"),
        lambda suite: (suite / "sql/features/loop.sql").symlink_to("loop.sql"),
        lambda suite: (suite / "sql/features/directory.sql").mkdir(),
        lambda suite: (suite / "sql/features/binary.sql").write_bytes(b"\xff\xfe\x00"),
    ],
    ids=["gone", "a directory", "no sql", "a loop", "a directory as sql", "binary"],
)
def test_whatever_becomes_of_the_files_the_last_right_schedule_goes_on(
    starter: Path, attack: Callable[[Path], object]
) -> None:
    clock = open_clock(starter)
    before = clock.schedule()
    attack(starter)
    assert clock.schedule() == before
    assert len(clock.refused) == 1


def test_what_editors_leave_lying_about_is_no_edit(starter: Path) -> None:
    clock = open_clock(starter)
    (starter / "sql/features/.#depot_history.sql").symlink_to("ada@host.4711")  # Emacs, of an unsaved buffer
    (starter / "sql/features/._depot_history.sql").write_bytes(b"\x00\x05\x16\x07")  # macOS, on other file systems
    (starter / "sql/features/loop").symlink_to("loop")
    (starter / "sql/up").symlink_to("..")
    clock.schedule()
    assert clock.refused == []


def test_an_edit_that_keeps_size_and_time_of_change_is_seen(tmp_path: Path) -> None:
    clock = open_clock(make_suite(tmp_path / "suite", RIGHT))
    file = clock.root / "schedules.yaml"
    stat = file.stat()
    file.write_text(RIGHT.replace("work", "toil"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert clock.schedule().jobs.keys() == {"toil"}


def test_what_is_refused_is_printed_without_secrets(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (starter / "schedules.yaml").write_text(RIGHT)
    clock = open_clock(starter)
    monkeypatch.setenv("SERVICE_TOKEN", "t0ken-of-mine")
    product = starter / "sql/products/late_order/product.yaml"
    product.write_text(product.read_text() + "\nfresh_within: t0ken-of-mine\n")
    clock.schedule()
    assert "[redacted]" in clock.refused[0]
    assert "t0ken-of-mine" not in str(clock.refused)


def test_a_daemon_and_a_tick_that_take_turns_tell_of_one_mistake_once() -> None:
    tick_store, schedule = TickStore(sqlite3.connect(":memory:")), Schedule(alerts=("OPS",))
    for minute in range(6):
        meanwhile = ("The schedule before this edit goes on.", "Nothing runs until it is mended.")[minute % 2]
        with tick_store.writing():
            alert_of_refusal(tick_store, schedule, ["no"], START + minute * MINUTE, meanwhile)
    assert len(tick_store.db.execute("SELECT * FROM alerts").fetchall()) == 1


# Signals


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    """Whatever a driver does to the handlers of this process; what hangs is ended by an alarm."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}

    def too_long(*_: object) -> None:
        raise AssertionError("it hangs")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(120)
    yield
    signal.alarm(0)
    for number, handler in before.items():
        signal.signal(number, handler)


class _Interrupted:
    """Standard error whose lines are interrupted by a signal in their midst, while the logger holds its lock."""

    def __init__(self, *events: str) -> None:
        self.events, self.text = list(events), ""

    def write(self, text: str) -> None:
        if self.events and f'"event": "{self.events[0]}' in text:
            del self.events[0]
            os.kill(os.getpid(), signal.SIGTERM)
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize(
    ("events", "result"),
    [
        (("scheduler started",), None),
        (("run started",), "succeeded"),
        (("run started", "draining"), "interrupted"),
        (("tick settled",), "succeeded"),
    ],
)
def test_a_signal_that_comes_in_the_middle_of_a_line_of_the_log_is_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: tuple[str, ...], result: str | None
) -> None:
    command = "sleep 600" if result == "interrupted" else "true"
    suite = make_suite(tmp_path / "suite", RIGHT.replace("touch ran", command))
    first_look(suite)
    said = _Interrupted(*events)
    monkeypatch.setattr(sys, "stderr", said)
    with Daemon(suite, real_now, real_now) as daemon:
        daemon.run_daemon()
    assert "draining" in said.text
    assert ("stopping what runs" in said.text) == (len(events) == 2)
    assert book_rows(suite, "SELECT result FROM runs") == ([(result,)] if result else [])


@pytest.mark.usefixtures("_own_handlers")
def test_a_bell_may_be_rung_at_any_moment_of_a_wait() -> None:
    wake_up, moments = WakeUp(), 0

    def ring(*_: object) -> Any:
        """Runs in the midst of the wait, in its thread, as the handler of a signal does."""
        nonlocal moments
        moments += 1
        if moments < 50:
            wake_up.ring()
        return ring

    before = sys.gettrace()
    sys.settrace(ring)
    try:
        for _ in range(10):
            wake_up.ring()
            wake_up.wait(60)
    finally:
        sys.settrace(before)
    assert moments >= 50


def test_many_rings_are_one_and_none_is_lost() -> None:
    wake_up = WakeUp()
    for _ in range(3):
        wake_up.ring()
    began = time.monotonic()
    wake_up.wait(3600)
    wake_up.wait(0.01)
    assert time.monotonic() - began < 1800


# Long outages, odd instants


def work_of_an_outage(ticks: int) -> int:
    """Count SQLite's instructions, by the thousand, for so many ticks that were missed."""
    clock = Clockwork(job("a", trigger=Interval(MINUTE)))
    count = 0

    def one_more() -> int:
        nonlocal count
        count += 1
        return 0

    clock.tick_store.db.set_progress_handler(one_more, 1000)
    clock.at(START + ticks * MINUTE)
    assert clock.running() == ["a"]
    return count


def test_ten_times_the_outage_is_ten_times_the_work() -> None:
    assert work_of_an_outage(20_000) < 15 * work_of_an_outage(2_000)


def test_the_longest_rest_that_can_be_written_is_a_rest() -> None:
    century = timedelta(days=36_525)
    for attempts in (1, 2, 99):
        assert rest_after(Retries(100, century, century, 0), attempts, 0, "tick") == century


@pytest.mark.parametrize("instant", ["0001-01-01", "0999-12-31", "9000-01-01", "9999-12-31T23:59:59+14:00"])
def test_an_instant_beyond_all_calendars_is_refused(tmp_path: Path, instant: str) -> None:
    suite = make_suite(tmp_path / "suite", RIGHT)
    assert "expected a year from 1000 to 8999" in run(suite, "tick", "--now", instant, expect=2)
    assert "expected a year" in run(suite, "agenda", "--from", instant, expect=2)


def test_the_agenda_reaches_as_far_as_an_instant_can_be_given(tmp_path: Path) -> None:
    text = """jobs:
      work: {run: upkeep, every: 36525 days}
      yearly: {run: upkeep, cron: "0 0 1 1 *", zone: Pacific/Apia}"""
    suite = make_suite(tmp_path / "suite", text)
    for start, end in (("1000-01-01", "1101-01-01"), ("8898-12-31", "8999-12-31T23:59")):
        ticks = run_json(suite, "agenda", "--from", start, "--to", end)["ticks"]
        assert [tick["job"] for tick in ticks].count("work") == 1
        assert [tick["job"] for tick in ticks].count("yearly") >= 100


# APScheduler as the daemon's clock


def test_the_wakeups_are_those_of_our_triggers() -> None:
    # APScheduler's own CronTrigger skips this Monday.
    grid = Grid.parse("0 0 * * mon", "America/New_York")
    trigger, at = OccurrenceTrigger(grid), datetime(2013, 3, 4, 5, tzinfo=UTC)
    assert trigger.get_next_fire_time(None, at) == at
    assert trigger.get_next_fire_time(at, at) == datetime(2013, 3, 11, 4, tzinfo=UTC)
    assert trigger.get_next_fire_time(at, at + 8 * DAY) == datetime(2013, 3, 18, 4, tzinfo=UTC)
    late = datetime(9999, 6, 1, tzinfo=UTC)
    assert OccurrenceTrigger(Grid.parse("0 0 29 2 *", "UTC")).get_next_fire_time(None, late) is None


def test_wakeups_follow_the_schedule() -> None:
    def jobs(**triggers: Interval | Grid) -> dict[str, Job]:
        return {name: Job(name, Work("upkeep"), trigger) for name, trigger in triggers.items()}

    def due() -> dict[str, object]:
        return {one.id: one.trigger.trigger for one in wakeups._scheduler.get_jobs()}

    wakeups = Wakeups(lambda: None)
    wakeups.start()
    try:
        for wanted in (
            jobs(a=Interval(HOUR), b=Interval(HOUR)),
            jobs(a=Interval(DAY)),
            jobs(a=Interval(DAY), c=Grid.parse("0 0 * * *", "UTC")),
            {},
        ):
            wakeups.follow(wanted)
            assert due() == {name: job.trigger for name, job in wanted.items()}
    finally:
        wakeups.stop()


def test_a_wakeup_comes_when_a_tick_is_due_however_late_the_machine_is() -> None:
    class LongPast:
        """It was due a day ago, as after a sleep of the machine, and is due again in a day."""

        days = iter([-1])

        def next(self, after: datetime) -> datetime:
            return after + next(self.days, 1) * DAY

    woken = threading.Event()
    wakeups = Wakeups(woken.set)
    wakeups.start()
    try:
        wakeups.follow({"a": Job("a", Work("upkeep"), LongPast())})  # type: ignore[arg-type]
        assert woken.wait(60)
    finally:
        wakeups.stop()


def test_a_schedule_that_was_never_right_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", "jobs: {work: {}}")
    clock = SuiteClock(suite, TickStore(sqlite3.connect(":memory:")), clock_at(START))
    for _ in range(2):
        with pytest.raises(DefinitionError, match="run` is missing"):
            clock.schedule()
    (suite / "schedules.yaml").write_text(RIGHT)
    assert clock.schedule().jobs.keys() == {"work"}
