"""A data file of pages that is lost: its pages are made again, and readers go on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.pages.states import page_states
from jobs.suite import Suite
from jobs.suites.doctor import doctor
from jobs.suites.upkeep import upkeep
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import rows
from tests.page_makers import PageMaker
from warehouse.lake.lake import Commit, Lake
from warehouse.pages.lost_files import lost_files_of

DAY = timedelta(days=1)
CURRENT = f"SELECT count(*), max(as_of) FROM predictions.{PRODUCT}_current"
BY_PAGE = f"SELECT as_of, count(*) FROM predictions.{PRODUCT} GROUP BY ALL ORDER BY ALL"


def states(suite: Suite) -> list[str]:
    pages = suite.definitions.product(PRODUCT).pages_between(PAGE, PAGE + 5 * DAY)
    return [state.state for state in page_states(suite, suite.definitions.product(PRODUCT), pages)]


def lose(suite: Suite, kind: str) -> Path:
    """Take away the file of the first commit of predictions, which has three pages, or of the last one of features."""
    with suite.lake.reading() as connection:
        query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => $2) ORDER BY ALL"
        files = [Path(row[0]) for row in connection.execute(query, [PRODUCT, kind]).fetchall()]
        oldest = (min if kind == "predictions" else max)(files, key=lambda path: path.stat().st_mtime_ns)
    shutil.move(oldest, suite.root / f"{kind}.lost")
    return oldest


def test_a_page_of_a_lost_file_is_made_again_and_the_others_are_missing(trained: Suite) -> None:
    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 3 * DAY))
    run_page(trained, PRODUCT, PAGE + 3 * DAY)
    before, current = rows(trained, BY_PAGE), rows(trained, CURRENT)
    assert len(before) == 4
    lost = lose(trained, "predictions")
    with pytest.raises(duckdb.Error, match="No such file"):
        rows(trained, f"SELECT max(order_id) FROM predictions.{PRODUCT}")
    (finding,) = [one for one in doctor(trained.root, clock_at(NOW)) if one.subject == "lake files"]
    assert lost.name in finding.detail
    assert f"almanac backfill {PRODUCT} --from 2026-03-10T18:00 --to" in finding.detail

    run_page(trained, PRODUCT, PAGE + DAY)
    assert states(trained) == ["missing", "published", "missing", "published", "missing"]
    assert rows(trained, BY_PAGE) == [before[1], before[3]]
    assert rows(trained, CURRENT)[0][1] == current[0][1]

    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 4 * DAY))
    assert rows(trained, BY_PAGE) == before
    assert rows(trained, CURRENT) == current
    assert not [one for one in doctor(trained.root, clock_at(NOW)) if one.subject == "lake files"]
    upkeep(trained)
    assert rows(trained, BY_PAGE) == before


def test_the_newest_page_of_a_lost_file_leaves_the_view_to_the_page_before(trained: Suite) -> None:
    run_page(trained, PRODUCT, PAGE)
    run_page(trained, PRODUCT, PAGE + DAY)
    with trained.lake.reading() as connection:
        query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')"
        files = [Path(row[0]) for row in connection.execute(query, [PRODUCT]).fetchall()]
    max(files, key=lambda path: path.stat().st_mtime_ns).unlink()
    run_page(trained, PRODUCT, PAGE + DAY)
    with trained.lake.reading() as connection:
        assert lost_files_of(connection, trained.lake.storage, PRODUCT) == []
    assert rows(trained, CURRENT)[0][1] == PAGE + DAY
    assert len(rows(trained, BY_PAGE)) == 2


def test_pages_are_made_where_their_features_were_lost(trained: Suite) -> None:
    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 2 * DAY))
    before = rows(trained, BY_PAGE)
    lose(trained, "features")
    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 2 * DAY, only="all"))
    assert rows(trained, BY_PAGE) == before
    made = rows(trained, f"SELECT DISTINCT as_of FROM features.{PRODUCT} WHERE as_of >= TIMESTAMP '{PAGE}'")
    assert len(made) == len(before)


def _dies_at(suite: Suite, kind: type, step: str) -> None:
    setattr(kind, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    run_page(suite, PRODUCT, PAGE + DAY)


def dies_before_the_file_is_taken_out(suite: Suite) -> None:
    _dies_at(suite, Lake, "maintaining")


def dies_before_the_page_is_published(suite: Suite) -> None:
    _dies_at(suite, Commit, "add_file")


@pytest.mark.parametrize("dies", [dies_before_the_file_is_taken_out, dies_before_the_page_is_published])
def test_a_run_that_is_killed_while_it_replaces_a_lost_file_leaves_its_pages_missing(
    trained: Suite, dies: Callable[[Suite], None]
) -> None:
    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 3 * DAY))
    before, current = rows(trained, BY_PAGE), rows(trained, CURRENT)
    lost = lose(trained, "predictions")
    maker = PageMaker(trained, dies)
    maker.let_go()
    assert maker.ended() == -signal.SIGKILL
    assert states(trained)[:3] == ["missing"] * 3, "no page counts as published whose rows are gone"
    told = [one.detail for one in doctor(trained.root, clock_at(NOW)) if one.subject == "lake files"]
    if dies is dies_before_the_file_is_taken_out:
        assert lost.name in told[0]
    else:
        assert (told, rows(trained, BY_PAGE)) == ([], [])

    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + 3 * DAY))
    assert rows(trained, BY_PAGE) == before
    assert rows(trained, CURRENT) == current
    assert not [one for one in doctor(trained.root, clock_at(NOW)) if one.subject == "lake files"]
