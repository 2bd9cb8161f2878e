"""Histories of a table made up at random: every snapshot shows, and counts, what was there when it was committed.

Rows come in files and, where they are few, in the catalogue; they are deleted, many or few, and come back under the
same keys; a column grows wider in the commit that brings rows; files are merged and written anew. This would find
what is known of DuckLake 1.0, were we touched by it: ducklake#917, #1074, #1084, #1266, #1308, #1329, #1364, #1377,
#1406. `ALMANAC_HISTORIES=300` makes more of them.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.suite import Suite, open_suite
from tests.conftest import NOW, clock_at
from warehouse.lake.compaction import compact
from warehouse.lake.lake import Commit
from warehouse.lake.tables import ensure_table
from warehouse.queries.wrong_answers import switch_off_wrong_optimizers

HISTORIES = int(os.environ.get("ALMANAC_HISTORIES", "3"))
FIRST = int(os.environ.get("ALMANAC_SEED", "0"))
COMMITS = 7
#: A row: its key, a number or NULL, and a word.
Row = tuple[int, int | None, str | None]
#: What a snapshot is asked, and how Python answers that of the rows: what statistics and shortcuts bear on.
QUESTIONS: dict[str, Callable[[list[Row]], Any]] = {
    "count(*)": len,
    "count(n)": lambda rows: sum(n is not None for _, n, _ in rows),
    "count(*) FILTER (n IS NULL)": lambda rows: sum(n is None for _, n, _ in rows),
    "count(*) FILTER (s IS NULL)": lambda rows: sum(s is None for _, _, s in rows),
    "min(n)": lambda rows: min((n for _, n, _ in rows if n is not None), default=None),
    "max(n)": lambda rows: max((n for _, n, _ in rows if n is not None), default=None),
    "list([k, n] ORDER BY k, n)": lambda rows: (
        [[k, n] for k, n, _ in sorted(rows, key=lambda r: (r[0], r[1] is None, r[1] or 0))] or None
    ),
}
FILTERS: dict[str, Callable[[Row], bool]] = {
    "true": lambda _: True,
    "n > 40": lambda r: r[1] is not None and r[1] > 40,
    "n < 0": lambda r: r[1] is not None and r[1] < 0,
    "n > 3000000000": lambda r: r[1] is not None and r[1] > 3_000_000_000,
    "n IS NULL": lambda r: r[1] is None,
    "n IS NOT NULL AND k < 20": lambda r: r[1] is not None and r[0] < 20,
    "s = 'b'": lambda r: r[2] == "b",
}  # fmt: skip


class History:
    """One table, and what each snapshot of it held."""

    def __init__(self, suite: Suite, number: int) -> None:
        self.suite, self.rng = suite, random.Random(number)
        self.table = f"history_{number}"
        self.columns = {"k": "INTEGER", "n": "INTEGER", "s": "VARCHAR"}
        self.rows: list[Row] = []
        self.seen: dict[int, list[Row]] = {}
        self.said: list[str] = []
        self.widened_at = 0

    def live(self) -> None:
        """Make commits of it."""
        ways = [self.add_file, self.add_file, self.insert_few, self.delete, self.delete, self.replace, self.widen]
        for turn in range(COMMITS):
            way = self.rng.choice(ways) if turn else self.add_file
            if self.rng.random() < 0.15:
                self.said.append("compact")
                compact(self.suite.lake)
            with self.suite.lake.commit("a history") as commit:
                self.said.append(way.__name__)
                way(commit)
            # A commit in which nothing changed makes no snapshot.
            self.seen[self.suite.lake.newest_snapshot()] = list(self.rows)
        compact(self.suite.lake)

    def some_rows(self, count: int) -> list[Row]:
        """Make rows up."""
        most = 2**31 - 1 if self.columns["n"] == "INTEGER" else 2**40
        numbers = [None, -1, 0, self.rng.randint(0, 60), self.rng.randint(-most, most)]
        return [
            (self.rng.randrange(60), self.rng.choice(numbers), self.rng.choice([None, "a", "b"])) for _ in range(count)
        ]

    def add(self, commit: Commit, found: list[Row]) -> None:
        """Add rows in a file, as jobs do."""
        file = self.suite.lake.staging / f"{self.table}.parquet"
        values = ", ".join(f"({k}, {'NULL' if n is None else n}, {_text(s)})" for k, n, s in found)
        kinds = ", ".join(f"{name}::{kind} AS {name}" for name, kind in self.columns.items())
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT {kinds} FROM (VALUES {values}) AS v (k, n, s)) TO '{file}'")
        as_it_is = ensure_table(commit, "sources", self.table, self.columns)
        commit.add_rows("sources", self.table, file, as_it_is=as_it_is)
        self.rows += found

    def add_file(self, commit: Commit) -> None:
        self.add(commit, self.some_rows(self.rng.choice([1, 3, 40])))

    def insert_few(self, commit: Commit) -> None:
        for k, n, s in self.some_rows(self.rng.randint(1, 4)):
            commit.execute(f"INSERT INTO sources.{self.table} VALUES ($1, $2, $3)", [k, n, s])
            self.rows.append((k, n, s))

    def delete(self, commit: Commit) -> None:
        key, step = self.rng.randrange(60), self.rng.choice([1, 2, 60])
        commit.execute(f"DELETE FROM sources.{self.table} WHERE k >= $1 AND k % $2 = $1 % $2", [key, step])
        self.rows = [row for row in self.rows if not (row[0] >= key and row[0] % step == key % step)]

    def replace(self, commit: Commit) -> None:
        """Delete keys and bring them back with other values, as a page that is made again."""
        keys = sorted({row[0] for row in self.rows})
        chosen = set(self.rng.sample(keys, min(len(keys), self.rng.choice([1, 2, 20]))))
        if chosen:
            commit.execute(f"DELETE FROM sources.{self.table} WHERE k IN ({', '.join(map(str, chosen))})")
            self.rows = [row for row in self.rows if row[0] not in chosen]
            self.add(commit, [(key, n, s) for key, (_, n, s) in zip(chosen, self.some_rows(len(chosen)), strict=True)])

    def widen(self, commit: Commit) -> None:
        """Let a column grow wider, and bring rows beyond what it held, in one commit."""
        if self.columns["n"] == "INTEGER":
            self.columns, self.widened_at = {**self.columns, "n": "BIGINT"}, commit.snapshot_id
        self.add(commit, self.some_rows(self.rng.choice([1, 30])))

    def compare(self) -> None:
        """Ask each snapshot, in one question with many parts, and the newest also as itself."""
        with self.suite.lake.reading(all_cores=True) as connection:
            switch_off_wrong_optimizers(connection, reads_the_past=True)
            for snapshot, held in self.seen.items():
                self._compare(connection, f"sources.{self.table} AT (VERSION => {snapshot})", held)
            self._compare(connection, f"sources.{self.table}", self.rows)
        # One from before the column grew wider cannot be read so, once there are values that it did not hold: DuckLake
        # 1.0 takes the newest least and greatest values for those of any snapshot (ducklake#1377), and says so.
        alike = [(snapshot, held) for snapshot, held in self.seen.items() if snapshot >= self.widened_at]
        snapshot, held = self.rng.choice(alike)
        with self.suite.lake.reading(snapshot) as connection:
            self._compare(connection, f"sources.{self.table}", held)

    def _compare(self, connection: duckdb.DuckDBPyConnection, table: str, held: list[Row]) -> None:
        for condition, passes in self.rng.sample(list(FILTERS.items()), 3):
            found = connection.execute(f"SELECT {', '.join(QUESTIONS)} FROM {table} WHERE {condition}").fetchone()
            kept = [row for row in held if passes(row)]
            wanted = tuple(answer(kept) for answer in QUESTIONS.values())
            assert found == wanted, (self.table, table, condition, self.said)
        # Without a filter, and each by itself: then catalogue and statistics may answer.
        for question, answer in list(QUESTIONS.items())[:6]:
            found = connection.execute(f"SELECT {question} FROM {table}").fetchone()
            assert found == (answer(held),), (self.table, table, question, self.said)


def _text(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"


@pytest.fixture(scope="module")
def lake(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    root = tmp_path_factory.mktemp("histories") / "shop"
    shutil.copytree(_ingested, root)
    return open_suite(root, clock_at(NOW))


def test_every_snapshot_shows_what_was_there(lake: Suite) -> None:
    for number in range(FIRST, FIRST + HISTORIES):
        history = History(lake, number)
        history.live()
        history.compare()
