"""Look-ups a second: `almanac serve` beside the ceiling, SQLite asked in a loop in this process, in turn.

    .venv/bin/python -m tests.benchmarks.bench_serve [--rows 1000000] [--seconds 5] [--rounds 3]

A service of one process and one of two hold a bundle of so many rows. Clients are another process that keeps 16
connections busy, on the same cores, so that a service with cores of its own would do more. p50 and p99 are of one
connection alone, which waits for each answer. CPU seconds are those of the service's processes. RssAnon is the memory
of the largest of them that is its own: what is mapped of the bundle is the page cache's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jobs.bundles.bundle_reader import open_bundle
from jobs.suite import open_suite
from jobs.suites.starter import make_starter
from tests.conftest import NOW, PRODUCT, clock_at
from tests.web.bundles import Service, predicted, serving, write

CONNECTIONS = 16


def in_process(directory: Path, n_rows: int, seconds: float) -> float:
    """Give look-ups a second of the reader itself: what a service could do if HTTP cost nothing."""
    bundle, dice, n, begun = open_bundle(directory), random.Random(1), 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for _ in range(1000):
            bundle.find([dice.randrange(n_rows)])
        n += 1000
    bundle.close()
    return n / seconds


class _Asker(asyncio.Protocol):
    """One connection that asks again as soon as it has an answer, and counts those that are 200 and others."""

    def __init__(self, n_rows: int, counts: list[int]) -> None:
        self._n_rows, self._counts, self._dice, self._read = n_rows, counts, random.Random(), b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        key = self._dice.randrange(self._n_rows)
        self._transport.write(  # type: ignore[attr-defined]
            b"GET /v1/late_order/predictions?k=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % key
        )

    def data_received(self, data: bytes) -> None:
        self._read += data
        # A head does not end so, and every body does.
        if self._read.endswith(b"}"):
            self._counts[self._read[9:12] != b"200"] += 1
            self._read = b""
            self._ask()


def _keep_busy(port: int, n_rows: int, seconds: float) -> None:
    """Print how many answers there were, and how many were not 200. Runs in a process of its own."""

    async def run() -> list[int]:
        counts = [0, 0]
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: _Asker(n_rows, counts), "127.0.0.1", port)
        await asyncio.sleep(seconds)
        return counts

    try:
        import uvloop

        print(*uvloop.run(run()))
    except ImportError:
        print(*asyncio.run(run()))


def under_load(service: Service, n_rows: int, seconds: float) -> tuple[float, float]:
    """Give requests a second, and of the service's processes CPU seconds a second."""
    before = _cpu_s(service)
    command = [sys.executable, "-m", "tests.benchmarks.bench_serve", "--ask", str(service.port)]
    done = subprocess.run(
        [*command, "--rows", str(n_rows), "--seconds", str(seconds)], capture_output=True, text=True, check=True
    )
    right, wrong = map(int, done.stdout.split())
    assert wrong == 0, f"{wrong} answers were not 200"
    return right / seconds, (_cpu_s(service) - before) / seconds


def _cpu_s(service: Service) -> float:
    ticks = 0
    for pid in service.children():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _rss_mib(service: Service) -> float:
    def of(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        # What is mapped is the page cache's, which all processes share.
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    return max(of(pid) for pid in service.children()) / 1024


def alone(port: int, n_rows: int, seconds: float) -> tuple[float, float]:
    """Give p50 and p99, in milliseconds, of requests of one connection that come one after the other."""
    dice, taken, begun = random.Random(2), list[float](), time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as client:
        while time.perf_counter() - begun < seconds:
            asked = b"GET /v1/late_order/predictions?k=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % dice.randrange(n_rows)
            at = time.perf_counter()
            client.sendall(asked)
            read = b""
            while not read.endswith(b"}"):
                read += client.recv(65536)
            assert read[9:12] == b"200"
            taken.append(time.perf_counter() - at)
    cut = statistics.quantiles(taken, n=100)
    return cut[49] * 1000, cut[98] * 1000


def measure(n_rows: int, seconds: float, rounds: int) -> None:
    """Write a bundle, and ask it every way in turn."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_starter(root / "shop")
        product = open_suite(root / "shop", clock_at(NOW)).definitions.product(PRODUCT)
        begun = time.perf_counter()
        rows = f"{predicted('i AS k', 'random() AS probability')} FROM range({n_rows}) r(i)"
        write(root / "b/late.bundle", product, rows, ("k",))
        size = sum(path.stat().st_size for path in (root / "b/late.bundle").glob("*.sqlite"))
        print(f"{n_rows:,} rows, {size / 2**20:.0f} MiB, written in {time.perf_counter() - begun:.1f} s")
        print("look-ups a second: reader | 1 process (CPU s/s) | 2 processes (CPU s/s) | p50, p99 ms | RssAnon MiB")
        with (
            serving(root / "b", "--processes", "1", "--rate", "0", log=root / "1.log") as one,
            serving(root / "b", "--processes", "2", "--rate", "0", log=root / "2.log") as two,
        ):
            one.holding(1)
            two.holding(1)
            for _ in range(rounds):
                ceiling = in_process(root / "b/late.bundle", n_rows, seconds)
                of_one, of_two = under_load(one, n_rows, seconds), under_load(two, n_rows, seconds)
                p50, p99 = alone(one.port, n_rows, seconds)
                print(
                    f"{ceiling:9,.0f} | {of_one[0]:9,.0f} ({of_one[1]:.2f}) | {of_two[0]:9,.0f} ({of_two[1]:.2f}) |"
                    f" {p50:.2f}, {p99:.2f} | {_rss_mib(one):.0f}; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ask", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        _keep_busy(given.ask, given.rows, given.seconds)
    else:
        measure(given.rows, given.seconds, given.rounds)
