"""A killed run leaves a page absent or whole; the next run succeeds, and upkeep clears what was left."""

from __future__ import annotations

import os
import random
import signal
import time

from jobs.pages.predict import run_page
from jobs.suite import Suite
from jobs.suites.upkeep import upkeep
from tests.conftest import PAGE, PRODUCT
from tests.effort import times
from tests.lakes import page_rows, rows
from tests.page_makers import PageMaker, runs_forever
from warehouse.lake.lake import Commit

KILLS = times(8)


def test_kills_at_random_moments(trained: Suite) -> None:
    whole = run_page(trained, PRODUCT, PAGE).n_rows
    expected = page_rows(trained, PRODUCT)
    dice = random.Random(20131001)
    for _ in range(KILLS):
        # Again and again, so that kills fall on every part of making a page.
        maker = PageMaker(trained, runs_forever, PAGE)
        maker.let_go()
        time.sleep(dice.uniform(0, 1.5))
        maker.kill()
        counts = rows(trained, "SELECT count(*) FROM predictions.late_order WHERE as_of = $1", [PAGE])[0][0]
        assert counts == whole
        assert page_rows(trained, PRODUCT) == expected
    assert run_page(trained, PRODUCT, PAGE).n_rows == whole
    upkeep(trained)
    assert page_rows(trained, PRODUCT) == expected
    if not trained.lake.catalogue.is_shared:  # there upkeep takes what runs have left once it is a day old
        assert [path.name for path in trained.lake.staging.glob("[!.]*")] == []
    assert upkeep(trained).orphaned_files == 0


def dies_in_the_commit(suite: Suite) -> None:
    Commit.add_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
    run_page(suite, PRODUCT, PAGE)


def test_a_run_killed_before_its_first_commit_leaves_no_page(trained: Suite) -> None:
    before = trained.lake.newest_snapshot()
    maker = PageMaker(trained, dies_in_the_commit)
    maker.let_go()
    assert maker.ended() == -signal.SIGKILL
    assert trained.lake.newest_snapshot() == before
    assert rows(trained, "SELECT count(*) FROM ledger.pages WHERE kind = 'predictions'") == [(0,)]
    assert upkeep(trained).abandoned_runs == 1
    assert run_page(trained, PRODUCT, PAGE).published
