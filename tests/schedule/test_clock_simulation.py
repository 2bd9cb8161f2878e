"""Years of schedule in seconds: whatever happens, each tick has exactly one outcome and no rule is broken."""

from __future__ import annotations

import random

import pytest

from tests.schedule.simulated_clock import SimulatedWorld


def live(seed: int, days: int) -> dict[str, int]:
    world = SimulatedWorld(seed, days)
    world.live_through()
    return world.check_accounts()


@pytest.mark.parametrize("block", range(20))
def test_the_accounts_balance_in_a_thousand_worlds(block: int) -> None:
    seen: set[str] = set()
    for seed in range(block * 50, block * 50 + 50):
        days = random.Random(seed).choice([2, 4, 6, 10])
        try:
            seen |= live(seed, days).keys()
        except BaseException as error:
            error.add_note(f"in the world of seed {seed}, {days} days")
            raise
    assert seen >= {"ran", "caught up", "coalesced", "skipped", "failed"}


def test_years_pass_in_seconds() -> None:
    assert sum(live(4, 2 * 365).values()) > 500


def test_the_same_seed_gives_the_same_world() -> None:
    assert live(7, 10) == live(7, 10)
