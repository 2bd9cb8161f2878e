"""The console sessions of the concept pages in docs/ run as they stand there, in a suite made with `almanac init`.

In a ```console block, a line that begins with `$ ` is a command for a shell; each line below it must be in what the
command prints, spaces apart. All blocks of a page are one session. What is a call of `almanac` and nothing else is run
in this process, where what it imports is imported already; all else is given to a shell. What several sessions begin
with is run once, and each of them goes on with a copy of what came of it.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs.suites.starter import make_starter
from tests.command_line import almanac
from warehouse.lake.lake import Lake

DOCS = Path(__file__).parents[2] / "docs"
#: What a session may call that CPython and pip do not bring.
PROGRAMS = ("curl", "openssl")
PAGES = [path.name for path in sorted(DOCS.glob("*.md")) if "```console" in path.read_text()]


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


#: What stands before a call: variables that it is given.
VARIABLES = re.compile(r"(?:[A-Z_]+=[\w.:-]+ )*")


def is_call(command: str) -> bool:
    """Tell whether a command is a call of `almanac` and nothing else, with variables or without."""
    called = VARIABLES.sub("", command, count=1)
    quoted = r"'[^']*'|\"[^\"$`]*\""
    return called.startswith("almanac ") and not re.search(r"[|&;<>$`]", re.sub(quoted, "", called))


def call(command: str, suite: Path) -> tuple[int, str]:
    """Run a command; gives its exit code, and what it printed."""
    first, _, then = command.partition(" && ")
    unheard = first.removesuffix(" > /dev/null")
    if then and all(is_call(part.removesuffix(" > /dev/null")) for part in command.split(" && ")):
        code, printed = call(unheard, suite)
        more = call(then, suite) if code == 0 else (code, "")
        return more[0], more[1] if first != unheard else printed + more[1]
    if is_call(command):
        words = shlex.split(command)
        place = words.index("almanac")
        with pytest.MonkeyPatch.context() as patch:
            for name, _, value in (word.partition("=") for word in words[:place]):
                patch.setenv(name, value)
            done = almanac(suite, *words[place + 1 :])
    else:
        # This process stands for those of earlier commands, which are over.
        Lake(suite / "lake").close()
        done = subprocess.run(["bash", "-c", command], cwd=suite, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@dataclass
class Beginnings:
    """What several sessions begin with: by its commands, a suite after them, and what the last of them told.

    All suites lie in the same place, one after the other: a lake knows by their paths which files it has taken in.
    """

    place: Path
    kept: dict[tuple[str, ...], tuple[Path, tuple[int, str]]] = field(default_factory=dict)

    @property
    def suite(self) -> Path:
        return self.place / "now/shop"

    def begin(self, commands: list[str]) -> list[tuple[int, str]]:
        """Make a suite as it is after the commands of a session that were run before; give what they told."""
        suite = self.suite
        Lake(suite / "lake").close()
        shutil.rmtree(suite.parent, ignore_errors=True)
        known = [commands[:n] for n in range(1, len(commands)) if tuple(commands[:n]) in self.kept]
        if known:
            shutil.copytree(self.kept[tuple(known[-1])][0], suite)
        else:
            make_starter(suite)
        return [self.kept[tuple(part)][1] for part in known]

    def keep(self, commands: list[str], told: tuple[int, str]) -> None:
        """Keep the suite after commands that another session begins with too."""
        if all(map(is_call, commands)) and tuple(commands) not in self.kept and _n_begin_with(commands) > 1:
            Lake(self.suite / "lake").close()
            directory = self.place / str(len(self.kept))
            self.kept[tuple(commands)] = Path(shutil.copytree(self.suite, directory)), told


def _n_begin_with(commands: list[str]) -> int:
    return sum([command for command, _ in steps_of(page)][: len(commands)] == commands for page in PAGES)


@pytest.fixture(scope="module")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> Beginnings:
    return Beginnings(tmp_path_factory.mktemp("beginnings"))


def test_the_concepts_have_sessions() -> None:
    assert {"time.md", "sandbox.md", "pages.md", "backfill.md", "scoring.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_documentation_runs_as_it_stands(
    page: str, beginnings: Beginnings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(page)
    lacking = [name for name in PROGRAMS if shutil.which(name) is None and any(name in step for step, _ in steps)]
    if lacking:
        pytest.skip(f"there is no `{lacking[0]}` on the path, which the session calls")
    commands, suite = [command for command, _ in steps], beginnings.suite
    told = beginnings.begin(commands)
    script = tmp_path / "almanac"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobs "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(suite)
    for number, (command, expected) in enumerate(steps):
        if number == len(told):
            told.append(call(command, suite))
            beginnings.keep(commands[: number + 1], told[-1])
        code, printed = told[number]
        for line in expected:
            assert " ".join(line.split()) in " ".join(printed.split()), f"{page}: {command}\nprinted:\n{printed}"
        if not any(line.startswith("almanac:") for line in expected):
            assert code == 0, f"{page}: {command}\n{printed}"
