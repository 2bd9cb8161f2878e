"""Upkeep keeps the lake small: it merges, lets go of what is old enough, and takes nothing that anyone still needs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.diff import diff
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite, open_suite
from jobs.suites.upkeep import upkeep
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import compared_columns, page_rows, rows
from tests.lakes_in_postgres import recipe_of
from tests.page_makers import PageMaker, backfills
from tests.pages.test_backfill import publications
from tests.reading.test_readers import recipe
from warehouse.errors import NotFoundError
from warehouse.lake.retention import snapshots_to_expire
from warehouse.private_cache import private_directory
from warehouse.reader import open_lake
from warehouse.sandbox import Sandbox
from warehouse.system_sql import system_sql

DEPOT = "sql/features/depot_history.sql"
DAY = timedelta(days=1)
TABLES = [(schema, PRODUCT) for schema in ("features", "labels", "predictions")] + [
    ("ledger", name) for name in ("pages", "runs", "checks", "models", "promotions", "ingestions")
]


def later(suite: Suite, by: timedelta = timedelta()) -> Suite:
    """DuckLake dates its snapshots by the machine's clock, and upkeep goes by those dates."""
    return reopened(suite, datetime.now(UTC).replace(tzinfo=None) + by)


def everything(suite: Suite, snapshot_id: int | None = None) -> dict[tuple[str, str], list[Any]]:
    with suite.lake.reading(snapshot_id) as connection:
        return {
            (schema, table): sorted(map(str, connection.execute(f"FROM {schema}.{table}").fetchall()))
            for schema, table in TABLES
        }


def snapshots(suite: Suite) -> list[int]:
    return [row[0] for row in rows(suite, "SELECT snapshot_id FROM ducklake_snapshots('lake') ORDER BY 1")]


def files_on_disk(suite: Suite) -> dict[Path, int]:
    return {path: path.stat().st_size for path in suite.lake.data.rglob("*.parquet")}


def daily(suite: Suite, days: int) -> None:
    for day in range(days):
        run_page(suite, PRODUCT, PAGE + day * DAY)


@pytest.fixture(scope="module")
def _eight_days(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("eight_days") / "shop"
    shutil.copytree(_trained, root)
    suite = open_suite(root, clock_at(NOW))
    daily(suite, 1)
    # Files are merged from eight on (MERGE_FROM_FILES).
    backfill(suite, BackfillOrder(PRODUCT, PAGE - 3 * DAY, PAGE + 5 * DAY, pages_per_commit=1))
    return root


@pytest.fixture
def eight_days(_eight_days: Path, tmp_path: Path) -> Suite:
    """A suite with eight pages, each in a commit of its own, as daily runs leave them."""
    shutil.copytree(_eight_days, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def made_again(suite: Suite, factor: int) -> Suite:
    """Publish the page with other features, of those that move predictions."""
    path = suite.root / DEPOT
    first, second = "avg((delivered_at > promised_at)::INTEGER)", "avg((order_id[-1] < '{}')::INTEGER)"
    text = path.read_text()
    for earlier in (first, *(second.format(n) for n in range(10))):
        text = text.replace(earlier, second.format(factor))
    path.write_text(text)
    again = reopened(suite)
    run_page(again, PRODUCT, PAGE)
    return again


def test_small_files_are_merged_and_every_snapshot_shows_what_it_did(eight_days: Suite) -> None:
    # The first page's predictions, and then its labels.
    first = min(publications_of(eight_days).values()) + 1
    since = [number for number in snapshots(eight_days) if number >= first]
    # Each third is read, and the newest: to open the lake at a snapshot takes as long as to make a page.
    shown = {number: everything(eight_days, number) for number in {*since[::3], since[-1]}}
    now, before = everything(eight_days), files_on_disk(eight_days)
    done = upkeep(later(eight_days))
    assert done.files_before > done.files_after > 0
    assert done.freed_files == done.snapshots == 0
    assert done.waiting_files >= done.files_before
    assert everything(eight_days) == now
    freed = upkeep(later(eight_days, timedelta(minutes=61)))
    gone = before.keys() - files_on_disk(eight_days).keys()
    assert (freed.freed_files, freed.freed_bytes) == (len(gone), sum(before[path] for path in gone))
    assert freed.freed_files == done.waiting_files
    assert {number: everything(eight_days, number) for number in shown} == shown
    assert everything(eight_days) == now


def publications_of(suite: Suite) -> dict[datetime, int]:
    query = "SELECT as_of, min(snapshot_id) FROM ledger.pages WHERE kind = 'predictions' GROUP BY as_of"
    return dict(rows(suite, query))


def test_files_are_left_to_readers_that_began_before(eight_days: Suite) -> None:
    """Whatever the hour: DuckLake would delete what was retired on the same day."""
    waiting = upkeep(later(eight_days)).waiting_files
    on_disk = files_on_disk(eight_days)
    again = upkeep(later(eight_days, timedelta(minutes=50)))
    assert (again.freed_files, again.waiting_files) == (0, waiting)
    assert files_on_disk(eight_days) == on_disk
    at_once = upkeep(later(eight_days, timedelta(minutes=1)), grace=timedelta())
    assert at_once.freed_files == waiting
    assert at_once.waiting_files == 0


@pytest.fixture(scope="module")
def _superseded(_published: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    root = tmp_path_factory.mktemp("superseded") / "shop"
    shutil.copytree(_published, root)
    suite = open_suite(root, clock_at(NOW))
    first = suite.lake.newest_snapshot()
    made_again(suite, 3)
    made_again(suite, 7)
    suite.lake.close()
    return root, first


@pytest.fixture
def superseded(_superseded: tuple[Path, int], tmp_path: Path) -> tuple[Suite, int]:
    """A suite whose page was published twice more, and the snapshot of its first publication."""
    shutil.copytree(_superseded[0], tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW)), _superseded[1]


def test_superseded_pages_can_be_compared_and_put_back_for_as_long_as_was_said(superseded: tuple[Suite, int]) -> None:
    suite, first = superseded
    query = f"SELECT {compared_columns('predictions')} FROM predictions.{PRODUCT} ORDER BY ALL"
    then = rows(suite, query, None, first)
    upkeep(later(suite, 89 * DAY))
    assert diff(suite, PRODUCT, PAGE, str(first)).n_changed > 0
    rollback(suite, PRODUCT, PAGE, first)
    assert page_rows(suite, PRODUCT) == then


def test_after_that_they_are_gone_and_what_is_published_is_not(superseded: tuple[Suite, int]) -> None:
    suite, first = superseded
    now = everything(suite)
    ninety_one = later(suite, 91 * DAY)
    assert upkeep(ninety_one).snapshots > 0
    done = upkeep(later(suite, 92 * DAY))
    assert done.freed_files > 0
    assert everything(suite) == now
    with pytest.raises(NotFoundError, match=rf"at snapshot {first - 1} is no longer kept|not published"):
        diff(suite, PRODUCT, PAGE, str(first - 1))
    with pytest.raises(NotFoundError, match=rf"what the page .* was at snapshot {first} is no longer kept"):
        rollback(suite, PRODUCT, PAGE, first)
    assert made_the_same_way_again(suite)


def made_the_same_way_again(suite: Suite) -> bool:
    """Make the page again, with its features; tell whether it is the same."""
    before = page_rows(suite, PRODUCT), page_rows(suite, PRODUCT, "features")
    with suite.lake.commit("features are out of date") as commit:
        commit.execute("UPDATE ledger.pages SET definitions = 'others' WHERE kind = 'features'")
    kinds = {record.kind for record in run_page(suite, PRODUCT, PAGE).published}
    return kinds == {"features", "predictions"} and (
        (page_rows(suite, PRODUCT), page_rows(suite, PRODUCT, "features")) == before
    )


def test_a_page_named_by_a_snapshot_that_is_gone_is_had_from_its_neighbours(trained: Suite) -> None:
    """What the page was lasted from one publication to the next; any snapshot of that time shows it."""
    daily(trained, 3)
    first, second = (publications_of(trained)[PAGE + day * DAY] for day in (0, 1))
    suite = made_again(trained, 3)
    kept = [number for number in snapshots(suite) if number >= second]
    with suite.lake.maintaining() as connection:
        gone = [number for number in snapshots(suite) if number < second]
        connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => {gone})")
    assert snapshots(suite) == kept
    assert diff(suite, PRODUCT, PAGE, str(first)).n_changed > 0


def test_what_a_model_was_trained_on_stays(trained: Suite) -> None:
    (at,) = rows(trained, "SELECT snapshot_id FROM ledger.runs WHERE job = 'train'")[0]
    learnt_from = rows(trained, "FROM features.late_order ORDER BY ALL", None, at)
    first, until = (page for page in rows(trained, "SELECT min(as_of), max(as_of) FROM features.late_order")[0])
    suite = made_again(trained, 3)
    backfill(suite, BackfillOrder(PRODUCT, first, until + DAY, only="all", features_only=True))
    assert rows(suite, "FROM features.late_order WHERE as_of <= $1 ORDER BY ALL", [until]) != learnt_from
    for days in (400, 401):
        upkeep(later(suite, days * DAY), keep=timedelta())
    assert at in snapshots(suite)
    assert rows(suite, "FROM features.late_order ORDER BY ALL", None, at) == learnt_from
    assert run_page(suite, PRODUCT, PAGE + DAY).published


def test_a_run_under_way_keeps_the_state_that_it_reads(eight_days: Suite) -> None:
    with eight_days.staging("under-way"), Sandbox(eight_days.lake) as sandbox:
        query = f"SELECT * FROM {sandbox.catalogue}.predictions.late_order ORDER BY ALL"
        read = sandbox.cursor().execute(query).fetchall()
        suite = made_again(eight_days, 3)
        for hours in (2, 4):
            upkeep(later(suite, timedelta(hours=hours)), keep=timedelta(), grace=timedelta())
        assert sandbox.snapshot_id in snapshots(suite)
        assert sandbox.cursor().execute(query).fetchall() == read
    upkeep(later(suite, timedelta(hours=6)), keep=timedelta(), grace=timedelta())
    assert sandbox.snapshot_id not in snapshots(suite)


def test_what_held_at_a_time_is_said_only_where_it_is_known(published: Suite) -> None:
    reader, now = open_lake(published.root), datetime.now(UTC).replace(tzinfo=None)
    run_page(published, PRODUCT, PAGE + DAY)
    assert reader.predictions(PRODUCT, at_time=now).to_arrow().num_rows > 0
    # The training's snapshot is kept; what followed it until `now` is not.
    upkeep(later(published, 91 * DAY))
    with pytest.raises(NotFoundError, match=r"no longer kept"):
        reader.predictions(PRODUCT, at_time=now)
    assert reader.predictions(PRODUCT, at_time=now + DAY).to_arrow().num_rows > 0


def test_which_snapshots_are_kept() -> None:
    at = [(number, datetime(2026, 1, 1) + number * DAY) for number in range(10)]
    # 4 or, where its commit took until after it, 3 was the newest state at the instant from which on all are kept.
    assert snapshots_to_expire(at, datetime(2026, 1, 5, 12), needed=[2]) == [0, 1]
    # One that began at that instant is itself kept.
    assert snapshots_to_expire(at, datetime(2026, 1, 5), needed=[]) == [0, 1]
    assert snapshots_to_expire(at, datetime(2025, 1, 1), needed=[]) == []
    assert snapshots_to_expire(at, datetime(2027, 1, 1), needed=[]) == list(range(8))
    assert snapshots_to_expire([], datetime(2027, 1, 1), needed=[]) == []


def test_what_was_opened_while_a_commit_was_on_its_way_can_be_read_on(published: Suite) -> None:
    """DuckLake dates a snapshot by when its transaction began: as if it had been there when the run opened the lake."""
    with published.lake.commit("one on its way") as commit:
        time.sleep(0.01)
        run = contextlib.ExitStack()
        directory = run.enter_context(published.staging("a_run"))
        began = datetime.fromtimestamp((directory / "run.lock").stat().st_mtime, UTC).replace(tzinfo=None)
        sandbox = run.enter_context(Sandbox(published.lake))
        commit.execute("CREATE TABLE ledger.one AS SELECT 1 AS one")
    with run:
        dated = dict(rows(published, system_sql("upkeep/snapshots")))
        assert sandbox.snapshot_id == max(dated) - 1
        assert dated[max(dated)] < began
        assert upkeep(later(published, 100 * DAY), keep=timedelta(), grace=timedelta()).snapshots > 0
        with contextlib.closing(sandbox.cursor()) as cursor:
            assert cursor.execute(f"FROM {sandbox.catalogue}.predictions.late_order").fetchone() is not None


def test_views_outcomes_and_later_pages_work_after_it(eight_days: Suite) -> None:
    views = [f"predictions.late_order_{name}" for name in ("current", "page", "outcomes")]
    before = [sorted(map(str, rows(eight_days, f"FROM {view}"))) for view in views]
    assert all(before)
    for days in (100, 101):
        upkeep(later(eight_days, days * DAY))
    assert [sorted(map(str, rows(eight_days, f"FROM {view}"))) for view in views] == before
    assert made_the_same_way_again(eight_days)
    assert run_page(eight_days, PRODUCT, PAGE + 5 * DAY).published


READS = """
import sys
import time
db.execute("SET threads = 1")
print("ready", flush=True)
while True:
    time.sleep(0.05)  # it is to be there all the time, and leave the cores to the others
    sizes = db.execute("SELECT as_of, count(*) FROM almanac.predictions.late_order GROUP BY as_of").fetchall()
    outcomes = db.execute("SELECT count(*) FROM almanac.predictions.late_order_outcomes").fetchone()
    print(len(sizes), min((count for _, count in sizes), default=0), outcomes[0], flush=True)
"""


def test_a_reader_and_a_backfill_in_other_processes_go_on_undisturbed(trained: Suite) -> None:
    """Upkeep after upkeep, with nothing kept that need not be, while pages are made and read."""
    daily(trained, 2)
    until = PAGE + 7 * DAY
    with subprocess.Popen(
        [sys.executable, "-c", recipe_of(trained.lake.root, recipe()) + READS],
        cwd=trained.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as reader:
        lines: list[str] = []
        collector = threading.Thread(target=lambda: lines.extend(reader.stdout or []))
        collector.start()
        maker = PageMaker(trained, backfills, PAGE, until, 1)
        maker.let_go()
        merged = expired = freed = turns = 0
        # However quick the pages are made, each of the three is to be seen beside the reader.
        while maker.is_working() or (min(merged, expired, freed) == 0 and turns < 20):
            turns += 1
            done = upkeep(later(trained, 2 * DAY), keep=timedelta())
            merged, expired, freed = merged + done.files_before, expired + done.snapshots, freed + done.freed_files
            # What this one retired the next one deletes: the query that is on its way ends, and has no hour for that.
            n_read = len(lines)
            while len(lines) < n_read + 2 and reader.poll() is None:
                time.sleep(0.02)
        still_reading = reader.poll() is None
        reader.kill()
        collector.join()
        assert still_reading, reader.stderr.read() if reader.stderr else ""
    assert maker.told() == (5, 0, 0)
    assert min(merged, expired, freed) > 0
    assert len(lines) > 10
    assert set(publications(trained)) == set(trained.definitions.product(PRODUCT).pages_between(PAGE, until))
    assert all(int(line.split()[1]) > 0 for line in lines[1:] if line.endswith("\n"))
    assert made_the_same_way_again(trained)


def test_the_command_says_what_it_freed(superseded: tuple[Suite, int]) -> None:
    trained, _ = superseded
    (trained.lake.data / "stray.parquet").write_bytes(b"12345")
    dry = said(trained.root, "upkeep", "--dry-run")
    assert dry.startswith("Nothing was changed.")
    assert "Freed 1 file (5 bytes), 1 of them orphans (5 bytes)" in dry
    assert (trained.lake.data / "stray.parquet").exists()
    assert "Freed 1 file (5 bytes), 1 of them orphans (5 bytes)" in said(trained.root, "upkeep")
    assert not (trained.lake.data / "stray.parquet").exists()
    before, at_all = files_on_disk(trained), ("--keep", "0d", "--grace", "0h", "--json")
    told = json.loads(said(trained.root, "upkeep", "--dry-run", *at_all))
    assert files_on_disk(trained) == before
    figures = json.loads(said(trained.root, "upkeep", *at_all))
    assert told == figures
    gone = before.keys() - files_on_disk(trained).keys()
    assert (figures["freed_files"], figures["freed_bytes"]) == (len(gone), sum(before[path] for path in gone))
    assert figures["gained_bytes"] == sum(before.values()) - sum(files_on_disk(trained).values())
    assert figures["snapshots"] > 0
    assert figures["orphaned_files"] == 0
    wrong = almanac(trained.root, "upkeep", "--keep", "a while")
    assert wrong.returncode == 2
    assert "--keep: 'a while' is not a duration" in wrong.stderr


def test_a_staging_directory_that_a_kill_left_without_a_name_is_swept(ingested: Suite) -> None:
    """Killed between making it and locking it, or between locking it and naming it."""
    left = [ingested.lake.staging / name for name in (".run-a", ".run-b")]
    for directory in left:
        directory.mkdir(parents=True)
    (left[1] / "run.lock").touch()
    young = ingested.lake.staging / ".run-c"
    young.mkdir()
    for directory, age in ((left[0], 2), (left[1], 2), (young, 0)):
        at = (NOW - timedelta(hours=age)).replace(tzinfo=UTC).timestamp()
        os.utime(directory, (at, at))
    assert upkeep(ingested).abandoned_runs == 2
    assert [directory.exists() for directory in (*left, young)] == [False, False, True]


def test_what_older_code_kept_for_itself_is_pruned(
    ingested: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    old, used = (private_directory(name) for name in ("kernels-old", "kernels-used"))
    assert old is not None
    assert used is not None
    for directory, age in ((old, 40), (used, 40)):
        (directory / "kept").write_text("x")
        at = (NOW - timedelta(days=age)).replace(tzinfo=UTC).timestamp()
        os.utime(directory, (at, at))
    assert private_directory("kernels-used") == used
    upkeep(ingested)
    assert (old.exists(), used.exists()) == (False, True)


def test_copies_of_deliveries_stay_while_a_derivation_may_need_them(ingested: Suite) -> None:
    """Those of sources that the suite has stay; of one that it has no more they go, and so do those of no delivery."""
    root = ingested.root
    for name in ("trips", "stops"):
        (root / f"data/{name}.csv").write_text(f"name,n,seen\n{name},1,2026-01-01 10:00:00\n")
        header = f"description: {name}.\nkey: [n]\nfiles: data/{name}.csv\nknown_at: seen\nkeep: true"
        (root / f"sql/sources/{name}.sql").write_text(f"/*\n{header}\n*/\nSELECT n, seen FROM read_csv($files)\n")
    ingest(reopened(ingested), ["trips", "stops"])
    copies = root / "lake/deliveries"
    assert len(list(copies.iterdir())) == 2
    left = copies / ("0" * 64)
    left.mkdir()
    for copy in copies.iterdir():
        os.utime(copy, (NOW.replace(tzinfo=UTC).timestamp(),) * 2)
    assert upkeep(reopened(ingested, NOW + timedelta(hours=1))).copies == 0, "an ingestion may be under way"
    assert upkeep(reopened(ingested, NOW + 2 * DAY)).copies == 1
    assert not left.exists()
    (root / "sql/sources/stops.sql").unlink()
    assert upkeep(reopened(ingested, NOW + 2 * DAY)).copies == 0, "it may come back"
    assert upkeep(reopened(ingested, NOW + 200 * DAY)).copies == 1
    (kept,) = copies.iterdir()
    assert "trips" in next(kept.iterdir()).read_text()
