"""Any range of pages: the same rows as the daily runs, only what is left, and each page made once."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.pages.backfill import BackfillOrder, backfill, prepare_backfill
from jobs.pages.states import grid_pages, page_states
from jobs.suite import Suite, open_suite
from tests.command_line import said
from tests.conftest import NOW, PAGE, PRODUCT, TRAINED_AS_OF, clock_at, reopened
from tests.effort import times
from tests.lakes import files_of, page_rows, rows
from tests.page_makers import PageMaker, backfills, runs
from tests.versions import SECOND_FROM, train_and_promote_a_second_version
from warehouse.errors import UsageError
from warehouse.lake.lake import Commit

CHECK = "sql/products/late_order/checks/not_this_day.sql"
#: How often a backfill is killed before it may come to its end.
KILLS = times(4)


def publications(suite: Suite) -> Counter[datetime]:
    query = "SELECT as_of FROM ledger.pages WHERE kind = 'predictions' AND state = 'published'"
    return Counter(row[0] for row in rows(suite, query))


def test_two_overlapping_backfills_and_a_daily_run_make_each_page_once(trained: Suite) -> None:
    days = [PAGE + timedelta(days=day) for day in range(17)]
    makers = [
        PageMaker(trained, backfills, days[0], days[12]),
        PageMaker(trained, backfills, days[6], days[16]),
        PageMaker(trained, runs, days[11]),
    ]
    for maker in makers:
        maker.let_go()
    told = [maker.told() for maker in makers]
    pages = trained.definitions.product(PRODUCT).pages_between(days[0], days[16])
    assert publications(trained) == Counter(pages)
    assert sum(made for made, _, _ in told) == len(pages)
    # Whoever did not make a page that it wanted knows that another did.
    assert [made + others for made, others, _ in told] == [12, 10, 1]


def wait_for_commits(suite: Suite, pages: int, is_working: Callable[[], bool]) -> None:
    while sum(publications(suite).values()) < pages:
        assert is_working()
        time.sleep(0.05)


def test_after_a_kill_only_what_is_left_is_made(trained: Suite) -> None:
    until = PAGE + timedelta(days=16)
    maker = PageMaker(trained, backfills, PAGE, until)
    maker.let_go()
    wait_for_commits(trained, 4, maker.is_working)
    maker.kill()
    done = set(publications(trained))
    product = trained.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE, until)
    assert 4 <= len(done) < len(pages)
    states = page_states(trained, product, pages)
    assert {state.as_of for state in states if state.state == "published"} == done
    assert {state.state for state in states} == {"published", "missing"}
    result = backfill(trained, BackfillOrder(PRODUCT, PAGE, until))
    assert {record.as_of for record in result.published} == set(pages) - done
    assert publications(trained) == Counter(pages)
    again = backfill(trained, BackfillOrder(PRODUCT, PAGE, until))
    assert (again.published, again.run_ids) == ([], [])


def test_killed_at_random_moments_it_ends_with_each_page_made_once(trained: Suite) -> None:
    until = PAGE + timedelta(days=12)
    pages = trained.definitions.product(PRODUCT).pages_between(PAGE, until)
    unharmed = open_suite(shutil.copytree(trained.root, trained.root.parent / "unharmed"), clock_at(NOW))
    backfill(unharmed, BackfillOrder(PRODUCT, PAGE, until))
    dice = random.Random(4)
    for _ in range(KILLS):
        before = publications(trained)
        maker = PageMaker(trained, backfills, PAGE, until)
        maker.let_go()
        time.sleep(dice.uniform(0.1, 1.2))
        maker.kill()
        after = publications(trained)
        # Batches of two pages are there whole or not at all, and nothing that was there is made again.
        assert sum(after.values()) % 2 == 0
        assert before <= after
    backfill(trained, BackfillOrder(PRODUCT, PAGE, until))
    assert publications(trained) == Counter(pages)
    for schema in ("features", "predictions"):
        assert page_rows(trained, PRODUCT, schema) == page_rows(unharmed, PRODUCT, schema)


def test_the_killed_ones_pages_are_taken_over_by_who_waits_for_them(trained: Suite) -> None:
    until = PAGE + timedelta(days=12)
    first, second = (PageMaker(trained, backfills, PAGE, until, 6) for _ in range(2))
    first.let_go()
    wait_for_commits(trained, 6, first.is_working)
    second.let_go()
    first.kill()
    second.told()
    assert publications(trained) == Counter(trained.definitions.product(PRODUCT).pages_between(PAGE, until))


def start_command(suite: Suite, until: datetime, per_commit: int) -> subprocess.Popen[str]:
    """Run `almanac backfill` from PAGE on."""
    command = [sys.executable, "-m", "jobs", "--suite", str(suite.root), "backfill", PRODUCT]
    span = ["--from", PAGE.isoformat(), "--to", until.isoformat(), "--pages-per-commit", str(per_commit)]
    return subprocess.Popen([*command, *span], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_chunk_in_hand_and_says_how_to_go_on(trained: Suite, number: int) -> None:
    worker = start_command(trained, PAGE + timedelta(days=16), per_commit=1)
    wait_for_commits(trained, 2, lambda: worker.poll() is None)
    worker.send_signal(number)
    errors = worker.communicate()[1]
    assert worker.returncode == 130
    assert "finishing the batch in hand" in errors
    assert f"To go on: almanac --suite {trained.root} backfill {PRODUCT}" in errors
    done = publications(trained)
    assert 2 <= len(done) < 16
    assert list((trained.lake.root / "owners").iterdir()) == []
    assert "Traceback" not in errors


def test_a_second_ctrl_c_drops_the_batch_in_hand(trained: Suite) -> None:
    until = PAGE + timedelta(days=16)
    worker = start_command(trained, until, per_commit=2)
    wait_for_commits(trained, 2, lambda: worker.poll() is None)
    assert worker.stderr is not None
    worker.send_signal(signal.SIGINT)
    told = ""
    while "Ctrl-C again drops it" not in told:
        told += worker.stderr.readline()
    worker.send_signal(signal.SIGINT)
    told += worker.communicate()[1]
    assert worker.returncode == 130
    assert f"To go on: almanac --suite {trained.root} backfill {PRODUCT}" in told
    assert "Traceback" not in told
    done = publications(trained)
    assert len(done) % 2 == 0
    pages = trained.definitions.product(PRODUCT).pages_between(PAGE, until)
    left = backfill(trained, BackfillOrder(PRODUCT, PAGE, until))
    assert {record.as_of for record in left.published} == set(pages) - set(done)
    assert publications(trained) == Counter(pages)


def test_pages_that_fail_their_checks_are_tried_again_once_that_is_put_right(trained: Suite) -> None:
    until = PAGE + timedelta(days=6)
    pages = trained.definitions.product(PRODUCT).pages_between(PAGE, until)
    (trained.root / CHECK).write_text(
        f"/*\ndescription: a bad day\n*/\nSELECT * FROM page WHERE as_of = TIMESTAMP '{pages[2]}'\n"
    )
    result = backfill(reopened(trained), BackfillOrder(PRODUCT, PAGE, until))
    assert result.rejected == {pages[2]}
    assert set(publications(trained)) == {*pages} - {pages[2]}
    (trained.root / CHECK).unlink()
    again = backfill(reopened(trained), BackfillOrder(PRODUCT, PAGE, until, only="failed"))
    assert {record.as_of for record in again.published} == {pages[2]}
    assert publications(trained) == Counter(pages)


def test_a_batch_that_cannot_be_committed_is_marked_and_the_others_are_made(
    trained: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full for one of the files that are added to the lake."""
    until = PAGE + timedelta(days=6)
    pages = trained.definitions.product(PRODUCT).pages_between(PAGE, until)
    add_file, files = Commit.add_file, itertools.count()

    def once_full(commit: Commit, schema: str, table: str, staged: Path) -> None:
        if next(files) == 2:
            raise OSError("No space left on device")
        add_file(commit, schema, table, staged)

    monkeypatch.setattr(Commit, "add_file", once_full)
    result = backfill(trained, BackfillOrder(PRODUCT, PAGE, until, pages_per_commit=2))
    assert set(result.failed) == {pages[2], pages[3]}
    assert "No space left on device" in result.failed[pages[2]]
    assert set(publications(trained)) == {*pages} - {pages[2], pages[3]}
    states = page_states(trained, trained.definitions.product(PRODUCT), pages)
    assert [state.state for state in states].count("failed") == 2


def test_each_page_is_written_by_the_version_in_effect_then(trained: Suite) -> None:
    second = train_and_promote_a_second_version(trained)
    first, until = SECOND_FROM - timedelta(days=4), SECOND_FROM + timedelta(days=4)
    order = BackfillOrder(PRODUCT, first, until, reverse=True)
    prepared = prepare_backfill(trained, order)
    assert prepared.models == {second: 4, "v1": 4}
    assert prepared.pages == sorted(prepared.pages, reverse=True)
    backfill(trained, order)
    found = rows(trained, "SELECT model_version, min(as_of), max(as_of) FROM predictions.late_order GROUP BY ALL")
    spans = {version: (low, high) for version, low, high in found}
    assert spans["v1"][1] < SECOND_FROM <= spans[second][0]


def test_pages_before_any_model_are_refused_and_the_first_model_is_named(trained: Suite) -> None:
    with pytest.raises(UsageError, match=r"no model in effect at 2026-02-20.*the first is v1, in effect from"):
        prepare_backfill(trained, BackfillOrder(PRODUCT, datetime(2026, 2, 20), datetime(2026, 3, 4)))


def test_hindsight_is_refused_unless_asked_for_and_then_marked(trained: Suite) -> None:
    order = BackfillOrder(PRODUCT, TRAINED_AS_OF - timedelta(days=2), TRAINED_AS_OF, version="v1")
    with pytest.raises(UsageError, match=r"v1 has seen labels up to 2026-03-01.*and 1 more.*--hindsight"):
        backfill(trained, order)
    span = (order.start, order.end)
    backfill(trained, BackfillOrder(PRODUCT, *span, version="v1", hindsight=True))
    assert rows(trained, "SELECT DISTINCT hindsight FROM predictions.late_order") == [(True,)]


def test_features_only_makes_feature_pages_which_predictions_then_use(trained: Suite) -> None:
    until = PAGE + timedelta(days=4)
    made = backfill(trained, BackfillOrder(PRODUCT, PAGE, until, features_only=True))
    assert {record.kind for record in made.published} == {"features"}
    later = backfill(trained, BackfillOrder(PRODUCT, PAGE, until))
    assert {record.kind for record in later.published} == {"predictions"}


def test_only_all_makes_again_what_is_there(trained: Suite) -> None:
    until = PAGE + timedelta(days=3)
    backfill(trained, BackfillOrder(PRODUCT, PAGE, until))
    before = page_rows(trained, PRODUCT)
    backfill(trained, BackfillOrder(PRODUCT, PAGE, until, only="all", workers=1))
    assert page_rows(trained, PRODUCT) == before
    assert set(publications(trained).values()) == {2}


def test_a_dry_run_changes_nothing(trained: Suite) -> None:
    before = trained.lake.newest_snapshot()
    files = files_of(trained.lake)
    span = ["--from", PAGE.isoformat(), "--to", (PAGE + timedelta(days=5)).isoformat()]
    printed = said(trained.root, "backfill", PRODUCT, "--dry-run", *span)
    assert "it would make 5" in printed
    assert "Nothing was changed" in printed
    assert trained.lake.newest_snapshot() == before
    assert files_of(trained.lake) == files


def test_batches_follow_the_memory_budget() -> None:
    from jobs.pages.batch_size import MAX_PAGES, MEMORY_BUDGET, BatchSize

    assert BatchSize(10, 20.0).pages() == MAX_PAGES
    large = BatchSize(100, 50_000.0)
    assert 1 <= large.pages() < 16
    assert BatchSize(100, 10e9).pages() == 1
    assert BatchSize(100, 50_000.0, fixed=7).pages() == 7
    learning = BatchSize(100, None)
    unknown = learning.pages()
    learning.learn(unknown, unknown * 50_000)
    assert learning.pages() == large.pages()
    assert large.pages() * 50_000 * 100 * 8 <= MEMORY_BUDGET


@pytest.mark.parametrize(("bytes_per_value", "n_batches"), [(32, 1), (250_000, 4)])
def test_the_first_pages_of_a_product_are_looked_at_before_they_are_cut_into_batches(
    ingested: Suite, monkeypatch: pytest.MonkeyPatch, bytes_per_value: int, n_batches: int
) -> None:
    monkeypatch.setattr("jobs.pages.batch_size._BYTES_PER_VALUE", bytes_per_value)
    days = grid_pages(ingested.definitions.product(PRODUCT), PAGE - timedelta(days=40), PAGE, NOW)
    order = BackfillOrder(PRODUCT, days[0], days[-1] + timedelta(minutes=1), features_only=True)
    result = backfill(ingested, order)
    assert [record.as_of for record in result.published] == days
    assert (len(result.run_ids), result.later, result.left) == (n_batches, [], [])


def test_states_are_in_the_grids_order(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    pages = grid_pages(product, PAGE, PAGE + timedelta(days=3), NOW)
    assert [state.as_of for state in page_states(trained, product, pages)] == pages
