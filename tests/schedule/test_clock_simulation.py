"""Months of schedule in seconds: whatever happens, each tick has exactly one outcome and no rule is broken.

With ALMANAC_EFFORT=10 three thousand worlds, and five years of one.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.effort import times
from tests.schedule.simulated_clock import SimulatedWorld


def live(seed: int, days: int, counts: Counter[str] | None = None) -> dict[str, int]:
    world = SimulatedWorld(seed, days)
    world.live_through()
    if counts is not None:
        for retraining in world.retrainings.values():
            counts["trained"] += len(retraining.made)
            counts["resumed"] += retraining.resumed
            counts.update(answer.answer for _, answer in retraining.asked)
    return world.check_accounts()


@pytest.mark.parametrize("block", range(times(6)))
def test_the_accounts_balance_in_hundreds_of_worlds(block: int) -> None:
    seen, counts = set[str](), Counter[str]()
    for seed in range(block * 50, block * 50 + 50):
        days = random.Random(seed).choice([2, 4, 6, 10])
        try:
            seen |= live(seed, days, counts).keys()
        except BaseException as error:
            error.add_note(f"in the world of seed {seed}, {days} days")
            raise
    assert seen >= {"ran", "caught up", "coalesced", "skipped", "failed"}
    # Products were trained again, also after whoever was to do it had been killed.
    assert all(counts[name] for name in ("trained", "resumed", "quiet", "cooling", "train"))


def test_months_pass_in_seconds() -> None:
    days = times(180)
    assert sum(live(4, days).values()) > days / 2


def test_the_same_seed_gives_the_same_world() -> None:
    assert live(7, 10) == live(7, 10)
