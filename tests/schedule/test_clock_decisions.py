"""What becomes of ticks, case by case: the real scheduler and book, with time and the ends of runs given by hand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.schedule.alerts import alert_of_step, raise_alert
from jobs.schedule.decisions.decide import ASK_AGAIN, rest_after
from jobs.schedule.decisions.ticks import Finished, Run, Tick
from jobs.schedule.files.schedule import Job, Retries, Schedule, Work
from jobs.schedule.files.triggers import Interval
from jobs.schedule.processes.commands import command_of
from jobs.schedule.scheduler import Question, Scheduler, World
from jobs.schedule.tick_store import TickStore
from warehouse.definitions.cron import Grid
from warehouse.errors import LakeFormatError
from warehouse.operations.state import forget

START = datetime(2024, 1, 1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PRODUCT_GRID = Grid.parse("0 18 * * *", "UTC")


@dataclass
class ByHand:
    """An executor whose runs end when the test says so."""

    going: dict[int, Run] = field(default_factory=dict)
    ended: dict[int, Finished] = field(default_factory=dict)
    leases: set[str] = field(default_factory=set)
    taken: int = 0
    commands: list[list[str]] = field(default_factory=list)

    def take_lease(self) -> str:
        self.taken += 1
        self.leases.add(f"lease {self.taken}")
        return f"lease {self.taken}"

    def start(self, run: Run) -> None:
        self.going[run.run] = run
        self.commands.append(command_of(run, Path("/suite"))[4:])

    def finished(self) -> list[Finished]:
        return list(self.ended.values())

    def let_go(self, run: int) -> None:
        del self.ended[run]

    def cost_of(self, lease: str) -> None:
        pass

    def is_alive(self, lease: str) -> bool:
        return lease in self.leases

    def end(self, job: str, reason: str = "") -> None:
        (number,) = (number for number, run in self.going.items() if run.job.name == job)
        del self.going[number]
        self.ended[number] = Finished(number, not reason, reason)


class Clockwork:
    def __init__(self, *jobs: Job, pools: dict[str, int] | None = None) -> None:
        self.tick_store = TickStore(sqlite3.connect(":memory:"))
        self.executor = ByHand()
        self.pools = pools or {"default": 4}
        self.unready: set[datetime] = set()
        self.there: set[datetime] = set()
        self.file(*jobs)
        world = World(self.page_of, self.ask, self.published)
        self.scheduler = Scheduler(self.tick_store, lambda: self.schedule, world, self.executor)
        self.at(START)

    def file(self, *jobs: Job) -> None:
        self.schedule = Schedule({job.name: job for job in jobs}, self.pools)

    def page_of(self, job: Job, at: datetime) -> datetime | None:
        return PRODUCT_GRID.latest(at) if job.work.product else at

    def ask(self, questions: Sequence[Question]) -> dict[Question, str | None]:
        return {(name, page): "not ready" if page in self.unready else None for name, page in questions}

    def published(self, product: str, pages: Iterable[datetime]) -> set[datetime]:
        return self.there & set(pages)

    def at(self, now: datetime) -> None:
        self.scheduler.step(now)

    def running(self) -> list[str]:
        return sorted(run.job.name for run in self.executor.going.values())

    def outcomes(self, job: str) -> list[str]:
        rows = self.tick_store.report_ticks(job, None, None, 1000)
        return [row["state"] for row in reversed(rows)]

    def reasons(self, job: str) -> list[str | None]:
        return [row["reason"] for row in reversed(self.tick_store.report_ticks(job, None, None, 1000))]


def job(name: str, **options: object) -> Job:
    base = Job(name, Work("shell", ("x",)), Grid.parse("0 18 * * *", "UTC"), retries=Retries(jitter=0))
    return replace(base, **options)  # type: ignore[arg-type]


def predict(name: str, **options: object) -> Job:
    return job(name, work=Work("predict", ("sales",)), **options)


SIX = START + 18 * HOUR


def test_a_tick_on_time_has_run() -> None:
    clock = Clockwork(job("a"))
    clock.at(SIX - MINUTE)
    assert clock.running() == []
    clock.at(SIX)
    assert clock.running() == ["a"]
    clock.executor.end("a")
    clock.at(SIX + HOUR)
    assert clock.outcomes("a") == ["ran"]


def test_what_is_due_before_a_job_was_first_seen_is_not_run() -> None:
    clock = Clockwork(job("a"))
    clock.at(SIX)
    clock.file(job("a"), job("b"))
    clock.at(SIX + MINUTE)
    assert clock.running() == ["a"]


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("all", ["caught up", "caught up", "caught up"]),
        ("latest", ["coalesced", "coalesced", "caught up"]),
        ("none", ["skipped", "skipped", "skipped"]),
    ],
)
def test_what_was_missed_is_caught_up_as_the_job_says(catch_up: str, expected: list[str]) -> None:
    clock = Clockwork(job("a", catch_up=catch_up))
    for step in range(5):
        clock.at(SIX + 2 * DAY + HOUR + step * MINUTE)
        if clock.running():
            clock.executor.end("a")
    assert clock.outcomes("a") == expected


def test_missed_pages_go_through_one_backfill_and_the_one_on_time_through_run() -> None:
    clock = Clockwork(predict("p", catch_up="all"))
    clock.at(SIX + 2 * DAY)
    assert clock.executor.commands == [
        ["--suite", "/suite", "backfill", "sales", "--from", "2024-01-01T18:00:00", "--to", "2024-01-02T18:00:01"]
    ]
    clock.executor.end("p")
    clock.at(SIX + 2 * DAY + MINUTE)
    assert clock.executor.commands[1:] == [["--suite", "/suite", "run", "sales", "--as-of", "2024-01-03T18:00:00"]]
    clock.executor.end("p")
    clock.at(SIX + 2 * DAY + 2 * MINUTE)
    assert clock.outcomes("p") == ["caught up", "caught up", "ran"]


def test_one_backfill_makes_no_more_pages_than_it_may() -> None:
    clock = Clockwork(predict("p", catch_up="all", catch_up_at_most=2))
    clock.at(SIX + 2 * DAY + HOUR)
    assert [len(run.ticks) for run in clock.executor.going.values()] == [2]


def test_of_a_failed_backfill_the_pages_that_were_published_count() -> None:
    clock = Clockwork(predict("p", catch_up="all"))
    clock.at(SIX + 2 * DAY + HOUR)
    clock.there = {SIX, SIX + 2 * DAY}
    clock.executor.end("p", "exit 1")
    clock.at(SIX + 2 * DAY + 2 * HOUR)
    assert clock.outcomes("p") == ["caught up", "failed", "caught up"]


def test_a_failed_attempt_is_followed_by_others_after_ever_longer_rests() -> None:
    clock = Clockwork(job("a", retries=Retries(3, 10 * MINUTE, HOUR, 0)))
    clock.at(SIX)
    clock.executor.end("a", "exit 1")
    clock.at(SIX + MINUTE)
    clock.at(SIX + 10 * MINUTE)
    assert clock.running() == []
    clock.at(SIX + 11 * MINUTE)
    clock.executor.end("a", "exit 1")
    clock.at(SIX + 12 * MINUTE)
    clock.at(SIX + 31 * MINUTE)
    assert clock.running() == []
    clock.at(SIX + 32 * MINUTE)
    clock.executor.end("a", "exit 2")
    clock.at(SIX + 33 * MINUTE)
    assert clock.outcomes("a") == ["failed"]
    assert clock.reasons("a") == ["exit 2 (attempt 3)"]


@given(st.integers(1, 100), st.integers(0, 10**6), st.floats(0, 1))
def test_a_rest_is_within_its_bounds_and_the_same_for_the_same_seed(attempts: int, seed: int, jitter: float) -> None:
    retries = Retries(100, MINUTE, HOUR, jitter)
    rest = rest_after(retries, attempts, seed, "tick")
    plain = min(MINUTE * 2 ** min(attempts - 1, 20), HOUR)
    assert plain * (1 - jitter) - timedelta(milliseconds=1) <= rest <= plain * (1 + jitter) + timedelta(milliseconds=1)
    assert rest == rest_after(retries, attempts, seed, "tick")


def test_an_abandoned_run_is_taken_up_at_once_but_not_without_end() -> None:
    clock = Clockwork(job("a"))
    for step in range(3):
        clock.at(SIX + step * MINUTE)
        assert clock.running() == ["a"]
        clock.executor.going.clear()
        clock.executor.leases.clear()
    clock.at(SIX + 3 * MINUTE)
    assert clock.running() == []
    assert clock.reasons("a") == ["abandoned: whoever ran it is gone (3 times)"]


def test_a_job_waits_for_those_that_it_comes_after() -> None:
    clock = Clockwork(job("a"), job("b", after=("a",)))
    clock.at(SIX)
    assert clock.running() == ["a"]
    assert clock.reasons("b") == ["waits for a's tick of 2024-01-01 18:00:00"]
    clock.executor.end("a")
    clock.at(SIX + HOUR)
    assert clock.running() == ["b"]


def test_a_job_is_skipped_when_what_it_comes_after_failed_or_was_skipped() -> None:
    clock = Clockwork(job("a"), job("b", after=("a",)), job("c", after=("b",)))
    clock.at(SIX)
    clock.executor.end("a", "exit 1")
    clock.at(SIX + MINUTE)
    assert clock.reasons("b") == ["comes after a, whose tick of 2024-01-01 18:00:00 failed"]
    assert clock.reasons("c") == ["comes after b, whose tick of 2024-01-01 18:00:00 was skipped"]


def test_a_coalesced_tick_counts_as_the_one_that_does_its_work() -> None:
    clock = Clockwork(job("a", catch_up="latest"), job("b", after=("a",), catch_up="all"))
    clock.at(SIX + DAY + HOUR)
    clock.executor.end("a")
    clock.at(SIX + DAY + 2 * HOUR)
    clock.executor.end("b")
    clock.at(SIX + DAY + 3 * HOUR)
    clock.executor.end("b")
    clock.at(SIX + DAY + 4 * HOUR)
    assert clock.outcomes("a") == ["coalesced", "caught up"]
    assert clock.outcomes("b") == ["caught up", "caught up"]


def test_a_job_that_had_no_tick_yet_is_not_waited_for() -> None:
    clock = Clockwork(job("a", trigger=Grid.parse("0 20 * * *", "UTC")), job("b", after=("a",)))
    clock.at(SIX)
    assert clock.running() == ["b"]


def test_a_job_waits_for_its_data_and_not_for_ever() -> None:
    clock = Clockwork(job("a", ready_when="complete", wait_at_most=2 * HOUR))
    clock.unready = {SIX, SIX + DAY}
    clock.at(SIX)
    clock.at(SIX + HOUR)
    assert clock.running() == []
    clock.unready = {SIX + DAY}
    clock.at(SIX + HOUR + ASK_AGAIN)
    assert clock.running() == ["a"]
    clock.executor.end("a")
    clock.at(SIX + DAY)
    clock.at(SIX + DAY + 3 * HOUR)
    assert clock.outcomes("a") == ["ran", "skipped"]
    assert clock.reasons("a")[1] == "not ready, longer than wait_at_most (2:00:00)"


def test_a_page_with_nothing_new_is_skipped_and_so_is_what_comes_after_it() -> None:
    clock = Clockwork(predict("a", unless="nothing new of sales", ready_when="complete"), job("b", after=("a",)))
    asked: list[Question] = []

    def answer(questions: Sequence[Question]) -> dict[Question, str | None]:
        asked.extend(questions)
        old = {(name, page): "nothing new" for name, page in questions if name != "complete" and page == SIX + DAY}
        return clock.ask(questions) | old

    clock.scheduler.world = World(clock.page_of, answer, clock.published)
    clock.at(SIX)
    assert clock.running() == ["a"]
    # It is asked once the data are complete, since more may come until then.
    assert [name for name, _ in asked] == ["complete", "nothing new of sales"]
    clock.executor.end("a")
    clock.at(SIX)
    clock.executor.end("b")
    clock.at(SIX + DAY)
    assert (clock.outcomes("a"), clock.reasons("a")[1]) == (["ran", "skipped"], "nothing new")
    assert clock.outcomes("b") == ["ran", "skipped"]
    clock.at(SIX + 2 * DAY)
    assert clock.running() == ["a"]


def test_a_job_does_not_wait_for_ever_for_those_that_it_comes_after_and_somebody_is_told() -> None:
    clock = Clockwork(job("a"), job("b", after=("a",), wait_at_most=2 * HOUR, alerts=("OPS",), owner="ada"))
    clock.scheduler.on_step = lambda step, now: alert_of_step(clock.tick_store, clock.schedule, step, now)
    clock.at(SIX)
    clock.at(SIX + 2 * HOUR - MINUTE)
    assert clock.outcomes("b") == ["waiting"]
    clock.at(SIX + 2 * HOUR)
    assert clock.reasons("b") == ["waits for a's tick of 2024-01-01 18:00:00, longer than wait_at_most (2:00:00)"]
    clock.at(SIX + 3 * HOUR)
    (alert,) = clock.tick_store.db.execute("SELECT * FROM alerts").fetchall()
    assert alert["title"] == "b: the tick of 2024-01-01 18:00:00 (UTC) was skipped"
    assert (json.loads(alert["channels"]), alert["body"].splitlines()[-1]) == (["OPS"], "Owner: ada")


def test_a_tick_that_is_seen_within_its_grace_was_not_missed() -> None:
    for grace, expected in ((2 * HOUR, "running"), (HOUR - MINUTE, "skipped")):
        clock = Clockwork(job("a", grace=grace, catch_up="none"))
        clock.at(SIX + HOUR)
        assert clock.outcomes("a") == [expected]


def test_a_pause_skips_what_waits_and_lets_go_on_what_runs() -> None:
    clock = Clockwork(job("a", trigger=Interval(HOUR)))
    clock.at(START + HOUR)
    clock.at(START + 2 * HOUR)
    clock.tick_store.pause("a", "ada", "rain", START + 2 * HOUR)
    clock.at(START + 2 * HOUR + MINUTE)
    assert clock.outcomes("a") == ["running", "skipped"]
    clock.executor.end("a")
    clock.at(START + 3 * HOUR)
    clock.tick_store.resume("a", "ada", "sun", START + 3.5 * HOUR)
    clock.at(START + 4 * HOUR)
    assert clock.outcomes("a") == ["ran", "skipped", "skipped", "running"]


@pytest.mark.parametrize(
    ("work", "command"),
    [
        (Work("ingest"), "-P -m jobs --suite /suite ingest"),
        (Work("ingest", ("landings", "schedule")), "-P -m jobs --suite /suite ingest landings schedule"),
        (Work("train", ("sales",)), "-P -m jobs --suite /suite train sales --as-of 2024-01-01T18:00:00"),
        (Work("upkeep"), "-P -m jobs --suite /suite upkeep"),
        (
            Work("python", ("my.jobs:work",)),
            "-P -m jobs.schedule.processes.call my.jobs:work --as-of 2024-01-01T18:00:00",
        ),
    ],
)
def test_each_kind_of_work_is_a_command(work: Work, command: str) -> None:
    tick = Tick(1, SIX, SIX, SIX, missed=True)
    assert command_of(Run(1, job("a", work=work), (tick,), "lease"), Path("/suite"))[1:] == command.split()
    assert job("a", work=work).work.product is None


def test_the_book_holds_what_must_never_happen_twice(tmp_path: Path) -> None:
    clock = Clockwork(predict("p"), predict("q"))
    clock.at(SIX)
    (p, q) = (clock.tick_store._job_id(name) for name in "pq")
    again = (
        "INSERT INTO runs (job_id, job, work, product, pool, lease, started_at) VALUES (?, 'x', 'x', ?, 'x', ?, 'x')"
    )
    for values in (
        (p, None, "a second run of a job"),
        (q, "sales", "a second writer of a product"),
        (q, "x", "lease 1"),
    ):
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            clock.tick_store.db.execute(again, values)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        clock.tick_store.db.execute(
            "INSERT INTO ticks (job_id, at, seen_at, missed) VALUES (?, ?, 'x', 0)", (p, str(SIX))
        )
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        clock.tick_store.db.execute("UPDATE ticks SET outcome = 'vanished', settled_at = 'x', run = NULL")
    tick_store = TickStore.open(tmp_path)
    assert tick_store.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert (tmp_path / "operations.sqlite").exists()


def test_a_readiness_query_is_asked_again_after_a_minute() -> None:
    clock = Clockwork(job("a", ready_when="complete"))
    clock.unready = {SIX}
    clock.at(SIX)
    clock.unready = set()
    clock.at(SIX + 0.9 * MINUTE)
    assert clock.running() == []
    clock.at(SIX + MINUTE)
    assert clock.running() == ["a"]


def test_a_missed_tick_that_was_tried_is_tried_again_whatever_catch_up_says_by_then() -> None:
    for catch_up in ("none", "latest"):
        retries = Retries(2, HOUR, HOUR, 0)
        clock = Clockwork(job("a", catch_up="all", retries=retries))
        clock.at(SIX + HOUR)
        clock.executor.end("a", "exit 1")
        clock.at(SIX + 2 * HOUR)
        clock.file(job("a", catch_up=catch_up, retries=retries))
        clock.at(SIX + DAY + HOUR)
        assert clock.running() == ["a"]
        clock.executor.end("a")
        clock.at(SIX + DAY + 2 * HOUR)
        assert clock.outcomes("a") == ["caught up", "skipped" if catch_up == "none" else "running"]


def test_a_tick_that_will_be_tried_again_is_overlapped_too() -> None:
    clock = Clockwork(job("a", trigger=Interval(HOUR), overlap="skip", retries=Retries(2, 3 * HOUR, 3 * HOUR, 0)))
    clock.at(START + HOUR)
    clock.executor.end("a", "exit 1")
    clock.at(START + 1.5 * HOUR)
    clock.at(START + 2 * HOUR)
    assert clock.outcomes("a") == ["waiting", "skipped"]
    assert clock.reasons("a")[1] == "the tick of 2024-01-01 01:00:00 was not done, and overlap is skip"


def test_a_rest_that_a_wrong_clock_gave_is_not_waited_for() -> None:
    clock = Clockwork(job("a", retries=Retries(3, MINUTE, HOUR, 0)))
    clock.at(SIX + 1000 * DAY)
    clock.executor.end("a", "exit 1")
    clock.at(SIX + 1000 * DAY)
    assert clock.running() == []
    clock.at(SIX)
    assert clock.running() == ["a"]


@pytest.mark.parametrize("said", [False, True])
def test_what_a_wrong_clock_saw_waits_no_longer_than_anything_else(said: bool) -> None:
    clock = Clockwork(job("a", ready_when="complete", wait_at_most=2 * HOUR, retries=Retries(9, MINUTE, MINUTE, 0)))
    wrong = SIX + 10 * DAY
    clock.unready = set() if said else {wrong}
    clock.at(wrong)
    if said:
        clock.executor.end("a", "exit 1")
        clock.unready = {wrong}
        clock.at(wrong)
        with clock.tick_store.writing():
            clock.tick_store.set_back(SIX)
    clock.at(SIX)
    assert clock.outcomes("a")[-1] == "waiting"
    clock.at(SIX + 2 * HOUR)
    assert clock.outcomes("a")[-1] == "skipped"


def test_missed_pages_that_were_tried_are_not_mixed_with_those_that_were_not() -> None:
    clock = Clockwork(predict("p", catch_up="all", retries=Retries(2, MINUTE, MINUTE, 0)))
    clock.at(SIX + DAY + HOUR)
    clock.executor.end("p", "exit 1")
    clock.at(SIX + DAY + HOUR)
    clock.at(SIX + 2 * DAY + HOUR)
    (run,) = clock.executor.going.values()
    assert [tick.at for tick in run.ticks] == [SIX, SIX + DAY]


def test_a_page_that_is_not_ready_is_not_made_by_a_backfill_of_its_neighbours() -> None:
    clock = Clockwork(predict("p", catch_up="all", ready_when="complete"))
    clock.unready = {SIX + DAY}
    clock.at(SIX + 2 * DAY + HOUR)
    (run,) = clock.executor.going.values()
    assert [tick.at for tick in run.ticks] == [SIX]


def test_the_jitter_of_rests_differs_between_ticks_attempts_and_schedulers() -> None:
    retries = Retries(9, HOUR, HOUR, 0.5)
    rests = {rest_after(retries, 1 + n % 5, n // 25, f"tick {n // 5 % 5}") for n in range(100)}
    assert len(rests) == 100
    assert max(rests) - min(rests) > 0.8 * HOUR


def test_what_ran_of_a_job_that_was_taken_out_has_its_outcome() -> None:
    for reason, outcome in (("", "ran"), ("exit 1", "failed")):
        clock = Clockwork(job("a", retries=Retries(5)))
        clock.at(SIX)
        clock.file()
        clock.at(SIX + MINUTE)
        assert clock.outcomes("a") == ["running"]
        clock.executor.end("a", reason)
        clock.at(SIX + 2 * MINUTE)
        assert clock.outcomes("a") == [outcome]


def test_a_job_that_comes_back_while_the_clock_is_set_back_runs_nothing_that_was_forgotten() -> None:
    clock = Clockwork(job("a"))
    for day in range(3):
        clock.at(SIX + day * DAY)
        clock.executor.end("a")
    clock.at(SIX + 2 * DAY + HOUR)
    assert forget(clock.tick_store.db, SIX + 2 * DAY + MINUTE) == 2
    clock.file()
    clock.at(SIX + 2 * DAY + 2 * HOUR)
    clock.at(START)
    clock.file(job("a"))
    clock.at(START + HOUR)
    clock.at(SIX)
    assert clock.running() == []
    assert clock.outcomes("a") == ["ran"]


def test_overlapping_ticks_queue_or_are_skipped() -> None:
    hourly = Interval(HOUR)
    clock = Clockwork(job("q", trigger=hourly), job("s", trigger=hourly, overlap="skip"))
    for hour in range(1, 4):
        clock.at(START + hour * HOUR)
    assert clock.outcomes("s") == ["running", "skipped", "skipped"]
    assert clock.outcomes("q") == ["running", "waiting", "waiting"]
    for hour in range(3):
        clock.executor.end("q")
        clock.at(START + 3 * HOUR + hour * MINUTE)
    assert clock.outcomes("q") == ["ran", "ran", "ran"]


def test_a_pool_limits_how_many_run_at_once() -> None:
    clock = Clockwork(job("a", pool="one"), job("b", pool="one"), job("c"), pools={"one": 1, "default": 4})
    clock.at(SIX)
    assert clock.running() == ["a", "c"]
    assert clock.reasons("b") == ["the pool one is full"]


def test_no_two_jobs_write_pages_of_one_product_at_once() -> None:
    clock = Clockwork(predict("a"), predict("b"))
    clock.at(SIX)
    assert clock.running() == ["a"]
    clock.file(predict("b"))
    clock.at(SIX + MINUTE)
    assert clock.running() == ["a"], "not even when the first was taken out of the file"
    clock.executor.end("a")
    clock.at(SIX + 2 * MINUTE)
    assert clock.running() == ["b"]


def test_a_new_expression_counts_from_when_it_is_seen() -> None:
    clock = Clockwork(job("a"))
    clock.file(job("a", trigger=Grid.parse("0 12 * * *", "UTC")))
    clock.at(SIX + HOUR)
    rows = clock.tick_store.report_ticks("a", None, None, 10)
    assert [row["at"] for row in rows] == [SIX], "due by the old one; noon of that day is past"
    clock.executor.end("a")
    clock.at(SIX + DAY)
    rows = clock.tick_store.report_ticks("a", None, None, 10)
    assert [row["at"] for row in rows] == [START + 36 * HOUR, SIX]


def test_a_renamed_job_keeps_its_history_its_pause_and_its_open_ticks() -> None:
    clock = Clockwork(job("a"))
    clock.at(SIX)
    clock.executor.end("a", "exit 1")
    clock.tick_store.pause("a", "ada", "rain", SIX)
    clock.file(job("b", was=("a",)))
    clock.at(SIX + DAY)
    assert clock.outcomes("b") == ["failed", "skipped"]
    assert clock.reasons("b")[1] == "paused by ada: rain"
    clock.file(job("b"))
    clock.at(SIX + DAY + HOUR)
    assert clock.outcomes("b") == ["failed", "skipped"]


def test_what_waits_of_a_job_that_is_taken_out_is_skipped_and_it_may_come_back() -> None:
    clock = Clockwork(job("a", ready_when="complete"))
    clock.unready = {SIX}
    clock.at(SIX)
    clock.file()
    clock.at(SIX + MINUTE)
    assert clock.reasons("a") == ["its job is no longer in schedules.yaml"]
    clock.file(job("a"))
    clock.at(SIX + 3 * DAY - MINUTE)
    assert clock.outcomes("a") == ["skipped"]
    clock.at(SIX + 3 * DAY)
    assert clock.running() == ["a"]


def test_a_clock_that_is_set_back_runs_nothing_twice() -> None:
    clock = Clockwork(job("a"))
    clock.at(SIX)
    clock.executor.end("a")
    clock.at(START)
    clock.at(SIX)
    assert clock.outcomes("a") == ["ran"]
    assert clock.running() == []


def test_before_the_first_page_of_its_product_a_tick_is_skipped() -> None:
    clock = Clockwork(predict("p"))
    clock.scheduler.world = World(lambda job, at: None, clock.ask, clock.published)
    clock.at(SIX)
    assert clock.reasons("p") == ["the pages of sales begin later"]


def test_a_drained_scheduler_starts_nothing() -> None:
    clock = Clockwork(job("a"))
    clock.scheduler.step(SIX, start_runs=False)
    assert clock.running() == []
    assert clock.outcomes("a") == ["waiting"]


def test_a_book_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    tick_store = TickStore.open(tmp_path)
    tick_store.db.execute("PRAGMA user_version = 99")
    tick_store.close()
    with pytest.raises(LakeFormatError, match="format 99"):
        TickStore.open(tmp_path)


def test_ten_thousand_missed_ticks_are_settled_together() -> None:
    clock = Clockwork(job("a", trigger=Interval(MINUTE)))
    clock.at(START + 10_000 * MINUTE)
    assert clock.running() == ["a"]
    (coalesced,) = clock.tick_store.db.execute("SELECT count(*) FROM ticks WHERE outcome = 'coalesced'").fetchone()
    assert coalesced == 10_000 - 6, "the newest six are not later than the job's grace"


def test_what_is_long_over_is_forgotten_and_never_due_again() -> None:
    clock = Clockwork(job("a"))
    for day in range(10):
        clock.at(SIX + day * DAY)
        clock.executor.end("a")
    now = SIX + 9 * DAY + HOUR
    clock.at(now)
    assert forget(clock.tick_store.db, SIX + 7 * DAY + HOUR) == 7
    kept = [row["at"] for row in clock.tick_store.report_ticks("a", None, None, 100)]
    assert kept == [SIX + 9 * DAY, SIX + 8 * DAY, SIX + 7 * DAY]
    for again in (now, SIX + 2 * DAY, START, now):
        clock.at(again)
        assert clock.running() == []
    assert len(clock.tick_store.report_ticks("a", None, None, 100)) == 3
    assert clock.tick_store.db.execute("SELECT count(*) FROM runs").fetchone()[0] == 3


def test_alerts_and_pauses_are_forgotten_once_they_are_over() -> None:
    clock = Clockwork(job("a"), job("b"))
    for day in (0, 1, 5):
        raise_alert(clock.tick_store, f"alert {day}", "title", "body", ["OPS"], START + day * DAY)
    clock.tick_store.db.execute("UPDATE alerts SET state = 'sent' WHERE what <> 'alert 1'")
    for name in "ab":
        clock.tick_store.pause(name, "ada", "rain", START)
    clock.tick_store.resume("a", "ada", "sun", START + DAY)
    forget(clock.tick_store.db, START + 3 * DAY)
    assert [row["what"] for row in clock.tick_store.db.execute("SELECT what FROM alerts")] == ["alert 1", "alert 5"]
    assert clock.tick_store.paused() == {"b": "paused by ada: rain"}
    assert len(clock.tick_store.db.execute("SELECT * FROM pauses").fetchall()) == 1


def test_the_last_tick_of_a_job_is_kept_for_those_that_come_after_it() -> None:
    yearly = Grid.parse("0 12 1 1 *", "UTC")
    clock = Clockwork(job("a", trigger=yearly), job("b", after=("a",)))
    clock.at(START + DAY / 2)
    clock.executor.end("a", "exit 1")
    clock.at(START + 12.5 * HOUR)
    assert forget(clock.tick_store.db, START + 200 * DAY) == 0
    clock.at(START + 200 * DAY)
    clock.at(SIX + 200 * DAY)
    assert clock.reasons("b")[-1] == "comes after a, whose tick of 2024-01-01 12:00:00 failed"


def test_after_the_clock_was_wrong_what_was_not_run_is_due_again_in_its_time() -> None:
    clock = Clockwork(job("a"), job("b", catch_up="none"))
    clock.at(SIX)
    clock.executor.end("a")
    clock.executor.end("b")
    clock.at(SIX + 1000 * DAY + HOUR)
    assert clock.running() == ["a"], "the newest, of a thousand days that never were"
    clock.executor.end("a")
    now = SIX + DAY - HOUR
    clock.at(now)
    clock.at(now + 2 * HOUR)
    assert clock.running() == [], "set back, nothing is due until the time that was seen"
    with clock.tick_store.writing():
        clock.tick_store.set_back(now)
    for day in (1, 2):
        clock.at(SIX + day * DAY)
        assert clock.running() == ["a", "b"]
        clock.executor.end("a")
        clock.executor.end("b")
        clock.at(SIX + day * DAY + MINUTE)
    assert clock.outcomes("b") == ["ran", "ran", "ran"]
    assert clock.outcomes("a") == ["ran", "ran", "ran", "caught up"], "what was run is not run again"


def test_a_tick_that_a_wrong_clock_coalesced_waits_again() -> None:
    clock = Clockwork(job("a", ready_when="complete"))
    clock.unready = {SIX + day * DAY for day in range(10)}
    clock.at(SIX + 5 * DAY + HOUR)
    assert clock.outcomes("a") == ["coalesced"] * 5 + ["waiting"]
    with clock.tick_store.writing():
        clock.tick_store.set_back(SIX + 2 * DAY + 2 * HOUR)
    clock.unready = set()
    clock.at(SIX + 2 * DAY + 3 * HOUR)
    assert clock.outcomes("a") == ["coalesced", "coalesced", "running"]


def test_only_the_first_of_many_waiting_ticks_are_asked_about() -> None:
    clock = Clockwork(job("a", trigger=Interval(MINUTE), ready_when="complete", catch_up="all"))
    asked: list[int] = []
    ask = clock.ask

    def counting(questions: Sequence[Question]) -> dict[Question, str | None]:
        asked.append(len(questions))
        return ask(questions)

    clock.scheduler.world = World(clock.page_of, counting, clock.published)
    clock.at(START + 200 * MINUTE)
    assert clock.running() == ["a"]
    assert sum(asked) <= 10


def test_what_its_own_executor_says_of_a_run_that_is_over_is_let_go() -> None:
    clock = Clockwork(job("a"))
    clock.at(SIX)
    clock.executor.leases.clear()
    other = Scheduler(clock.tick_store, lambda: clock.schedule, clock.scheduler.world, ByHand(taken=100))
    other.step(SIX + MINUTE)
    clock.executor.end("a")
    clock.at(SIX + 2 * MINUTE)
    assert clock.executor.finished() == []
    assert clock.outcomes("a") == ["running"]


@given(st.timedeltas(MINUTE, 400 * DAY), st.datetimes(datetime(1960, 1, 1), datetime(2040, 1, 1)), st.integers(0, 9))
def test_an_interval_is_counted_from_1970(every: timedelta, start: datetime, count: int) -> None:
    interval, epoch = Interval(every), datetime(1970, 1, 1)
    found = list(interval.between(start, start + count * every))
    assert len(found) == count
    for at in found:
        assert (at - epoch) % every == timedelta(0)
        assert interval.latest(at) == at
        assert interval.next(at) == at + every
        assert interval.latest(at + every - timedelta(microseconds=1)) == at
