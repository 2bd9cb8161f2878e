"""How long searches and repetitions are: short in each run of the tests; ALMANAC_EFFORT=10 makes ten times as many."""

from __future__ import annotations

import os

EFFORT = float(os.environ.get("ALMANAC_EFFORT", "1"))


def times(count: int) -> int:
    """Give how often something is tried that is tried `count` times in a usual run."""
    return max(1, round(count * EFFORT))
