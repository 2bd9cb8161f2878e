"""Runs as real processes: whole trees that end, leases that end with them, and what is said about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.schedule.decisions.ticks import Finished, Run, Tick
from jobs.schedule.files.redaction import redacted, register_secrets
from jobs.schedule.files.schedule import Job, Work
from jobs.schedule.files.triggers import Interval
from jobs.schedule.processes.runs import Children
from tests.schedule.clock_suites import is_running, real_now, wait_for

AT = datetime(2024, 1, 1, 18)


def is_named_one_running(pid_file: Path) -> bool:
    # The shell makes the file before it writes into it.
    text = pid_file.read_text() if pid_file.exists() else ""
    return text.endswith("\n") and is_running(int(text))


def kill_supervisor(suite: Path) -> None:
    """Kill the process that answers for the one that has written its number to `child`, and nobody else."""
    stat = Path(f"/proc/{(suite / 'child').read_text().strip()}/stat").read_text()
    parent = int(stat.rpartition(")")[2].split()[1])
    assert b"supervisor" in Path(f"/proc/{parent}/cmdline").read_bytes()
    os.kill(parent, signal.SIGKILL)


def run_of(
    children: Children, command: str, number: int = 1, timeout_s: float | None = None, kind: str = "shell"
) -> Run:
    timeout = timedelta(seconds=timeout_s) if timeout_s else None
    job = Job("work", Work(kind, (command,)), Interval(timedelta(hours=1)), timeout=timeout, owner="data")  # type: ignore[arg-type]
    return Run(number, job, (Tick(1, AT, AT, AT, missed=False),), children.take_lease())


def outcome(children: Children) -> Finished:
    wait_for(children.finished, "the end of the run")
    (finished,) = children.finished()
    assert finished.cost is None or finished.cost.wall_s > 0
    return replace(finished, cost=None)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "lake").mkdir()
    return tmp_path


# A process that leaves the session and its parent, as daemons do, and does not stop when it is asked to.
ESCAPE = """
import os, signal, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""


def test_a_run_has_its_tick_in_the_environment_and_its_output_in_a_log(suite: Path) -> None:
    children = Children(suite)
    names = "JOB RUN AS_OF TICK ATTEMPT OWNER TEAM SUITE".split()
    run = run_of(children, " ".join(["echo", *(f"$ALMANAC_{name}" for name in names)]) + "; pwd")
    page = AT - timedelta(days=1)
    tick = replace(run.ticks[0], page=page, attempts=2)
    run = replace(run, ticks=(tick,), job=replace(run.job, team="harbour"))
    children.start(run)
    assert outcome(children) == Finished(1, True)
    said = children.log_of(run).read_text().splitlines()
    assert said == [f"work 1 2023-12-31T18:00:00 2024-01-01T18:00:00 3 data harbour {suite}", str(suite)]


def test_a_failure_is_told_with_its_status_and_last_words(suite: Path) -> None:
    children = Children(suite)
    children.start(run_of(children, "echo all is lost; exit 3"))
    assert outcome(children) == Finished(1, False, "exit 3: all is lost")
    children.let_go(1)
    children.start(run_of(children, "kill -9 $$", 2))
    assert outcome(children).reason == "killed by signal -9"


def test_a_python_function_is_called_with_the_instant(suite: Path) -> None:
    (suite / "my_job.py").write_text("def work(as_of): print(repr(as_of))\ndef fail(as_of): raise ValueError('no')\n")
    children = Children(suite)
    run = run_of(children, "my_job:work", kind="python")
    children.start(run)
    assert outcome(children).succeeded
    assert children.log_of(run).read_text().strip() == repr(AT)
    children.let_go(1)
    children.start(run_of(children, "my_job:fail", 2, kind="python"))
    assert outcome(children).reason == "exit 1: ValueError: no"


@pytest.mark.parametrize("ending", ["timeout", "stop", "success"])
def test_nothing_of_the_tree_outlives_a_run(suite: Path, ending: str) -> None:
    pids = [suite / name for name in ("child", "escaped")]
    command = f"(echo $BASHPID > {pids[0]}; echo $$ > {pids[0]}; sleep 600) & {sys.executable} -c '{ESCAPE}' {pids[1]};"
    command += " while ! [ -s escaped ]; do sleep 0.05; done;" + ("" if ending == "success" else "sleep 600")
    children = Children(suite, patience_s=0.5)
    run = run_of(children, command, timeout_s=6 if ending == "timeout" else None)
    children.start(run)
    wait_for(lambda: pids[1].exists() and pids[1].read_text(), "the tree")
    if ending == "stop":
        children.stop_all()
    finished = outcome(children)
    assert not any(is_named_one_running(pid) for pid in pids)
    assert finished.succeeded == (ending == "success")
    assert finished.interrupted == (ending == "stop")
    if ending == "timeout":
        assert finished.reason == "took longer than its timeout of 0:00:06"


def test_a_lease_lives_until_it_is_let_go(suite: Path) -> None:
    children, others = Children(suite), Children(suite)
    run = run_of(children, "true")
    assert others.is_alive(run.lease)
    children.start(run)
    outcome(children)
    assert others.is_alive(run.lease)
    children.let_go(1)
    assert not others.is_alive(run.lease)
    assert not list((suite / "lake" / "owners").iterdir())


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.schedule.test_clock_processes_of_runs import Children, run_of
children = Children(Path({suite!r}))
run = run_of(children, "echo $$ > child; sleep 600")
Path("lease").write_text(run.lease)
children.start(run)
time.sleep(600)
"""


@pytest.mark.parametrize("victim", ["scheduler", "keeper"])
def test_when_a_scheduler_or_keeper_is_killed_its_runs_end_and_so_do_their_leases(suite: Path, victim: str) -> None:
    if victim == "keeper":
        children = Children(suite)
        children.start(run_of(children, "echo $$ > child; sleep 600"))
        wait_for(lambda: is_named_one_running(suite / "child"), "the child")
        kill_supervisor(suite)
        assert outcome(children) == Finished(1, False, "its supervisor was killed")
    else:
        script = KILLED.format(root=str(Path(__file__).parents[2]), suite=str(suite))
        with subprocess.Popen([sys.executable, "-c", script], cwd=suite) as scheduler:
            try:
                wait_for(lambda: is_named_one_running(suite / "child"), "the child")
                lease = (suite / "lease").read_text()
                assert Children(suite).is_alive(lease)
            finally:
                scheduler.kill()
        wait_for(lambda: not Children(suite).is_alive(lease), "the end of the lease")
        cost = Children(suite).cost_of(lease)
        assert cost is not None, "the supervisor wrote down what it all had cost"
        assert cost.wall_s > 0
    wait_for(lambda: not is_named_one_running(suite / "child"), "the end of the child")


BUSY = "import time, sys\nn = 0\nwhile True:\n n += 1"


def test_what_a_run_has_cost_so_far_is_known_when_its_supervisor_is_killed(suite: Path) -> None:
    children = Children(suite)
    run = run_of(children, f"echo $$ > child; {sys.executable} -I -c '{BUSY}' & wait")
    children.start(run)

    def measured() -> float:
        cost = children.cost_of(run.lease)
        return cost.cpu_s if cost is not None else 0.0

    wait_for(lambda: measured() > 0.2, "the second measurement")
    kill_supervisor(suite)
    wait_for(children.finished, "the end of the run")
    (finished,) = children.finished()
    assert finished.reason == "its supervisor was killed"
    assert finished.cost is not None
    assert finished.cost.cpu_s >= 0.2
    assert finished.cost.peak_memory_bytes > 2**20
    children.let_go(1)
    assert children.cost_of(run.lease) is None


def test_a_run_that_cannot_be_started_has_failed(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = Children(suite)
    run = run_of(children, "true")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    children.start(run)
    assert outcome(children).reason.startswith("could not be started")
    children.let_go(1)
    assert not children.is_alive(run.lease)


def test_children_do_not_get_the_addresses_of_alerts(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_ALERTS", "json://user:hunter22@example.org")
    children = Children(suite, secrets=lambda: ["MY_ALERTS"])
    run = run_of(children, "echo ${MY_ALERTS:-nothing}")
    children.start(run)
    outcome(children)
    assert children.log_of(run).read_text().strip() == "nothing"


def test_secrets_are_blotted_out_of_last_words(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "abcdef123456")
    monkeypatch.setenv("MY_ALERTS", "slack://T0/B0/verysecret")
    register_secrets(["MY_ALERTS"])
    children = Children(suite)
    children.start(run_of(children, "echo no: $SERVICE_TOKEN https://me:pw@example.org/x $MY_ALERTS; exit 1"))
    assert outcome(children).reason == "exit 1: no: [redacted] https://[redacted]@example.org/x [redacted]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        ("see https://example.org/a@b", "see https://example.org/a@b"),
        ("https://me:p@ss@example.org/x", "https://[redacted]@example.org/x"),
        ("https://tok3n@example.org", "https://[redacted]@example.org"),
        ("https://h/x?id=7&api_key=abc&page=2", "https://h/x?id=7&api_key=[redacted]&page=2"),
        ("https://h/x?X-Amz-Signature=abc", "https://h/x?X-Amz-Signature=[redacted]"),
        (
            "smtp said: wrong password 'p%40ssword' or 'p@ssword'",
            "smtp said: wrong password '[redacted]' or '[redacted]'",
        ),
        ("POST hook-1234 failed", "POST [redacted] failed"),
    ],
)
def test_what_counts_as_a_secret(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setenv("MY_ALERTS", "mailtos://me:p%40ssword@example.org another://address")
    monkeypatch.setenv("SLACK_WEBHOOK", "hook-1234")
    register_secrets(["MY_ALERTS"])
    assert redacted(text) == shown


def test_old_logs_and_free_leases_are_swept(suite: Path) -> None:
    children = Children(suite)
    run = run_of(children, "true")
    children.start(run)
    outcome(children)
    owners = suite / "lake" / "owners"
    left = {owners / "left.lock", owners / ".left-before-it-was-named"}
    for path in left:
        path.touch()
    children.sweep(real_now() - timedelta(minutes=1))
    assert left < set(owners.iterdir())
    children.sweep(real_now() + timedelta(minutes=1))
    assert set(owners.iterdir()) == {owners / f"{run.lease}.lock"}
    assert not children.log_of(run).exists()
    assert children.is_alive(run.lease)


def test_what_a_run_used_is_added_up_over_its_whole_tree(suite: Path) -> None:
    children = Children(suite)
    (suite / "burn.py").write_text(
        "import time\nheld = bytearray(50_000_000)\nwhile time.process_time() < 0.3:\n    pass\n"
    )
    children.start(run_of(children, f"sh -c '{sys.executable} burn.py'; sleep 0.2"))
    wait_for(children.finished, "the end of the run")
    (finished,) = children.finished()
    assert finished.cost is not None
    assert 0.3 <= finished.cost.cpu_s < 10
    assert finished.cost.wall_s >= 0.5
    assert finished.cost.peak_memory_bytes >= 50_000_000
