"""Backups: a state is the lake as of one instant, whole; it can be made while jobs go on, and restored."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.backup.backup import BackupResult, backup
from jobs.backup.listing import backups
from jobs.backup.restore import restore
from jobs.backup.store import Store
from jobs.pages.predict import run_page
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from jobs.suites.upkeep import upkeep
from tests.command_line import almanac
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import rows
from warehouse.errors import NotFoundError, RunFailed, UsageError
from warehouse.lake.lake import Lake
from warehouse.lake.places import PLACES, place_of

DAY = timedelta(days=1)


def restored(directory: Path, root: Path, state: str | None = None) -> Suite:
    """Restore a state into a suite of its own, with the definitions of the one in `shop`."""
    root.mkdir()
    for name in ("sql", "data", "schedules.yaml"):
        original = root.parent / "shop" / name
        (shutil.copytree if original.is_dir() else shutil.copyfile)(original, root / name)
    restore(root, directory, state)
    return open_suite(root, clock_at(NOW))


def contents(suite: Suite) -> dict[str, list[Any]]:
    """Give all rows of all tables and views of a lake, and of its operational state."""
    tables = rows(suite, "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'lake'")
    tables += rows(suite, "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'lake'")
    found = {
        f"{schema}.{table}": rows(suite, f'SELECT * FROM lake."{schema}"."{table}" ORDER BY ALL')
        for schema, table in tables
        if not table.startswith("ducklake_")
    }
    assert len(found) > 20
    return found


def test_a_restored_lake_has_every_table_and_every_snapshot_of_the_original(published: Suite, tmp_path: Path) -> None:
    almanac(published.root, "pause", "pages", "--why", "a test")
    run_page(published, PRODUCT, PAGE)
    done = backup(published, tmp_path / "kept")
    before = contents(published)
    run_page(published, PRODUCT, PAGE + DAY)
    copy = restored(tmp_path / "kept", tmp_path / "copy")
    assert contents(copy) == before
    assert copy.lake.newest_snapshot() == done.snapshot_id < published.lake.newest_snapshot()
    of_page = f"SELECT * FROM predictions.{PRODUCT} ORDER BY ALL"
    for snapshot in range(done.snapshot_id - 2, done.snapshot_id + 1):
        assert rows(copy, of_page, snapshot_id=snapshot) == rows(published, of_page, snapshot_id=snapshot)
    # It is a lake like others: it goes on, and upkeep finds nothing that it should not.
    run_page(copy, PRODUCT, PAGE + DAY)
    assert rows(copy, "SELECT count(DISTINCT as_of) FROM predictions.late_order") == [(2,)]
    assert upkeep(copy, timedelta(0), timedelta(0)).left == {}


def test_what_the_clock_did_is_in_it(published: Suite, tmp_path: Path) -> None:
    (published.root / "schedules.yaml").write_text("jobs: {pages: {run: {shell: 'true'}, every: 1000 days}}\n")
    assert almanac(published.root, "tick").returncode == 0
    assert almanac(published.root, "pause", "pages", "--why", "the depot moves").returncode == 0
    backup(published, tmp_path / "kept")
    copy = restored(tmp_path / "kept", tmp_path / "copy")
    done = almanac(copy.root, "pause", "pages", "--why", "again")
    assert done.returncode == 2
    assert "the depot moves" in done.stderr


def test_only_what_is_new_is_copied_and_older_states_stay(published: Suite, tmp_path: Path) -> None:
    first = backup(published, tmp_path / "kept")
    before = contents(published)
    run_page(published, PRODUCT, PAGE + DAY)
    second = backup(published, tmp_path / "kept")
    assert first.copied_files == first.n_files
    assert 2 < second.copied_files < 8 < second.n_files
    assert [state.state for state in backups(tmp_path / "kept", verify=True)] == [first.state, second.state]
    assert contents(restored(tmp_path / "kept", tmp_path / "copy", first.state)) == before


def test_states_that_are_not_kept_go_with_what_only_they_had(published: Suite, tmp_path: Path) -> None:
    made = [backup(published, tmp_path / "kept").state]
    for number in (1, 2):
        run_page(published, PRODUCT, PAGE + number * DAY)
        result = backup(published, tmp_path / "kept", keep=2)
        made.append(result.state)
    assert result.deleted == made[:1]
    store = Store.open(tmp_path / "kept")
    assert store.names() == made[1:]
    needed = {file.sha256 for name in store.names() for file in store.read(name).files}
    assert {path.name for path in (tmp_path / "kept").glob("objects/??/*")} == needed
    assert backups(tmp_path / "kept", verify=True)[0].wrong == []


def test_states_made_while_jobs_go_on_are_each_of_one_instant(published: Suite, tmp_path: Path) -> None:
    until = f"{PAGE + 7 * DAY:%Y-%m-%d}"
    command = [sys.executable, "-m", "jobs", "--suite", str(published.root), "backfill", PRODUCT]
    worker = subprocess.Popen(
        [*command, "--from", f"{PAGE + DAY:%Y-%m-%d}", "--to", until, "--pages-per-commit", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    states: list[BackupResult] = []
    while worker.poll() is None:
        states.append(backup(published, tmp_path / "kept"))
    assert worker.returncode == 0
    assert len({state.snapshot_id for state in states}) > 2
    assert all(not state.missing and not state.changed for state in states)
    told = "SELECT as_of, n_rows FROM ledger.published_pages WHERE kind = 'predictions' ORDER BY ALL"
    held = f"SELECT as_of, count(*) FROM predictions.{PRODUCT} GROUP BY ALL ORDER BY ALL"
    for number, state in enumerate(states[:: max(1, len(states) // 4)]):
        copy = restored(tmp_path / "kept", tmp_path / f"copy{number}", state.state)
        assert rows(copy, told) == rows(copy, held)
        assert copy.lake.newest_snapshot() == state.snapshot_id


class _Meanwhile(Silent):
    """Does something once the catalogue has been copied and before its files are."""

    def __init__(self, what: Any) -> None:
        self._what: Any = what

    def start(self, step: str, total: int | None = None, unit: str = "pages") -> None:
        what, self._what = self._what, lambda: None
        what()


def test_upkeep_in_the_middle_takes_nothing_away(published: Suite, tmp_path: Path) -> None:
    for _ in range(2):  # upkeep keeps the state before the newest
        run_page(published, PRODUCT, PAGE)
    files = set((published.lake.data / "predictions").rglob("*.parquet"))

    def clean() -> None:
        upkeep(open_suite(published.root, clock_at(datetime(2027, 1, 1))), timedelta(0), timedelta(0))

    result = backup(published, tmp_path / "kept", progress=_Meanwhile(clean))
    assert set((published.lake.data / "predictions").rglob("*.parquet")) < files
    assert result.missing == ()
    copy = restored(tmp_path / "kept", tmp_path / "copy")
    assert contents(copy)["predictions.late_order"] == contents(published)["predictions.late_order"]


def test_a_file_that_is_damaged_is_told_and_kept_as_it_was(published: Suite, tmp_path: Path) -> None:
    backup(published, tmp_path / "kept")
    file = next((published.lake.data / "predictions").rglob("*.parquet"))
    before = file.read_bytes()
    times = file.stat()
    file.write_bytes(before[:100] + bytes([before[100] ^ 1]) + before[101:])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    path = file.relative_to(published.lake.root).as_posix()
    assert backup(published, tmp_path / "kept").changed == ()  # its size and time are those of before
    assert backup(published, tmp_path / "kept", full=True).changed == (path,)
    done = almanac(published.root, "backup", str(tmp_path / "kept"), "--full")
    assert done.returncode == 1
    assert f"lake/{path} has changed, as no file of a lake does" in done.stderr
    copy = restored(tmp_path / "kept", tmp_path / "copy")
    assert (copy.lake.root / path).read_bytes() == before


def test_a_file_that_is_lost_is_told_and_the_rest_is_kept(published: Suite, tmp_path: Path) -> None:
    file = next((published.lake.data / "predictions").rglob("*.parquet"))
    file.unlink()
    path = file.relative_to(published.lake.root).as_posix()
    done = almanac(published.root, "backup", str(tmp_path / "kept"))
    assert done.returncode == 1
    assert f"lake/{path} is missing" in done.stderr
    copy = restored(tmp_path / "kept", tmp_path / "copy")
    assert rows(copy, "SELECT count(*) FROM sources.orders") == rows(published, "SELECT count(*) FROM sources.orders")


@pytest.mark.parametrize("wrong", ["flipped", "gone", "state"])
def test_a_store_that_is_damaged_restores_nothing(published: Suite, tmp_path: Path, wrong: str) -> None:
    backup(published, tmp_path / "kept")
    if wrong == "state":
        file = next((tmp_path / "kept/states").iterdir())
        file.write_text(file.read_text().replace('"snapshot_id": ', '"snapshot_id": 1'))
    else:
        file = max((tmp_path / "kept/objects").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
        content = file.read_bytes()
        file.unlink()
        if wrong == "flipped":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 255]))
    (tmp_path / "copy").mkdir()
    with pytest.raises(RunFailed, match=r"damaged|gone"):
        restore(tmp_path / "copy", tmp_path / "kept")
    assert list((tmp_path / "copy").iterdir()) == []
    assert almanac(published.root, "backups", str(tmp_path / "kept"), "--verify").returncode == 1


def test_what_is_no_place_for_backups_is_refused(published: Suite, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear all")
    with pytest.raises(UsageError, match="holds other files, and no backups"):
        backup(published, tmp_path / "full")
    with pytest.raises(UsageError, match="lies in the lake itself"):
        backup(published, published.lake.root / "backups")
    with pytest.raises(NotFoundError, match="has no backups of a lake"):
        restore(tmp_path / "full", tmp_path / "full")
    backup(published, tmp_path / "kept")
    with pytest.raises(UsageError, match="move it away"):
        restore(published.root, tmp_path / "kept")
    with pytest.raises(NotFoundError, match=r"has no state 2013; the newest are: 000001-\d{8}T"):
        restore(tmp_path / "full", tmp_path / "kept", "2013")
    other = shutil.copytree(published.root, tmp_path / "other")
    suite = open_suite(other, clock_at(NOW))
    with suite.lake.commit("another suite") as commit:
        commit.execute("UPDATE ledger.format SET suite_id = 'another'")
    with pytest.raises(UsageError, match="another suite's lake"):
        backup(suite, tmp_path / "kept")
    with Store.open(tmp_path / "kept").lock(), pytest.raises(RunFailed, match="another command is at work"):
        backup(published, tmp_path / "kept")


def test_killed_at_any_moment_the_states_and_the_lake_are_whole(published: Suite, tmp_path: Path) -> None:
    moments = random.Random(int(os.environ.get("ALMANAC_SEED", "0")))
    kills = int(os.environ.get("ALMANAC_KILLS", "2"))
    backup(published, tmp_path / "kept")
    wanted = contents(published)
    for number in range(kills):
        run_page(published, PRODUCT, PAGE + (number + 1) * DAY)
        _kill(["backup", str(tmp_path / "kept")], published.root, moments)
        assert all(not state.wrong for state in backups(tmp_path / "kept", verify=True))
        root = tmp_path / f"copy{number}"
        root.mkdir()
        first = Store.open(tmp_path / "kept").names()[0]
        _kill(["restore", str(tmp_path / "kept"), "--state", first], root, moments)
        if not (root / "lake").exists():
            restore(root, tmp_path / "kept", first)
        copy = Suite(root, published.definitions, Lake(root / "lake"), published.clock)
        assert contents(copy) == wanted
        assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
    assert backup(published, tmp_path / "kept").missing == ()


def _kill(arguments: list[str], root: Path, moments: random.Random) -> None:
    command = [sys.executable, "-m", "jobs", "--suite", str(root), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        time.sleep(moments.uniform(0.2, 1.5))
        worker.send_signal(signal.SIGKILL)


def test_every_file_of_a_lake_is_in_a_place_of_the_list(published: Suite, tmp_path: Path) -> None:
    almanac(published.root, "tick")
    paths = [
        path.relative_to(published.lake.root).as_posix() for path in published.lake.root.rglob("*") if path.is_file()
    ]
    assert [path for path in paths if place_of(path) is None] == []
    backup(published, tmp_path / "kept")
    store = Store.open(tmp_path / "kept")
    kept = {file.path for file in store.read(store.names()[-1]).files}
    places = {place_of(path) for path in kept}
    assert None not in places
    assert all(place is not None and place.in_backups for place in places)
    # Files beside those of SQLite are part of its copy; what upkeep will delete is left out.
    wanted = {path for path in paths if (place := place_of(path)) and place.in_backups}
    assert {path for path in wanted if "-" not in path.rpartition(".")[2]} == kept


def test_the_docs_name_every_place() -> None:
    text = (Path(__file__).parents[2] / "docs/backups.md").read_text()
    for place in PLACES:
        assert f"| {f'`lake/{place.name}`' if not place.is_outside else place.name} | {place.holds} |" in text
