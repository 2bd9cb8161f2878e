"""Each recipe of docs/operating.md is run: the trouble is made, its commands are given as they stand, it is over."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.rollout.promotion import promote
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.command_line import almanac
from tests.conftest import PAGE, PRODUCT, clock_at
from tests.lakes import rows
from tests.suites.test_breakages import full_disk, locked_catalogue, no_rights

TEXT = (Path(__file__).parents[2] / "docs/operating.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", TEXT, re.MULTILINE))
DAY = timedelta(days=1)


def commands(title: str, **values: object) -> list[list[str]]:
    block = re.findall(r"```sh\n(.*?)```", SECTIONS[title], re.DOTALL)[0]
    for name, value in values.items():
        block = block.replace(name, str(value))
    return [shlex.split(line)[1:] for line in block.splitlines()]


def give(suite: Suite, title: str, **values: object) -> list[str]:
    """Give a recipe's commands; each has to succeed."""
    shown = []
    for line in commands(title, **values):
        done = almanac(suite.root, *line)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        shown.append(done.stdout)
    return shown


def pages(suite: Suite) -> set[object]:
    return {as_of for (as_of,) in rows(suite, "SELECT DISTINCT as_of FROM predictions.late_order")}


def missing(suite: Suite) -> None:
    plan, _ = give(suite, "A page is missing or failed")
    assert "missing" in plan
    assert {PAGE, PAGE + DAY} <= pages(suite)


def late(suite: Suite) -> None:
    shown, _ = give(suite, "Pages come late")
    assert "2026-03-10 18:00" in shown


def bad_version(suite: Suite) -> None:
    train(suite, PRODUCT, PAGE - timedelta(hours=18))
    promote(suite, PRODUCT, "v2")
    backfill(suite, BackfillOrder(PRODUCT, PAGE + 2 * DAY, PAGE + 4 * DAY))
    give(suite, "A version predicts badly")
    query = "SELECT DISTINCT model_version FROM predictions.late_order WHERE as_of > $1"
    assert rows(suite, query, [PAGE + DAY]) == [("v1",)]


def wrong_page(suite: Suite) -> None:
    ((snapshot,),) = rows(suite, "SELECT snapshot_id FROM ledger.published_pages WHERE kind = 'predictions'")
    run_page(suite, PRODUCT, PAGE)
    give(suite, "One page is wrong", SNAPSHOT=snapshot)
    assert rows(suite, "SELECT to_snapshot FROM ledger.rollbacks") == [(snapshot,)]


def disk(suite: Suite) -> None:
    with full_disk(suite.root):
        done = almanac(suite.root, "run", PRODUCT, "--as-of", "2026-03-11T18:00")
    assert done.returncode == 1
    give(suite, "The disk is full")
    assert PAGE in pages(suite)


def rights(suite: Suite) -> None:
    (line,) = commands("The lake may not be written to")
    # As the daemon does: SQLite then has the log beside the catalogue that reading takes.
    suite.lake.open(hold=True)
    with no_rights(suite.root):
        assert almanac(suite.root, *line).returncode == 1
        assert almanac(suite.root, "status").returncode == 0
    suite.lake.close()
    # In a process of its own, as commands are: SQLite would else go on with the file that it opened without rights.
    command = [sys.executable, "-m", "jobs", "--suite", str(suite.root), *line]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert PAGE + DAY in pages(suite)


def lost_file(suite: Suite) -> None:
    (file,) = (suite.root / "lake/data/predictions").rglob("*.parquet")
    kept = shutil.copy(file, suite.root / "backup.parquet")
    file.unlink()
    done = almanac(suite.root, "doctor", "--json")
    assert done.returncode == 1
    assert f"{file} is missing; it held predictions of late_order, of pages from 2026-03-10 18:00:00" in done.stdout
    read = almanac(suite.root, "query", "SELECT sum(probability) FROM predictions.late_order")
    assert read.returncode != 0
    shutil.copy(kept, file)
    give(suite, "A data file is missing or damaged")
    assert pages(suite) == {PAGE}


def lost_lake(suite: Suite) -> None:
    kept = suite.root.parent / "kept"
    assert almanac(suite.root, "backup", str(kept)).returncode == 0
    run_page(suite, PRODUCT, PAGE + DAY)
    suite.lake.close()
    shutil.rmtree(suite.root / "lake")
    give(suite, "The lake is lost", BACKUPS=kept)
    assert {PAGE, PAGE + DAY} <= pages(suite)


def locked(suite: Suite) -> None:
    # What is open waits for locks as long as it was told to when it was opened.
    suite.lake.close()
    # Only where the lock is held for good: elsewhere a command has the time that the machine needs.
    with locked_catalogue(suite.root), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALMANAC_WAIT_S", "0.1")
        done = almanac(suite.root, "status")
        suite.lake.close()
    assert done.returncode == 1
    assert "locked" in done.stderr
    give(suite, "Another program holds the catalogue")


def stopped(suite: Suite) -> None:
    """What was made before is left alone; tests/schedule/test_stopping.py sends the signals."""
    give(suite, "A command has to stop")
    (again,) = give(suite, "A command has to stop")
    assert {PAGE, PAGE + DAY} <= pages(suite)
    assert again


def clock(suite: Suite) -> None:
    (suite.root / "schedules.yaml").write_text("jobs: {work: {run: {shell: 'true'}, every: 1000 days}}\n")
    assert almanac(suite.root, "tick", "--now", "2090-01-01").returncode == 0
    assert almanac(suite.root, "tick").returncode == 1
    (header, first, *_) = (suite.root / "data/orders.csv").read_text().splitlines()
    (suite.root / "data/orders-2.csv").write_text(f"{header}\n{first.replace('north', 'south')}\n")
    ingest(open_suite(suite.root, clock_at(datetime(2090, 1, 1))), ["orders"])
    (suite.root / "data/orders-3.csv").write_text(f"{header}\n{first.replace('O00001', 'P00001')}\n")
    refused = almanac(suite.root, "ingest")
    assert refused.returncode == 1
    assert "almanac ingest orders --set-back" in refused.stderr
    give(suite, "The machine's clock was wrong")
    assert almanac(suite.root, "tick").returncode == 0
    assert rows(suite, "SELECT count(*) FROM sources.orders WHERE order_id = 'P00001'") == [(1,)]


RECIPES: dict[str, Callable[[Suite], None]] = {
    "A page is missing or failed": missing,
    "Pages come late": late,
    "A version predicts badly": bad_version,
    "One page is wrong": wrong_page,
    "The disk is full": disk,
    "The lake may not be written to": rights,
    "A data file is missing or damaged": lost_file,
    "The lake is lost": lost_lake,
    "Another program holds the catalogue": locked,
    "A command has to stop": stopped,
    "The machine's clock was wrong": clock,
}


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_helps(published: Suite, title: str) -> None:
    if title == "The lake may not be written to":
        # pytest's own directories are closed to others; under pytest-xdist there is one more of them.
        opened = Path(tempfile.gettempdir()).resolve()
        for directory in published.root.resolve().parents:
            if opened not in directory.parents:
                break
            directory.chmod(0o755)
    RECIPES[title](published)


def test_every_recipe_is_run() -> None:
    assert list(SECTIONS) == list(RECIPES)
