"""Look-ups over HTTP: the CPU that a request takes in the service, and its memory, beside SQLite in this process.

    python -m tests.benchmarks.bench_look_ups [--rows 1000000] [--requests 40000] [--connections 16]

One process of `almanac serve` answers from a bundle of so many rows, by random keys of four columns; the client is this
process, by connections that are kept. What is told is CPU time of the service (user and system), which another
process's load on the machine hardly touches, and requests a second and percentiles, which it does. Beside it, in the
same run: the same rows asked of the same file by a loop over SQLite, and by the reader, without HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from jobs.bundles.bundle_reader import open_bundle
from jobs.suite import open_suite
from jobs.suites.starter import make_starter
from jobs.web.answers import answer
from tests.conftest import NOW, PRODUCT, clock_at
from tests.web.bundles import predicted, serving, write

KEYS = ("flight_date", "carrier", "flight", "origin")
ROW = """
    DATE '2026-01-01' + (i % 365)::INTEGER AS flight_date,
    chr(65 + (i // 365 % 20)::INTEGER) || 'A' AS carrier,
    (i // 7300)::INTEGER AS flight,
    ['EWR', 'JFK', 'LGA'][1 + i % 3] AS origin
"""


def made(directory: Path, n_rows: int) -> Path:
    """Write a bundle of so many rows."""
    make_starter(directory / "shop")
    product = open_suite(directory / "shop", clock_at(NOW)).definitions.product(PRODUCT)
    bundle = directory / f"{PRODUCT}.bundle"
    rows = predicted("* EXCLUDE (i)", "(i % 1000) / 1000 AS probability")
    write(bundle, product, f"{rows} FROM (SELECT i, {ROW} FROM range({n_rows}) AS r(i))", KEYS)
    return bundle


def given(number: int) -> dict[str, str]:
    """Give the key of a row."""
    day = time.strftime("%Y-%m-%d", time.gmtime(1767225600 + 86400 * (number % 365)))
    carrier, origin = f"{chr(65 + number // 365 % 20)}A", ("EWR", "JFK", "LGA")[number % 3]
    return {"flight_date": day, "carrier": carrier, "flight": str(number // 7300), "origin": origin}


def cpu_of(pid: int) -> float:
    """Give the CPU seconds that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> dict[str, float]:
    """Give the memory of a process in MB: its own, and that of files, which processes share."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile")}


async def ask(port: int, numbers: list[int], seconds: list[float]) -> None:
    """Ask for rows one after another on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        query = "&".join(f"{name}={value}" for name, value in given(number).items())
        began = time.perf_counter()
        writer.write(f"GET /v1/{PRODUCT}/predictions?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        seconds.append(time.perf_counter() - began)
        assert head.startswith(b"HTTP/1.1 200"), (head, body)
        assert b'"made":"page"' in body, body
    writer.close()


async def ask_all(port: int, numbers: list[int], connections: int) -> list[float]:
    """Ask for rows on several connections at once; gives how long each took."""
    seconds: list[float] = []
    await asyncio.gather(*(ask(port, numbers[place::connections], seconds) for place in range(connections)))
    return seconds


def loops(bundle: Path, numbers: list[int]) -> tuple[float, float]:
    """Give the CPU seconds of a look-up in this process: of SQLite alone, and of the reader."""
    opened = open_bundle(bundle)
    database = sqlite3.connect(f"file:{bundle / opened.manifest.file}?mode=ro&immutable=1", uri=True)
    database.execute(f"PRAGMA mmap_size={opened.manifest.n_bytes}")
    asked = [given(number) for number in numbers]
    keys = [tuple(each.values()) for each in asked]
    where = " AND ".join(f"{name} = ?" for name in KEYS)
    query = f"SELECT valid_until, prediction FROM predictions WHERE {where}"
    began = time.process_time()
    for key in keys:
        database.execute(query, key).fetchone()
    between = time.process_time()
    for each in asked:
        answer(opened, each, 0)
    return (between - began) / len(keys), (time.process_time() - between) / len(keys)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    drawn = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        began = time.process_time()
        bundle = made(directory, options.rows)
        size = sum(path.stat().st_size for path in bundle.iterdir()) / 2**20
        print(f"{options.rows:,} rows: {size:.0f} MB, written in {time.process_time() - began:.0f} s of CPU")
        numbers = [drawn.randrange(options.rows) for _ in range(options.requests)]
        log = directory / "serve.log"
        with serving(bundle, "--processes", "1", "--rate", "0", "--now", "2026-03-10T19:00", log=log) as service:
            service.holding(1)
            (pid,) = service.children()
            asyncio.run(ask_all(service.port, numbers[:2000], options.connections))
            before, clock = cpu_of(pid), time.perf_counter()
            seconds = sorted(asyncio.run(ask_all(service.port, numbers, options.connections)))
            wall, cpu = time.perf_counter() - clock, cpu_of(pid) - before
            memory = memory_of(pid)
        each, p99 = cpu / len(seconds), seconds[len(seconds) * 99 // 100]
        print(f"  service: {each * 1e6:.0f} us of CPU a request, so {1 / each:,.0f} a second and core")
        rate, middle = len(seconds) / wall, statistics.median(seconds)
        told = f"p50 {middle * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms"
        print(f"  by the clock, the client on the same cores: {rate:,.0f} a second, {told}")
        print(f"  memory: {memory['RssAnon']:.0f} MB of its own, {memory['RssFile']:.0f} MB of files")
        alone, reader = loops(bundle, numbers)
        print(f"  in this process: SQLite {alone * 1e6:.1f} us, the reader {reader * 1e6:.1f} us of CPU a look-up")


if __name__ == "__main__":
    main()
