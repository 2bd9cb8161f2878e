"""An earlier commit against this one: one benchmark of both, run in turn.

    python -m tests.benchmarks.against COMMIT [--rounds 5] NAME [ARGUMENT ...]

Runs `tests.benchmarks.NAME` with the arguments, as it is in the commit and as it is here, in turn and in processes of
their own, by the same interpreter with the same libraries. Prints, of each and of their ratios, the median seconds of
CPU, children's included, and by the clock. What the benchmark itself prints is shown once of each. Modules are compiled
to bytecode by the first run, which is not counted, as Python does where nothing forbids it.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.benchmarks.timing import Contestant, machine, measure, table

HERE = Path(__file__).resolve().parents[2]


def contestant(name: str, root: Path, command: list[str], bytecode: Path) -> Contestant:
    """Run a command in a checkout; its first run shows what it prints, and compiles what is to be compiled.

    `bytecode` is where Python keeps that.
    """
    environment, shown = {**os.environ, "PYTHONPATH": str(root), "PYTHONPYCACHEPREFIX": str(bytecode)}, False
    # Otherwise each process would compile all modules anew, and the checkout that has more of them would be the slower.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> None:
        nonlocal shown
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
        if not shown:
            print(f"--- {name}\n{done.stdout}")
            shown = True

    return Contestant(name, 1, run)


def unpack(commit: str, directory: Path) -> None:
    """Put the files of a commit into a directory."""
    packed = subprocess.run(["git", "archive", commit], cwd=HERE, capture_output=True)
    if packed.returncode:
        raise SystemExit(f"{commit} cannot be had: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(directory, filter="data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("benchmark")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    command = [sys.executable, "-m", f"tests.benchmarks.{chosen.benchmark}", *chosen.arguments]
    print(machine())
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory() as kept:
        unpack(chosen.commit, Path(directory))
        bytecode = Path(kept)
        both = [
            contestant(chosen.commit, Path(directory), command, bytecode),
            contestant("here", HERE, command, bytecode),
        ]
        measure(both, chosen.rounds)
    earlier, here = both
    rows = [
        [one.name, *(f"{statistics.median(taken):.2f}" for taken in (one.cpu_seconds, one.seconds))] for one in both
    ]
    ratios = [_ratio(earlier.cpu_seconds, here.cpu_seconds), _ratio(earlier.seconds, here.seconds)]
    print(f"{chosen.benchmark} {' '.join(chosen.arguments)}, medians of {chosen.rounds} runs in turn\n")
    print(table(["", "s CPU", "s by the clock"], [*rows, ["here, times the earlier", *ratios]]))


def _ratio(earlier: list[float], here: list[float]) -> str:
    return f"{statistics.median(b / a for a, b in zip(earlier, here, strict=True)):.2f}"


if __name__ == "__main__":
    main()
