"""The command and the environment with which a run's child process is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from jobs.schedule.decisions.ticks import Run
from jobs.schedule.files.kinds import kind_of


def command_of(run: Run, suite: Path) -> list[str]:
    """Give the command line of a run.

    What the words of each kind of work stand for is said in `jobs.schedule.files.kinds`.
    """
    work = run.job.work
    kind = kind_of(work.kind)
    # -P: Python would else look for every module in the suite first, whose `yaml.py` or `jobs/` is not ours.
    python = [sys.executable, "-P", "-m"]
    several = {"{python}": python, "{almanac}": [*python, "jobs", "--suite", str(suite)], "{names}": [*work.names]}
    single = {
        "{page}": _instant(run.first_page),
        # `--to` is exclusive; no two pages are less than a minute apart.
        "{until}": _instant(run.last_page + timedelta(seconds=1)),
        "{tick}": _instant(run.ticks[-1].at),
        "{job}": run.job.name,
        "{name}": work.names[0] if work.names else "",
    }
    words = kind.catching_up if kind.catching_up and run.ticks[0].missed else kind.command
    return [part for word in words for part in several.get(word, [single.get(word, word)])]


def environment_of(run: Run, suite: Path, secrets: Iterable[str]) -> dict[str, str]:
    """Give the environment of a run: this process's, without the variables that hold alerts' addresses."""
    hidden = set(secrets)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {
        "ALMANAC_SUITE": str(suite),
        "ALMANAC_JOB": run.job.name,
        "ALMANAC_RUN": str(run.run),
        "ALMANAC_LEASE": run.lease,
        "ALMANAC_AS_OF": _instant(run.first_page),
        "ALMANAC_TICK": _instant(run.ticks[-1].at),
        "ALMANAC_ATTEMPT": str(run.ticks[-1].attempts + 1),
        "PYTHONUNBUFFERED": "1",
    }
    for name, value in (("ALMANAC_OWNER", run.job.owner), ("ALMANAC_TEAM", run.job.team)):
        if value is not None:
            environment[name] = value
    return environment


def _instant(at: datetime) -> str:
    return at.isoformat()
