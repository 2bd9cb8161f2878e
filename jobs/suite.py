"""A suite at work: its definitions, its lake, and the clock that it was given."""

from __future__ import annotations

import contextlib
import functools
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import filelock

from warehouse.definitions import Definitions, load_definitions
from warehouse.lake.lake import Lake, lake_of
from warehouse.lake.warm_up import open_ahead
from warehouse.ledger.found_classes import with_found_classes

#: Tells the time as naive UTC. Only the command line and the daemon make one that reads the clock.
Clock = Callable[[], datetime]


@functools.cache
def almanac_version() -> str:
    """Give the version of Almanac that is running."""
    return version("almanac")


@dataclass(frozen=True)
class Suite:
    """What every job is handed: where, what, and the time."""

    root: Path
    definitions: Definitions
    lake: Lake
    clock: Clock

    @contextlib.contextmanager
    def staging(self, run_id: str) -> Iterator[Path]:
        """Give a run its staging directory, and clear it away at the end.

        A lock file in it lives as long as the run, so that upkeep can tell what a killed run left behind.
        """
        name = f"{run_id}-{uuid.uuid4().hex[:6]}"
        # Locked before it gets the name under which upkeep would look at it.
        unnamed = self.lake.staging / f".{name}"
        unnamed.mkdir(parents=True)
        with filelock.FileLock(unnamed / "run.lock"):
            directory = unnamed.rename(self.lake.staging / name)
            try:
                yield directory
            finally:
                shutil.rmtree(directory, ignore_errors=True)


def open_suite(root: Path, clock: Clock, *, ends_soon: bool = False, commits: bool = False) -> Suite:
    """Read a suite's definitions; the lake need not exist yet.

    Parameters
    ----------
    ends_soon
        Whether this process does, so that it may hold the lake open all the while.
    commits
        Whether it will, so that what it reads on can do that too.

    Raises
    ------
    NotFoundError
        If `root` is no suite.
    DefinitionError
        If any of its files is wrong.
    """
    root = root.resolve()
    lake = lake_of(root)
    open_ahead(lake, hold=ends_soon, writing=commits)
    return Suite(root, with_found_classes(load_definitions(root), lake), lake, clock)
