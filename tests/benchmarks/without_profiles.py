"""The command line, whose runs profile nothing: what a command takes more with profiles is what they cost.

python -m tests.benchmarks.without_profiles --suite DIR backfill PRODUCT ...
"""

from __future__ import annotations

import runpy
from typing import Any

import jobs.pages.make
import jobs.pages.outcomes


class NoProfiles:
    """Takes the place of `StagedProfiles`, and does nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def settle_centres(self, *_: Any) -> None:
        pass

    def write(self, *_: Any) -> None:
        pass


def main() -> None:
    vars(jobs.pages.make).update(StagedProfiles=NoProfiles, in_passing=lambda *_: None)
    vars(jobs.pages.outcomes).update(StagedProfiles=NoProfiles)
    runpy.run_module("jobs", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
