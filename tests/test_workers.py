"""A worker that dies fails one test; all others are run, once each, and the run ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import almanac

TESTS = """
import os
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_of_{name}(number: int) -> None:
    with Path("ran").open("a") as ran:
        print("{name}", number, file=ran)
    if ("{name}", number) in {deaths}:
        os._exit(130)
"""


def pytest_in(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a directory as those of this one are run, with one worker."""
    options = ["-q", "-n", "1", "--dist", "loadfile", "--no-loadscope-reorder", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "tests.workers", "--rootdir", str(directory)],
        cwd=directory,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize(
    ("files", "deaths"),
    [
        # The second worker takes what is left of `b`; `a`, which is done, has nothing to run.
        ({"a": 3, "b": 2}, [("b", 0)]),
        # One test is left for a worker that begins later.
        ({"a": 1, "b": 1, "c": 1}, [("a", 0), ("b", 0)]),
        ({"a": 3}, [("a", 2)]),
    ],
)
def test_what_a_worker_that_died_has_left_is_run_by_others(
    tmp_path: Path, files: dict[str, int], deaths: list[tuple[str, int]]
) -> None:
    for name, count in files.items():
        (tmp_path / f"test_{name}.py").write_text(TESTS.format(name=name, count=count, deaths=deaths))
    run = pytest_in(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    ran = [tuple(line.split()) for line in (tmp_path / "ran").read_text().splitlines()]
    assert sorted(ran) == sorted((name, str(number)) for name, count in files.items() for number in range(count))
    n_passed = len(ran) - len(deaths)
    assert f"{len(deaths)} failed" + (f", {n_passed} passed" if n_passed else "") in run.stdout
    for name, number in deaths:
        assert f"crashed while running 'test_{name}.py::test_of_{name}[{number}]'" in run.stdout


SILENT = """
import time
from tests import workers

workers.SILENCE_S = 2

def pytest_configure(config):
    workers.watch_workers(config)
"""


def test_a_run_whose_workers_fall_silent_ends_and_has_failed(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(SILENT)
    (tmp_path / "test_a.py").write_text("import time\n\ndef test_that_hangs():\n    time.sleep(600)\n")
    run = pytest_in(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    assert "Timeout (" in run.stderr
    assert "passed" not in run.stdout


def test_ctrl_c_in_a_command_of_this_process_ends_the_tests_and_not_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jobs.cli.app_for", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        almanac(tmp_path, "status")
    assert signal.getsignal(signal.SIGTERM) == before
