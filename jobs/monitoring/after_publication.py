"""Judging what the clock has just published: in the run that made the pages, after their commit.

Pages stand whatever comes of it: a judgement that fails is told and fails no run, and the next one makes it good.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import duckdb

from jobs.monitoring.judgements import judge_and_write
from jobs.monitoring.performance.judge import judge_performance
from jobs.suite import Suite
from warehouse.errors import AlmanacError


def is_run_of_the_clock() -> bool:
    """Tell whether this process is a run that the clock has started."""
    return "ALMANAC_LEASE" in os.environ


def judge_published(suite: Suite, products: Sequence[str]) -> list[str]:
    """Judge the pages of some products; gives a sentence on each of which that was not possible."""
    failed = []
    for name in products:
        try:
            judge_and_write(suite, suite.definitions.product(name))
            judge_performance(suite, name)
        except (AlmanacError, duckdb.Error) as error:
            failed.append(f"the pages of {name} were not judged: {error}. `almanac monitor {name}` does it.")
    return failed
