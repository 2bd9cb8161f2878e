"""Times contestants in turn, so that what else the machine does falls on all of them alike, and prints tables."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.metering import cpu_seconds


@dataclass(frozen=True)
class Elsewhere:
    """What a run gives whose work another process has done, which was there before: the CPU seconds that it took.

    Its own seconds, if it has told them, count in the place of those that it was waited for.
    """

    cpu_s: float
    seconds: float | None = None


@dataclass
class Contestant:
    """Something to time: `run()` handles `rows` rows. If it gives a number of seconds, those are what counts.

    `cpu_seconds` are those of this process and of children that have ended, or what a run tells of `Elsewhere`.
    """

    name: str
    rows: int
    run: Callable[[], object]
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    @property
    def million_rows_per_s(self) -> float:
        return self.rows / statistics.median(self.seconds) / 1e6


def measure(contestants: Sequence[Contestant], rounds: int) -> None:
    """Run each contestant once to warm up, then all of them in turn, `rounds` times."""
    for contestant in contestants:
        contestant.run()
    for _ in range(rounds):
        for contestant in contestants:
            gc.collect()
            start, cpu = time.perf_counter(), cpu_seconds()
            own = contestant.run()
            waited = time.perf_counter() - start
            told = own.seconds if isinstance(own, Elsewhere) else own
            contestant.seconds.append(told if isinstance(told, float) else waited)
            contestant.cpu_seconds.append(own.cpu_s if isinstance(own, Elsewhere) else cpu_seconds() - cpu)


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> str:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{cpus} CPUs ({cpu_model()}), Python {platform.python_version()}{load}"


def versions(*names: str) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns, in Markdown."""
    widths = [max(len(str(row[place])) for row in (header, *rows)) for place in range(len(header))]
    lines = ["| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
             for row in (header, ["-" * width for width in widths], *rows)]  # fmt: skip
    return "\n".join(lines)


def report(contestants: Sequence[Contestant], than: str, notes: dict[str, str]) -> str:
    """Return a table of rates, each also as a multiple of the contestant named `than`."""
    reference = next(contestant for contestant in contestants if contestant.name == than)
    rows = [
        [
            contestant.name,
            f"{contestant.rows:,}",
            f"{contestant.million_rows_per_s:.3f}",
            f"{contestant.million_rows_per_s / reference.million_rows_per_s:.1f}",
            notes.get(contestant.name, ""),
        ]
        for contestant in contestants
    ]
    return table(["", "rows", "million rows/s", f"times {than}", ""], rows)
