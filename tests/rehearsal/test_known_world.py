"""Policies in a world of known truth: the trainings that are expected, exactly.

With ALMANAC_HISTORIES=1 also in three quarters of a year (four minutes of CPU).
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest

from jobs.models.versions import left_out_pages
from jobs.rehearsal.rehearse import rehearse
from jobs.suite import open_suite
from tests.rehearsal.known_world import DAY, PRODUCT, START, World, make_world
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import PERFORMANCE, alarms_of
from warehouse.ledger.triggers import triggers_of

#: Three quarters of a year: the concept changes with a month, inputs drift without it, a source breaks for two days.
WORLD = World(days=272, concept_changes=120, inputs_drift=200, broken=range(250, 252))
FIRST, LAST = 30, 270
MONDAYS = "0 13 * * MON"
POLICIES = f"""
policies:
  never: {{jobs: {{}}}}
  asked:
    jobs:
      again:
        run: {{retrain: {PRODUCT}}}
        cron: "{MONDAYS}"
        when: {{performance: alarm}}
        cooldown: 7 days
        learn_after: 9 pages
  monthly: {{jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 13 1 * *"}}}}}}
  weekly: {{jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "{MONDAYS}"}}}}}}
"""


@pytest.mark.skipif("ALMANAC_HISTORIES" not in os.environ, reason="it lives through 240 days under four policies")
def test_a_trigger_learns_the_new_world_and_not_the_broken_days(tmp_path: Path) -> None:
    suite = make_world(tmp_path / "known", WORLD)
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    begin, end = START + FIRST * DAY, START + LAST * DAY
    found = rehearse(suite, PRODUCT, begin, end, path, keep=True)
    rows = {row.policy: row for row in found.rows}
    print(*rows.values(), sep="\n")
    assert {name: row.failed for name, row in rows.items()} == dict.fromkeys(rows, 0)
    days = [begin + n * DAY for n in range(LAST - FIRST)]
    assert {name: row.trainings for name, row in rows.items()} == {
        "never": 0,
        "asked": 1,
        "monthly": sum(day.day == 1 for day in days),
        "weekly": sum(day.weekday() == 0 for day in days),
    }
    # The one that was asked for is of the concept's change: from an alarm of pages behind it, learnt from those alone.
    (place,) = (suite.lake.root / "rehearsals").glob("*/policies/asked")
    with open_suite(place, suite.clock).lake.reading() as connection:
        first, second = ledger.models(connection, PRODUCT)
        (alarm,) = (one for one in alarms_of(connection, PRODUCT) if one.kind == PERFORMANCE)
    changed = START + WORLD.concept_changes * DAY
    assert changed < alarm.first_page < second.trained_at < changed + 30 * DAY
    assert first.last_page < begin < changed < second.first_page
    # With one training it does better than months with their eight, and it has learnt from no broken day.
    figures = {name: row.figure or 0.0 for name, row in rows.items()}
    assert figures["asked"] < figures["monthly"] < figures["never"]
    assert rows["asked"].faulty_days == 0
    # Who trains by the calendar does, in the week of the fault.
    assert rows["weekly"].faulty_days > 0
    assert found.best == min(figures, key=lambda name: figures[name])
    assert [row.policy for row in found.rows if row.is_best] == [found.best]


#: The concept changes on the day after a training by the calendar; another comes on the day after two broken ones.
SHORT = World(days=105, concept_changes=37, inputs_drift=400, broken=range(93, 95))
SHORT_POLICIES = f"""
policies:
  never: {{jobs: {{}}}}
  asked:
    jobs:
      again:
        run: {{retrain: {PRODUCT}}}
        cron: "{MONDAYS}"
        when: {{any: [{{performance: alarm}}, {{age: 41 days}}]}}
        cooldown: 7 days
        learn_after: 9 pages
  monthly: {{jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 13 6 * *"}}}}}}
"""


def test_a_trigger_waits_for_labels_of_the_new_world_and_for_the_end_of_a_fault(tmp_path: Path) -> None:
    suite = make_world(tmp_path / "known", SHORT)
    path = tmp_path / "policies.yaml"
    path.write_text(SHORT_POLICIES)
    found = rehearse(suite, PRODUCT, START + 30 * DAY, START + 104 * DAY, path, keep=True)
    rows = {row.policy: row for row in found.rows}
    (place,) = (suite.lake.root / "rehearsals").glob("*/policies/asked")
    with open_suite(place, suite.clock).lake.reading() as connection:
        answers = [one.answer for one in triggers_of(connection, PRODUCT)]
        _, new_world, behind_the_fault = ledger.models(connection, PRODUCT)
    # After the change not before labels of the new world are there; of age not while the fault is one.
    assert [answer for answer, _ in groupby(answers)] == [
        "quiet", "nothing to learn yet", "train", "trained", "quiet", "bad data", "train", "trained",
    ]  # fmt: skip
    assert new_world.first_page >= START + SHORT.concept_changes * DAY
    broken = [START + day * DAY + timedelta(hours=12) for day in SHORT.broken]
    assert broken[-1] in left_out_pages(behind_the_fault)
    # It does better than the calendar with fewer trainings, and the calendar has learnt the fault.
    assert {name: (row.trainings, row.failed) for name, row in rows.items()} == {
        "never": (0, 0), "asked": (2, 0), "monthly": (3, 0),
    }  # fmt: skip
    assert rows["asked"].faulty_days == 0 < rows["monthly"].faulty_days
    figures = {name: row.figure or 0.0 for name, row in rows.items()}
    assert figures["asked"] < figures["monthly"] < figures["never"]
    assert [row.policy for row in found.rows if row.is_best] == [found.best] == ["asked"]
