"""Policies in a world of known truth: the trainings that are expected, exactly. ALMANAC_HISTORIES=1 runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.rehearsal.rehearse import rehearse
from tests.rehearsal.known_world import DAY, PRODUCT, START, World, make_world

#: A year in small: the concept changes soon after the monthly training, inputs drift without it, a source breaks.
WORLD = World(days=58, concept_changes=33, inputs_drift=46, broken=range(53, 55))
FIRST, LAST = 12, 58
POLICIES = f"""
policies:
  never: {{jobs: {{}}}}
  asked:
    jobs:
      again:
        run: {{retrain: {PRODUCT}}}
        cron: "0 13 * * *"
        when: {{performance: alarm}}
        cooldown: 7 days
        learn_after: 7 pages
  monthly: {{jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 13 1 * *"}}}}}}
  weekly: {{jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 13 * * MON"}}}}}}
"""


@pytest.mark.skipif("ALMANAC_HISTORIES" not in os.environ, reason="it lives through a quarter under four policies")
def test_a_trigger_learns_the_new_world_and_not_the_broken_days(tmp_path: Path) -> None:
    suite = make_world(tmp_path / "known", WORLD)
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    begin, end = START + FIRST * DAY, START + LAST * DAY
    found = rehearse(suite, PRODUCT, begin, end, path)
    rows = {row.policy: row for row in found.rows}
    print(*rows.values(), sep="\n")
    assert {name: row.failed for name, row in rows.items()} == dict.fromkeys(rows, 0)
    # A month begins in that time; and so many Mondays lie in it.
    days = [begin + n * DAY for n in range(LAST - FIRST)]
    assert rows["never"].trainings == 0
    assert rows["monthly"].trainings == sum(day.day == 1 for day in days)
    assert rows["weekly"].trainings == sum(day.weekday() == 0 for day in days)
    assert rows["asked"].trainings == 1
    figures = {name: row.figure or 0.0 for name, row in rows.items()}
    assert figures["asked"] < min(figures["monthly"], figures["never"])
    assert rows["asked"].faulty_days == 0
    assert found.best == min(figures, key=lambda name: figures[name])
