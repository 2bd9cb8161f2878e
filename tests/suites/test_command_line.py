"""A command that runs often imports its own module of commands alone, and is the same command as in the whole line."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from typer.main import get_command

from jobs.cli import ALONE, app_for, whole_app


def told(command: Any) -> object:
    return command.help, [(one.name, one.opts, one.help) for one in command.params if one.name != "help"]


@pytest.mark.parametrize("before", [[], ["--suite", "somewhere"]], ids=["alone", "after the suite"])
def test_each_of_them_is_what_it_is_among_all_commands(before: list[str]) -> None:
    whole = get_command(whole_app()).commands  # type: ignore[attr-defined]
    for name in ALONE:
        commands = get_command(app_for([*before, name])).commands  # type: ignore[attr-defined]
        assert told(commands[name]) == told(whole[name])
        assert len(commands) < 10


@pytest.mark.parametrize("words", [[], ["--help"], ["models"], ["--suite"], ["--debug", "run"], ["rum"]])
def test_other_words_meet_all_commands(words: list[str]) -> None:
    assert {"run", "models", "backup", "status"} <= set(get_command(app_for(words)).commands)  # type: ignore[attr-defined]


def test_a_run_describes_no_other_module_of_commands() -> None:
    program = (
        "import sys; sys.argv = ['almanac', 'run', '--help']\nfrom jobs.cli import main\n"
        "try: main()\nfinally: print([name for name in sys.modules if name.startswith('jobs.cli.')])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "jobs.cli.pages" in said
    assert "jobs.cli.backfill" not in said
    assert "Make one page" in said


ENDING = """
import atexit, sys, threading
atexit.register(print, "what is done at the end", flush=True)
threading._shutdown = lambda at_the_end=threading._shutdown: (at_the_end(), print("Python's own end", flush=True))
{more}
sys.argv = ["almanac", *{words}]
from jobs.__main__ import main
main()
"""
LATE = """
def write_late():
    threading.main_thread().join()
    print("written late", flush=True)
threading.Thread(target=write_late).start()
"""


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["rum"], 2), (["models", "--suite", "nowhere"], 2)])
def test_a_command_ends_with_all_that_is_to_be_done_and_is_not_taken_apart(words: list[str], code: int) -> None:
    program = ENDING.format(words=words, more="")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.endswith("what is done at the end\n")
    assert ("Usage: almanac" in done.stdout) == (code == 0)
    assert bool(done.stderr) == (code != 0)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param(LATE, "written late", id="a thread that goes on"),
        pytest.param("sys.setprofile(lambda *_: None)", "", id="a profiler"),
        pytest.param("sys.settrace(lambda *_: None)", "", id="a debugger"),
    ],
)
def test_where_something_goes_on_or_watches_python_ends_by_itself(more: str, said: str) -> None:
    program = ENDING.format(words=["--help"], more=more)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Python's own end" in done.stdout
    assert said in done.stdout


def test_output_that_nobody_takes_ends_a_command_as_ever() -> None:
    program = ENDING.format(words=["--help"], more="import os; os.close(1); os.open('/dev/full', os.O_WRONLY)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "No space left" in done.stderr
