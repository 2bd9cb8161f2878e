"""The site of a suite with many pages: what each kind of page takes on the server, beside the queries that it asks.

    python tests/benchmarks/bench_web.py [--pages 10000] [--meanwhile 960] [--readers 10] [--rounds 5]

The suite is that of `bench_bookkeeping`: hourly pages of two rows each. Times are of making a page, from the lake to
HTML, in this process; `queries` are the parts of them that DuckDB took. Then some readers ask for pages at once, over
HTTP, while another process publishes pages, four times over: the server's memory is told after each.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import resource
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from jobs.metering import cpu_seconds
from jobs.pages.states import grid_pages
from jobs.suite import open_suite
from jobs.web.parts import paths
from jobs.web.serve import address_of, listening
from jobs.web.site.opened import OpenedSuite
from jobs.web.site.rendering import Frame, html_of
from jobs.web.site.routes import document_of
from tests.benchmarks.bench_bookkeeping import NOW, PRODUCT, hourly_suite, publish_batch


class Timed:
    """A connection that adds up how long its statements take."""

    def __init__(self, connection: object) -> None:
        self._connection, self.seconds = connection, 0.0

    def execute(self, *given: object) -> object:
        began = time.perf_counter()
        try:
            return self._connection.execute(*given)  # type: ignore[attr-defined]
        finally:
            self.seconds += time.perf_counter() - began

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


def show(opened: OpenedSuite, path: str) -> tuple[float, float, float]:
    """Make a page; gives seconds of the clock, of the CPU, and of its queries."""
    began, cpu = time.perf_counter(), cpu_seconds()
    with opened.seen() as seen:
        timed = Timed(seen.connection)
        object.__setattr__(seen, "connection", timed)
        html_of(document_of(seen, path), Frame("shop", seen.snapshot_id, seen.now))
    return time.perf_counter() - began, cpu_seconds() - cpu, timed.seconds


@contextmanager
def served(opened: OpenedSuite) -> Iterator[str]:
    from uvicorn import Config, Server

    from jobs.web.site.application import application

    with listening("127.0.0.1", 0) as listener:
        server = Server(Config(application(opened), log_level="error", ws="none", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield address_of("127.0.0.1", listener)
        server.should_exit = True
        thread.join()


def read_meanwhile(root: Path, opened: OpenedSuite, addresses: list[str], readers: int, more: list[datetime]) -> None:
    """Let readers ask for pages while another process publishes; four times over, with the memory after each."""
    with served(opened) as address, concurrent.futures.ThreadPoolExecutor(readers) as pool:

        def ask(path: str) -> float:
            began = time.perf_counter()
            with urllib.request.urlopen(f"{address}/{path}") as answer:
                assert answer.status == 200
                answer.read()
            return time.perf_counter() - began

        for _ in range(3):
            list(pool.map(ask, addresses))
        print(f"{readers} readers, while another process publishes; memory {resident():.0f} MB before")
        size = len(more) // 4
        for start in range(0, 4 * size, size):
            now = more[start : start + size]
            publisher = multiprocessing.get_context("spawn").Process(target=publish_all, args=(root, now))
            publisher.start()
            waited: list[float] = []
            while publisher.is_alive() or len(waited) < readers:
                waited += pool.map(ask, addresses * readers)
            publisher.join()
            assert publisher.exitcode == 0
            waited.sort()
            middle, most = statistics.median(waited), waited[len(waited) * 95 // 100]
            took = f"median {middle * 1000:.0f} ms, 95 % within {most * 1000:.0f} ms"
            memory = f"memory {resident():.0f} MB, at most {highest():.0f} MB"
            print(f"  {len(waited):4} answers, {len(now)} pages in commits of 24: {took}; {memory}", flush=True)


def publish_all(root: Path, pages: list[datetime]) -> None:
    """Publish pages in small commits."""
    suite = open_suite(root, lambda: NOW)
    for start in range(0, len(pages), 24):
        publish_batch(suite, pages[start : start + 24])


def resident() -> float:
    """Give the memory of this process that is in use, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def highest() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--meanwhile", type=int, default=960)
    parser.add_argument("--readers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        suite = hourly_suite(Path(directory) / "shop")
        grid = grid_pages(suite.definitions.product(PRODUCT), None, None, suite.clock())
        pages, more = grid[: options.pages], grid[options.pages : options.pages + options.meanwhile]
        for start in range(0, len(pages), 512):
            publish_batch(suite, pages[start : start + 512])
        opened = OpenedSuite(suite.root, lambda: pages[-1])
        views = [paths.HOME, paths.of_product(PRODUCT), paths.of_page(PRODUCT, pages[-1])]
        views += [paths.of_product(PRODUCT, f"calendar-{pages[0].year}"), paths.of_product(PRODUCT, "monitoring")]
        print(f"{len(pages):,} pages; medians of {options.rounds}:")
        for path in views:
            show(opened, path)
            times = [show(opened, path) for _ in range(options.rounds)]
            whole, cpu, queries = (statistics.median(part) * 1000 for part in zip(*times, strict=True))
            print(f"  {path:<52} {whole:6.0f} ms, CPU {cpu:6.0f} ms, of which queries {queries:6.0f} ms")
        read_meanwhile(suite.root, opened, views[:3], options.readers, more)


if __name__ == "__main__":
    main()
