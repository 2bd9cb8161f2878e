"""Rows of a database are taken in as the same rows in files would be, each once, and none is lost between two reads."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.facts.ingest import IngestResult, Way, ingest
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import doctor
from tests.conftest import NOW, clock_at
from tests.effort import times
from tests.facts.orders_suite import T1, T2, T3, rows_of
from tests.page_makers import PageMaker
from warehouse.errors import AlmanacError, DefinitionError, DeliveryRefused, IngestFailed, UsageError

VARIABLE = "ALMANAC_SHOP_DB"
HEADER = """/*
description: Orders.
key: [id]
{origin}
known_at: placed
{more}*/
SELECT {select} FROM {reader}
"""
IN_DATABASE = f"database: {VARIABLE}\ntable: orders\ncursor: changed"
READ_CSV = "read_csv($files, header = true, types = {'id': 'VARCHAR', 'n': 'INTEGER', 'placed': 'TIMESTAMP'})"
COLUMNS = "id VARCHAR, depot VARCHAR, n INTEGER, placed TIMESTAMP, changed TIMESTAMP"
FACTS = "SELECT id, depot, n, placed, known_at, ingest_id, withdrawn FROM sources.orders ORDER BY ALL"
FIRST = [("a", "north", 1, "2026-01-01 10:00:00", "2026-01-01 10:00:00"), ("b", "south", 2, "2026-01-02", "2026-01-02")]
CHANGED = ("a", "north", 5, "2026-01-01 10:00:00", "2026-01-12 09:00:00")
NEW = ("c", "east", 3, "2026-01-12 10:00:00", "2026-01-12 10:00:00")


def define(root: Path, origin: str = IN_DATABASE, more: str = "", **parts: str) -> None:
    (root / "sql/sources").mkdir(parents=True, exist_ok=True)
    values = {"select": "id, depot, n, placed", "reader": "read_parquet($files)", **parts}
    (root / "sql/sources/orders.sql").write_text(HEADER.format(origin=origin, more=more, **values))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite whose orders lie in a SQLite database, whose place is given as a path in the suite."""
    monkeypatch.setenv(VARIABLE, "sqlite:shop.sqlite")
    place = tmp_path / "shop"
    define(place)
    change(place, f"CREATE TABLE orders ({COLUMNS})")
    add(place, *FIRST)
    return place


def change(root: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(root / "shop.sqlite")) as database:
        database.execute(statement)
        database.commit()


def add(root: Path, *orders: tuple[Any, ...]) -> None:
    for order in orders:
        change(root, f"DELETE FROM orders WHERE id = '{order[0]}'")
        change(root, f"INSERT INTO orders VALUES ({', '.join(map(repr, order))})")


def taken_in(root: Path, now: datetime, **way: Any) -> IngestResult:
    (result,) = ingest(open_suite(root, clock_at(now)), way=Way(**way))
    return result


def n_read(result: IngestResult) -> tuple[int, int] | None:
    return (result.ingestion.rows_read, result.ingestion.rows_new) if result.ingestion else None


def facts(root: Path, query: str = FACTS) -> list[tuple[Any, ...]]:
    return rows_of(root, query)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_facts_are_those_that_files_would_give(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(VARIABLE, f"{kind}:shop.{kind}")
    files = tmp_path / "files"
    define(files, "files: data/*.csv", reader=READ_CSV)
    (files / "data").mkdir()
    for now, orders in ((T1, FIRST), (T2, [CHANGED, NEW]), (T3, [])):
        add(root, *orders)
        if kind == "duckdb":
            (root / "shop.duckdb").unlink(missing_ok=True)
            with duckdb.connect(root / "shop.duckdb") as database:
                database.execute(f"CREATE TABLE orders ({COLUMNS})")
                database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", table_of(root))
        lines = [",".join(map(str, order)) for order in table_of(root)]
        (files / f"data/{now:%m%d}.csv").write_text("\n".join(["id,depot,n,placed,changed", *lines]) + "\n")
        assert (taken_in(root, now).ingestion is None) == (now == T3)
        taken_in(files, now)
    assert len(facts(root)) == 4
    assert facts(root) == facts(files)


def table_of(root: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(root / "shop.sqlite")) as database:
        return database.execute("SELECT * FROM orders ORDER BY id").fetchall()


def test_only_what_is_new_is_read_and_nothing_new_commits_nothing(root: Path) -> None:
    assert n_read(taken_in(root, T1)) == (2, 2)
    snapshot = open_suite(root, clock_at(T1)).lake.newest_snapshot()
    assert n_read(taken_in(root, T2)) is None
    assert open_suite(root, clock_at(T1)).lake.newest_snapshot() == snapshot
    add(root, CHANGED, NEW)
    assert n_read(taken_in(root, T2, dry_run=True)) == (3, 1)
    assert open_suite(root, clock_at(T1)).lake.newest_snapshot() == snapshot
    # The last row of before is read again, since another may have come at its very instant.
    assert n_read(taken_in(root, T2)) == (3, 1)
    add(root, ("d", "west", 1, *NEW[3:]))
    assert n_read(taken_in(root, T3)) == (2, 1)
    ((files,),) = facts(root, "SELECT files[1].path FROM ledger.ingestions ORDER BY ingest_id DESC LIMIT 1")
    assert files.startswith(f"rows of orders in {VARIABLE} (")
    assert files.endswith("up to 2026-01-12 10:00:00")


def test_rows_that_come_late_are_found_within_the_overlap(root: Path) -> None:
    define(root, f"{IN_DATABASE}\noverlap: 2 hours")
    add(root, NEW)
    taken_in(root, T2)
    add(root, ("late", "west", 1, "2026-01-12 08:30:00", "2026-01-12 08:30:00"))
    add(root, ("later", "west", 1, "2026-01-12 07:30:00", "2026-01-12 07:30:00"))
    assert n_read(taken_in(root, T3)) == (2, 1)
    assert n_read(taken_in(root, T3)) is None
    assert [row[0] for row in facts(root)] == ["a", "b", "c", "late"]


def test_a_cursor_in_the_future_or_of_null_hides_no_row(root: Path) -> None:
    add(root, ("f", "west", 1, "2026-01-03", "2027-01-01"))
    change(root, "INSERT INTO orders VALUES ('n', 'west', 1, '2026-01-03', NULL)")
    assert n_read(taken_in(root, T1)) == (4, 4)
    change(root, "INSERT INTO orders VALUES ('m', 'west', 1, '2026-01-03', NULL)")
    add(root, NEW)
    assert n_read(taken_in(root, T2)) == (4, 2)
    assert [row[0] for row in facts(root)] == ["a", "b", "c", "f", "m", "n"]


def test_a_table_that_was_emptied_and_filled_again_is_read_whole(root: Path) -> None:
    add(root, NEW)
    taken_in(root, T2)
    change(root, "DELETE FROM orders")
    assert n_read(taken_in(root, T3)) is None
    add(root, *FIRST, ("older", "west", 1, "2026-01-01", "2026-01-01"))
    assert n_read(taken_in(root, T3)) == (3, 1)
    assert n_read(taken_in(root, T3)) is None


def test_a_complete_table_withdraws_what_it_lacks_and_what_was_before_can_come_back(root: Path) -> None:
    complete = f"database: {VARIABLE}\nquery: SELECT * EXCLUDE (changed) FROM orders"
    define(root, complete, "delivery: {kind: complete, at_most: 50%}\n")
    taken_in(root, T1)
    change(root, "DELETE FROM orders WHERE id = 'b'")
    assert n_read(taken_in(root, T2)) == (1, 0)
    assert [row[0] for row in facts(root, "SELECT id FROM sources.orders_current")] == ["a"]
    assert n_read(taken_in(root, T2)) is None
    # Byte for byte the first delivery: what is there now counts, not whether it was ever there before.
    add(root, FIRST[1])
    assert n_read(taken_in(root, T3)) == (2, 0)
    assert [row[0] for row in facts(root, "SELECT id FROM sources.orders_current ORDER BY id")] == ["a", "b"]
    change(root, "DELETE FROM orders")
    with pytest.raises(DeliveryRefused, match="it has no rows"):
        taken_in(root, T3)


def test_what_was_deleted_is_found_when_it_is_time_to_compare(root: Path) -> None:
    define(root, f"{IN_DATABASE}\ncompare: weekly")
    add(root, *[(f"k{n}", "west", n, "2026-01-03", "2026-01-03") for n in range(20)])
    assert n_read(taken_in(root, T1)) == (22, 22)
    change(root, "DELETE FROM orders WHERE id = 'k7'")
    day = timedelta(days=1)
    assert n_read(taken_in(root, T1 + day)) is None
    add(root, ("z", "west", 1, "2026-01-09", "2026-01-09"))
    taken_in(root, T1 + 2 * day)
    current = "SELECT id FROM sources.orders_current WHERE id IN ('k7', 'k8') ORDER BY id"
    assert facts(root, current) == [("k7",), ("k8",)]
    done = taken_in(root, T1 + 7 * day).ingestion
    assert done is not None
    assert (done.rows_read, done.rows_withdrawn) == (22, 1)
    assert facts(root, current) == [("k8",)]
    # That nothing was found is noted too, so that it is not looked for again each time.
    assert n_read(taken_in(root, T1 + 8 * day)) is None
    assert n_read(taken_in(root, T1 + 14 * day)) == (22, 0)
    assert n_read(taken_in(root, T1 + 15 * day)) is None
    # A row that is put back comes back, as new as its cursor says, and a replay gives the same facts.
    add(root, ("k7", "west", 7, "2026-01-03", str(T1 + 15 * day)))
    taken_in(root, T1 + 16 * day)
    assert facts(root, current) == [("k7",), ("k8",)]
    before = facts(root)
    define(root, f"{IN_DATABASE}\ncompare: weekly", select="id, upper(depot) AS depot, n, placed")
    taken_in(root, T1 + 16 * day)
    assert facts(root) == [(row[0], row[1].upper(), *row[2:]) for row in before]
    # Too much that is gone at once is refused until somebody says how much it is.
    change(root, "DELETE FROM orders WHERE n > 5")
    with pytest.raises(DeliveryRefused, match="--withdraw 14"):
        taken_in(root, T1 + 22 * day)
    assert taken_in(root, T1 + 22 * day, withdraw=14).ingestion is not None
    assert len(facts(root, "FROM sources.orders_current")) == 9


def test_a_definition_that_changes_is_made_of_what_came_over_the_wire(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in(root, T1)
    add(root, CHANGED, NEW)
    taken_in(root, T2)
    before = facts(root)
    (root / "shop.sqlite").rename(root / "away.sqlite")
    define(root, select="id, upper(depot) AS depot, n, placed")
    with pytest.raises(IngestFailed, match=f"what {VARIABLE} names is not there"):
        taken_in(root, T3)
    assert facts(root) == [(row[0], row[1].upper(), *row[2:]) for row in before]
    (root / "away.sqlite").rename(root / "shop.sqlite")
    assert n_read(taken_in(root, T3)) is None


def test_a_column_that_was_added_is_read_of_all_rows(root: Path) -> None:
    add(root, NEW)
    taken_in(root, T2)
    change(root, "ALTER TABLE orders ADD COLUMN note VARCHAR DEFAULT 'plain'")
    assert n_read(taken_in(root, T3)) == (3, 0)
    assert n_read(taken_in(root, T3)) is None


def test_rows_that_cannot_be_read_leave_the_cursor_where_it_was(root: Path) -> None:
    taken_in(root, T1)
    add(root, ("x", "west", "many", "2026-01-12", "2026-01-12"))
    with pytest.raises(IngestFailed, match="the next ingestion begins where this one did"):
        taken_in(root, T2)
    change(root, "UPDATE orders SET n = 7 WHERE id = 'x'")
    assert n_read(taken_in(root, T2)) == (2, 1)
    assert [row[0] for row in facts(root)] == ["a", "b", "x"]


def test_a_row_that_was_turned_away_is_taken_in_when_its_time_has_come(root: Path) -> None:
    add(root, ("z", "west", 1, "2026-01-18", "2026-01-09"))
    assert n_read(taken_in(root, T1)) == (3, 2)
    add(root, CHANGED)
    taken_in(root, T1 + timedelta(days=3))
    assert [row[:3] for row in facts(root)] == [("a", "north", 1), ("a", "north", 5), ("b", "south", 2)]
    taken_in(root, T2)
    assert [row[:3] for row in facts(root)][-1] == ("z", "west", 1)
    assert len(facts(root)) == 4
    assert n_read(taken_in(root, T2)) is None


def test_another_lake_is_read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken_in(root, T1)
    other = tmp_path / "other"
    define(other, f"database: {VARIABLE}\ntable: sources.orders\ncursor: known_at")
    monkeypatch.setenv(VARIABLE, f"lake:{root / 'lake'}")
    assert n_read(taken_in(other, T1)) == (2, 2)
    assert n_read(taken_in(other, T2)) is None
    assert [row[:4] for row in facts(other)] == [row[:4] for row in facts(root)]


def test_following_takes_in_what_comes_and_says_once_what_fails(root: Path) -> None:
    command = [sys.executable, "-m", "jobs", "ingest", "--follow", "--every", "0.1", "--suite", str(root)]
    said = root / "said.txt"
    with (
        said.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as follower,
    ):

        def wait_for(*ids: str) -> None:
            ends = time.monotonic() + 120
            while True:
                with contextlib.suppress(AlmanacError, duckdb.Error):
                    if [row[0] for row in facts(root, "SELECT id FROM sources.orders ORDER BY id")] == list(ids):
                        return
                assert follower.poll() is None
                assert time.monotonic() < ends
                time.sleep(0.1)

        wait_for("a", "b")
        (root / "shop.sqlite").rename(root / "away.sqlite")
        while "is not there" not in said.read_text():
            assert follower.poll() is None
            time.sleep(0.1)
        time.sleep(1)  # It looks again some times, and says nothing more.
        (root / "away.sqlite").rename(root / "shop.sqlite")
        add(root, NEW)
        wait_for("a", "b", "c")
        follower.send_signal(signal.SIGINT)
        follower.wait(timeout=240)
    assert follower.returncode == 0
    assert said.read_text().count("is not there") == 1
    commits = facts(root, "SELECT count(*) FROM ledger.ingestions")
    assert commits == [(2,)]


def ingests_forever(suite: Suite, place: str) -> None:
    # The process that it is forked off may have begun before the variable was set.
    os.environ[VARIABLE] = place
    while True:
        ingest(suite)


def test_ingestions_that_are_killed_lose_no_row_and_take_none_twice(root: Path) -> None:
    taken_in(root, T1)
    suite, dice, wanted = open_suite(root, clock_at(NOW)), random.Random(1), {"a", "b"}
    for kill in range(times(5)):
        maker = PageMaker(suite, ingests_forever, os.environ[VARIABLE])
        maker.let_go()
        end = time.monotonic() + dice.uniform(0, 2)
        while time.monotonic() < end:
            name = f"k{kill}-{len(wanted)}"
            at = str(T2 + timedelta(seconds=len(wanted)))
            change(root, f"INSERT INTO orders VALUES ('{name}', 'west', 1, '{at}', '{at}')")
            wanted.add(name)
            time.sleep(0.05)
        assert maker.is_working()
        maker.kill()
    taken_in(root, NOW)
    assert sorted(row[0] for row in facts(root, "SELECT id FROM sources.orders")) == sorted(wanted)


@pytest.mark.parametrize(
    ("origin", "said_of_it"),
    [
        ("database: postgresql://u:hunter2@host/db\ntable: t", "environment variable"),
        (f"database: {VARIABLE}", "one of `table` and `query`"),
        (f"database: {VARIABLE}\ntable: t\nquery: SELECT 1", "one of `table` and `query`"),
        (f"database: {VARIABLE}\ntable: t\noverlap: 1 hour", "goes with a `cursor`"),
        (f"database: {VARIABLE}\ntable: t\ncursor: c\ndelivery: complete", "give one"),
        ("files: data/*.csv\ncursor: c", "go with `database`"),
        (f"database: {VARIABLE}\ntable: t\ncompare: weekly", "goes with a `cursor`"),
        ("batches: here", "batches"),
        (f"files: data/*.csv\ndatabase: {VARIABLE}\ntable: t", "no other"),
    ],
)
def test_headers_that_cannot_be_are_told(tmp_path: Path, origin: str, said_of_it: str) -> None:
    define(tmp_path, origin)
    with pytest.raises(DefinitionError) as refused:
        open_suite(tmp_path, clock_at(T1))
    assert said_of_it in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("place", ["", "postgresql://u:hunter2@host/db", "sqlite:", "sqlite://u:hunter2@x"])
def test_a_place_that_cannot_be_read_is_told_and_never_shown(
    root: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(VARIABLE, place)
    with pytest.raises(UsageError, match=r"has to be set|holds a password") as refused:
        taken_in(root, T1)
    told = [str(refused.value), *(one.detail for one in doctor(root, clock_at(T1)))]
    assert "hunter2" not in "\n".join(told)


@pytest.mark.parametrize(
    ("read", "said_of_it"),
    [
        ("table: nowhere", "nowhere"),
        ("table: orders\ncursor: nothing", "there is no column `nothing`"),
        ("table: orders\ncursor: depot", "CAST"),
        ("table: orders\ncursor: n\noverlap: 1 hour", "cursors that are instants"),
        ("query: SELECT 1::HUGEINT AS x FROM orders", "HUGEINT"),
        ("query: SELECT 1; DROP TABLE orders", "write one SELECT"),
        ("query: DROP TABLE orders", "write one SELECT"),
    ],
)
def test_what_cannot_be_read_as_the_header_says_is_refused(root: Path, read: str, said_of_it: str) -> None:
    define(root, f"database: {VARIABLE}\n{read}")
    with pytest.raises(AlmanacError) as refused:
        taken_in(root, T1)
    assert said_of_it in str(refused.value)
    assert "othing was taken in" in str(refused.value)
    assert len(table_of(root)) == 2
