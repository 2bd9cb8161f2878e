"""A Black Friday: who looks after each page catches up with it within hours, who trains at night does not.

With ALMANAC_HISTORIES=1 the whole day is lived through, with the night behind it.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from jobs.monitoring.evaluate import evaluate
from jobs.rehearsal.rehearse import rehearse
from jobs.suite import Suite, open_suite
from tests.conftest import clock_at
from tests.rehearsal.demand_world import PRODUCT, Demand, make_shop
from warehouse.ledger import records as ledger
from warehouse.ledger.triggers import triggers_of

WHOLE_DAY = "ALMANAC_HISTORIES" in os.environ
FRIDAY = datetime(2026, 11, 27)
BEGIN, RISES = FRIDAY + timedelta(hours=6, minutes=50), FRIDAY + timedelta(hours=7)
END = FRIDAY + (timedelta(days=1, hours=4) if WHOLE_DAY else timedelta(hours=8, minutes=10))
POLICIES = f"""
policies:
  nightly: {{jobs: {{train: {{run: {{train: {PRODUCT}}}, cron: "0 2 * * *"}}}}}}
  after_each_page:
    jobs:
      pages: {{run: {{predict: {PRODUCT}}}, every: 5 minutes, unless: nothing new}}
      again:
        run: {{retrain: {PRODUCT}}}
        every: 5 minutes
        after: pages
        when: {{performance: alarm}}
        cooldown: 1 hour
"""


def errors(suite: Suite, first: datetime, until: datetime) -> float:
    (row,) = evaluate(suite, PRODUCT, first, until).groups
    return float(row["rmse"])


def test_a_day_unlike_all_others_is_caught_up_with_within_hours(tmp_path: Path) -> None:
    suite = make_shop(tmp_path / "shop", Demand(FRIDAY, END + timedelta(hours=1), RISES))
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    found = rehearse(suite, PRODUCT, BEGIN, END, path, training_takes=timedelta(minutes=4), keep=True)
    rows = {row.policy: row for row in found.rows}
    print(*rows.values(), sep="\n")
    assert [row.failed for row in rows.values()] == [0, 0]
    (place,) = (suite.lake.root / "rehearsals").glob("*/policies")
    nightly, looking = (open_suite(place / name, clock_at(suite.clock())) for name in rows)
    with looking.lake.reading() as connection:
        answers = [(one.answer, one.known_by) for one in triggers_of(connection, PRODUCT)]
        newest = ledger.models(connection, PRODUCT)[-1]
    print(*answers, sep="\n")
    # Quiet until the alarm; for a page the rise may be a fault of the data; then one training, and quiet again.
    assert [answer for answer, _ in groupby(answer for answer, _ in answers)][:5] == [
        "quiet",
        "bad data",
        "train",
        "trained",
        "quiet",
    ]
    assert rows["after_each_page"].trainings == 1
    (asked_at,) = (at for answer, at in answers if answer == "train")
    assert RISES < asked_at < RISES + timedelta(hours=2)
    caught_up = newest.trained_at
    # Before, both are as good; behind it one is nearly as good, by half an hour of news, as Poisson's noise allows.
    assert errors(looking, BEGIN, asked_at) == errors(nightly, BEGIN, asked_at)
    late = min(END, FRIDAY + timedelta(days=1))
    noise = (3 * 22.5) ** 0.5
    assert errors(looking, caught_up, late) < 1.5 * noise < 4 * noise < errors(nightly, caught_up, late)
    assert found.best == "after_each_page"
    if WHOLE_DAY:
        night = FRIDAY + timedelta(days=1, hours=2, minutes=4)
        assert rows["nightly"].trainings == 1
        assert errors(nightly, night, END) < 1.3 * noise
