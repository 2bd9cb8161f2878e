"""The processes that share the tests: which runs what, what becomes of the rest when one dies, and what ends a hang.

pytest-xdist 3.8 hands out files with `--dist loadfile`. When a worker dies, it hands out all files that this worker
was ever given once more, also those that are done; the worker that takes such a file is told of nothing to run and
waits for ever (pytest-dev/pytest-xdist#1323, #1327, #1378). And it begins with the test that was running, again and
again (#1371).
"""

from __future__ import annotations

import faulthandler
import os

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadfile import LoadFileScheduling
from xdist.workermanage import WorkerController

#: Longer than `faulthandler_timeout` in pyproject.toml, which ends a worker whose test hangs: if no worker tells
#: anything for so long, the run itself hangs.
SILENCE_S = 40 * 60


class FilesInTurn(LoadFileScheduling):
    """Hands out files in order, also when a worker has died: its test has failed, and what it left is run by others."""

    def remove_node(self, node: WorkerController) -> str | None:
        """Take a worker out; gives the test that was running if it died."""
        left = {scope: unit for scope, unit in self.assigned_work[node].items() if not all(unit.values())}
        self.assigned_work[node] = left
        for unit in left.values():
            # The first that is not done is the one that was running. It is reported as failed.
            crashed = next(test for test, is_done in unit.items() if not is_done)
            unit[crashed] = True
            del self.assigned_work[node]
            self.registered_collections.pop(node, None)
            self.workqueue.update({scope: unit for scope, unit in left.items() if not all(unit.values())})
            for other in self.nodes:
                self._reschedule(other)
            return crashed
        return super().remove_node(node)

    def schedule(self) -> None:
        """Hand out the first files; a worker that begins later needs two tests, or a word that there are no more."""
        super().schedule()
        for node in self.nodes:
            self._reschedule(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesInTurn | None:
    """Share files out as above where pytest-xdist would share files out."""
    return FilesInTurn(config, log) if config.getoption("dist") == "loadfile" else None


class EndOfSilence:
    """Ends the process that gathers what workers tell, with where it stood, if none of them tells anything any more."""

    def __init__(self) -> None:
        # A copy of what is standard error now, before tests are captured.
        self._stderr = os.dup(2)
        self.pytest_runtest_logreport()

    def pytest_runtest_logreport(self) -> None:
        faulthandler.dump_traceback_later(SILENCE_S, exit=True, file=self._stderr)

    def pytest_unconfigure(self) -> None:
        faulthandler.cancel_dump_traceback_later()


def watch_workers(config: pytest.Config) -> None:
    """End the run where its workers fall silent, if it has any."""
    if config.getoption("dist", "no") != "no" and "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(EndOfSilence(), "end-of-silence")
