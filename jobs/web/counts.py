"""What is counted, for Prometheus: requests, keys, seconds and switches, of all processes of one service together.

Each process writes its own counts down each second, under its number, and adds up what all have written when it is
asked. What a process counted that is no more stays, so that no count ever falls.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from jobs.web.shelf import Standing

#: The upper bounds of the buckets of seconds.
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_TYPES = {
    "almanac_requests_total": ("counter", "Requests, by product and status."),
    "almanac_keys_total": ("counter", "Keys that were looked up, by product and what was found."),
    "almanac_switches_total": ("counter", "Newer bundles that processes went over to."),
    "almanac_logged_requests_total": ("counter", "Requests that were written down."),
    "almanac_dropped_requests_total": ("counter", "Requests that there was no room to write down."),
    "almanac_request_seconds": ("histogram", "Seconds until a request was answered."),
}


class Counts:
    """The counts of this process."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / f"{os.getpid()}.json"
        self._counts: Counter[str] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def request(self, product: str, status: int, seconds: float) -> None:
        """Count a request. `product` is one that is served, or nothing."""
        self._counts[_of_requests(product, status)] += 1
        self._buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def keys(self, product: str, made: str, number: int = 1) -> None:
        """Count keys that were looked up."""
        self._counts[_of_keys(product, made)] += number

    def logged(self, n_written: int, n_dropped: int) -> None:
        """Say how many requests this process has written down, and how many there was no room for."""
        self._counts["almanac_logged_requests_total"] = n_written
        self._counts["almanac_dropped_requests_total"] = n_dropped

    def save(self, n_switches: int) -> None:
        """Write the counts down for the other processes. A disk that is full stops no answers."""
        self._counts["almanac_switches_total"] = n_switches
        said = {"counts": self._counts, "buckets": self._buckets, "seconds": self._seconds}
        temporary = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(said), encoding="utf-8")
            temporary.replace(self._file)

    def of_all(self) -> tuple[Counter[str], list[int], float]:
        """Add up the counts of all processes of the service."""
        counts, buckets, seconds = Counter(self._counts), list(self._buckets), self._seconds
        for file in self._file.parent.glob("*.json"):
            if file == self._file:
                continue
            with contextlib.suppress(OSError, ValueError):
                theirs = json.loads(file.read_bytes())
                counts.update(theirs["counts"])
                buckets = [ours + more for ours, more in zip(buckets, theirs["buckets"], strict=True)]
                seconds += theirs["seconds"]
        return counts, buckets, seconds


@functools.cache
def _of_requests(product: str, status: int) -> str:
    return f'almanac_requests_total{{product="{product}",status="{status}"}}'


@functools.cache
def _of_keys(product: str, made: str) -> str:
    return f'almanac_keys_total{{product="{product}",made="{made}"}}'


def processes_alive(directory: Path) -> int:
    """Tell how many processes of the service there are, by what they write down."""
    return sum(_is_alive(int(file.stem)) for file in directory.glob("*.json"))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def prometheus_text(counts: Counts, standings: Iterable[Standing], directory: Path) -> str:
    """Write everything as Prometheus reads it (text format 0.0.4)."""
    found, buckets, seconds = counts.of_all()
    lines: list[str] = []
    for name, (kind, told) in _TYPES.items():
        lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
        lines += [f"{label} {number}" for label, number in sorted(found.items()) if label.partition("{")[0] == name]
    total = 0
    for bound, number in zip([*map(str, BOUNDS), "+Inf"], buckets, strict=True):
        total += number
        lines.append(f'almanac_request_seconds_bucket{{le="{bound}"}} {total}')
    lines += [f"almanac_request_seconds_sum {seconds:.6f}", f"almanac_request_seconds_count {total}"]
    lines += ["# HELP almanac_processes Processes that answer.", "# TYPE almanac_processes gauge"]
    lines.append(f"almanac_processes {processes_alive(directory)}")
    lines += _of_bundles(list(standings))
    return "\n".join(lines) + "\n"


def _of_bundles(standings: list[Standing]) -> list[str]:
    lines = [
        "# HELP almanac_bundle_valid_until_seconds Until when the last row is valid, since 1970.",
        "# TYPE almanac_bundle_valid_until_seconds gauge",
    ]
    held = [each for each in standings if each.valid_until_us is not None]
    lines += [
        f'almanac_bundle_valid_until_seconds{{product="{each.product}"}} {(each.valid_until_us or 0) / 1e6:.0f}'
        for each in held
    ]
    lines += [
        "# HELP almanac_bundle_refused Whether the newest bundle of a place is refused.",
        "# TYPE almanac_bundle_refused gauge",
    ]
    for each in standings:
        lines.append(f'almanac_bundle_refused{{place="{_escaped(each.place)}"}} {int(each.problem is not None)}')
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
