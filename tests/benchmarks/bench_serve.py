"""Look-ups a second: `almanac serve` beside the ceiling, SQLite asked in a loop in this process, in turn.

    .venv/bin/python -m tests.benchmarks.bench_serve [--rows 1000000] [--seconds 5] [--rounds 3] [--peers fastapi,feast]

A service of one process and one of two hold a bundle of so many rows. Clients are another process that keeps 16
connections busy, on the same cores, so that a service with cores of its own would do more. p50 and p99 are of one
connection alone, which waits for each answer. CPU seconds are those of the service's processes. RssAnon is the memory
of the largest of them that is its own: what is mapped of the bundle is the page cache's.

With `--peers`, a FastAPI that asks PostgreSQL (asyncpg, one process) and Feast's feature server on its online store in
SQLite (one worker) hold the same rows, each in an environment of its own, and are asked in the same rounds by the same
client. Their CPU seconds and memory (PSS) are those of all their processes, the database's among them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jobs.bundles.bundle_reader import open_bundle
from jobs.suite import open_suite
from jobs.suites.starter import make_starter
from tests.benchmarks.serve_peers import cpu_s, memory_mib, request_for, serving_beside
from tests.conftest import NOW, PRODUCT, clock_at
from tests.web.bundles import Service, predicted, serving, write
from warehouse.lake.extensions import open_instance
from warehouse.system_sql import literal

CONNECTIONS = 16
#: Of fewer requests no 99th percentile is told.
LEAST_TAKEN = 200


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

    def __init__(self, name: str, n_rows: int, counts: list[int]) -> None:
        self._name, self._n_rows, self._counts, self._dice, self._read = name, n_rows, counts, random.Random(), b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        asked = request_for(self._name, self._dice.randrange(self._n_rows))
        self._transport.write(asked)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._read += data
        # A head does not end so, and every body does.
        if self._read.endswith(b"}"):
            self._counts[self._read[9:12] != b"200"] += 1
            self._read = b""
            self._ask()


def _keep_busy(name: str, port: int, n_rows: int, seconds: float) -> None:
    """Print how many answers there were, and how many were not 200. Runs in a process of its own."""

    async def run() -> list[int]:
        counts = [0, 0]
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: _Asker(name, n_rows, counts), "127.0.0.1", port)
        await asyncio.sleep(seconds)
        return counts

    try:
        import uvloop

        print(*uvloop.run(run()))
    except ImportError:
        print(*asyncio.run(run()))


def under_load(
    name: str, port: int, process_ids: Callable[[], list[int]], n_rows: int, seconds: float
) -> tuple[float, float]:
    """Give requests a second, and of the service's processes CPU seconds a second."""
    before = cpu_s(process_ids())
    command = [sys.executable, "-m", "tests.benchmarks.bench_serve", "--ask", str(port), "--as", name]
    done = subprocess.run(
        [*command, "--rows", str(n_rows), "--seconds", str(seconds)], capture_output=True, text=True, check=True
    )
    right, wrong = map(int, done.stdout.split())
    assert wrong == 0, f"{wrong} answers were not 200"
    return right / seconds, (cpu_s(process_ids()) - before) / seconds


def _rss_mib(service: Service) -> float:
    def of(pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        # What is mapped is the page cache's, which all processes share.
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    return max(of(pid) for pid in service.children()) / 1024


def alone(name: str, port: int, n_rows: int, seconds: float) -> tuple[float, float]:
    """Give p50 and p99, in milliseconds, of requests of one connection that come one after the other."""
    dice, taken, begun = random.Random(2), list[float](), time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as client:
        while time.perf_counter() - begun < seconds or len(taken) < LEAST_TAKEN:
            asked = request_for(name, dice.randrange(n_rows))
            at = time.perf_counter()
            client.sendall(asked)
            read = b""
            while not read.endswith(b"}"):
                read += client.recv(65536)
            assert read[9:12] == b"200"
            taken.append(time.perf_counter() - at)
    cut = statistics.quantiles(taken, n=100)
    return cut[49] * 1000, cut[98] * 1000


def measure(n_rows: int, seconds: float, rounds: int, peers: list[str]) -> None:
    """Write a bundle, and ask it, and the peers, every way in turn."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_starter(root / "shop")
        product = open_suite(root / "shop", clock_at(NOW)).definitions.product(PRODUCT)
        rows = root / "rows.parquet"
        select = f"{predicted('i AS k', 'random() AS probability', '2100-01-01')} FROM range({n_rows}) r(i)"
        with contextlib.closing(open_instance()) as connection:
            connection.execute(f"COPY ({select}) TO {literal(str(rows))} (FORMAT parquet)")
        begun = time.perf_counter()
        write(root / "b/late.bundle", product, f"SELECT * FROM read_parquet({literal(str(rows))})", ("k",))
        size = sum(path.stat().st_size for path in (root / "b/late.bundle").glob("*.sqlite"))
        print(f"{n_rows:,} rows, {size / 2**20:.0f} MiB, written in {time.perf_counter() - begun:.1f} s")
        with (
            serving(root / "b", "--processes", "1", "--rate", "0", log=root / "1.log") as one,
            serving(root / "b", "--processes", "2", "--rate", "0", log=root / "2.log") as two,
            serving_beside(peers, rows, n_rows, root / "b/late.bundle", root) as beside,
        ):
            one.holding(1)
            two.holding(1)
            print("look-ups a second: reader | 1 process (CPU s/s) | 2 processes (CPU s/s) | p50, p99 ms | RssAnon MiB")
            if beside:
                print("   beside | requests a second (CPU s/s) | p50, p99 ms | PSS MiB")
            for _ in range(rounds):
                ceiling = in_process(root / "b/late.bundle", n_rows, seconds)
                of_one, of_two = (
                    under_load("almanac", each.port, each.children, n_rows, seconds) for each in (one, two)
                )
                p50, p99 = alone("almanac", one.port, n_rows, seconds)
                print(
                    f"{ceiling:9,.0f} | {of_one[0]:9,.0f} ({of_one[1]:.2f}) | {of_two[0]:9,.0f} ({of_two[1]:.2f}) |"
                    f" {p50:.2f}, {p99:.2f} | {_rss_mib(one):.0f}; load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                for peer in beside:
                    busy, cpu = under_load(peer.name, peer.port, peer.process_ids, n_rows, seconds)
                    p50, p99 = alone(peer.name, peer.port, n_rows, seconds)
                    print(
                        f"{peer.name:>9} | {busy:9,.0f} ({cpu:.2f}) | {p50:.2f}, {p99:.2f} |"
                        f" {memory_mib(peer.process_ids()):.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default="", help="fastapi, feast, or both: what is asked beside")
    parser.add_argument("--ask", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--as", dest="name", default="almanac", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        _keep_busy(given.name, given.ask, given.rows, given.seconds)
    else:
        measure(given.rows, given.seconds, given.rounds, [name for name in given.peers.split(",") if name])
