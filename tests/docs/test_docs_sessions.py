"""The console sessions of the concept pages in docs/ run as they stand there, in a suite made with `almanac init`.

In a ```console block, a line that begins with `$ ` is a command for a shell; each line below it must be in what the
command prints, spaces apart. All blocks of a page are one session. What is a call of `almanac` and nothing else is run
in this process, where what it imports is imported already; all else is given to a shell.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.suites.starter import make_starter
from tests.command_line import almanac
from warehouse.lake.lake import Lake

DOCS = Path(__file__).parents[2] / "docs"
#: What a session may call that CPython and pip do not bring.
PROGRAMS = ("curl", "openssl")
PAGES = [path.name for path in sorted(DOCS.glob("*.md")) if "```console" in path.read_text()]
#: Those whose sessions train and roll out, which takes more than ten seconds.
LONG = ("governance.md", "retraining.md", "rollouts.md")


def steps_of(page: str) -> list[tuple[str, list[str]]]:
    """Give the commands of a page, each with the lines that it has to print."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def call(command: str, suite: Path) -> tuple[int, str]:
    """Run a command; gives its exit code, and what it printed."""
    if command.startswith("almanac ") and not re.search(r"[|&;<>$`]", re.sub(r"'[^']*'|\"[^\"$`]*\"", "", command)):
        done = almanac(suite, *shlex.split(command)[1:])
    else:
        # This process stands for those of earlier commands, which are over.
        Lake(suite / "lake").close()
        done = subprocess.run(["bash", "-c", command], cwd=suite, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_concepts_have_sessions() -> None:
    assert {"time.md", "sandbox.md", "pages.md", "backfill.md", "scoring.md"} <= set(PAGES)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] if page in LONG else []) for page in PAGES]
)
def test_a_page_of_the_documentation_runs_as_it_stands(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(page)
    lacking = [name for name in PROGRAMS if shutil.which(name) is None and any(name in step for step, _ in steps)]
    if lacking:
        pytest.skip(f"there is no `{lacking[0]}` on the path, which the session calls")
    suite = tmp_path / "shop"
    make_starter(suite)
    script = tmp_path / "almanac"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobs "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(suite)
    for command, expected in steps:
        code, printed = call(command, suite)
        for line in expected:
            assert " ".join(line.split()) in " ".join(printed.split()), f"{page}: {command}\nprinted:\n{printed}"
        if not any(line.startswith("almanac:") for line in expected):
            assert code == 0, f"{page}: {command}\n{printed}"
