"""Other processes that make pages, to be waited for or to be killed.

They are forked off one process that has imported everything and done nothing else, for what a page needs takes longer
to import than to run: a kill shortly after the start would fall on imports, and each of them would cost two seconds.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import multiprocessing.process
import os
from collections.abc import Callable
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from tests.conftest import NOW, PRODUCT, clock_at

#: Its processes are forked off one that has imported what they need.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        __name__,
        "pandas",
        "skops.io",
        "jobs.rehearsal.at_once",
        "jobs.scoring.compiled",
        "jobs.scoring.parity",
        "jobs.scoring.stream",
        "llvmlite.binding",
    ]
)


def process_of(target: Callable[..., None], *arguments: Any) -> multiprocessing.process.BaseProcess:
    """Give a process that has the environment of now, and not that of when the one that it is forked off began."""
    return CONTEXT.Process(target=_in_environment, args=(dict(os.environ), target, arguments), daemon=True)


def _in_environment(environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def kill(process: multiprocessing.process.BaseProcess) -> None:
    """Kill a process with the signal that cannot be caught, and wait for its end.

    One that has ended is left alone: it was not our child, so its number may be that of another process by now, or of
    one of our threads, and a signal to a thread is one to all of us.
    """
    if process.is_alive():
        process.kill()
    process.join()


class PageMaker:
    """A process that opens a suite, waits to be let go, works, and tells what came of it.

    Parameters
    ----------
    suite
        It reads this suite's files for itself.
    work
        A function of a module that is called with the suite and the arguments; what it returns is told.
    """

    def __init__(self, suite: Suite, work: Callable[..., Any], *arguments: Any) -> None:
        self._line, their_end = CONTEXT.Pipe()
        self._process = process_of(_work, their_end, suite.root, work, arguments)
        self._process.start()
        their_end.close()
        assert self._line.recv() == "ready"

    def let_go(self) -> None:
        """Let it begin."""
        self._line.send("go")

    def is_working(self) -> bool:
        """Whether it has neither ended nor been killed."""
        return self._process.is_alive()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, but not for longer; whether it has ended."""
        self._process.join(seconds)
        return not self._process.is_alive()

    def told(self) -> Any:
        """Wait for its end, which has to be a good one; gives what the work returned."""
        answer = self._line.recv()
        assert self.ended() == 0
        return answer

    def ended(self) -> int | None:
        """Wait for its end; gives its exit code, or minus the signal that ended it."""
        self._process.join()
        return self._process.exitcode

    def kill(self) -> None:
        """Kill it with the signal that cannot be caught."""
        kill(self._process)


def _work(line: Connection, root: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    faulthandler.dump_traceback_later(300, exit=True)
    suite = open_suite(root, clock_at(NOW))
    line.send("ready")
    line.recv()
    line.send(work(suite, *arguments))


def backfills(suite: Suite, first: datetime, until: datetime, per_commit: int = 2) -> tuple[int, int, int]:
    """Make a range of pages; tells how many it made, how many others made meanwhile, and how many failed."""
    return _counted(backfill(suite, BackfillOrder(PRODUCT, first, until, pages_per_commit=per_commit)))


def runs(suite: Suite, page: datetime) -> tuple[int, int, int]:
    """Make one page, and tell the same."""
    return _counted(run_page(suite, PRODUCT, page))


def runs_forever(suite: Suite, page: datetime) -> None:
    """Make one page again and again."""
    while True:
        run_page(suite, PRODUCT, page)


def _counted(result: Any) -> tuple[int, int, int]:
    made = [record for record in result.published if record.kind == "predictions"]
    return len(made), len(result.by_others), len(result.failed)
