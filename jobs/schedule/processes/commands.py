"""The command and the environment with which a run's child process is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from jobs.schedule.decisions.ticks import Run


def command_of(run: Run, suite: Path) -> list[str]:
    """Give the command line of a run.

    A predict job's tick makes one page with `almanac run`; what it missed goes through `almanac backfill`, one
    child for all the pages, which makes those that are not there yet.
    """
    work, as_of = run.job.work, run.first_page
    almanac = [sys.executable, "-m", "jobs", "--suite", str(suite)]
    if work.kind == "python":
        return [
            sys.executable,
            "-m",
            "jobs.schedule.processes.call",
            work.names[0],
            "--as-of",
            _instant(run.ticks[-1].at),
        ]
    if work.kind == "shell":
        return ["/bin/sh", "-c", work.names[0]]
    if work.kind == "train":
        return [*almanac, "train", work.names[0], "--as-of", _instant(run.ticks[-1].at)]
    if work.kind == "predict" and run.ticks[0].missed:
        # `--to` is exclusive; no two pages are less than a minute apart.
        until = run.last_page + timedelta(seconds=1)
        return [*almanac, "backfill", work.names[0], "--from", _instant(as_of), "--to", _instant(until)]
    if work.kind == "predict":
        return [*almanac, "run", work.names[0], "--as-of", _instant(as_of)]
    return [*almanac, work.kind, *work.names]


def environment_of(run: Run, suite: Path, secrets: Iterable[str]) -> dict[str, str]:
    """Give the environment of a run: this process's, without the variables that hold alerts' addresses."""
    hidden = set(secrets)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {
        "ALMANAC_SUITE": str(suite),
        "ALMANAC_JOB": run.job.name,
        "ALMANAC_RUN": str(run.run),
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
