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
