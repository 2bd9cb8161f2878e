"""Random histories: whatever is delivered, edited, trained, promoted, backfilled and rolled back, in whatever order,
every page says what its definitions make of the facts that its ledger row names, and `plan` calls stale what differs.

See `tests.changes.random_life` for what is done and looked at, `tests.changes.page_oracle` for what it is held against.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

from tests.changes.random_life import ACTIONS, Life
from tests.effort import times

#: `ALMANAC_HISTORIES=FROM:TO` searches other seeds, ten from each beginning, and longer lives. In the run of every day,
#: 0:20 of which were seen to their end, ALMANAC_EFFORT makes them more.
CHOSEN = os.environ.get("ALMANAC_HISTORIES")
FIRST, LAST = map(int, (CHOSEN or f"0:{times(8)}").split(":"))
STEPS = 4
FROM_ONE_BEGINNING = 10
#: In the run of every day all lives go on from one beginning, and each action is tried in turn.
BEGINNING = 2


def begun(root: Path, seed: int) -> Life:
    life = Life(root, seed)
    life.begin()
    life.check()
    return life


def test_every_page_is_what_its_definitions_make_of_its_facts(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    seeds = range(FIRST, LAST)
    size = FROM_ONE_BEGINNING if CHOSEN else len(seeds)
    for first in seeds[::size]:
        beginning = begun(tmp_path / f"beginning-{first}", first if CHOSEN else BEGINNING)
        for seed in range(first, min(first + size, LAST)):
            root = tmp_path / f"life-{seed}"
            try:
                life = beginning.copied_to(root, seed)
                for _ in range(STEPS if CHOSEN else 1):
                    life.step(None if CHOSEN else ACTIONS[seed % len(ACTIONS)])
            except BaseException as error:
                error.add_note(f"seed {seed} of {CHOSEN}")
                raise
            met += life.met
            shutil.rmtree(root)
    if not CHOSEN:
        lacking = [
            what for what in ("facts", "feature pages", "prediction pages", "stale", "not stale") if not met[what]
        ]
        assert lacking == []
    print(f"{len(seeds)} lives: {dict(met)}")
