"""The wheel works outside the checkout: the suite's own SQL and the starter travel in it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
    assert not (unpacked / "tests").exists()


@pytest.mark.slow
def test_a_suite_made_from_the_wheel_works_in_any_directory(unpacked: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}

    def almanac(*arguments: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "jobs", *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import jobs, warehouse; print(jobs.__file__, warehouse.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert all(path.startswith(str(unpacked)) for path in found.split())
    almanac("init", "shop")
    shop = tmp_path / "shop"
    almanac("ingest", cwd=shop)
    almanac("train", "late_order", "--as-of", "2026-03-01", cwd=shop)
    almanac("run", "late_order", "--as-of", "2026-03-10T18:00", cwd=shop)
    counted = almanac("query", "SELECT count(*) FROM predictions.late_order_current", "--format", "csv", cwd=shop)
    assert int(counted.split()[1]) > 0
    assert "late_order" in almanac("status", cwd=shop)
    assert "ok" in almanac("doctor", cwd=shop)
