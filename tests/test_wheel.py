"""The wheel works outside the checkout: the suite's own SQL and the starter travel in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


#: Runs commands in one process, which imports what they need only once, and puts `$ ` before what each prints.
ONE_AFTER_ANOTHER = """
import shlex, sys
from jobs.cli import whole_app
for line in sys.stdin:
    print("$ ", flush=True)
    whole_app()(shlex.split(line), standalone_mode=False)
"""
COMMANDS = """ingest
train late_order --as-of 2026-03-01
run late_order --as-of 2026-03-10T18:00
query "SELECT count(*) FROM predictions.late_order_current" --format csv
status
doctor
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the tools installed here, and unpack it as an installer would."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_the_wheel_holds_what_it_needs_and_no_tests(unpacked: Path) -> None:
    assert (unpacked / "sql/system/starter/data/orders.csv").exists()
    assert (unpacked / "sql/sources/landings.sql").exists()
    assert (unpacked / "jobs/web/site/templates/document.html").exists()
    assert (unpacked / "jobs/web/site/templates/style.css").exists()
    assert not (unpacked / "tests").exists()


def test_a_suite_made_from_the_wheel_works_in_any_directory(unpacked: Path, tmp_path: Path) -> None:
    def python(*arguments: str, cwd: Path, commands: str = "") -> str:
        environment = os.environ | {"PYTHONPATH": str(unpacked)}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env=environment,
            input=commands,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    found = python("-c", "import jobs, warehouse; print(jobs.__file__, warehouse.__file__)", cwd=tmp_path)
    assert all(path.startswith(str(unpacked)) for path in found.split())
    python("-m", "jobs", "init", "shop", cwd=tmp_path)
    said = python("-c", ONE_AFTER_ANOTHER, cwd=tmp_path / "shop", commands=COMMANDS).split("$ ")
    counted, status, doctor = said[-3:]
    assert int(counted.splitlines()[-1]) > 0
    assert "late_order" in status
    assert "ok" in doctor
