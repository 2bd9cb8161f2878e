"""How long `almanac run` of one page takes, as a whole command: in a process of its own, from its start to its end.

    python -m tests.benchmarks.bench_run [--rounds 9] [--beside CHECKOUT] [--suite DIR --product NAME --as-of T]

The page is the example's (`almanac init`), which is made and trained first, or one of a suite that is there, such as
that of `almanac demo`. `--beside` runs the same with the code of another checkout, in turn. Prints medians by the clock
and of CPU, all threads counted. Modules are compiled to bytecode by the first run, as Python
does where nothing forbids it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.timing import machine

HERE = Path(__file__).resolve().parents[2]
EXAMPLE = ("late_order", "2026-03-10T18:00")


def almanac(root: Path, bytecode: str, *arguments: str) -> tuple[float, float]:
    """Run a command with the code of a checkout; gives its seconds by the clock and of CPU."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, began = os.times(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "jobs", *arguments], cwd=root, env=environment, check=True, capture_output=True
    )
    after, ended = os.times(), time.monotonic()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return ended - began, cpu


def suite_for(root: Path, bytecode: str, directory: Path, given: Path | None) -> Path:
    """Make a checkout's own suite, or copy the given one: a newer checkout changes a lake's format."""
    if given is not None:
        shutil.copytree(given, directory)
        return directory
    almanac(root, bytecode, "init", str(directory))
    almanac(root, bytecode, "ingest", "--suite", str(directory))
    almanac(root, bytecode, "train", EXAMPLE[0], "--as-of", "2026-03-01", "--suite", str(directory))
    return directory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--suite", type=Path)
    parser.add_argument("--product", default=EXAMPLE[0])
    parser.add_argument("--as-of", default=EXAMPLE[1])
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as directory:
        bytecode = f"{directory}/bytecode"
        roots = {"this checkout": HERE} | ({str(chosen.beside): chosen.beside.resolve()} if chosen.beside else {})
        suites = {
            name: suite_for(root, bytecode, Path(directory) / f"suite {number}", chosen.suite)
            for number, (name, root) in enumerate(roots.items())
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in roots}
        command = ("run", chosen.product, "--as-of", chosen.as_of, "--suite")
        for turn in range(chosen.rounds + 1):
            for name, root in roots.items():
                one = almanac(root, bytecode, *command, str(suites[name]))
                # The first of each compiles what is to be compiled.
                taken[name] += [one] if turn else []
        for name, each in taken.items():
            clock, cpu = (statistics.median(values) for values in zip(*each, strict=True))
            least = min(values[1] for values in each)
            print(f"{name}: {clock:.2f} s by the clock, {cpu:.2f} s of CPU, {least:.2f} s at the least")


if __name__ == "__main__":
    main()
