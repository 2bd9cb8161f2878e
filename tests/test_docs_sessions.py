"""The console sessions of the concept pages in docs/ run as they stand there, in a suite made with `almanac init`.

In a ```console block, a line that begins with `$ ` is a command for a shell; each line below it must be in what the
command prints, spaces apart. All blocks of a page are one session.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.starter import make_starter

DOCS = Path(__file__).parent.parent / "docs"
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


def test_the_concepts_have_sessions() -> None:
    assert {"time.md", "sandbox.md", "pages.md", "ranges.md", "scoring.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_documentation_runs_as_it_stands(page: str, tmp_path: Path) -> None:
    suite = tmp_path / "shop"
    make_starter(suite)
    almanac = tmp_path / "almanac"
    almanac.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jobs "$@"\n')
    almanac.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    for command, expected in steps_of(page):
        done = subprocess.run(
            ["bash", "-c", command], cwd=suite, env=environment, capture_output=True, text=True, check=False
        )
        printed = " ".join((done.stdout + done.stderr).split())
        for line in expected:
            assert " ".join(line.split()) in printed, f"{page}: {command}\nprinted:\n{done.stdout}{done.stderr}"
        if not any(line.startswith("almanac:") for line in expected):
            assert done.returncode == 0, f"{page}: {command}\n{done.stderr}"
