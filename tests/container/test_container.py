"""docs/Containerfile: built where a builder is there; its steps are run in a plain directory everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs/Containerfile"


@pytest.fixture(scope="module")
def builder() -> str | None:
    """The program that builds images here; one whose daemon does not answer builds none."""
    there = [name for name in ("podman", "docker") if shutil.which(name)]
    works = (name for name in there if subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0)
    return next(works, None)


def steps() -> list[tuple[str, str]]:
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def plain(path: str, root: Path, at: Path) -> Path:
    """Give the place in a plain directory of a path of the image."""
    return root / path.lstrip("/") if path.startswith("/") else at / path


@pytest.mark.slow
def test_the_steps_of_the_image_give_a_command_that_works_in_a_plain_directory(tmp_path: Path) -> None:
    # What the steps would fetch is installed here: pip finds it there, and fetches nothing.
    here = sysconfig.get_path("purelib")
    borrowed = [here, *(line for file in Path(here).glob("1_*.pth") for line in file.read_text().split())]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(borrowed),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    at = tmp_path
    command: list[str] = []
    for instruction, text in steps():
        if instruction == "WORKDIR":
            at = plain(text, tmp_path, at)
            at.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            *names, target = text.split()
            for name in names:
                place = at / name if target == "./" else plain(target, tmp_path, at)
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy2(ROOT / name, place)
        elif instruction == "RUN":
            done = subprocess.run(
                text, shell=True, cwd=at, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        elif instruction == "ENV":
            name, _, value = text.partition("=")
            first, _, rest = value.partition(":")
            assert rest == f"${name}"
            environment[name] = f"{plain(first, tmp_path, at)}{os.pathsep}{environment[name]}"
        elif instruction == "ENTRYPOINT":
            command = json.loads(text)
        else:
            assert instruction in ("FROM", "USER", "CMD")
    (program,) = command
    found = shutil.which(program, path=environment["PATH"])
    assert found is not None
    assert Path(found).is_relative_to(tmp_path / "opt/almanac")
    for arguments in (["init", "."], ["ingest"]):
        done = subprocess.run([found, *arguments], cwd=at, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "orders" in done.stdout
    assert (at / "lake/catalogue.sqlite").exists()


@pytest.mark.slow
def test_the_image_is_built_and_runs(builder: str | None) -> None:
    if builder is None:
        pytest.skip("neither podman nor docker builds anything here")
    tag = "almanac-of-a-test"
    subprocess.run([builder, "build", "-f", str(FILE), "-t", tag, str(ROOT)], check=True, capture_output=True)
    said = subprocess.run([builder, "run", "--rm", tag, "--help"], check=True, capture_output=True, text=True).stdout
    assert "Scheduled jobs" in said


def test_the_examples_use_the_image() -> None:
    examples = (ROOT / "docs/examples.md").read_text()
    assert "docs/Containerfile" in examples or "(Containerfile)" in examples
    used = re.findall(r"(?:image: |podman run .*)registry\.example\.org/(\S+)", examples)
    assert len(used) >= 2
    assert len(set(used)) == 1
