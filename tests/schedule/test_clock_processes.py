"""The clock with real processes: several at once, killed, drained, stopped; edits while it runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.metering import who
from jobs.schedule.alerts import alert_of_refusal, raise_alert, send_alerts
from jobs.schedule.daemon import LOOK_EVERY_S, Daemon
from jobs.schedule.files.schedule import Schedule
from jobs.schedule.processes.runs import PATIENCE_S
from jobs.schedule.tick_store import TickStore
from tests.schedule.clock_suites import (
    almanac,
    book_rows,
    first_look,
    is_running,
    make_suite,
    open_webhook,
    real_now,
    run,
    run_json,
    wait_for,
)
from warehouse.errors import UsageError

HOUR = timedelta(hours=1)


class Log:
    """Takes down what is logged."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, event: str, **_: object) -> None:
        self.said.append(event)

    info = error = warning


def rows_of(tick_store: TickStore, query: str) -> list[Any]:
    return [tuple(row) for row in tick_store.db.execute(query)]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def runs_in(suite: Path, pid: int) -> bool:
    """Tell whether a job's process is still there; a number may have become another process's."""
    return is_running(pid) and Path(f"/proc/{pid}/cwd").resolve() == suite.resolve()


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[Any]]]:
    with open_webhook() as opened:
        yield opened


def states(suite: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job, outcome in book_rows(suite, "SELECT name, outcome FROM ticks JOIN jobs USING (job_id) ORDER BY at"):
        found.setdefault(job, []).append(outcome)
    return found


def ended(suite: Path) -> bool:
    return not book_rows(suite, "SELECT 1 FROM ticks WHERE outcome IS NULL")


def end(daemon: subprocess.Popen[str], *, signals: int = 1) -> str:
    for _ in range(signals):
        daemon.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    _, err = daemon.communicate(timeout=240)
    return err


def test_two_ticks_at_once_run_each_tick_once(tmp_path: Path) -> None:
    suite = make_suite(
        tmp_path / "suite",
        """
        pools: {wide: 8}
        jobs:
          one: {run: {shell: "echo one $ALMANAC_TICK >> ran; sleep 0.05"}, every: 10 minutes, catch_up: all}
          two: {run: {shell: "echo two $ALMANAC_TICK >> ran"}, every: 12 minutes, catch_up: all, after: one, pool: wide}
        """,
    )
    run(suite, "tick", "--now", "2024-01-01T10:00")
    now = "2024-01-01T12:00"
    both = [almanac(suite, "tick", "--now", now) for _ in range(2)]
    for process in both:
        with process:
            process.communicate(timeout=120)
        assert process.returncode == 0
    run(suite, "tick", "--now", now)
    ran = (suite / "ran").read_text().splitlines()
    assert len(ran) == len(set(ran)) == sum(len(outcomes) for outcomes in states(suite).values())
    assert set(states(suite)) == {"one", "two"}
    assert {outcome for outcomes in states(suite).values() for outcome in outcomes} <= {"caught up", "ran"}


def test_a_killed_daemon_leaves_a_tick_that_its_successor_takes_up(tmp_path: Path) -> None:
    suite = make_suite(
        tmp_path / "suite",
        """
        jobs:
          slow: {run: {shell: 'echo $$ >> pids; [ "$(wc -l < pids)" -gt 1 ] || sleep 600'}, every: 1000 days}
        """,
    )
    first_look(suite)
    with almanac(suite, "schedule") as daemon:
        wait_for((suite / "pids").exists, "the job")
        daemon.kill()
    with almanac(suite, "schedule") as daemon:
        wait_for(lambda: ended(suite), "the tick to be taken up")
        end(daemon)
    assert states(suite) == {"slow": ["caught up"]}
    assert book_rows(suite, "SELECT abandoned, attempts FROM ticks") == [(1, 0)]
    assert [result for (result,) in book_rows(suite, "SELECT result FROM runs ORDER BY run")] == [
        "abandoned",
        "succeeded",
    ]
    first, second = (suite / "pids").read_text().split()
    assert first != second
    assert not runs_in(suite, int(first))


def test_the_first_signal_drains(tmp_path: Path) -> None:
    suite = make_suite(
        tmp_path / "suite",
        """
        jobs:
          slow: {run: {shell: "touch began; sleep 2; touch done"}, every: 1000 days}
          later: {run: {shell: "touch later"}, every: 1000 days, after: slow}
        """,
    )
    first_look(suite)
    with almanac(suite, "schedule") as daemon:
        wait_for((suite / "began").exists, "the job")
        err = end(daemon)
    assert daemon.returncode == 0, err
    assert (suite / "done").exists()
    assert not (suite / "later").exists()
    assert states(suite) == {"slow": ["caught up"], "later": [None]}


def test_a_second_signal_ends_at_once_and_the_tick_is_run_again(tmp_path: Path) -> None:
    suite = make_suite(
        tmp_path / "suite",
        'jobs: {slow: {run: {shell: "echo $$ >> pids; [ -e quick ] || sleep 600"}, every: 1000 days}}',
    )
    first_look(suite)
    with almanac(suite, "schedule") as daemon:
        wait_for((suite / "pids").exists, "the job")
        err = end(daemon, signals=2)
    assert daemon.returncode == 0, err
    assert book_rows(suite, "SELECT outcome, attempts, abandoned, run FROM ticks") == [(None, 0, 0, None)]
    assert not runs_in(suite, int((suite / "pids").read_text()))
    (suite / "quick").touch()
    run(suite, "tick")
    assert states(suite) == {"slow": ["caught up"]}


def test_a_second_host_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", "jobs: {}")
    run(suite, "tick")
    other = json.dumps({"host": "another", "name": "moon", "seen_at": str(real_now())})
    book_rows(suite, f"UPDATE facts SET value = '{other}' WHERE name = 'host'")
    for command in ("tick", "schedule"):
        err = run(suite, command, expect=2)
        assert "jobs of this lake are run on another host, moon" in err
        assert "PostgreSQL" in err
    book_rows(suite, f"""UPDATE facts SET value = '{other.replace(str(real_now())[:4], "2001")}' WHERE name = 'host'""")
    run(suite, "tick")


def test_a_wrong_edit_keeps_the_old_schedule_and_raises_an_alert(
    tmp_path: Path, webhook: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = webhook
    monkeypatch.setenv("TEST_ALERTS", address)
    right = """
        defaults: {alerts: TEST_ALERTS}
        jobs:
          work: {run: {shell: "echo $ALMANAC_TICK >> ran; exit 3"}, every: 1000 days, catch_up: all}
        """
    suite = make_suite(tmp_path / "suite", right)
    first_look(suite)
    (suite / "schedules.yaml").write_text(right.replace("every", "evry"))
    with almanac(suite, "schedule") as daemon:
        wait_for(lambda: len(received) >= 2, "the alerts")
        wait_for(lambda: ended(suite), "the tick")
        # A right edit counts without a restart.
        (suite / "schedules.yaml").write_text(right.replace("work: {", "labour: {was: work, "))
        wait_for(lambda: states(suite).keys() == {"labour"}, "the edit")
        err = end(daemon)
    assert any(message["title"] == "schedules.yaml: an edit is wrong" for message in received)
    assert any("unknown key `jobs.work.evry`" in message["message"] for message in received)
    assert any("failed" in message["title"] and "exit 3" in message["message"] for message in received)
    assert len(received) == len({message["title"] for message in received})
    assert states(suite) == {"labour": ["failed"]}
    events = [json.loads(line) for line in err.splitlines()]
    for name in ("run started", "run ended"):
        (event,) = [event for event in events if event["event"] == name]
        assert (event["job"], event["run"]) == ("work", 1)
        assert event["page"]
    assert "s3cretpw" not in err
    assert "s3cretpw" not in str(book_rows(suite, "SELECT * FROM alerts"))


def test_a_tick_by_hand_says_what_is_wrong_with_an_edit_after_it_ran_the_old_schedule(tmp_path: Path) -> None:
    right = 'jobs: {work: {run: {shell: "echo $ALMANAC_TICK >> ran"}, every: 1000 days}}'
    suite = make_suite(tmp_path / "suite", right)
    first_look(suite)
    (suite / "schedules.yaml").write_text(right.replace("shell", "shel"))
    err = run(suite, "tick", expect=2)
    assert "Did you mean `shell`?" in err
    assert len((suite / "ran").read_text().splitlines()) == 1


def test_a_channel_that_fails_never_fails_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEAD_END", "json://127.0.0.1:9")
    monkeypatch.setenv("NONSENSE", "gibberish")
    suite = make_suite(
        tmp_path / "suite",
        "jobs: {work: {run: {shell: exit 1}, every: 1000 days, alerts: [DEAD_END, NONSENSE, NOT_SET]}}",
    )
    first_look(suite)
    with almanac(suite, "tick", "--json") as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 1
    assert [row["outcome"] for row in json.loads(out)["settled"]] == ["failed"]
    warning = next(json.loads(line) for line in err.splitlines() if "alert not sent" in line)
    assert warning["problems"] == [
        "DEAD_END was not delivered",
        "NONSENSE is no address that apprise understands",
        "the environment variable NOT_SET is not set",
    ]


def test_pausing_is_recorded_and_skips_ticks_with_the_reason(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", 'jobs: {work: {run: {shell: "true"}, every: 1 hour}}')
    run(suite, "pause", "work", "--why", "rain", "--who", "ada")
    assert "is paused by ada: rain already" in run(suite, "pause", "work", "--why", "snow", expect=2)
    (entry, *_) = run_json(suite, "agenda")["ticks"]
    assert entry["note"] == "paused by ada: rain"
    run(suite, "tick", "--now", str(real_now() + 3 * HOUR))
    rows = run_json(suite, "ticks", "work")
    assert {(row["state"], row["reason"]) for row in rows} == {("skipped", "paused by ada: rain")}
    run(suite, "resume", "work", "--why", "sun", "--who", "bob")
    assert "work is not paused" in run(suite, "resume", "work", expect=2)
    assert book_rows(suite, "SELECT paused_by, why, resumed_by, resumed_why FROM pauses") == [
        ("ada", "rain", "bob", "sun")
    ]
    assert "there is no job 'wrok'; there is: work" in run(suite, "pause", "wrok", "--why", "x", expect=2)
    assert "no scheduler has seen a job 'wrok'" in run(suite, "ticks", "wrok", expect=2)
    run(suite, "tick", "--now", str(real_now() + 5 * HOUR))
    window = [str(real_now() + hours * HOUR) for hours in (1, 3)]
    within = run_json(suite, "ticks", "--from", window[0], "--to", window[1])
    assert [row["state"] for row in within] == ["skipped", "skipped"]
    run(suite, "pause", "work", "--why", "wind")
    assert book_rows(suite, "SELECT paused_by FROM pauses WHERE why = 'wind'") == [(who(),)]
    (newest,) = run_json(suite, "ticks", "work", "--limit", "1")
    assert newest["state"] in ("ran", "caught up")


def test_the_agenda_shows_an_edit_before_it_takes_effect(tmp_path: Path) -> None:
    text = """
        jobs:
          work: {run: {shell: "true"}, cron: "0 0 * * mon", zone: America/New_York, tags: [weekly], owner: ada}
          old: {run: upkeep, every: 1 day}
        """
    suite = make_suite(tmp_path / "suite", text)
    run(suite, "tick", "--now", "2013-03-01")
    window = ("agenda", "--from", "2013-03-04", "--to", "2013-03-19")
    before = run_json(suite, *window)
    assert before["changes"] == []
    weekly = run_json(suite, *window, "--tag", "weekly")["ticks"]
    assert {(tick["job"], tick["owner"]) for tick in weekly} == {("work", "ada")}
    local = [tick["local"] for tick in before["ticks"] if tick["job"] == "work"]
    assert local == ["2013-03-04 00:00-05:00", "2013-03-11 00:00-04:00", "2013-03-18 00:00-04:00"]
    (suite / "schedules.yaml").write_text(
        'jobs: {labour: {was: work, run: {shell: "true"}, cron: "0 12 * * mon"}, new: {run: upkeep, every: 1 day}}'
    )
    after = run_json(suite, *window)
    assert {change["job"]: change["what"].split(":")[0].split(";")[0] for change in after["changes"]} == {
        "labour": "will be due by '0 12 * * mon' in UTC instead of '0 0 * * mon' in America/New_York",
        "new": "is new",
        "old": "is no longer in the file",
    }
    assert next(tick["at"] for tick in after["ticks"] if tick["job"] == "labour") == "2013-03-04T12:00:00Z"
    assert "not in force yet: labour" in run(suite, *window)


def test_of_two_daemons_one_runs_each_tick_and_the_other_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    suite = make_suite(
        tmp_path / "suite",
        """
        jobs:
          slow:
            run: {shell: "trap '' TERM; (trap '' TERM; sleep 600) & echo $$ $! $PPID >> ran; [ -e quick ] || wait"}
            every: 1000 days
        """,
    )
    first_look(suite)
    with almanac(suite, "schedule") as one, almanac(suite, "schedule") as two:
        wait_for((suite / "ran").exists, "the job")
        supervisor = int((suite / "ran").read_text().split()[2])
        runner, other = (one, two) if parent_of(supervisor) == one.pid else (two, one)
        assert parent_of(supervisor) == runner.pid
        (suite / "quick").touch()
        runner.kill()
        wait_for(lambda: ended(suite), "the other daemon to take it up")
        end(other)
    first, second = ([int(pid) for pid in line.split()] for line in (suite / "ran").read_text().splitlines())
    assert not any(is_running(pid) for pid in (*first, *second)), "what ignores SIGTERM is gone with its children"
    assert book_rows(suite, "SELECT outcome, abandoned, attempts FROM ticks") == [("caught up", 1, 0)]
    assert book_rows(suite, "SELECT wall_s > 0 FROM runs WHERE result = 'abandoned'") == [(1,)], "its cost is known"
    # It looks every few seconds, and nothing of a run outlives its scheduler by more than the supervisor's patience.
    assert LOOK_EVERY_S + PATIENCE_S < 60


def test_what_runs_printed_is_kept_for_thirty_days(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", "jobs: {}")
    logs = suite / "lake" / "logs"
    logs.mkdir(parents=True)
    for days in (29, 31):
        (logs / f"{days}.log").touch()
        os.utime(logs / f"{days}.log", (time.time() - days * 24 * 3600,) * 2)
    run(suite, "tick")
    assert [path.name for path in logs.iterdir()] == ["29.log"]


def test_a_host_that_another_took_over_from_stops(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite", "jobs: {}")
    with Daemon(suite, real_now, real_now) as daemon:
        # The other one's clock is an hour behind, so that it looks long gone.
        other = {"host": "another", "name": "moon", "seen_at": str(real_now() - HOUR)}
        daemon.tick_store.note_fact("host", json.dumps(other))
        with pytest.raises(UsageError, match="another host, moon"):
            daemon.run_once()


def test_when_the_clock_was_wrong_a_daemon_says_so_and_set_back_mends_it(tmp_path: Path) -> None:
    text = 'defaults: {alerts: NOT_SET}\njobs: {work: {run: {shell: "true"}, every: 1 hour}}'
    suite = make_suite(tmp_path / "suite", text)
    run(suite, "tick", "--now", str(real_now() + 100 * HOUR))
    with almanac(suite, "schedule") as daemon:
        wait_for(lambda: book_rows(suite, "SELECT 1 FROM facts WHERE name = 'host'"), "the daemon")
        (suite / "schedules.yaml").write_text(text.replace("work: {", "labour: {was: work, "))
        wait_for(lambda: book_rows(suite, "SELECT name FROM jobs") == [("labour",)], "the edit")
        err = end(daemon)
    assert "the clock was set back" in err
    ((title,),) = book_rows(suite, "SELECT title FROM alerts")
    assert title.startswith("the clock of this machine was set back by")
    assert run_json(suite, "tick", "--now", str(real_now() + 2 * HOUR), expect=1)["settled"] == []
    run(suite, "tick", "--set-back")
    settled = run_json(suite, "tick", "--now", str(real_now() + 2 * HOUR))["settled"]
    assert {row["outcome"] for row in settled} & {"ran", "caught up"}


def test_broken_definitions_are_told_of_even_if_nothing_can_run(
    tmp_path: Path, webhook: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = webhook
    monkeypatch.setenv("TEST_ALERTS", address)
    suite = make_suite(tmp_path / "suite", "defaults: {alerts: TEST_ALERTS}\njobs: {}")
    run(suite, "tick")
    (suite / "sql" / "features").mkdir()
    (suite / "sql" / "features" / "wrong.sql").write_text("SELEC")
    for _ in range(2):
        assert "wrong.sql" in run(suite, "tick", expect=2)
    (message,) = received
    assert "Nothing runs until it is mended. What is wrong:" in message["message"]
    assert "wrong.sql" in message["message"]


def test_the_same_mistake_made_again_is_told_again() -> None:
    tick_store, schedule = TickStore(sqlite3.connect(":memory:")), Schedule(alerts=("OPS",))
    for minute, refused in enumerate([["no"], ["no"], [], ["no"], ["no", "nor that"], []]):
        with tick_store.writing():
            alert_of_refusal(tick_store, schedule, refused, real_now() + minute * HOUR, "It goes on.")
    assert rows_of(tick_store, "SELECT count(*) FROM alerts") == [(3,)]


def test_what_is_tried_again_goes_only_to_those_whom_it_did_not_reach(
    tmp_path: Path, webhook: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, received = webhook
    monkeypatch.setenv("BOTH", f"json://127.0.0.1:9 {address}")
    tick_store = TickStore.open(tmp_path)
    raise_alert(tick_store, "x", "title", "body", ["BOTH", "NOT_SET"], real_now())
    log = Log()
    now = real_now()
    for half_minutes in range(12):
        send_alerts(tick_store, log, now + half_minutes * timedelta(seconds=30))
        assert len(log.said) == min(half_minutes // 2 + 1, 5), "five times, a minute apart"
    assert len(received) == 1
    assert rows_of(tick_store, "SELECT state, tries, channels FROM alerts") == [
        ("given up", 5, '["BOTH:1", "NOT_SET"]')
    ]


def test_secrets_are_in_nothing_that_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ALERTS", "json://me:hunter22@127.0.0.1:9")
    monkeypatch.setenv("SERVICE_TOKEN", "t0ken-of-mine")
    text = """
        defaults: {alerts: TEST_ALERTS}
        jobs:
          fetch:
            run:
              shell: "echo https://u:s3cretpw@example.org/?api_key=k3y-value $SERVICE_TOKEN ${TEST_ALERTS-none}; exit 1"
            every: 1000 days
            retries: {attempts: 2, backoff: 1 second}
        """
    suite = make_suite(tmp_path / "suite", text)
    first_look(suite)
    said = ""
    for command in (["tick"], ["tick", "--json"]):
        with almanac(suite, *command) as process:
            said += "".join(process.communicate(timeout=240))
    for command in (["agenda", "--to", "2040-01-01"], ["agenda", "--json"], ["ticks"]):
        said += run(suite, *command)
    (suite / "schedules.yaml").write_text(text.replace("shell:", "shel:"))
    said += run(suite, "tick", expect=2)
    (suite / "schedules.yaml").write_text(text.replace('"echo', '["echo').replace('exit 1"', 'exit 1"]'))
    said += run(suite, "agenda", expect=2)
    assert "exit 1: https://[redacted]@example.org/" in said
    assert [secret for secret in ("hunter22", "s3cretpw", "k3y-value", "t0ken-of-mine") if secret in said] == []
    assert "hunter22" not in "".join(path.read_text() for path in (suite / "lake" / "logs").iterdir())


def test_a_suite_s_own_modules_change_nothing_of_what_runs(tmp_path: Path) -> None:
    """They bear names of Almanac's own modules and of its libraries'; each would end what imports it."""
    suite = make_suite(
        tmp_path / "suite",
        """jobs:
  ingest: {run: {ingest: []}, every: 1000 days}
  function: {run: {python: "work_of_ours:note"}, every: 1000 days}
  shadowed: {run: {python: "yaml:safe_load"}, every: 1000 days}
""",
    )
    for name in ("yaml", "typer", "duckdb", "polars", "numpy", "structlog"):
        (suite / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    for name in ("jobs", "warehouse"):
        (suite / name).mkdir()
        (suite / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    (suite / "work_of_ours.py").write_text(
        "import yaml\nfrom pathlib import Path\n"
        "def note(as_of):\n    Path('noted').write_text(yaml.safe_dump({'as_of': str(as_of)}))\n"
    )
    first_look(suite)
    settled = {row["job"]: row for row in run_json(suite, "tick", expect=1)["settled"]}
    assert "the wrong" not in str(settled["ingest"]["reason"])
    assert settled["function"]["outcome"] in ("ran", "caught up"), settled["function"]
    assert (suite / "noted").read_text().startswith("as_of: ")
    assert "bears the name of a module that is installed" in settled["shadowed"]["reason"]


def test_a_tick_of_a_clock_that_was_set_back_is_logged_told_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_webhook() as (address, received):
        monkeypatch.setenv("HOOK", address)
        suite = make_suite(
            tmp_path / "suite", 'defaults: {alerts: [HOOK]}\njobs: {work: {run: {shell: "exit 1"}, every: 1 hour}}'
        )
        run(suite, "tick", "--now", str(real_now() + 3 * HOUR))
        run(suite, "tick", "--now", str(real_now() + 30 * HOUR), expect=1)
        with almanac(suite, "tick", "--now", str(real_now())) as process:
            _, err = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "almanac: the clock was set back" in err
    assert "almanac tick --set-back" in err
    told = {message["title"]: message["type"] for message in received}
    assert [kind for title, kind in told.items() if "was set back by" in title] == ["failure"]
    assert [kind for title, kind in told.items() if title.endswith("failed")] == ["failure"]
    run(suite, "tick", "--now", str(real_now()), "--set-back")
