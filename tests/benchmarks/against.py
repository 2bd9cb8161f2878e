"""An earlier commit against this one: one benchmark of both, run in turn.

    python -m tests.benchmarks.against COMMIT [--rounds 5] NAME [ARGUMENT ...]

Runs `tests.benchmarks.NAME` with the arguments, as it is in the commit and as it is here, in turn and in processes of
their own, by the same interpreter with the same libraries. Prints, of each and of their ratios, the median seconds of
CPU, children's included, and by the clock. What the benchmark itself prints is shown once of each.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.timing import machine, table

HERE = Path(__file__).resolve().parents[2]


@dataclass
class Checkout:
    """One of the two: its directory, and what each run took."""

    name: str
    root: Path
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def run(self, command: list[str]) -> str:
        """Run once, and give what was printed."""
        environment = {**os.environ, "PYTHONPATH": str(self.root)}
        before, began = _cpu_of_children(), time.perf_counter()
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(_cpu_of_children() - before)
        if done.returncode:
            raise SystemExit(f"{self.name} failed:\n{done.stderr}")
        return done.stdout


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def unpack(commit: str, directory: Path) -> Checkout:
    """Put the files of a commit into a directory."""
    packed = subprocess.run(["git", "archive", commit], cwd=HERE, capture_output=True)
    if packed.returncode:
        raise SystemExit(f"{commit} cannot be had: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(directory, filter="data")
    return Checkout(commit, directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("benchmark")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    command = [sys.executable, "-m", f"tests.benchmarks.{chosen.benchmark}", *chosen.arguments]
    print(machine())
    with tempfile.TemporaryDirectory() as directory:
        both = [unpack(chosen.commit, Path(directory)), Checkout("here", HERE)]
        for one in both:
            # Compiles what is to be compiled; not counted.
            print(f"--- {one.name}\n{one.run(command)}")
            one.cpu.clear()
            one.wall.clear()
        for _ in range(chosen.rounds):
            for one in both:
                one.run(command)
    earlier, here = both
    rows = [
        [one.name, f"{statistics.median(one.cpu):.2f}", f"{statistics.median(one.wall):.2f}"] for one in (earlier, here)
    ]
    ratios = [_ratio(earlier.cpu, here.cpu), _ratio(earlier.wall, here.wall)]
    print(f"{chosen.benchmark} {' '.join(chosen.arguments)}, medians of {chosen.rounds} runs in turn\n")
    print(table(["", "s CPU", "s by the clock"], [*rows, ["here, times the earlier", *ratios]]))


def _ratio(earlier: list[float], here: list[float]) -> str:
    return f"{statistics.median(b / a for a, b in zip(earlier, here, strict=True)):.2f}"


if __name__ == "__main__":
    main()
