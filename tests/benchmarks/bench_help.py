"""How long `almanac --help` takes, as a whole process: the median of five.

python -m tests.benchmarks.bench_help
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version


def seconds() -> float:
    """Time one run."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "jobs", "--help"], check=True, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    seconds()
    taken = [seconds() for _ in range(5)]
    print(f"almanac --help: {statistics.median(taken):.3f} s, the median of {[round(one, 3) for one in taken]}")
    print(f"CPython {platform.python_version()}, typer {version('typer')}")
