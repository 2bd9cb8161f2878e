"""The workflows of docs/ci.md run as they stand there, each step by a shell, in a working copy beside production.

What stands for the services around them: `gh` and `glab`, which post a comment there, and keep it in a file here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.suite import Suite
from tests.check.test_deploy import commit, git
from tests.command_line import said

DOCS = Path(__file__).parents[2] / "docs" / "ci.md"
POSTS = '#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n[ -f "$1" ] && cat "$1" > "$POSTED" || echo "$1" > "$POSTED"\n'


def workflow(heading: str) -> Any:
    text = DOCS.read_text().partition(f"## {heading}\n")[2]
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def steps(heading: str, job: str) -> list[str]:
    file = workflow(heading)
    if heading == "In GitLab":
        return list(file[job]["script"])
    return [step["run"] for step in file["jobs"][job]["steps"] if "run" in step]


@pytest.fixture
def at_work(published: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, Path]:
    """Production, a working copy with a change that is committed, and where comments are kept."""
    production, working, posted = published.root, tmp_path / "working", tmp_path / "posted.md"
    git(production, "init", "-q", "-b", "main")
    commit(production, "as it was")
    shared = tmp_path / "shared.git"
    git(tmp_path, "clone", "-q", "--bare", str(production), str(shared))
    git(production, "remote", "add", "origin", str(shared))
    git(production, "fetch", "-q")
    git(production, "branch", "-q", "-u", "origin/main")
    git(tmp_path, "clone", "-q", str(shared), str(working))
    group = working / "sql/features/courier_load.sql"
    group.write_text(group.read_text() + "-- a remark\n")
    commit(working, "explain the load")
    git(working, "push", "-q")
    programs = {"almanac": f'#!/bin/sh\nexec "{sys.executable}" -m jobs "$@"\n', "gh": POSTS, "glab": POSTS}
    for name, text in programs.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name, value in {
        "PRODUCTION": production,
        "POSTED": posted,
        "PULL_REQUEST": 1,
        "CI_MERGE_REQUEST_IID": 1,
    }.items():
        monkeypatch.setenv(name, str(value))
    return production, working, posted


def test_a_workflow_runs_as_it_stands(at_work: tuple[Path, Path, Path]) -> None:
    production, working, posted = at_work
    for job in ("check", "deploy"):
        for step in steps("In GitHub Actions", job):
            done = subprocess.run(["bash", "-e", "-c", step], cwd=working, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (step, done.stdout + done.stderr)
    assert posted.read_text().startswith("# Check passed")
    assert "sql/features/courier\\_load.sql" in posted.read_text()
    assert "explain the load" in said(production, "deployments", "--json")
    assert "-- a remark" in (production / "sql/features/courier_load.sql").read_text()


def test_that_of_gitlab_differs_in_how_it_comments(at_work: tuple[Path, Path, Path]) -> None:
    _, working, posted = at_work
    differing = [
        (one, other)
        for job in ("check", "deploy")
        for one, other in zip(steps("In GitHub Actions", job), steps("In GitLab", job), strict=True)
        if one != other
    ]
    assert [one.partition(" ")[0] for pair in differing for one in pair] == ["gh", "glab"]
    (working / "check.md").write_text("# Check passed\n")
    subprocess.run(["bash", "-e", "-c", differing[0][1]], cwd=working, check=True)
    assert posted.read_text() == "# Check passed\n"


def test_a_check_that_fails_is_posted_and_stops_the_pull_request(at_work: tuple[Path, Path, Path]) -> None:
    _, working, posted = at_work
    group = working / "sql/features/courier_load.sql"
    group.write_text(group.read_text().replace("sum(parcels)", "sum(boxes)"))
    codes = [
        subprocess.run(["bash", "-e", "-c", step], cwd=working, capture_output=True, check=False).returncode
        for step in steps("In GitHub Actions", "check")[1:]
    ]
    assert codes == [0, 0, 1]
    assert "boxes" in posted.read_text()
